"""The cluster bootstrap: patients are drawn with replacement, each with all that was measured of them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

DRAWS = 10_000
DRAWS_AT_ONCE = 500
"""Draws whose weights are held in memory."""


def draws(patients: int, seed: int) -> Iterator[Matrix]:
    """How often each patient is drawn: draws x patients, some draws at a time; a function of the seed."""
    generator = np.random.default_rng(seed)
    first = patients * np.arange(DRAWS_AT_ONCE)[:, None]
    for _ in range(DRAWS // DRAWS_AT_ONCE):
        drawn = generator.integers(patients, size=(DRAWS_AT_ONCE, patients)) + first
        counts = np.bincount(drawn.ravel(), minlength=DRAWS_AT_ONCE * patients)
        yield counts.reshape(DRAWS_AT_ONCE, patients).astype(np.float64)


def mean_intervals(values: Matrix, seed: int, *, level: float = 0.95) -> Matrix:
    """Intervals of the mean of each column: the studentised ("bootstrap-t") kind.

    With few patients the percentile kind is too narrow, and the t-interval misses where data are skewed, as Dice
    differences are (benchmarks/README.md). Davison & Hinkley, Bootstrap Methods and their Application (1997), section
    5.2; Hesterberg, The American Statistician 69 (2015).

    Args:
        values: Patients x columns; NaN where a patient has none.
        seed: Of the draws.
        level: Of the interval.

    Returns:
        2 x columns, low and high; NaN where there are too few patients to tell (fewer than about four).
    """
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    centre = np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    deviations = np.where(known, values - centre, 0.0)
    error = _standard_error(np.ones((1, len(values))), deviations, known)[1][0]
    t = np.concatenate([_t(weights, deviations, known, error) for weights in draws(len(values), seed)])
    tail = (1 - level) / 2
    upper, lower = np.quantile(t, [1 - tail, tail], axis=0, method="inverted_cdf")  # t may be infinite
    with np.errstate(invalid="ignore"):
        bounds = np.stack([centre - upper * error, centre - lower * error])
    bounds[:, error == 0] = centre[error == 0]
    bounds[:, ~np.isfinite(bounds).all(axis=0) | (count < 2)] = np.nan
    return bounds


def _t(weights: Matrix, deviations: Matrix, known: Mask, error: Matrix) -> Matrix:
    """Means of draws less that of all, in their own standard errors; infinite for a draw without spread."""
    mean, drawn_error = _standard_error(weights, deviations, known)
    drawn_error[drawn_error < 1e-6 * error] = 0.0  # rounding
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(mean / drawn_error, nan=0.0, posinf=np.inf, neginf=-np.inf)


def _standard_error(weights: Matrix, values: Matrix, known: Mask) -> tuple[Matrix, Matrix]:
    """The mean of each column and its standard error, for each row of weights."""
    count = weights @ known.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = weights @ values / count
        variance = np.maximum(weights @ values**2 / count - mean**2, 0.0)
        return mean, np.nan_to_num(np.sqrt(variance / (count - 1)))


def rank_shares(values: Matrix, seed: int) -> Matrix:
    """How often each column has each rank by its mean, 1 being the highest; of equal means the earlier is first.

    Args:
        values: Patients x columns, without NaN.
        seed: Of the draws.

    Returns:
        Columns x ranks; each row and each column sums to 1.
    """
    columns = values.shape[1]
    shares = np.zeros((columns, columns))
    for weights in draws(len(values), seed):
        order = np.argsort(-(weights @ values), axis=1, kind="stable")
        for rank in range(columns):
            shares[:, rank] += np.bincount(order[:, rank], minlength=columns)
    return shares / DRAWS
