"""A volume on the grid of another one: for exams whose channels have grids of their own (`cohort.resample_to`)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from job.data.geometry import Geometry

ROUNDING_VOXELS = 1e-6
"""Of a position: what lies between two voxels goes to the upper one, whatever the rounding of the affines."""


def resampled(
    values_xyz: NDArray[Any], source: Geometry, target: Geometry, *, outside: float
) -> tuple[NDArray[np.float32], float]:
    """An image on the target file's own axes, and the share of the target that lies outside of it.

    Linearly, after a Gaussian that takes away what the target's larger voxels cannot show: its SD is half of what the
    edge grows by, in source voxels, as scikit-image's `resize` has it.

    Args:
        values_xyz: On the source file's axes.
        source: Geometry of the volume.
        target: Geometry that it gets.
        outside: Value of what the source does not cover.
    """
    into = np.linalg.inv(source.affine) @ target.affine
    growth = np.linalg.norm(into[:3, :3], axis=1)
    smooth_xyz = ndimage.gaussian_filter(
        values_xyz.astype(np.float32), np.maximum(growth - 1, 0) / 2, mode="nearest"
    )
    result: NDArray[np.float32] = ndimage.affine_transform(
        smooth_xyz, into[:3, :3], into[:3, 3], output_shape=target.shape_xyz, order=1, mode="nearest"
    )
    uncovered = 0
    for i in range(target.shape_xyz[0]):
        covered = _is_inside(_positions(into, i, target.shape_xyz), source.shape_xyz)
        result[i][~covered] = outside
        uncovered += covered.size - int(np.count_nonzero(covered))
    return result, uncovered / result.size


def resampled_labels(
    stored_xyz: NDArray[Any], source: Geometry, target: Geometry
) -> tuple[NDArray[Any], float]:
    """A label map on the target file's own axes, and the share of its labelled voxels that lie outside of the target.

    By the nearest neighbour, in its own type; 0 where the source does not cover the target.

    Args:
        stored_xyz: On the source file's axes.
        source: Geometry of the volume.
        target: Geometry that it gets.
    """
    into = np.linalg.inv(source.affine) @ target.affine
    result = np.zeros(target.shape_xyz, stored_xyz.dtype)
    for i in range(target.shape_xyz[0]):
        positions = _positions(into, i, target.shape_xyz)
        covered = _is_inside(positions, source.shape_xyz)
        nearest = np.floor(positions[:, covered] + (0.5 + ROUNDING_VOXELS)).astype(int)
        last = np.array(source.shape_xyz)[:, None] - 1
        result[i][covered] = stored_xyz[tuple(np.clip(nearest, 0, last))]
    return result, _share_outside(stored_xyz, np.linalg.inv(into), target.shape_xyz)


def _share_outside(
    stored_xyz: NDArray[Any], into: NDArray[np.floating], target: tuple[int, int, int]
) -> float:
    """Of the voxels that are not 0, those outside of the target; slab by slab, since a mask has many."""
    x, y, z = stored_xyz.shape
    outside = 0
    for i in range(x):
        if stored_xyz[i].any():
            beyond = ~_is_inside(_positions(into, i, (x, y, z)), target)
            outside += int(np.count_nonzero(beyond & (stored_xyz[i] != 0)))
    return outside / max(int(np.count_nonzero(stored_xyz)), 1)


def _positions(into: NDArray[np.floating], i: int, shape_xyz: tuple[int, int, int]) -> NDArray[np.float64]:
    """Where a slab of the target's voxels lies in the source, in its voxels: (3, Y, Z)."""
    _, j, k = shape_xyz
    along_j, along_k = np.arange(j, dtype=np.float64)[:, None], np.arange(k, dtype=np.float64)[None]
    start = into[:3, 0] * i + into[:3, 3]
    return start[:, None, None] + into[:3, 1, None, None] * along_j + into[:3, 2, None, None] * along_k


def _is_inside(positions: NDArray[np.float64], shape_xyz: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Which positions lie in the voxels of a volume."""
    upper = np.array(shape_xyz).reshape(3, *[1] * (positions.ndim - 1)) - 0.5
    inside = (positions >= -0.5 - ROUNDING_VOXELS) & (positions <= upper + ROUNDING_VOXELS)
    return np.asarray(inside.all(axis=0))
