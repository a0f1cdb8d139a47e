"""The test that decides: sign flips of whole patients, with the largest t over the arms.

Under the hypothesis that an arm is as good as the reference, a patient's difference is as likely to have one sign
as the other. All arms of a patient change sign together, so that what arms have in common (they share the reference
and the patient) is kept, and the largest |t| over the arms holds the family-wise error without the loss that Holm's
adjustment of single tests has (Westfall & Young, Resampling-Based Multiple Testing, 1993, single step; sign flips
as in Winkler et al., NeuroImage 92 (2014) 381-397). With few patients all 2^n flips are enumerated, and the test is
exact.

For a value other than 0 the same is done with the differences less that value: the values that are not rejected are
the simultaneous interval, so that interval and p never contradict each other. The other arms take part as they
scatter about their own means: an arm with a large effect does not hide another one. Those of too few patients to
reject anything take no part: they need no adjustment, and t of two patients is infinite in half of all flips.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from math import ceil, isinf, log2

import numpy as np
from numpy.typing import NDArray

from submit.analysis.design import ALPHA

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

FEWEST = ceil(1 - log2(ALPHA) + 1e-9)
"""Patients of whom anything can be shown: of n, 2 of 2^n flips are as extreme as all of one sign."""
ENUMERATED_UP_TO = 13
"""Patients, of whom all flips are taken; the first patient's sign is kept, since |t| does not know it."""
FLIPS = 10_000
"""Of more patients: drawn, the one that was found among them."""
FLIPS_AT_ONCE = 500
"""Flips whose signs are held in memory."""
SAME = 1e-9
"""Relative difference up to which two t are one: sums in another order."""
NO_SPREAD = 1e-9
"""SD or range, in the differences' unit or as a share of a larger mean, below which all of them are one."""


class SignFlips:
    """Columns of differences in the same patients, each ready to be tested against any value.

    A *family* is a list of columns among which a test is adjusted; the column itself belongs to it in any case, any
    other one if it has `FEWEST` patients.
    """

    def __init__(self, values: Matrix, seed: int) -> None:
        """Takes the columns.

        Args:
            values: Patients x columns; NaN where a patient has none.
            seed: Of the flips that are drawn, if all are too many.
        """
        self._filled = np.nan_to_num(values)
        self._known = (~np.isnan(values)).astype(np.float64)
        self._seed = seed
        self.count: NDArray[np.int_] = self._known.sum(axis=0).astype(int)
        """Patients of each column."""
        self.means: Vector = self._filled.sum(axis=0) / np.maximum(self.count, 1)
        """Of each column; 0 without a patient."""
        self._scatters: dict[int, Vector] = {}

    @cached_property
    def _sums(self) -> tuple[Matrix, Matrix]:
        """Of every flip and column, the sum of the flipped differences and of their signs; what was found first."""
        blocks = list(_flips(len(self._filled), self._seed))
        return (
            np.concatenate([signs @ self._filled for signs in blocks]),
            np.concatenate([signs @ self._known for signs in blocks]),
        )

    def _t(self, column: int, value: float) -> Vector:
        """Of every flip, t of a column less a value."""
        sums, ones = self._sums
        count = int(self.count[column])
        squares = float((self._known[:, column] * (self._filled[:, column] - value) ** 2).sum())
        means = (sums[:, column] - value * ones[:, column]) / count
        variance = np.maximum(squares / count - means**2, 0.0)  # the sum of squares does not know of flips
        variance[variance < SAME * squares / count] = 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            t: Vector = means * np.sqrt(count - 1) / np.sqrt(variance)
        t[np.isnan(t)] = 0.0
        return t

    def _scatter(self, column: int) -> Vector:
        """Of every flip, |t| of a column less its own mean; 0 of one without a spread."""
        if column not in self._scatters:
            self._scatters[column] = (
                np.abs(self._t(column, float(self.means[column])))
                if self._spread(column)
                else np.zeros(len(self._sums[0]))
            )
        return self._scatters[column]

    def _spread(self, column: int) -> float:
        """SD of a column of two patients or more; 0 if rounding is all of it."""
        mean = float(self.means[column])
        deviations = self._known[:, column] * (self._filled[:, column] - mean)
        spread = float(np.sqrt((deviations**2).sum() / (self.count[column] - 1)))
        return spread if spread > NO_SPREAD * max(abs(mean), 1.0) else 0.0

    def _others(self, column: int, family: Sequence[int]) -> Vector:
        """Of every flip, the largest |t| over the family's other columns of patients enough."""
        others = [self._scatter(other) for other in family if other != column and self.count[other] >= FEWEST]
        return np.max(others, axis=0) if others else np.zeros(len(self._sums[0]))

    def p(self, column: int, family: Sequence[int] = (), value: float = 0.0) -> float | None:
        """Two-sided p that a column's mean is a value, adjusted over a family; None of fewer than two patients."""
        if self.count[column] < 2:
            return None
        return self._p(column, value, self._others(column, family))

    def _p(self, column: int, value: float, others: Vector) -> float:
        mean = float(self.means[column])
        if not self._spread(column) and abs(value - mean) <= NO_SPREAD * max(abs(mean), 1.0):
            return 1.0
        found = np.abs(self._t(column, value))
        return float(np.mean(np.maximum(found, others) >= found[0] * (1 - SAME)))

    def interval(
        self, column: int, family: Sequence[int] = (), *, level: float = 0.95
    ) -> tuple[float, float] | None:
        """The values of a column's mean that are not rejected, adjusted over a family.

        None where no value can be rejected: of fewer than six patients, at 95 %.
        """
        if self.count[column] < 2:
            return None
        others = self._others(column, family)
        low, high = (self._end(column, sign, others, 1 - level) for sign in (-1, 1))
        return None if low is None or high is None else (low, high)

    def _end(self, column: int, sign: int, others: Vector, alpha: float) -> float | None:
        """The farthest value on one side of the mean that is not rejected; None if none is.

        A flip splits the patients into those who keep their sign and those who change it. It is at least as extreme
        as what was found for every value between the means of both; and where another arm's t is, for every value
        that has no larger one.
        """
        sums, ones = (each[:, column] for each in self._sums)
        count, mean, total = int(self.count[column]), float(self.means[column]), self._filled[:, column].sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            kept, changed = ((total + half * sums) / (count + half * ones) for half in (1, -1))
            by_others = np.where(np.isinf(others), np.inf, others * self._spread(column) / np.sqrt(count))
        reach = np.fmax(np.fmax(sign * (kept - mean), sign * (changed - mean)), by_others)
        reach[np.abs(ones) == count] = np.inf
        as_extreme = ceil(alpha * len(reach) * (1 - SAME))
        farthest = float(np.partition(reach, len(reach) - as_extreme)[len(reach) - as_extreme])
        return None if isinf(farthest) else mean + sign * farthest * (1 + SAME)


def _flips(patients: int, seed: int) -> Iterator[Matrix]:
    """Signs, flips x patients, some flips at a time; the first leaves all as they were found."""
    if patients <= ENUMERATED_UP_TO:
        numbers = np.arange(2 ** max(patients - 1, 0))[:, None] << 1
        yield np.where((numbers >> np.arange(patients)) & 1, -1.0, 1.0)
        return
    generator = np.random.default_rng(seed)
    for block in range(FLIPS // FLIPS_AT_ONCE):
        signs = np.array(1.0 - 2.0 * generator.integers(0, 2, (FLIPS_AT_ONCE, patients)), dtype=np.float64)
        if block == 0:
            signs[0] = 1.0
        yield signs
