"""Where the voxels of a file lie: its grid, and the one mapping of its axes onto the canonical ones.

The canonical grid has the file's own voxels, flipped and permuted, never resampled, so that x, y, z grow towards
right, anterior, superior (RAS+). All files of an exam follow the mapping of one of them, the label map's: on an
oblique slab at 45 degrees, rounding alone would send two files of one grid along different axes.
"""

import math
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)

GRID_TOLERANCE = 0.1
"""Files are on one grid if no corner is further apart than this, in edges of the smallest voxel."""

AxisMap = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""For each axis of a file, in order: the axis that it becomes, and 1 or -1 if it then runs the other way."""
IDENTITY: AxisMap = ((0, 1), (1, 1), (2, 1))


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """A file's own grid, enough to write a prediction onto it."""

    shape_xyz: tuple[int, int, int]
    """Of the file, in its own axes."""
    affine: NDArray[np.float64]
    """(4, 4), voxel of the file to mm in RAS+."""
    header: str
    """The NIfTI header, base64."""
    to_canonical: AxisMap
    """How the file's axes become those of the canonical grid."""
    has_orientation: bool = True
    """Whether the file says how they lie; False where the study takes them as they are stored."""

    @property
    def spacing_zyx_mm(self) -> tuple[float, float, float]:
        """Edges of a voxel of the canonical grid."""
        canonical = [0.0, 0.0, 0.0]
        for edge, (axis, _) in zip(
            np.linalg.norm(self.affine[:3, :3], axis=0), self.to_canonical, strict=True
        ):
            canonical[axis] = float(edge)
        x, y, z = canonical
        return (z, y, x)

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Of the canonical grid."""
        canonical = [0, 0, 0]
        for size, (axis, _) in zip(self.shape_xyz, self.to_canonical, strict=True):
            canonical[axis] = size
        x, y, z = canonical
        return (z, y, x)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel, also of one that is sheared."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000

    @property
    def orientation(self) -> str:
        """Directions in which the file's axes grow, e.g. `LPS`."""
        return "".join(("RAS" if sign > 0 else "LPI")[axis] for axis, sign in self.to_canonical)

    @property
    def plane(self) -> str:
        """The plane of the slices, by the axis along which voxels are longest.

        `isotropic` where they are less than half as long again as along the others.
        """
        z, y, x = self.spacing_zyx_mm
        longest = max(x, y, z)
        if longest < 1.5 * sorted((x, y, z))[1]:
            return "isotropic"
        return {x: "sagittal", y: "coronal", z: "axial"}[longest]

    def canonical(self, array_xyz: NDArray[T]) -> NDArray[T]:
        """An array on the file's axes as (Z, Y, X) of the canonical grid; a view where it can be one."""
        array_ZYX: NDArray[T] = reoriented(array_xyz, self.to_canonical).transpose(2, 1, 0)
        return array_ZYX

    def in_file(self, array_ZYX: NDArray[T]) -> NDArray[T]:
        """The inverse of `canonical`."""
        back = ornt_transform(_ornt(IDENTITY), _ornt(self.to_canonical))
        array: NDArray[T] = apply_orientation(array_ZYX.transpose(2, 1, 0), back)
        return array

    def axes_onto(self, other: "Geometry") -> AxisMap | None:
        """How this file's axes become the other's, if both hold the same voxel centres; None if they do not."""
        axes, apart = self._nearest(other)
        return axes if apart <= GRID_TOLERANCE else None

    def distance_voxels(self, other: "Geometry") -> float:
        """Largest distance of corresponding corners, for the order of axes that fits best, in smallest voxel edges.

        Infinite where that order gives another shape.
        """
        return self._nearest(other)[1]

    def _nearest(self, other: "Geometry") -> tuple[AxisMap | None, float]:
        ornt = io_orientation(np.linalg.inv(other.affine) @ self.affine)
        if np.isnan(ornt).any():
            return None, math.inf
        shape = np.empty(3, int)
        shape[ornt[:, 0].astype(int)] = self.shape_xyz
        if tuple(shape.tolist()) != other.shape_xyz:
            return None, math.inf
        affine = self.affine @ inv_ornt_aff(ornt, self.shape_xyz)
        apart_mm = farthest_mm(affine, other.affine, other.shape_xyz)
        return _axis_map(ornt), apart_mm / min(other.spacing_zyx_mm)


def farthest_mm(
    one: NDArray[np.float64], other: NDArray[np.float64], shape_xyz: tuple[int, int, int]
) -> float:
    """The largest distance of corresponding corner voxels of two affines."""
    corners = np.array([[*corner, 1] for corner in product(*((0, size - 1) for size in shape_xyz))]).T
    return float(np.linalg.norm(((one - other) @ corners)[:3], axis=0).max())


def canonical_axes(affine: NDArray[np.float64]) -> AxisMap:
    """How the axes of a file with this affine become right, anterior, superior: each the nearest."""
    return _axis_map(io_orientation(affine))


def reoriented(array_xyz: NDArray[T], axes: AxisMap) -> NDArray[T]:
    """An array with its axes flipped and permuted; a view."""
    array: NDArray[T] = apply_orientation(array_xyz, _ornt(axes))
    return array


def _ornt(axes: AxisMap) -> NDArray[np.float64]:
    return np.array(axes, dtype=np.float64)


def _axis_map(ornt: NDArray[np.float64]) -> AxisMap:
    x, y, z = ((int(axis), int(sign)) for axis, sign in ornt.tolist())
    return (x, y, z)
