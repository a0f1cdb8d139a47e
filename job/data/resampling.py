"""A volume on the grid of another one: for exams whose channels have grids of their own (`cohort.resample_to`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from job.contract.errors import DataError, Problem
from job.data.geometry import Geometry

ROUNDING_VOXELS = 1e-6
"""Of a position: what lies between two voxels goes to the upper one, whatever the rounding of the affines."""
LEAST_KNOWN = 0.01
"""Of the weights of a resampled voxel, on voxels with a value; one with less has none itself."""
CHANGED_SHARE = 0.2
"""Of a class's volume, by which another grid may change it before it is worth a word."""
CHANGED_VOXELS = 3
"""The same in the other grid's voxels: a structure of a few comes out as one more or less."""


def resampled(
    values_xyz: NDArray[Any],
    source: Geometry,
    target: Geometry,
    *,
    outside: float,
    known_xyz: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """An image on the target file's own axes, and which of its voxels the source has a value for.

    Linearly, after a Gaussian that takes away what the target's larger voxels cannot show: its SD is half of what the
    edge grows by, in source voxels, as scikit-image's `resize` has it. Of the source's voxels only those count that
    are known (normalised convolution; Knutsson and Westin, CVPR 1993).

    Args:
        values_xyz: On the source file's axes, finite.
        source: Geometry of the volume.
        target: Geometry that it gets.
        outside: Value of what the source does not cover.
        known_xyz: The voxels that have a value; default: all.
    """
    into = np.linalg.inv(source.affine) @ target.affine
    covered_xyz = np.empty(target.shape_xyz, bool)
    for i in range(target.shape_xyz[0]):
        covered_xyz[i] = _is_inside(_positions(into, i, target.shape_xyz), source.shape_xyz)
    if known_xyz is None:
        result = _smoothly(values_xyz.astype(np.float32), into, target)
    else:
        weights = _smoothly(known_xyz.astype(np.float32), into, target)
        covered_xyz &= weights >= LEAST_KNOWN
        result = _smoothly(np.where(known_xyz, values_xyz, 0).astype(np.float32), into, target)
        np.divide(result, weights, out=result, where=covered_xyz)
    result[~covered_xyz] = outside
    return result, covered_xyz


def _smoothly(
    values_xyz: NDArray[np.float32], into: NDArray[np.floating], target: Geometry
) -> NDArray[np.float32]:
    growth = np.linalg.norm(into[:3, :3], axis=1)
    smooth_xyz = ndimage.gaussian_filter(values_xyz, np.maximum(growth - 1, 0) / 2, mode="nearest")
    result: NDArray[np.float32] = ndimage.affine_transform(
        smooth_xyz, into[:3, :3], into[:3, 3], output_shape=target.shape_xyz, order=1, mode="nearest"
    )
    return result


def resampled_labels(
    stored_xyz: NDArray[Any], source: Geometry, target: Geometry
) -> tuple[NDArray[Any], float]:
    """A label map on the target file's own axes, and the share of its labelled voxels that lie outside of the target.

    By the nearest neighbour, in its own type; 0 where the source does not cover the target. Measured on balls of
    radius 1.5 to 10 mm, from 1 mm onto slices of 3 to 6 mm: their mean volume stays (0.93 to 1.11 times), where
    the majority in a voxel, or half of a smoothed interpolation, leaves 0 to 0.6 of the smallest.

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


def kept_volumes(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    source: Geometry,
    target: Geometry,
    *,
    classes: Sequence[str],
    name: str,
) -> list[Problem]:
    """A word for each class whose volume is another one on the target.

    Args:
        before: Labels on the source's grid, k the k-th class.
        after: The same on the target's.
        source: Geometry of the label map.
        target: Geometry that it got.
        classes: Their names.
        name: The label map's key.

    Raises:
        DataError: A class has vanished.
    """
    voxels = [np.bincount(labels.ravel(), minlength=len(classes) + 1)[1:] for labels in (before, after)]
    lost, changed = [], []
    for own, left, of_class in zip(*(counts.tolist() for counts in voxels), classes, strict=True):
        was_ml, is_ml = own * source.voxel_ml, left * target.voxel_ml
        change_ml = abs(is_ml - was_ml)
        if own and not left:
            lost.append(_changed(name, of_class, f"{was_ml:.3g} ml ({own} voxels)", "none at all"))
        elif change_ml > CHANGED_SHARE * was_ml and change_ml >= CHANGED_VOXELS * target.voxel_ml:
            changed.append(
                _changed(
                    name, of_class, f"{was_ml:.3g} ml", f"{is_ml:.3g} ml", f" ({is_ml / was_ml - 1:+.0%})"
                )
            )
    if lost:
        raise DataError(lost)
    return changed


def _changed(name: str, of_class: str, before: str, after: str, by: str = "") -> Problem:
    return Problem(
        file=name,
        found=f"{before} of class {of_class}, which become {after}{by} on the grid of cohort.resample_to",
        expected=f"a change of at most {CHANGED_SHARE:.0%}",
        remedy="its voxels are too large for this structure, or do not cover it: choose another channel for "
        "cohort.resample_to, or leave the exam out with cohort.exclude",
        cause=f"a class that resampling {'changes' if by else 'loses'}: {of_class}",
    )


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
