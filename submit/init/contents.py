"""The numbers in the files of a cohort, as far as they tell channels, labels and masks apart."""

import base64
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from math import prod

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from job.contract.errors import DataError, Problem
from job.data.file_kinds import unpacked
from job.data.geometry import Geometry
from job.data.nifti import Volume, integral, read_unpacked

MOST_VALUES = 254
"""Of a label map."""
FEW_VALUES = 40
"""Of a file that no name calls a label map."""
SAMPLED = 200_000
"""Voxels that percentiles are taken of."""
_BINS = 2**16


@dataclass(frozen=True, kw_only=True)
class Contents:
    """A file's numbers."""

    geometry: Geometry
    volumes: int
    """More than one in a 4-D file; all else is told of the first."""
    values: Mapping[int, int] | None
    """Voxels by value; None: there are other than whole numbers, or more than `MOST_VALUES`."""
    low: float
    high: float
    """The 5th and 95th percentile of what is not 0."""
    problem: Problem | None = None
    """Why `submit check` would refuse the file as it is."""

    @property
    def voxels(self) -> int:
        """Of a volume."""
        return prod(self.geometry.shape_xyz)

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
        """Whether there is 0 and at most one more value."""
        return self.values is not None and len(self.values) <= 2 and 0 in self.values

    @property
    def inside(self) -> float:
        """Share of the voxels that are not 0."""
        return 1 - (self.values or {}).get(0, 0) / self.voxels


def contents_of(data: bytes, key: str) -> Contents:
    """What a file holds.

    Raises:
        DataError: It cannot be read at all.
    """
    volume, problem = _volume(data, key)
    values = volume.values_ZYX().ravel()
    some = values[:: max(values.size // SAMPLED, 1)]
    some = some[(some != 0) & np.isfinite(some)]
    low, high = (float(p) for p in np.percentile(some, (5, 95))) if some.size else (0.0, 0.0)
    counts: dict[int, int] | None = None
    if bool(np.all(np.abs(some - np.rint(some)) < 0.01)):  # else it takes a second to see it of all voxels
        with suppress(DataError):
            counts = voxels_by_value(integral(volume.stored_xyz, volume))
    return Contents(
        geometry=volume.geometry,
        volumes=_volumes(volume.geometry),
        values=counts if counts is not None and len(counts) <= MOST_VALUES else None,
        low=low,
        high=high,
        problem=problem,
    )


def label_values(data: bytes, key: str) -> tuple[NDArray[np.integer], Problem | None]:
    """The values of a label map (Z, Y, X) on its canonical grid, and why `submit check` would refuse it as it is.

    Raises:
        DataError: It cannot be read, or holds other than whole numbers.
    """
    volume, problem = _volume(data, key)
    return integral(volume.stored_ZYX(), volume), problem


def voxels_by_value(values: NDArray[np.integer]) -> dict[int, int]:
    """How many voxels have each value."""
    low, high = int(values.min()), int(values.max())
    if high - low < _BINS:
        counts = np.bincount(values.ravel().astype(np.int64) - low)
        present = np.flatnonzero(counts)
        return dict(zip((present + low).tolist(), counts[present].tolist(), strict=True))
    unique, number = np.unique(values, return_counts=True)
    return dict(zip(unique.tolist(), number.tolist(), strict=True))


def _volume(data: bytes, key: str) -> tuple[Volume, Problem | None]:
    """The first volume of a file; if its header contradicts itself, as its voxels lie, and what is wrong."""
    contents, _ = unpacked(data, key)
    try:
        return read_unpacked(contents, key, index=0, choice=None), None
    except DataError as error:
        for choice in ("sform", "qform", "voxels"):
            try:
                return read_unpacked(contents, key, index=0, choice=choice), error.problems[0]
            except DataError:
                continue
        raise


def _volumes(geometry: Geometry) -> int:
    binary = base64.b64decode(geometry.header)
    kind = nib.Nifti1Header if len(binary) == 348 else nib.Nifti2Header
    dim = [int(size) for size in kind.from_fileobj(BytesIO(binary), check=False)["dim"]]
    return prod(max(size, 1) for size in dim[4 : dim[0] + 1])
