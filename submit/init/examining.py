"""Reads what the recognition of a layout needs: a file of each role, one exam's mask, the labels of all exams."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from job.contract.errors import DataError
from job.data.patterns import printable
from job.storage import Storage
from submit.init.contents import MOST_VALUES, contents_of, label_values, voxels_by_value
from submit.init.files import Image
from submit.init.identities import Unit
from submit.init.parts import Example, Parts
from submit.init.reading import Reading, Role
from submit.init.templates import Template

T = TypeVar("T")
S = TypeVar("S")
TRIED = 3
"""Files of a role that are opened: until one is an image, or all where they are like labels."""
MOST_ROLES = 60
"""Of which a file is opened."""
LABEL_BYTES = 2**30
"""Of label files that are read to count voxels; what is beyond is not counted, and said."""

Progress = Callable[[int, int], None]
"""Told how many of how many are done."""


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
        return Counter(
            {value: sum(own.get(value, 0) for own in self.by_exam.values()) for value in self.values}
        )

    @cached_property
    def values(self) -> list[int]:
        """All that occur, in order."""
        return sorted({value for own in self.by_exam.values() for value in own})

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


def by_completeness(reading: Reading) -> list[Unit]:
    """Exams, those with most roles first."""
    having = Counter(unit for role in reading.roles for unit in role.files)
    return sorted(reading.units, key=lambda unit: (-having[unit], unit))


def read_examples(
    source: Storage, reading: Reading, *, workers: int, progress: Progress
) -> dict[Template, Example]:
    """A file of each role, of one exam where that one has it."""
    order = by_completeness(reading)
    roles = sorted(reading.roles, key=lambda role: -len(role.files))[:MOST_ROLES]

    def example(role: Role) -> Example:
        units = [unit for unit in order if unit in role.files]
        return _example(source, [role.files[unit] for unit in units[:TRIED]])

    found = _each(example, roles, workers, progress)
    return {role.template: each for role, each in zip(roles, found, strict=True)}


def _example(source: Storage, images: Sequence[Image]) -> Example:
    faults: list[str] = []
    values: set[int] = set()
    found: Example | None = None
    for image in images:
        try:
            contents = contents_of(source.read(image.key), image.key)
        except DataError as error:
            faults.append(printable(str(error.problems[0])))
            continue
        faults += [printable(str(contents.problem))] if contents.problem is not None else []
        if found is None or (found.contents is not None and found.contents.is_constant):
            found = Example(key=image.key, contents=contents)
        if not contents.is_label_like:
            break
        values |= (contents.values or {}).keys()
    found = found or Example(key=images[0].key, contents=None)
    return replace(found, values=frozenset(values), faults=tuple(faults))


def share_inside_mask(source: Storage, parts: Parts, mask: Role) -> float | None:
    """Share of the first exams' labels that lie in a mask; None if no exam tells."""
    shares: list[float] = []
    units = [unit for unit in mask.files if any(unit in role.files for role in parts.labels)]
    for unit in units[:TRIED]:
        try:
            inside_ZYX = label_values(source.read(mask.files[unit].key), mask.files[unit].key)[0] != 0
            for image in [role.files[unit] for role in parts.labels if unit in role.files]:
                label_ZYX = label_values(source.read(image.key), image.key)[0] != 0
                if label_ZYX.shape == inside_ZYX.shape and label_ZYX.any():
                    shares.append(float(inside_ZYX[label_ZYX].mean()))
        except DataError:
            continue
    return min(shares, default=None)


def count_labels(
    source: Storage, parts: Parts, units: Sequence[Unit], *, workers: int, progress: Progress
) -> Counts:
    """Voxels of all exams' labels, or of the first ones where the files are large."""
    files = {
        unit: [(n, role.files[unit]) for n, role in enumerate(parts.labels) if unit in role.files]
        for unit in units
    }
    chosen: list[Unit] = []
    size = 0
    for unit, own in files.items():
        size += sum(image.size_bytes for _, image in own)
        if own and (size <= LABEL_BYTES or not chosen):
            chosen.append(unit)

    def count(unit: Unit) -> tuple[dict[int, int], list[str], str]:
        try:
            return *_counted(source, files[unit], per_class=parts.per_class), ""
        except DataError as error:
            return {}, [], printable(str(error.problems[0]))

    found = dict(zip(chosen, _each(count, chosen, workers, progress), strict=True))
    return Counts(
        by_exam={unit: voxels for unit, (voxels, _, unreadable) in found.items() if not unreadable},
        unreadable=tuple(unreadable for _, _, unreadable in found.values() if unreadable),
        odd=tuple(fault for _, faults, _ in found.values() for fault in faults),
    )


def _counted(
    source: Storage, files: Sequence[tuple[int, Image]], *, per_class: bool
) -> tuple[dict[int, int], list[str]]:
    """Voxels of an exam's labels, and what is odd about its files."""
    faults: list[str] = []
    bits_ZYX: NDArray[np.int64] | None = None
    for number, image in files:
        values_ZYX, problem = label_values(source.read(image.key), image.key)
        faults += [printable(str(problem))] if problem is not None else []
        if not per_class:
            voxels = voxels_by_value(values_ZYX)
            if len(voxels) > MOST_VALUES:
                raise _no_label_map(image.key)
            return voxels, faults
        own_ZYX = (values_ZYX != 0).astype(np.int64) << number
        if bits_ZYX is None or bits_ZYX.shape == own_ZYX.shape:
            bits_ZYX = own_ZYX if bits_ZYX is None else bits_ZYX | own_ZYX
    return {} if bits_ZYX is None else voxels_by_value(bits_ZYX), faults


def _no_label_map(key: str) -> DataError:
    return DataError.of(
        file=key,
        found=f"more than {MOST_VALUES} values",
        expected="a label map",
        remedy="name the file that has the labels",
    )


def _each(work: Callable[[S], T], items: Sequence[S], workers: int, progress: Progress) -> list[T]:
    """The results in order; files are read and decompressed side by side."""
    results: list[T] = []
    progress(0, len(items))
    with ThreadPoolExecutor(workers) as pool:
        for result in pool.map(work, items):
            results.append(result)
            progress(len(results), len(items))
    return results
