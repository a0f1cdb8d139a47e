"""One exam from its files: read, checked against each other, normalised."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.contract.cohort import Channel, Cohort
from job.contract.errors import DataError, Problem
from job.data.channel_statistics import ChannelStatistics, statistics
from job.data.cohort_files import ExamFiles
from job.data.file_kinds import unpacked
from job.data.fingerprint import block_means
from job.data.geometry import Geometry, Grid
from job.data.labels import LabelMap, classes_of, classes_of_files, clear_outside, mask_of
from job.data.nifti import Volume, read_unpacked
from job.data.normalisation import Region, normalise, region_of
from job.data.plausibility import constant, implausible, odd
from job.data.resampling import resampled, resampled_labels
from job.storage import Storage, StoredObject

UNCOVERED_SHARE = 0.05
"""Of the grid that an exam is resampled onto; a file that covers less of it is worth a word."""


@dataclass(frozen=True, kw_only=True)
class CheckedExam:
    """An exam that was read channel by channel, without its image; arrays on the canonical grid."""

    label_ZYX: NDArray[np.uint8]
    """0 background, k the k-th class of the study."""
    mask_ZYX: NDArray[np.uint8] | None
    geometry: Geometry
    """Of the file whose grid the exam has: the label map's, or the channel's that it was resampled onto."""
    statistics: tuple[ChannelStatistics, ...]
    """By channel."""
    outside_mask: int
    """Labelled voxels outside the mask, which count as background."""
    sha256: dict[str, str]
    """Of each file, by key; empty where nobody asked."""
    warnings: tuple[Problem, ...] = ()
    """What is odd about the exam, and may be right."""


@dataclass(frozen=True, kw_only=True)
class Exam(CheckedExam):
    """An exam ready to be stored."""

    image_CZYX: NDArray[np.floating]
    """Normalised."""


ChannelSeen = Callable[[int, NDArray[np.float32], NDArray[np.uint8], Geometry], None]
"""Told of each sound channel: its position, its normalised (Z, Y, X) image, the exam's labels and its grid."""


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
    image_CZYX: NDArray[np.floating] | None = None

    def keep(position: int, normalised_ZYX: NDArray[np.float32], *_: object) -> None:
        nonlocal image_CZYX
        if image_CZYX is None:
            image_CZYX = np.zeros((len(files.channels), *normalised_ZYX.shape), dtype)
        image_CZYX[position] = normalised_ZYX

    checked = read_exam(source, files, cohort, dtype, seen=keep, digests=True)
    assert image_CZYX is not None
    return Exam(image_CZYX=image_CZYX, **vars(checked))


def read_exam(
    source: Storage,
    files: ExamFiles,
    cohort: Cohort,
    dtype: str,
    *,
    seen: ChannelSeen | None = None,
    digests: bool = False,
) -> CheckedExam:
    """All of the exam of these files but its image, of which one channel is in memory at a time.

    Args:
        source: The cohort's root.
        files: The exam's files.
        cohort: Channels, classes and how they are coded.
        dtype: Number format that the normalised image must fit in.
        seen: Told of the image, channel by channel, also if the exam turns out to be wrong.
        digests: Whether the digests of the files are asked for, and those of their voxels rather than block means.

    Raises:
        DataError: All that is wrong with the exam's files.
    """
    problems: list[Problem] = []
    reader = _Reader(source, cohort, digests=digests)
    truth = _read_truth(reader, files, cohort, problems)
    stats: list[ChannelStatistics] = []
    warnings: list[Problem] = []
    for position, (channel, item) in enumerate(zip(cohort.channels, files.channels, strict=True)):
        with collecting(problems):
            volume, values_ZYX = reader.values(item.key, channel)
            if reader.grid is not None and truth.has_region:  # else it is reported
                region, normalised, found = _normalised(
                    volume, values_ZYX, truth.mask_ZYX, channel, dtype, digest=digests
                )
                if seen is not None and truth.labels is not None:
                    image_ZYX = region.image(normalised)
                    seen(position, image_ZYX, truth.labels.label_ZYX, reader.grid.geometry)
                stats.append(found)
                warnings += odd(found, channel, volume.name)
    if problems:
        raise DataError(problems)
    assert reader.grid is not None
    assert truth.labels is not None
    return CheckedExam(
        label_ZYX=truth.labels.label_ZYX,
        mask_ZYX=truth.mask_ZYX,
        geometry=reader.grid.geometry,
        statistics=tuple(stats),
        outside_mask=truth.outside_mask,
        sha256=reader.sha256,
        warnings=(*reader.warnings, *truth.labels.warnings, *warnings),
    )


def grid_file(files: ExamFiles, cohort: Cohort) -> tuple[StoredObject, int | None]:
    """The file whose grid an exam gets, and the volume of it: the first label map, or a channel by the study."""
    if cohort.resample_to is None:
        return next(item for item in files.labels if item is not None), None
    position = cohort.channel_names.index(cohort.resample_to)
    return files.channels[position], cohort.channels[position].index


