"""A volume on the grid of another one: for exams whose channels have grids of their own (`cohort.resample_to`)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from job.data.geometry import Geometry


def resampled(
    stored_xyz: NDArray[Any], source: Geometry, target: Geometry, *, labels: bool, outside: float
) -> tuple[NDArray[Any], float]:
    """A volume on the target file's own axes, and the share of the target that lies outside of it.

    Images linearly, after a Gaussian that takes away what the target's larger voxels cannot show: its SD is half of
    what the edge grows by, in source voxels, as scikit-image's `resize` has it. Labels by their nearest neighbour, in
    their own type.

    Args:
        stored_xyz: On the source file's axes.
        source: Geometry of the volume.
        target: Geometry that it gets.
        labels: Whether values are names and not amounts.
        outside: Value of what the source does not cover.
    """
    into = np.linalg.inv(source.affine) @ target.affine
    if not labels:
        growth = np.linalg.norm(into[:3, :3], axis=1)
        stored_xyz = ndimage.gaussian_filter(
            stored_xyz.astype(np.float32), np.maximum(growth - 1, 0) / 2, mode="nearest"
        )
    result = ndimage.affine_transform(
        stored_xyz,
        into[:3, :3],
        into[:3, 3],
        output_shape=target.shape_xyz,
        order=0 if labels else 1,
        mode="grid-constant" if labels else "nearest",
        cval=outside,
    )
    covered = _covered(stored_xyz.shape, into, target.shape_xyz)
    if not labels:
        result[~covered] = outside
    return result, 1 - float(covered.mean())


def _covered(
    shape: tuple[int, ...], into: NDArray[np.float64], target: tuple[int, int, int]
) -> NDArray[np.bool_]:
    """The target's voxels whose centres lie in the source's voxels."""
    covered = np.ones(target, bool)
    i, j, k = (np.arange(size, dtype=np.float64) for size in target)
    for axis, size in enumerate(shape):
        at = (
            (into[axis, 0] * i)[:, None, None]
            + (into[axis, 1] * j)[None, :, None]
            + (into[axis, 2] * k)[None, None, :]
            + into[axis, 3]
        )
        covered &= (at >= -0.5 - 1e-6) & (at <= size - 0.5 + 1e-6)
    return covered
