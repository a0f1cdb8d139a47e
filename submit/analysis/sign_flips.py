"""The test that decides: sign flips of whole patients, with the largest t over the arms.

Under the hypothesis that an arm is as good as the reference, a patient's difference is as likely to have one sign
as the other. All arms of a patient change sign together, so that what arms have in common (they share the reference
and the patient) is kept, and the largest |t| over the arms holds the family-wise error without the loss that Holm's
adjustment of single tests has (Westfall & Young, Resampling-Based Multiple Testing, 1993, single step; sign flips
as in Winkler et al., NeuroImage 92 (2014) 381-397). With few patients all 2^n flips are enumerated, and the test is
exact.

For a value other than 0 the same is done with the differences less that value: the values that are not rejected are
the simultaneous interval, so that interval and p never contradict each other. The other arms take part as they
scatter about their own means: an arm with a large effect does not hide another one.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

ENUMERATED_UP_TO = 13
"""Patients, of whom all flips are taken; the first patient's sign is kept, since |t| does not know it."""
FLIPS = 10_000
"""Of more patients: drawn, the one that was found among them."""
FLIPS_AT_ONCE = 500
"""Flips whose signs are held in memory."""
SAME = 1e-9
"""Relative difference up to which two t are one: sums in another order."""
FARTHEST = 1e6
"""SDs from the mean: a value that is not rejected there is rejected nowhere."""
HALVINGS = 24
"""Of the bracket around an interval's end."""


class SignFlips:
    """Columns of differences in the same patients, each ready to be tested against any value.

    A *family* is a list of columns among which a test is adjusted; the column itself belongs to it in any case.
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
        """Of every flip, |t| of a column less its own mean."""
        if column not in self._scatters:
            self._scatters[column] = np.abs(self._t(column, float(self.means[column])))
        return self._scatters[column]

    def _others(self, column: int, family: Sequence[int]) -> Vector:
        """Of every flip, the largest |t| over the family's other columns."""
        others = [self._scatter(other) for other in family if other != column and self.count[other] > 1]
        return np.max(others, axis=0) if others else np.zeros(len(self._sums[0]))

    def p(self, column: int, family: Sequence[int] = (), value: float = 0.0) -> float | None:
        """Two-sided p that a column's mean is a value, adjusted over a family; None of fewer than two patients."""
        if self.count[column] < 2:
            return None
        return self._p(column, value, self._others(column, family))

    def _p(self, column: int, value: float, others: Vector) -> float:
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
        others, mean = self._others(column, family), float(self.means[column])
        low, high = (self._end(column, mean, sign, others, 1 - level) for sign in (-1, 1))
        return None if low is None or high is None else (low, high)

    def _end(self, column: int, mean: float, sign: int, others: Vector, alpha: float) -> float | None:
        """Where p falls below a level on one side of the mean; None if it never does."""
        deviations = self._known[:, column] * (self._filled[:, column] - mean)
        spread = float(np.sqrt((deviations**2).sum() / (self.count[column] - 1)))
        if spread <= SAME * max(abs(mean), 1.0):
            return mean if self._p(column, mean + sign, others) < alpha else None
        if self._p(column, mean + sign * FARTHEST * spread, others) >= alpha:
            return None
        inside, outside = mean, mean + sign * spread
        while self._p(column, outside, others) >= alpha:
            inside, outside = outside, mean + 2 * (outside - mean)
        for _ in range(HALVINGS):
            middle = (inside + outside) / 2
            inside, outside = (
                (middle, outside) if self._p(column, middle, others) >= alpha else (inside, middle)
            )
        return inside


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
