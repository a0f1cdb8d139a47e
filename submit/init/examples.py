"""A file of each role, opened: its numbers, as far as they tell channels, labels and masks apart."""

import base64
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from math import prod
from typing import TypeVar

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from job.contract.errors import DataError
from job.data.file_kinds import unpacked
from job.data.geometry import Geometry
from job.data.nifti import Volume, integral, read_unpacked
from job.data.patterns import printable
from job.storage import Storage
from submit.init.files import Image
from submit.init.identities import Unit
from submit.init.reading import Reading, Role
from submit.init.templates import Template, without_placeholders
from submit.init.words import is_parameter_map

T = TypeVar("T")
S = TypeVar("S")
MOST_VALUES = 254
"""Of a label map."""
FEW_VALUES = 40
"""Of a file that no name calls a label map."""
SAMPLED = 200_000
"""Voxels that percentiles are taken of."""
TRIED = 3
"""Files of a role that are opened: until one is an image, or all where they are like labels or parameter maps."""
MOST_ROLES = 60
"""Of which a file is opened."""
_BINS = 2**16

Progress = Callable[[int, int], None]
"""Told how many of how many are done."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """What is in a file of a role."""

    key: str = ""
    geometry: Geometry | None = None
    """None: no file of the role that was tried could be read."""
    volumes: int = 1
    """More than one in a 4-D file; all else is told of the first."""
    values: Mapping[int, int] | None = None
    """Voxels by value; None: there are other than whole numbers, or more than `MOST_VALUES`."""
    others: frozenset[int] = frozenset()
    """Values in further files of the role, if they look like labels."""
    low: float = 0.0
    high: float = 0.0
    """The 0.5th and 99.5th percentile of what is not 0; of a parameter map, in all files that were opened."""
    faults: tuple[str, ...] = ()
    """What is wrong with the files that were opened, as `submit check` would say it."""

    @property
    def is_constant(self) -> bool:
        """Whether all voxels are alike, which says nothing of what the file is."""
        return self.values is not None and len(self.values) == 1

    @property
    def is_label_like(self) -> bool:
        """Whether there are few whole numbers, 0 among them and none below."""
        values = self.values
        return values is not None and len(values) <= FEW_VALUES and 0 in values and min(values) >= 0

    @property
    def is_binary(self) -> bool:
        """Whether there is 0 and at most one more value, in all files that were opened."""
        return self.values is not None and 0 in self.values and len(self.values.keys() | self.others) <= 2

    @property
    def inside(self) -> float:
        """Share of the voxels that are not 0."""
        return 0.0 if not self.values else 1 - self.values.get(0, 0) / sum(self.values.values())


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
        images = [role.files[unit] for unit in units[:TRIED]]
        parts = [part.strip("_-. ") for part in without_placeholders(role.template).split("/")]
        return _first_telling(source, images, all_of_them=any(map(is_parameter_map, parts)))

    found = side_by_side(example, roles, workers, progress)
    return {role.template: each for role, each in zip(roles, found, strict=True)}


def _first_telling(source: Storage, images: Sequence[Image], *, all_of_them: bool) -> Example:
    found, faults, values = Example(key=images[0].key), list[str](), set[int]()
    low, high = 0.0, 0.0
    for image in images:
        try:
            own = example_of(source.read(image.key), image.key)
        except DataError as error:
            faults.append(printable(str(error.problems[0])))
            continue
        faults += own.faults
        if found.geometry is None or found.is_constant:
            found = own
        low, high = min(low, own.low), max(high, own.high)
        if not own.is_label_like and not all_of_them:
            break
        values |= (own.values or {}).keys()
    return replace(found, others=frozenset(values), low=low, high=high, faults=tuple(faults))


def example_of(data: bytes, key: str) -> Example:
    """What a file holds.

    Raises:
        DataError: It cannot be read at all.
    """
    volume, fault = first_volume(data, key)
    values = volume.values_ZYX().ravel()
    some = values[:: max(values.size // SAMPLED, 1)]
    some = some[(some != 0) & np.isfinite(some)]
    low, high = (float(p) for p in np.percentile(some, (0.5, 99.5))) if some.size else (0.0, 0.0)
    counts: dict[int, int] = {}
    if bool(np.all(np.abs(some - np.rint(some)) < 0.01)):  # else it takes a second to see it of all voxels
        with suppress(DataError):
            counts = voxels_by_value(integral(volume.stored_xyz, volume))
    return Example(
        key=key,
        geometry=volume.geometry,
        volumes=_volumes(volume.geometry),
        values=counts if 0 < len(counts) <= MOST_VALUES else None,
        low=low,
        high=high,
        faults=fault,
    )


def voxels_by_value(values: NDArray[np.integer]) -> dict[int, int]:
    """How many voxels have each value."""
    low, high = int(values.min()), int(values.max())
    if high - low < _BINS:
        counts = np.bincount(values.ravel().astype(np.int64) - low)
        present = np.flatnonzero(counts)
        return dict(zip((present + low).tolist(), counts[present].tolist(), strict=True))
    unique, number = np.unique(values, return_counts=True)
    return dict(zip(unique.tolist(), number.tolist(), strict=True))


def first_volume(data: bytes, key: str) -> tuple[Volume, tuple[str, ...]]:
    """The first volume of a file; if its header contradicts itself, as its voxels lie, and what is wrong.

    Raises:
        DataError: It cannot be read at all.
    """
    contents, _ = unpacked(data, key)
    try:
        return read_unpacked(contents, key, index=0, choice=None), ()
    except DataError as error:
        for choice in ("sform", "qform", "voxels"):
            with suppress(DataError):
                volume = read_unpacked(contents, key, index=0, choice=choice)
                return volume, (printable(str(error.problems[0])),)
        raise


def _volumes(geometry: Geometry) -> int:
    binary = base64.b64decode(geometry.header)
    kind = nib.Nifti1Header if len(binary) == 348 else nib.Nifti2Header
    dim = [int(size) for size in kind.from_fileobj(BytesIO(binary), check=False)["dim"]]
    return prod(max(size, 1) for size in dim[4 : dim[0] + 1])


def side_by_side(work: Callable[[S], T], items: Sequence[S], workers: int, progress: Progress) -> list[T]:
    """The results in order; files are read and decompressed side by side."""
    results: list[T] = []
    progress(0, len(items))
    with ThreadPoolExecutor(workers) as pool:
        for result in pool.map(work, items):
            results.append(result)
            progress(len(results), len(items))
    return results
