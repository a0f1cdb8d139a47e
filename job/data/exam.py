"""One exam from its files: read, checked against each other, normalised."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from job.contract.cohort import Channel, Cohort
from job.contract.errors import DataError, Problem
from job.data.cohort_files import ExamFiles
from job.data.nifti import GRID_TOLERANCE, Geometry, Volume, integral, read_volume
from job.data.normalisation import ChannelStatistics, normalise, statistics
from job.storage import Storage

OUTSIDE_MASK_SHARE = 0.01
"""Of an exam's labelled voxels; a rim that a mask cuts off is usual, a structure outside is a mistake."""


@dataclass(frozen=True, kw_only=True)
class Exam:
    """An exam ready to be stored; arrays on the canonical grid."""

    image_CZYX: NDArray[np.floating]
    """Normalised."""
    label_ZYX: NDArray[np.uint8]
    """0 background, k the k-th class of the study."""
    mask_ZYX: NDArray[np.uint8] | None
    geometry: Geometry
    """Of the label map's file."""
    statistics: tuple[ChannelStatistics, ...]
    """By channel."""
    outside_mask: int
    """Labelled voxels outside the mask, which count as background."""
    sha256: tuple[str, ...]
    """Of each file, in the order of `ExamFiles.all`."""


@contextmanager
def collecting(problems: list[Problem]) -> Iterator[None]:
    """Adds the problems of a DataError to the list instead of raising it."""
    try:
        yield
    except DataError as error:
        problems.extend(error.problems)


def load_exam(source: Storage, files: ExamFiles, cohort: Cohort, dtype: str) -> Exam:
    """The exam of these files.

    Args:
        source: The cohort's root.
        files: The exam's files.
        cohort: Channels, classes and how they are coded.
        dtype: `float16` or `float32`, of the normalised image.

    Raises:
        DataError: All that is wrong with the exam's files.
    """
    problems: list[Problem] = []
    reader = _Reader(source)
    labels: _Labels | None = None
    grid: _Grid | None = None
    with collecting(problems):
        volume = reader.read(files.labels.key)
        grid = _Grid(files.labels.key, volume)
        labels = _read_labels(reader, volume, grid, files, cohort)
    image_CZYX = None if labels is None else np.zeros((len(files.channels), *labels.label_ZYX.shape), dtype)
    stats: list[ChannelStatistics] = []
    for position, (channel, item) in enumerate(zip(cohort.channels, files.channels, strict=True)):
        with collecting(problems):
            volume = reader.read(item.key, grid)
            if labels is not None and image_CZYX is not None:  # else they are reported
                region_ZYX = _region(volume, labels.mask_ZYX, channel)
                normalised_ZYX = _normalised(volume, region_ZYX, channel, item.key, image_CZYX.dtype)
                stats.append(statistics(volume.data_ZYX, normalised_ZYX, region_ZYX))
                image_CZYX[position] = normalised_ZYX
    if problems:
        raise DataError(problems)
    assert grid is not None
    assert labels is not None
    assert image_CZYX is not None
    return Exam(
        image_CZYX=image_CZYX,
        label_ZYX=labels.label_ZYX,
        mask_ZYX=labels.mask_ZYX,
        geometry=grid.geometry,
        statistics=tuple(stats),
        outside_mask=labels.outside_mask,
        sha256=tuple(reader.sha256[item.key] for item in files.all),
    )


def _region(volume: Volume, mask_ZYX: NDArray[np.uint8] | None, channel: Channel) -> NDArray[np.bool_]:
    """The voxels that are scaled: the mask's; without one, all that are not 0, or all if the scale is given."""
    if mask_ZYX is not None:
        return np.asarray(mask_ZYX > 0)
    if channel.normalisation in ("fixed", "none"):
        return np.ones(volume.data_ZYX.shape, bool)  # 0 is a value like any other there
    return np.asarray(volume.data_ZYX != 0)


@dataclass(frozen=True, kw_only=True)
class _Labels:
    label_ZYX: NDArray[np.uint8]
    mask_ZYX: NDArray[np.uint8] | None
    outside_mask: int


def _read_labels(
    reader: "_Reader", volume: Volume, grid: "_Grid", files: ExamFiles, cohort: Cohort
) -> _Labels:
    """The labels inside the mask; all that is wrong with either file is one error."""
    problems: list[Problem] = []
    label_ZYX = mask_ZYX = None
    with collecting(problems):
        label_ZYX = _classes(volume, files.labels.key, cohort)
    if files.mask is not None:
        with collecting(problems):
            mask_ZYX = _mask(reader.read(files.mask.key, grid), files.mask.key)
    if problems:
        raise DataError(problems)
    assert label_ZYX is not None
    outside = 0 if mask_ZYX is None else _clear_outside(mask_ZYX, label_ZYX, files.labels.key)
    return _Labels(label_ZYX=label_ZYX, mask_ZYX=mask_ZYX, outside_mask=outside)


