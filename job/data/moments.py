"""Mean and SD of a channel's values in double precision, without a copy of all of them in it."""

import math

import numpy as np
from numpy.typing import NDArray

BLOCK = 2**16
"""Values at a time: as many as a core's own cache holds."""


def mean_of(values: NDArray[np.float32]) -> float:
    """The mean, to the last bit as numpy's of 64-bit floats."""
    return _sum(values) / values.size


def sd_of(values: NDArray[np.float32], mean: float) -> float:
    """The SD of a population about a mean, to the last bit as numpy's of 64-bit floats."""
    return math.sqrt(_sum(values, about=mean) / values.size)


def _sum(values: NDArray[np.float32], about: float | None = None) -> float:
    """Of the values, or of their squared distances from one; by halves, as numpy sums in pairs."""
    if values.size > BLOCK:
        half = values.size // 16 * 8
        return _sum(values[:half], about) + _sum(values[half:], about)
    exact = values.astype(np.float64)
    if about is not None:
        exact -= about
        exact *= exact
    return float(exact.sum())
