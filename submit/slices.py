"""Slices of volumes as radiology shows them: which one, cut how, and in which colours.

Shapes: C = channels; Z, Y, X = voxels of the canonical grid: x grows towards the patient's right, y towards
anterior, z towards superior. A slice is seen as in radiology: the patient's right on the left of the page (anterior
where it is sagittal), anterior or superior up.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

CLASS_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#D55E00", "#CC79A7", "#0072B2")
"""Okabe & Ito's colours, the ones that stand out from grey first; from the eighth class on they repeat."""

Box = tuple[slice, slice]
"""Rows and columns of a slice."""


def class_colour(label: int) -> str:
    """The colour of a class, counted from 1."""
    return CLASS_COLOURS[(label - 1) % len(CLASS_COLOURS)]


def as_seen(slice_YX: NDArray[Any]) -> NDArray[Any]:
    """An axial slice with rows from anterior to posterior and columns from the patient's right to left.

    Of a coronal one rows run from superior to inferior; of a sagittal one also columns, from anterior to posterior.
    """
    return slice_YX[::-1, ::-1]


def fullest_slice(inside_ZYX: NDArray[Any], axis: int = 0) -> int | None:
    """The slice across an axis with the most voxels that are not 0; None if there are none."""
    others = tuple(other for other in range(3) if other != axis)
    voxels = np.count_nonzero(inside_ZYX, axis=others)
    return int(voxels.argmax()) if voxels.any() else None


def box_around(inside_YX: NDArray[np.bool_]) -> Box:
    """The smallest box that holds all of what is inside; the whole slice if nothing is."""
    if not inside_YX.any():
        return slice(None), slice(None)
    rows, columns = (np.flatnonzero(inside_YX.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
