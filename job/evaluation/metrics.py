"""Segmentation metrics of one exam: pure functions of arrays.

Shapes: Z, Y, X = voxels.

Dice: 2 |R ∩ P| / (|R| + |P|), of voxels. HD95: the larger of the two directed 95th percentiles of the distances
from one surface to the other, each surface element weighted by its area. The surface is that of DeepMind's
`surface_distance`: it runs through the corners of voxels and closes at the border of the image. HD95 (voxels), as
users of MedPy and nnU-Net know it: the 95th percentile of the distances of both directions together, between the
centres of voxels that have a neighbour outside; each voxel counts the same. Edge cases follow "Metrics Reloaded"
(Maier-Hein, Reinke et al., Nat Methods 2024, doi 10.1038/s41592-023-02151-z): a false alarm or a miss scores Dice 0
and the longest distance possible in the image; a correct absence has no score.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from surface_distance import compute_robust_hausdorff, compute_surface_distances

from job.contract.metrics import IN_SCORES, METRICS, Metric
from job.contract.results import Score, Status

Mask = NDArray[np.bool_]


def score_exam(
    reference_ZYX: NDArray[np.uint8],
    predicted_ZYX: NDArray[np.uint8],
    structures: Mapping[str, Sequence[int]],
    spacing_zyx_mm: Sequence[float],
    voxel_ml: float | None = None,
) -> dict[str, Score]:
    """The score of each structure, in order.

    Args:
        reference_ZYX: label map; 0 is background.
        predicted_ZYX: the same, of the prediction.
        structures: by name, the labels that belong to it (several for a union of classes).
        spacing_zyx_mm: distance between neighbouring voxels on each axis.
        voxel_ml: volume of a voxel; default: that of a box with these edges.

    Raises:
        ValueError: shapes differ, the spacing is not positive, or a label is in no structure.
    """
    spacing_zyx_mm = _checked_spacing(reference_ZYX, predicted_ZYX, spacing_zyx_mm)
    for name, labels_ZYX in (("reference", reference_ZYX), ("prediction", predicted_ZYX)):
        largest = max(label for labels in structures.values() for label in labels)
        if labels_ZYX.max(initial=0) > largest:
            raise ValueError(
                f"the {name} has label {labels_ZYX.max()}; expected 0 (background) to {largest} "
                f"({', '.join(structures)}); name every class that is predicted"
            )
    diagonal_mm = _diagonal_mm(reference_ZYX.shape, spacing_zyx_mm)
    box = _bounding_box((reference_ZYX | predicted_ZYX) > 0)
    reference_ZYX, predicted_ZYX = reference_ZYX[box], predicted_ZYX[box]
    voxel_ml = _box_ml(spacing_zyx_mm) if voxel_ml is None else voxel_ml
    return {
        name: _score(
            _inside(reference_ZYX, labels),
            _inside(predicted_ZYX, labels),
            spacing_zyx_mm,
            diagonal_mm,
            voxel_ml,
        )
        for name, labels in structures.items()
    }


def _inside(label_ZYX: NDArray[np.uint8], labels: Sequence[int]) -> Mask:
    """Where a label map has one of these labels."""
    table = np.zeros(256, bool)
    table[list(labels)] = True
    return table[label_ZYX]


def _box_ml(spacing_zyx_mm: Sequence[float]) -> float:
    """The volume of a box with these edges."""
    return math.prod(spacing_zyx_mm) / 1000


def score_structure(reference_ZYX: Mask, predicted_ZYX: Mask, spacing_zyx_mm: Sequence[float]) -> Score:
    """The score of one structure.

    Args:
        reference_ZYX: mask of the structure.
        predicted_ZYX: mask of its prediction.
        spacing_zyx_mm: distance between neighbouring voxels on each axis.

    Raises:
        ValueError: shapes differ, or the spacing is not positive.
    """
    spacing_zyx_mm = _checked_spacing(reference_ZYX, predicted_ZYX, spacing_zyx_mm)
    diagonal_mm = _diagonal_mm(reference_ZYX.shape, spacing_zyx_mm)
    box = _bounding_box(reference_ZYX | predicted_ZYX)
    return _score(
        reference_ZYX[box], predicted_ZYX[box], spacing_zyx_mm, diagonal_mm, _box_ml(spacing_zyx_mm)
    )


def _score(
    reference_ZYX: Mask,
    predicted_ZYX: Mask,
    spacing_zyx_mm: Sequence[float],
    diagonal_mm: float,
    voxel_ml: float,
) -> Score:
    """The score of one structure from masks that may be cropped, and the diagonal of the whole image."""
    pair = Pair(reference_ZYX=reference_ZYX, predicted_ZYX=predicted_ZYX, spacing_zyx_mm=spacing_zyx_mm)
    return Score(
        status=pair.status,
        values={name: _value(METRICS[name], pair, diagonal_mm) for name in IN_SCORES},
        reference_ml=pair.reference_voxels * voxel_ml,
        predicted_ml=pair.predicted_voxels * voxel_ml,
    )


def _value(metric: Metric, pair: "Pair", diagonal_mm: float) -> float | None:
    """A metric of a pair of masks, or what stands for it where one of them is empty; None where both are."""
    if pair.status == "ok" or not metric.compares_lesions:
        return COMPUTED[metric.name](pair)
    if pair.status == "both-empty":
        return None
    return diagonal_mm if metric.one_empty == "diagonal" else 0.0


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two masks of one structure; what several metrics need of them is computed once."""

    reference_ZYX: Mask
    predicted_ZYX: Mask
    spacing_zyx_mm: Sequence[float]

    @property
    def status(self) -> Status:
        """Which of both is empty."""
        if self.reference_voxels and self.predicted_voxels:
            return "ok"
        if self.predicted_voxels:
            return "false-alarm"
        return "miss" if self.reference_voxels else "both-empty"

    @cached_property
    def reference_voxels(self) -> int:
        """Of the reference."""
        return int(np.count_nonzero(self.reference_ZYX))

    @cached_property
    def predicted_voxels(self) -> int:
        """Of the prediction."""
        return int(np.count_nonzero(self.predicted_ZYX))

    @cached_property
    def both_voxels(self) -> int:
        """Of what both have."""
        return int(np.count_nonzero(self.reference_ZYX & self.predicted_ZYX))

    @cached_property
    def surface_distances(self) -> dict[str, Any]:
        """As `surface_distance` has them: mm from each surface to the other, with the areas of its elements."""
        with warnings.catch_warnings():
            # surface-distance 0.1, its only release, calls SciPy by names that SciPy 2 will remove.
            warnings.simplefilter("ignore", DeprecationWarning)
            distances: dict[str, Any] = compute_surface_distances(
                self.reference_ZYX, self.predicted_ZYX, self.spacing_zyx_mm
            )
        return distances

    @cached_property
    def border_distances_mm(self) -> tuple[NDArray[np.float64], ...]:
        """From the border voxels of the reference to those of the prediction, and back."""
        masks = (self.reference_ZYX, self.predicted_ZYX)
        borders = [mask_ZYX & ~ndimage.binary_erosion(mask_ZYX) for mask_ZYX in masks]
        return tuple(
            ndimage.distance_transform_edt(~other_ZYX, sampling=self.spacing_zyx_mm)[border_ZYX]
            for border_ZYX, other_ZYX in (borders, borders[::-1])
        )