@dataclass(frozen=True, kw_only=True)
class _Truth:
    labels: LabelMap | None
    """None: they cannot be read."""
    mask_ZYX: NDArray[np.uint8] | None
    has_region: bool
    """Whether the mask was read, or there is none in the cohort."""
    outside_mask: int


class _Reader:
    """Reads an exam's files onto one grid, remembering what was odd about them, and their digests if asked to."""

    def __init__(self, source: Storage, cohort: Cohort, *, digests: bool) -> None:
        self._source = source
        self._cohort = cohort
        self._digests = digests
        self._last: tuple[str, bytes, tuple[Problem, ...]] | None = None
        self.grid: Grid | None = None
        self.sha256: dict[str, str] = {}
        self.warnings: list[Problem] = []

    def set_grid(self, files: ExamFiles) -> None:
        """Takes the grid of the label map, or of the channel that `cohort.resample_to` names."""
        item, index = grid_file(files, self._cohort)
        volume = self.volume(item.key, index)
        self.grid = Grid(volume.name, volume.geometry)

    @property
    def shape_zyx(self) -> tuple[int, ...]:
        """Of the canonical grid; of nothing where there is none."""
        if self.grid is None:
            return (0, 0, 0)
        return self.grid.geometry.canonical(np.broadcast_to(np.uint8(0), self.grid.geometry.shape_xyz)).shape

    def volume(self, key: str, index: int | None = None) -> Volume:
        """A volume as its file has it."""
        try:
            if self._last is None or self._last[0] != key:
                data = self._source.read(key)
                if self._digests:
                    self.sha256[key] = sha256(data).hexdigest()
                self._last = (key, *unpacked(data, key))
            _, contents, odd_packing = self._last
            return read_unpacked(contents, key, index=index, choice=self._cohort.geometry, odd=odd_packing)
        except Exception as error:
            error.add_note(f"while reading {key}")
            raise

    def stored(self, key: str, *, is_mask: bool = False) -> tuple[Volume, NDArray[Any]]:
        """A volume of names (labels, mask), and its stored numbers on the exam's canonical grid."""
        volume = self.volume(key)
        self._note(volume)
        # In order, since all that is made of a flipped view takes three times as long.
        return volume, np.ascontiguousarray(self._onto_grid(volume, is_mask=is_mask))

    def _onto_grid(self, volume: Volume, *, is_mask: bool) -> NDArray[Any]:
        if self.grid is None:
            return volume.stored_ZYX()
        if self._cohort.resample_to is not None and volume.geometry.axes_onto(self.grid.geometry) is None:
            target = self.grid.geometry
            array, outside = resampled_labels(volume.stored_xyz, volume.geometry, target)
            if outside and not is_mask:
                self.warnings.append(_cut_off(volume.name, outside, self.grid.name))
            return target.canonical(array)
        return volume.stored_ZYX(self.grid.axes_of(volume.name, volume.geometry), self.grid.geometry)

    def values(self, key: str, channel: Channel) -> tuple[Volume, NDArray[np.float32]]:
        """A channel, and its scaled values on the exam's canonical grid."""
        volume = self.volume(key, channel.index)
        self._note(volume)
        if self.grid is None:
            return volume, volume.values_ZYX()
        if self._cohort.resample_to is None or volume.geometry.axes_onto(self.grid.geometry) is not None:
            axes = self.grid.axes_of(key, volume.geometry)
            return volume, volume.values_ZYX(axes, self.grid.geometry)
        target = self.grid.geometry
        values_xyz = volume.geometry.in_file(volume.values_ZYX())
        array, uncovered = resampled(values_xyz, volume.geometry, target, outside=0)
        if uncovered > UNCOVERED_SHARE:
            self.warnings.append(_uncovered(key, uncovered, channel))
        return volume, np.ascontiguousarray(target.canonical(array), dtype=np.float32)

    def _note(self, volume: Volume) -> None:
        self.warnings += [warning for warning in volume.warnings if warning not in self.warnings]


def _uncovered(key: str, share: float, channel: Channel) -> Problem:
    return Problem(
        file=key,
        found=f"a volume that lacks {share:.0%} of the grid it is resampled onto (channel {channel.name})",
        expected="one that covers the exam",
        remedy="what is not covered is 0; choose another channel for cohort.resample_to, or give a mask of "
        "what all cover",
        cause=f"a channel that covers a part only: {channel.name}",
    )


def _cut_off(key: str, share: float, onto: str) -> Problem:
    return Problem(
        file=key,
        found=f"{share:.1%} of what is not 0 outside the grid of {onto}, onto which it is resampled",
        expected="labels inside the grid",
        remedy="they are cut off; choose a channel that covers them for cohort.resample_to",
        cause="labels outside the grid that they are resampled onto",
    )