class _Grid:
    """The grid that all files of an exam must be on: the label map's."""

    def __init__(self, name: str, volume: Volume) -> None:
        self.name = name
        self.geometry = volume.geometry

    def check(self, name: str, geometry: Geometry) -> None:
        if geometry.shape_xyz != self.geometry.shape_xyz:
            found, expected = f"{geometry.shape_xyz} voxels", f"{self.geometry.shape_xyz}"
        elif (apart := geometry.distance_voxels(self.geometry)) > GRID_TOLERANCE:
            found, expected = f"a grid that is {apart:.3g} voxels away ({geometry.orientation})", "the grid"
        else:
            return
        raise DataError.of(
            file=name,
            found=found,
            expected=f"{expected} of {self.name} ({self.geometry.orientation})",
            remedy="resample the exam's files onto one grid",
        )


class _Reader:
    """Reads files once, remembering their digests."""

    def __init__(self, source: Storage) -> None:
        self.source = source
        self.sha256: dict[str, str] = {}

    def read(self, key: str, grid: _Grid | None = None) -> Volume:
        data = self.source.read(key)
        self.sha256[key] = sha256(data).hexdigest()
        volume = read_volume(data, key)
        if grid is not None:
            grid.check(key, volume.geometry)
        return volume


def _classes(volume: Volume, name: str, cohort: Cohort) -> NDArray[np.uint8]:
    """The label map in the study's classes."""
    values_ZYX = integral(volume, name)
    label_ZYX = np.zeros(values_ZYX.shape, np.uint8)
    known = np.isin(values_ZYX, cohort.background)
    for number, values in enumerate(cohort.class_values, start=1):
        inside = np.isin(values_ZYX, values)
        label_ZYX[inside] = number
        known |= inside
    if not known.all():
        unknown, counts = np.unique(values_ZYX[~known], return_counts=True)
        found = ", ".join(
            f"{v} ({n} voxels)" for v, n in zip(unknown[:5].tolist(), counts.tolist(), strict=False)
        )
        classes = ", ".join(
            f"{c} = {list(v)}" for c, v in zip(cohort.classes, cohort.class_values, strict=True)
        )
        raise DataError.of(
            file=name,
            found=f"unknown label values {found}",
            expected=f"{classes}, background = {list(cohort.background)}",
            remedy="add the values to cohort.classes or cohort.background",
        )
    return label_ZYX


def _mask(volume: Volume, name: str) -> NDArray[np.uint8]:
    mask_ZYX: NDArray[np.uint8] = (integral(volume, name) != 0).astype(np.uint8)
    if not mask_ZYX.any():
        raise DataError.of(
            file=name,
            found="an empty mask",
            expected="voxels that are not 0",
            remedy="correct the mask",
        )
    return mask_ZYX


def _clear_outside(mask_ZYX: NDArray[np.uint8], label_ZYX: NDArray[np.uint8], name: str) -> int:
    """Makes labels outside the mask background, in place; how many voxels that were."""
    labelled = np.count_nonzero(label_ZYX)
    outside_ZYX = (mask_ZYX == 0) & (label_ZYX > 0)
    outside = int(np.count_nonzero(outside_ZYX))
    if outside > OUTSIDE_MASK_SHARE * labelled:
        raise DataError.of(
            file=name,
            found=f"{outside} of {labelled} labelled voxels outside the mask",
            expected=f"at most {OUTSIDE_MASK_SHARE:.0%}, since what lies outside counts as background",
            remedy="correct the mask or the labels, or leave cohort.mask out",
        )
    label_ZYX[outside_ZYX] = 0
    return outside


def _normalised(
    volume: Volume, region_ZYX: NDArray[np.bool_], channel: Channel, name: str, dtype: np.dtype[np.floating]
) -> NDArray[np.floating]:
    try:
        normalised_ZYX = normalise(volume.data_ZYX, region_ZYX, channel)
    except ValueError as error:
        raise DataError.of(
            file=name,
            found=str(error),
            expected="intensities that vary",
            remedy="correct the file or its mask, or leave the exam out with cohort.exclude",
        ) from None
    largest, limits = float(np.abs(normalised_ZYX).max()), np.finfo(dtype)
    if largest > float(limits.max) or 0 < largest < float(limits.tiny):
        raise DataError.of(
            file=name,
            found=f"values up to {largest:g} after normalisation ({channel.normalisation})",
            expected=f"{limits.tiny:g} to {limits.max:g}, the range of {dtype}",
            remedy='choose another normalisation, or store.dtype = "float32"',
        )
    return normalised_ZYX.astype(dtype)