def _dice(pair: Pair) -> float:
    return 2 * pair.both_voxels / (pair.reference_voxels + pair.predicted_voxels)


def _hd95_mm(pair: Pair) -> float:
    """The 95 % Hausdorff distance."""
    return float(compute_robust_hausdorff(pair.surface_distances, percent=95))


def _hd95_voxels_mm(pair: Pair) -> float:
    """As `medpy.metric.binary.hd95`."""
    return float(np.percentile(np.concatenate(pair.border_distances_mm), 95))


COMPUTED: dict[str, Callable[[Pair], float]] = {
    "dice": _dice,
    "hd95_mm": _hd95_mm,
    "hd95_voxels_mm": _hd95_voxels_mm,
}
"""By name, how each metric that scores hold is taken of two masks; of one that compares lesions, neither is empty."""


def _bounding_box(mask_ZYX: Mask) -> tuple[slice, ...]:
    """The smallest box that holds the mask; an empty box for an empty mask."""
    boxes = ndimage.find_objects(mask_ZYX.view(np.uint8))
    return boxes[0] if boxes else (slice(0),) * mask_ZYX.ndim


def _diagonal_mm(shape_zyx: tuple[int, ...], spacing_zyx_mm: Sequence[float]) -> float:
    """From one outer corner of the image to the opposite one: the longest distance of two surfaces in it."""
    return math.hypot(*(n * mm for n, mm in zip(shape_zyx, spacing_zyx_mm, strict=True)))


def _checked_spacing(
    reference_ZYX: NDArray[Any], predicted_ZYX: NDArray[Any], spacing_zyx_mm: Sequence[float]
) -> tuple[float, ...]:
    """The spacing as Python's floats (headers hold float32), once the arguments can be compared."""
    if reference_ZYX.ndim != 3 or reference_ZYX.shape != predicted_ZYX.shape:
        raise ValueError(
            "reference and prediction must be 3-D arrays of one shape (z, y, x); "
            f"got {reference_ZYX.shape} and {predicted_ZYX.shape}; put both on the same grid"
        )
    spacing = tuple(map(float, spacing_zyx_mm))
    if len(spacing) != 3 or not all(mm > 0 and math.isfinite(mm) for mm in spacing):
        raise ValueError(
            f"the spacing must be 3 positive numbers of mm (z, y, x); got {spacing}; correct the header"
        )
    return spacing
