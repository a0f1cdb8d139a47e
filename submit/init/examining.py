"""Reads what the recognition of a layout needs: a file of each role, one exam's mask, the labels of all exams."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from job.contract.errors import DataError
from job.data.patterns import printable
from job.storage import Storage
from submit.init.contents import contents_of, inside_of, label_counts, overlaps, share_inside
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
class Counts:
    """Voxels of all label files of a cohort."""

    voxels: Mapping[int, int] = field(default_factory=dict)
    """By value of the label maps; or by number of the class's file."""
    exams: Mapping[int, int] = field(default_factory=dict)
    """Exams that have some."""
    patients: Mapping[int, int] = field(default_factory=dict)
    shared: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    """Voxels that two classes' files share."""
    counted: int = 0
    """Exams that were read."""
    unreadable: tuple[str, ...] = ()
    """What is wrong with files that could not be read."""
    odd: tuple[str, ...] = ()
    """What is wrong with files that could be read all the same."""


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
            own, _ = inside_of(source.read(mask.files[unit].key), mask.files[unit].key)
            labels = [role.files[unit] for role in parts.labels if unit in role.files]
            for image in labels:
                share = share_inside(inside_of(source.read(image.key), image.key)[0], own)
                shares += [] if share is None else [share]
        except DataError:
            continue
    return min(shares, default=None)


def count_labels(
    source: Storage, parts: Parts, units: Sequence[Unit], *, workers: int, progress: Progress
) -> Counts:
    """Voxels of each class over all exams, or over the first ones where the files are large."""
    chosen: list[Unit] = []
    size = 0
    for unit in units:
        own = [role.files[unit] for role in parts.labels if unit in role.files]
        size += sum(image.size_bytes for image in own)
        if own and (size <= LABEL_BYTES or not chosen):
            chosen.append(unit)

    def count(unit: Unit) -> _Count:
        try:
            return _counted(source, parts, unit)
        except DataError as error:
            return _Count(unit=unit, unreadable=printable(str(error.problems[0])))

    return _summed(_each(count, chosen, workers, progress), len(parts.labels))


@dataclass(frozen=True, kw_only=True)
class _Count:
    """Voxels of one exam's labels."""

    unit: Unit
    voxels: Mapping[int, int] = field(default_factory=dict)
    shared: NDArray[np.int64] | None = None
    unreadable: str = ""
    odd: str = ""


def _counted(source: Storage, parts: Parts, unit: Unit) -> _Count:
    if not parts.per_class:
        key = parts.labels[0].files[unit].key
        voxels, problem = label_counts(source.read(key), key)
        odd = printable(str(problem)) if problem is not None else ""
        return _Count(unit=unit, voxels=voxels, odd=odd)
    keys = [role.files[unit].key if unit in role.files else None for role in parts.labels]
    shared = overlaps([None if key is None else inside_of(source.read(key), key)[0] for key in keys])
    return _Count(unit=unit, voxels=dict(enumerate(np.diagonal(shared).tolist())), shared=shared)


def _summed(found: Sequence[_Count], files: int) -> Counts:
    nothing = np.zeros((files, files), np.int64)
    voxels: Counter[int] = Counter()
    exams: Counter[int] = Counter()
    patients: dict[int, set[str]] = defaultdict(set)
    for each in found:
        voxels.update(each.voxels)
        for value, count in each.voxels.items():
            if count:
                exams[value] += 1
                patients[value].add(each.unit[0])
    return Counts(
        voxels=voxels,
        exams=exams,
        patients={value: len(names) for value, names in patients.items()},
        shared=sum((each.shared for each in found if each.shared is not None), nothing),
        counted=sum(not each.unreadable for each in found),
        unreadable=tuple(each.unreadable for each in found if each.unreadable),
        odd=tuple(each.odd for each in found if each.odd),
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
