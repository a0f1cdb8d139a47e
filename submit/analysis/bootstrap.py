"""The cluster bootstrap: patients are drawn with replacement, each with all that was measured of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

DRAWS = 10_000
"""Fewest."""
MOST_DRAWS = 200_000
DRAWS_OF_A_LEVEL = 5
"""Draws, at least, that are as extreme as a level that has to be told."""
FEWEST = 4
"""Patients, for anything said of the spread of a mean."""
DRAWS_AT_ONCE = 500
"""Draws whose weights are held in memory."""
ROUNDED = 12
"""Decimals; means that differ by less are equal."""


def draws_for(level: float) -> int:
    """Draws that tell a level: with fewer, p never falls below it, whatever the data."""
    draws = min(max(DRAWS, DRAWS_OF_A_LEVEL / level), MOST_DRAWS)
    return ceil(draws / DRAWS_AT_ONCE) * DRAWS_AT_ONCE


def draws(patients: int, seed: int, number: int = DRAWS) -> Iterator[Matrix]:
    """How often each patient is drawn: draws x patients, some draws at a time; a function of the seed."""
    generator = np.random.default_rng(seed)
    first = patients * np.arange(DRAWS_AT_ONCE)[:, None]
    for _ in range(number // DRAWS_AT_ONCE):
        drawn = generator.integers(patients, size=(DRAWS_AT_ONCE, patients)) + first
        counts = np.bincount(drawn.ravel(), minlength=DRAWS_AT_ONCE * patients)
        yield counts.reshape(DRAWS_AT_ONCE, patients).astype(np.float64)


@dataclass(frozen=True)
class Means:
    """Means of columns, and how far draws of patients lie from them in their own standard errors.

    The studentised bootstrap ("bootstrap-t"): with few patients the percentile kind is too narrow, and the t-interval
    misses where data are skewed, as Dice differences are (benchmarks/README.md). Davison & Hinkley, Bootstrap Methods
    and their Application (1997), sections 4.4 and 5.2; Hesterberg, The American Statistician 69 (2015).
    """

    centre: Vector
    error: Vector
    """Standard errors."""
    count: NDArray[np.int_]
    """Patients with a value."""
    t: Matrix
    """Draws x columns: (mean of the draw - centre) / standard error of the draw; infinite without a spread."""

    def intervals(self, level: float = 0.95) -> Matrix:
        """Intervals of the means.

        Args:
            level: Of the intervals.

        Returns:
            2 x columns, low and high; NaN where there are too few patients to tell (fewer than `FEWEST`, or
            many draws of them have no spread).
        """
        tail = (1 - level) / 2
        # Values of t, which may be infinite; of mirrored data the interval is the mirrored one.
        upper, lower = (
            sign * np.quantile(sign * self.t, 1 - tail, axis=0, method="inverted_cdf") for sign in (1, -1)
        )
        with np.errstate(invalid="ignore"):
            bounds = np.stack([self.centre - upper * self.error, self.centre - lower * self.error])
        bounds[:, self.error == 0] = self.centre[self.error == 0]
        bounds[:, ~np.isfinite(bounds).all(axis=0) | (self.count < FEWEST)] = np.nan
        return bounds

    def simultaneous_upper(self, column: int, tail: float) -> tuple[float | None, float | None]:
        """The upper end of a mean with all others' at once; and one-sided p that the mean is at or above 0.

        By the smallest t over the columns in each draw; of other columns, over those that have an end of their own.
        None without a spread; the end is infinite where many draws have none.

        Args:
            column: Which mean.
            tail: Level of the end.
        """
        if not self.error[column] > 0 or self.count[column] < FEWEST:
            return None, None
        family = (self.error > 0) & (self.count >= FEWEST) & (np.isneginf(self.t).mean(axis=0) < tail)
        family[column] = True
        smallest = self.t[:, family].min(axis=1)
        quantile = float(np.quantile(smallest, tail, method="inverted_cdf"))
        p = (float((smallest <= self.centre[column] / self.error[column]).sum()) + 1) / (len(self.t) + 1)
        return float(self.centre[column] - quantile * self.error[column]), p

    def p_at_or_above(self, limit: float) -> Vector:
        """One-sided p of the hypotheses that the true means are at or above a limit.

        Of how many draws it is as small a t as the limit would give: the level at which the upper bound of the mean
        reaches the limit. Never below 1 / (draws + 1); NaN without a spread.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (self.centre - limit) / self.error
        as_small = (self.t <= found).sum(axis=0)
        return np.where(self.error > 0, (as_small + 1) / (len(self.t) + 1), np.nan)


def bootstrap_means(values: Matrix, seed: int, number: int = DRAWS) -> Means:
    """The means of columns with their bootstrap; all columns have the same draws.

    Args:
        values: Patients x columns; NaN where a patient has none.
        seed: Of the draws.
        number: Of the draws.
    """
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    centre = np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    deviations = np.where(known, values - centre, 0.0)
    error = _standard_error(np.ones((1, len(values))), deviations, known)[1][0]
    t = np.concatenate(
        [_t(weights, deviations, known, error) for weights in draws(len(values), seed, number)]
    )
    return Means(centre=centre, error=error, count=count, t=t)


def _t(weights: Matrix, deviations: Matrix, known: Mask, error: Vector) -> Matrix:
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
    """How often each column has each rank by its mean, 1 being the highest; equal means share their ranks evenly.

    Args:
        values: Patients x columns, without NaN.
        seed: Of the draws.

    Returns:
        Columns x ranks; each row and each column sums to 1.
    """
    columns = values.shape[1]
    shares = np.zeros((columns, columns))
    for weights in draws(len(values), seed):
        means = np.round(weights @ values / len(values), ROUNDED)
        low, high = (rankdata(-means, method=method, axis=1).astype(int) for method in ("min", "max"))
        for rank in range(1, columns + 1):
            shares[:, rank - 1] += (((low <= rank) & (rank <= high)) / (high - low + 1)).sum(axis=0)
    return shares / DRAWS
