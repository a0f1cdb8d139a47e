"""One exam from its files: read, checked against each other, normalised."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from job.contract.cohort import Channel, Cohort
from job.contract.errors import DataError, Problem, collecting
from job.data.channel_statistics import ChannelStatistics, statistics
from job.data.cohort_files import ExamFiles
from job.data.fingerprint import block_means, fingerprint_of
from job.data.geometry import Geometry
from job.data.grid_reader import GridReader, filled_outside
from job.data.labels import LabelMap, binary, classes_of, classes_of_files, clear_outside, mask_of
from job.data.labels_in_air import Air
from job.data.likeness import ExamLikeness, Likeness
from job.data.nifti import Volume
from job.data.normalisation import Region, normalise, region_of
from job.data.plausibility import constant, implausible, odd
from job.data.truth_as_channel import TruthFiles, like_labels
from job.storage import Storage


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
    likeness: Likeness = field(default_factory=Likeness)
    """How its channels and labels go together."""
    values: Mapping[int, int] = field(default_factory=dict)
    """As `LabelMap.values`."""
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
    reader = GridReader(source, cohort, digests=digests)
    truth = _read_truth(reader, files, cohort, problems)
    stats: list[ChannelStatistics] = []
    warnings: list[Problem] = []
    air = Air()
    likeness = None if truth.label_ZYX is None else ExamLikeness(truth.label_ZYX, len(cohort.classes))
    for position, (channel, item) in enumerate(zip(cohort.channels, files.channels, strict=True)):
        with collecting(problems):
            volume, values_ZYX, filled = reader.values(item.key, channel, truth.mask_ZYX)
            truth.files.require_other(volume, channel)
            if reader.grid is not None and truth.has_region:  # else it is reported
                region, normalised, found = _normalised(
                    volume, values_ZYX, truth.mask_ZYX, channel, dtype, digest=digests
                )
                air.also(region, values_ZYX, channel)
                if likeness is not None:
                    likeness.take(values_ZYX, region, found)
                warnings += like_labels(values_ZYX, truth.mask_ZYX, truth.label_ZYX, channel, volume.name)
                if seen is not None and truth.label_ZYX is not None:
                    seen(position, region.image(normalised), truth.label_ZYX, reader.grid.geometry)
                found = replace(found, filled=found.filled + filled, own_grid=reader.own_grid(volume))
                stats.append(found)
                warnings += odd(found, channel, volume.name)
    if truth.label_ZYX is not None and reader.grid is not None and len(stats) == len(cohort.channels):
        with collecting(problems):
            classes, spacing_zyx_mm = _class_files(files, cohort), reader.grid.geometry.spacing_zyx_mm
            warnings += air.labelled(truth.label_ZYX, classes, spacing_zyx_mm)
    checked = _checked(reader, truth, stats, warnings, problems)
    assert likeness is not None
    return replace(checked, likeness=likeness.numbers())


@dataclass(frozen=True, kw_only=True)
class _Truth:
    labels: LabelMap | None
    """None: they cannot be read."""
    mask_ZYX: NDArray[np.uint8] | None
    has_region: bool
    """Whether the mask was read, or there is none in the cohort."""
    outside_mask: int
    files: TruthFiles
    warnings: Sequence[Problem]

    @property
    def label_ZYX(self) -> NDArray[np.uint8] | None:
        """The labels, if they could be read."""
        return None if self.labels is None else self.labels.label_ZYX


def _read_truth(reader: GridReader, files: ExamFiles, cohort: Cohort, problems: list[Problem]) -> _Truth:
    """The labels inside the mask, as far as they can be read; the list gets all that is wrong with them."""
    labels: LabelMap | None = None
    mask_ZYX: NDArray[np.uint8] | None = None
    own, outside = TruthFiles(), 0
    warnings: list[Problem] = []
    with collecting(problems):
        reader.set_grid(files)
        labels = _read_labels(reader, files, cohort, own)
    if files.mask is not None:
        with collecting(problems):
            stored_ZYX, volume = reader.stored(files.mask.key)
            own.remember(volume)
            mask_ZYX = reader.placed(mask_of(stored_ZYX, volume), volume)
    if labels is not None and mask_ZYX is not None:
        with collecting(problems):
            outside, warnings = clear_outside(mask_ZYX, labels.label_ZYX, _class_files(files, cohort))
    has_region = files.mask is None or mask_ZYX is not None
    return _Truth(
        labels=labels,
        mask_ZYX=mask_ZYX,
        has_region=has_region,
        outside_mask=outside,
        files=own,
        warnings=warnings,
    )


def _class_files(files: ExamFiles, cohort: Cohort) -> list[tuple[str, str]]:
    """Each class with a file that it is in: the label map, or the first of its own."""
    own = files.labels * len(cohort.classes) if cohort.class_files is None else files.labels
    keys = [items[0].key if items else files.first_label.key for items in own]
    return list(zip(cohort.class_names, keys, strict=True))


def _read_labels(reader: GridReader, files: ExamFiles, cohort: Cohort, own: TruthFiles) -> LabelMap:
    assert reader.grid is not None
    if cohort.class_files is None:
        stored_ZYX, volume = reader.stored(files.first_label.key)
        own.remember(volume)
        labels = classes_of(stored_ZYX, volume, cohort)
        return replace(labels, label_ZYX=reader.placed(labels.label_ZYX, volume, cohort.class_names))

    def part(name: str, key: str) -> NDArray[np.bool_]:
        stored_ZYX, volume = reader.stored(key)
        own.remember(volume)
        inside_ZYX = binary(stored_ZYX, volume, f"class {name}").astype(np.uint8)
        return reader.placed(inside_ZYX, volume, [name]) > 0

    keys = [[item.key for item in parts] for parts in files.labels]
    return classes_of_files(keys, part, reader.grid.geometry.shape_zyx, cohort)


def _checked(
    reader: GridReader,
    truth: _Truth,
    stats: Sequence[ChannelStatistics],
    warnings: Sequence[Problem],
    problems: Sequence[Problem],
) -> CheckedExam:
    """The exam, if nothing is wrong with it."""
    if problems:
        raise DataError(reader.told_apart(problems))
    assert reader.grid is not None
    assert truth.labels is not None
    return CheckedExam(
        label_ZYX=truth.labels.label_ZYX,
        mask_ZYX=truth.mask_ZYX,
        geometry=reader.grid.geometry,
        statistics=tuple(stats),
        outside_mask=truth.outside_mask,
        values=truth.labels.values,
        sha256=reader.sha256,
        warnings=(*reader.warnings, *truth.labels.warnings, *truth.warnings, *warnings),
    )


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
        filled = filled_outside(values_ZYX, mask_ZYX, volume.name)
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
        filled=filled,
        fingerprint=fingerprint_of(values_ZYX),
        sha256=sha256(values_ZYX.data if digest else means_ZYX.data).hexdigest(),
    )
    if problems := implausible(found, channel, volume.name):
        raise DataError(problems)
    return region, normalised, found


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
