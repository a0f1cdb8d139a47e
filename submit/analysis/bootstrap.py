"""The cluster bootstrap: patients are drawn with replacement, each with all that was measured of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from submit.analysis.sign_flips import FEWEST, NO_SPREAD

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

DRAWS = 10_000
"""Fewest."""
MOST_DRAWS = 200_000
DRAWS_OF_A_LEVEL = 5
"""Draws, at least, that are as extreme as a level that has to be told."""
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
class Drawn:
    """Columns that the same patients have, and draws of these patients."""

    columns: tuple[int, ...]
    """Their places."""
    centre: Vector
    """Their means."""
    error: Vector
    """Standard errors of these."""
    t: Matrix
    """Draws x columns: (mean of the draw - centre) / standard error of the draw; infinite without a spread."""

    def intervals(self, level: float) -> Matrix:
        """Intervals of the means: 2 x columns; infinite ends where many draws have no spread."""
        tail = (1 - level) / 2
        # Values of t, which may be infinite; of mirrored data the interval is the mirrored one.
        upper, lower = (
            sign * np.quantile(sign * self.t, 1 - tail, axis=0, method="inverted_cdf") for sign in (1, -1)
        )
        with np.errstate(invalid="ignore"):
            bounds = np.stack([self.centre - upper * self.error, self.centre - lower * self.error])
        bounds[:, self.error == 0] = self.centre[self.error == 0]
        return bounds


class Bootstrap:
    """Means of columns, and how far draws of patients lie from them in their own standard errors.

    The studentised bootstrap ("bootstrap-t"): with few patients the percentile kind is too narrow, and the t-interval
    misses where data are skewed, as Dice differences are (benchmarks/README.md). Davison & Hinkley, Bootstrap Methods
    and their Application (1997), sections 4.4 and 5.2; Hesterberg, The American Statistician 69 (2015).

    A column is drawn from the patients who have a value, whatever stands beside it: of draws from all patients many
    would hold few of those with a rare structure, or a single one, who has no spread. Columns of the same patients
    have the same draws; of fewer than `FEWEST` patients nothing is drawn.
    """

    def __init__(
        self, values: Matrix, seed: int, number: Callable[[int], int] = lambda patients: DRAWS
    ) -> None:
        """Takes the columns.

        Args:
            values: Patients x columns; NaN where a patient has none.
            seed: Of the draws.
            number: Of the draws, for so many patients.
        """
        alike: dict[bytes, list[int]] = {}
        for column, known in enumerate(~np.isnan(values.T)):
            alike.setdefault(known.tobytes(), []).append(column)
        self._columns = values.shape[1]
        self._drawn = [
            _drawn(columns, own[:, columns], seed, number(len(own)))
            for columns in alike.values()
            if len(own := values[~np.isnan(values[:, columns[0]])]) >= FEWEST
        ]
        self._places = {
            column: (each, place) for each in self._drawn for place, column in enumerate(each.columns)
        }

    def intervals(self, level: float = 0.95) -> Matrix:
        """Intervals of the means.

        Args:
            level: Of the intervals.

        Returns:
            2 x columns, low and high; NaN where there are too few patients to tell (fewer than `FEWEST`, or
            many draws of them have no spread).
        """
        bounds = np.full((2, self._columns), np.nan)
        for each in self._drawn:
            bounds[:, each.columns] = each.intervals(level)
        bounds[:, ~np.isfinite(bounds).all(axis=0)] = np.nan
        return bounds

    def simultaneous_upper(self, column: int, tail: float) -> tuple[float | None, float | None]:
        """The upper end of a mean with all others' at once; and one-sided p that the mean is at or above 0.

        By the smallest t over the columns of the same patients in each draw; of other columns, over those that have
        an end of their own. Sets of patients share the level. None without a spread; the end is infinite where many
        draws have none.

        Args:
            column: Which mean.
            tail: Level of the end.
        """
        own, place = self._places.get(column, (None, 0))
        if own is None or not own.error[place] > 0:
            return None, None
        sets = sum(bool((each.error > 0).any()) for each in self._drawn)
        family = (own.error > 0) & (np.isneginf(own.t).mean(axis=0) < tail / sets)
        family[place] = True
        smallest = own.t[:, family].min(axis=1)
        # The end is below 0 where p is below the tail.
        rank = ceil(tail / sets * (len(smallest) + 1)) - 1
        quantile = float(np.partition(np.append(-np.inf, smallest), rank)[rank])
        centre, error = float(own.centre[place]), float(own.error[place])
        p = (int((smallest <= centre / error).sum()) + 1) / (len(smallest) + 1)
        return centre - quantile * error, min(sets * p, 1.0)

    def p_at_or_above(self, column: int, limit: float) -> float | None:
        """One-sided p of the hypothesis that the true mean is at or above a limit.

        Of how many draws it is as small a t as the limit would give: the level at which the upper bound of the mean
        reaches the limit. Never below 1 / (draws + 1); None without a spread, or of fewer than `FEWEST` patients.
        """
        own, place = self._places.get(column, (None, 0))
        if own is None or not own.error[place] > 0:
            return None
        found = (own.centre[place] - limit) / own.error[place]
        return (int((own.t[:, place] <= found).sum()) + 1) / (len(own.t) + 1)


def _drawn(columns: Sequence[int], values: Matrix, seed: int, number: int) -> Drawn:
    """Columns that all these patients have, drawn."""
    centre = values.mean(axis=0)
    deviations = values - centre
    error = _standard_error(np.ones((1, len(values))), deviations)[1][0]
    error[error <= NO_SPREAD * np.maximum(np.abs(centre), 1.0)] = 0.0
    t = np.concatenate([_t(weights, deviations, error) for weights in draws(len(values), seed, number)])
    return Drawn(columns=tuple(columns), centre=centre, error=error, t=t)


def _t(weights: Matrix, deviations: Matrix, error: Vector) -> Matrix:
    """Means of draws less that of all, in their own standard errors; infinite for a draw without spread."""
    mean, drawn_error = _standard_error(weights, deviations)
    drawn_error[drawn_error < 1e-6 * error] = 0.0  # rounding
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(mean / drawn_error, nan=0.0, posinf=np.inf, neginf=-np.inf)


def _standard_error(weights: Matrix, values: Matrix) -> tuple[Matrix, Matrix]:
    """The mean of each column and its standard error, for each row of weights."""
    patients = len(values)
    mean = weights @ values / patients
    variance = np.maximum(weights @ values**2 / patients - mean**2, 0.0)
    return mean, np.sqrt(variance / (patients - 1))


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
