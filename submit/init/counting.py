"""How much there is of each class: the labels of all exams, read; and whether they lie in a mask."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from job.contract.errors import DataError
from job.data.nifti import integral
from job.data.patterns import printable
from job.storage import Storage
from submit.init.examples import MOST_VALUES, Progress, first_volume, side_by_side, voxels_by_value
from submit.init.files import Image
from submit.init.identities import Unit
from submit.init.reading import Role

LABEL_BYTES = 2**30
"""Of label files that are read to count voxels; what is beyond is not counted, and said."""
TRIED = 3
"""Exams that show whether a mask holds the labels."""


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much there is of a class."""

    voxels: int
    exams: int
    """That have it."""
    patients: int


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Voxels of all label files of a cohort."""

    by_exam: Mapping[Unit, Mapping[int, int]] = field(default_factory=dict)
    """By value of the exam's label map; or by the files of classes that hold a voxel, as a number of bits."""
    unreadable: tuple[str, ...] = ()
    """What is wrong with files that could not be read."""
    odd: tuple[str, ...] = ()
    """What is wrong with files that could be read all the same."""

    @cached_property
    def total(self) -> Counter[int]:
        """Over all exams."""
        total: Counter[int] = Counter()
        for own in self.by_exam.values():
            total.update(own)
        return total

    def where(self, belongs: Callable[[int], object]) -> Extent:
        """How much there is of the values that belong to a class."""
        voxels = {
            unit: sum(count for value, count in own.items() if belongs(value))
            for unit, own in self.by_exam.items()
        }
        having = [unit for unit, count in voxels.items() if count]
        return Extent(
            voxels=sum(voxels.values()), exams=len(having), patients=len({patient for patient, _ in having})
        )


def count_labels(
    source: Storage,
    labels: Sequence[Role],
    units: Sequence[Unit],
    *,
    per_class: bool,
    workers: int,
    progress: Progress,
) -> Counts:
    """Voxels of all exams' labels, or of the first ones where the files are large.

    Args:
        source: The cohort's root.
        labels: The label map; or the files of classes.
        units: The exams, in the order in which they are read.
        per_class: Whether each class has files of its own.
        workers: Exams at a time.
        progress: Told of each.
    """
    chosen: list[Unit] = []
    size = 0
    for unit in units:
        own = [role.files[unit] for role in labels if unit in role.files]
        size += sum(image.size_bytes for image in own)
        if own and (size <= LABEL_BYTES or not chosen):
            chosen.append(unit)

    def count(unit: Unit) -> tuple[dict[int, int], tuple[str, ...], str]:
        files = {n: role.files[unit] for n, role in enumerate(labels) if unit in role.files}
        try:
            return *(_of_files if per_class else _of_map)(source, files), ""
        except DataError as error:
            return {}, (), printable(str(error.problems[0]))

    found = dict(zip(chosen, side_by_side(count, chosen, workers, progress), strict=True))
    return Counts(
        by_exam={unit: voxels for unit, (voxels, _, unreadable) in found.items() if not unreadable},
        unreadable=tuple(unreadable for _, _, unreadable in found.values() if unreadable),
        odd=tuple(fault for _, faults, _ in found.values() for fault in faults),
    )


def _of_map(source: Storage, files: Mapping[int, Image]) -> tuple[dict[int, int], tuple[str, ...]]:
    """Voxels of a label map by value, and what is odd about it."""
    values_ZYX, faults = _labels(source, files[0])
    voxels = voxels_by_value(values_ZYX)
    if len(voxels) > MOST_VALUES:
        raise DataError.of(
            file=files[0].key,
            found=f"more than {MOST_VALUES} values",
            expected="a label map",
            remedy="name the file that has the labels",
        )
    return voxels, faults


def _of_files(source: Storage, files: Mapping[int, Image]) -> tuple[dict[int, int], tuple[str, ...]]:
    """Voxels by the files that hold them, those on the first one's grid, and what is odd about these."""
    bits_ZYX, faults = np.zeros(0, np.int64), list[str]()
    for number, image in files.items():
        values_ZYX, own = _labels(source, image)
        faults += own
        bits_ZYX = bits_ZYX if bits_ZYX.size else np.zeros(values_ZYX.shape, np.int64)
        if bits_ZYX.shape == values_ZYX.shape:
            bits_ZYX[values_ZYX != 0] |= 1 << number
    return voxels_by_value(bits_ZYX), tuple(faults)


def _labels(source: Storage, image: Image) -> tuple[NDArray[np.integer], tuple[str, ...]]:
    """The values (Z, Y, X) of a file on its canonical grid, and what is odd about it."""
    volume, faults = first_volume(source.read(image.key), image.key)
    return integral(volume.stored_ZYX(), volume), faults


def share_inside_mask(source: Storage, labels: Sequence[Role], mask: Role) -> float | None:
    """Share of the first exams' labels that lie in a mask; None if no exam tells."""
    shares: list[float] = []
    units = [unit for unit in mask.files if any(unit in role.files for role in labels)]
    for unit in units[:TRIED]:
        try:
            inside_ZYX = _labels(source, mask.files[unit])[0] != 0
            for image in [role.files[unit] for role in labels if unit in role.files]:
                label_ZYX = _labels(source, image)[0] != 0
                if label_ZYX.shape == inside_ZYX.shape and label_ZYX.any():
                    shares.append(float(inside_ZYX[label_ZYX].mean()))
        except DataError:
            continue
    return min(shares, default=None)
