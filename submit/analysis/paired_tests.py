"""Tests of paired differences: functions of one vector, a number for each patient."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from submit.analysis.sign_flips import FEWEST, NO_SPREAD

Vector = NDArray[np.float64]

EXACT_UP_TO = 200
"""Patients; beyond, the normal approximation's p differs in its third digit at most."""


@dataclass(frozen=True, kw_only=True)
class SignedRank:
    """Wilcoxon's signed-rank test, two-sided."""

    p: float
    method: Literal["exact", "normal approximation"]
    rank_biserial: float
    """Matched-pairs rank-biserial correlation, -1 to 1: share of the rank sum in favour less that against."""


def signed_rank(differences: Vector) -> SignedRank:
    """Wilcoxon's signed-rank test of differences around 0, with zeros after Pratt.

    The exact p is that of all 2^n assignments of signs to the ranks found, ties included (Pratt, JASA 54 (1959)
    655-667; recursion over ranks as in Streitberg & Röhmel, Stat. Software Newsletter 12 (1986) 10-17). SciPy's is
    exact without ties and zeros only.

    Args:
        differences: One per patient, at least one.
    """
    ranks = stats.rankdata(np.abs(differences))[differences != 0]  # zeros are ranked, then dropped
    signs = np.sign(differences[differences != 0])
    if not len(ranks):
        return SignedRank(p=1.0, method="exact", rank_biserial=0.0)
    rank_biserial = float((ranks * signs).sum() / ranks.sum())
    if len(differences) <= EXACT_UP_TO:
        return SignedRank(p=_exact_p(ranks, signs), method="exact", rank_biserial=rank_biserial)
    found = stats.wilcoxon(differences, zero_method="pratt", method="approx")
    return SignedRank(p=float(found.pvalue), method="normal approximation", rank_biserial=rank_biserial)


def _exact_p(ranks: Vector, signs: Vector) -> float:
    """Two-sided p of the sum of positive ranks, when each sign is as likely as the other."""
    probability = null_distribution(ranks)
    positive = round(2 * float(ranks[signs > 0].sum()))
    smaller = min(positive, len(probability) - 1 - positive)  # the distribution is symmetric
    return min(1.0, 2 * float(probability[: smaller + 1].sum()))


def null_distribution(ranks: Vector) -> Vector:
    """Probabilities of each sum of ranks of positive differences, in halves (ranks of ties end in one) from 0."""
    halves = np.rint(2 * ranks).astype(int)
    probability = np.zeros(halves.sum() + 1)
    probability[0] = 1.0
    for half in halves:
        drawn = 0.5 * probability
        probability = drawn.copy()
        probability[half:] += drawn[:-half]
    return probability


@dataclass(frozen=True, kw_only=True)
class Friedman:
    """Friedman's test over all arms."""

    chi_square: float
    degrees_of_freedom: int
    p: float
    kendalls_w: float
    """Agreement of the patients about the order of the arms, 0 to 1."""
    patients: int


def friedman(values: NDArray[np.float64]) -> Friedman | None:
    """Friedman's test with Kendall's W (chi-square / (n (arms - 1))); None below two patients or three arms.

    Args:
        values: Patients x arms, without NaN.
    """
    patients, arms = values.shape
    if patients < 2 or arms < 3:
        return None
    if (values == values[:, :1]).all():  # nothing but ties
        return Friedman(chi_square=0.0, degrees_of_freedom=arms - 1, p=1.0, kendalls_w=0.0, patients=patients)
    chi_square, p = stats.friedmanchisquare(*values.T)
    return Friedman(
        chi_square=float(chi_square),
        degrees_of_freedom=arms - 1,
        p=float(p),
        kendalls_w=float(chi_square) / (patients * (arms - 1)),
        patients=patients,
    )


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """Two one-sided tests of the mean difference against a margin (Schuirmann, 1987)."""

    p_above_lower: float
    """Of the hypothesis that the mean is at or below -margin."""
    p_below_upper: float
    """Of the hypothesis that it is at or above +margin."""

    @property
    def p(self) -> float:
        """Of the hypothesis that the mean is outside the margin on either side."""
        return max(self.p_above_lower, self.p_below_upper)


def equivalence(differences: Vector, margin: float) -> Equivalence | None:
    """Two one-sided t-tests; None below `FEWEST` patients, whose spread is not known.

    Args:
        differences: One per patient.
        margin: Above 0, in their unit.
    """
    if len(differences) < FEWEST:
        return None
    if np.ptp(differences) < NO_SPREAD:  # no t: of signs alone, all n are on one side by chance in 1 of 2^n
        chance = 0.5 ** len(differences)
        inside = (bool(differences[0] > -margin), bool(differences[0] < margin))
        return Equivalence(
            p_above_lower=chance if inside[0] else 1.0, p_below_upper=chance if inside[1] else 1.0
        )
    return Equivalence(
        p_above_lower=float(stats.ttest_1samp(differences, -margin, alternative="greater").pvalue),
        p_below_upper=float(stats.ttest_1samp(differences, margin, alternative="less").pvalue),
    )