def _read_truth(reader: _Reader, files: ExamFiles, cohort: Cohort, problems: list[Problem]) -> _Truth:
    """The labels inside the mask, as far as they can be read; the list gets all that is wrong with them."""
    labels: LabelMap | None = None
    mask_ZYX: NDArray[np.uint8] | None = None
    outside = 0
    with collecting(problems):
        reader.set_grid(files)
        labels = _read_labels(reader, files, cohort)
    if files.mask is not None:
        with collecting(problems):
            volume, stored_ZYX = reader.stored(files.mask.key, is_mask=True)
            mask_ZYX = mask_of(stored_ZYX, volume)
    if labels is not None and mask_ZYX is not None:
        name = next(item.key for item in files.labels if item is not None)
        with collecting(problems):
            outside = clear_outside(mask_ZYX, labels.label_ZYX, name)
    has_region = files.mask is None or mask_ZYX is not None
    return _Truth(labels=labels, mask_ZYX=mask_ZYX, has_region=has_region, outside_mask=outside)


def _read_labels(reader: _Reader, files: ExamFiles, cohort: Cohort) -> LabelMap:
    assert reader.grid is not None
    if cohort.class_files is None:
        (item,) = files.labels
        assert item is not None
        volume, stored_ZYX = reader.stored(item.key)
        return classes_of(stored_ZYX, volume, cohort)
    masks: list[tuple[NDArray[Any], Volume] | None] = []
    for item in files.labels:
        if item is None:
            masks.append(None)
        else:
            volume, stored_ZYX = reader.stored(item.key)
            masks.append((stored_ZYX, volume))
    return classes_of_files(masks, reader.shape_zyx, cohort)


def _normalised(
    volume: Volume,
    values_ZYX: NDArray[np.float32],
    mask_ZYX: NDArray[np.uint8] | None,
    channel: Channel,
    dtype: str,
    *,
    digest: bool,
) -> tuple[Region, NDArray[np.float32], ChannelStatistics]:
    """A channel's region, its values normalised, and their statistics.

    Raises:
        DataError: It is not finite where it counts, or says nothing.
    """
    means_ZYX, filled = block_means(values_ZYX), 0
    if not np.isfinite(means_ZYX).all():
        filled = _fill(values_ZYX, mask_ZYX, volume.name)
        means_ZYX = block_means(values_ZYX)
    if means_ZYX.min() == means_ZYX.max() and values_ZYX.min() == values_ZYX.max():
        raise DataError([constant(float(values_ZYX.min()), channel, volume.name)])
    region = region_of(values_ZYX, mask_ZYX, channel)
    try:
        normalised = normalise(region, channel)
    except ValueError as error:
        raise DataError.of(
            file=volume.name,
            found=f"{error} (channel {channel.name})",
            expected="intensities that vary",
            remedy="correct the file or its mask, or leave the exam out with cohort.exclude",
            cause=f"constant: {channel.name}",
        ) from None
    _require_fit(normalised, channel, volume.name, dtype)
    found = statistics(
        region,
        normalised,
        channel,
        means_ZYX=means_ZYX,
        filled=filled,
        sha256=sha256(values_ZYX.data if digest else means_ZYX.data).hexdigest(),
    )
    if problems := implausible(found, channel, volume.name):
        raise DataError(problems)
    return region, normalised, found


def _fill(values_ZYX: NDArray[np.float32], mask_ZYX: NDArray[np.uint8] | None, name: str) -> int:
    """Makes what is not finite outside the mask 0, in place; how many voxels that were.

    Raises:
        DataError: There are such voxels inside, or no mask.
    """
    wrong_ZYX = ~np.isfinite(values_ZYX)
    inside = wrong_ZYX if mask_ZYX is None else wrong_ZYX & (mask_ZYX > 0)
    if count := int(np.count_nonzero(inside)):
        where = (
            "" if mask_ZYX is None else f" inside the mask ({count / np.count_nonzero(mask_ZYX):.2%} of it)"
        )
        raise DataError.of(
            file=name,
            found=f"{count} voxels that are NaN, infinite or beyond 32-bit floats{where}",
            expected="finite values" + ("" if mask_ZYX is None else " inside the mask"),
            remedy="replace them (e.g. by 0)"
            + (
                ", or give cohort.mask: outside of it they do not matter"
                if mask_ZYX is None
                else ", or correct the mask"
            ),
            cause="voxels that are not finite",
        )
    values_ZYX[wrong_ZYX] = 0
    return int(np.count_nonzero(wrong_ZYX))


def _require_fit(normalised: NDArray[np.float32], channel: Channel, name: str, dtype: str) -> None:
    """Refuses values that the store's number format cannot hold."""
    largest = float(max(normalised.max(), -normalised.min()))
    limits = np.finfo(np.dtype(dtype))
    if largest > float(limits.max) or 0 < largest < float(limits.tiny):
        raise DataError.of(
            file=name,
            found=f"values up to {largest:g} after normalisation ({channel.normalisation})",
            expected=f"{limits.tiny:g} to {limits.max:g}, the range of {dtype}",
            remedy='choose another normalisation, or store.dtype = "float32"',
            cause=f"beyond the store's numbers: {channel.name}",
        )
