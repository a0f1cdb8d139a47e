"""How small a difference a study can find, and how large it would have to be: before it runs, and after.

For the test that decides, Wilcoxon's signed-rank test, with differences that are normal.
"""

from collections.abc import Sequence
from functools import cache
from itertools import count
from math import ceil, pi, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from submit.analysis.bootstrap import FEWEST
from submit.analysis.design import ALPHA
from submit.analysis.paired_tests import EXACT_UP_TO, null_distribution

POWER = 0.8
Test = Literal["ranks", "mean"]
"""Wilcoxon's, two-sided; or the t-test against a margin, one-sided at half the level."""
STUDIES = 4000
"""Simulated ones, from fixed draws: a power has an error of 0.6 percent points, and is the same each time."""
EFFICIENCY = 3 / pi
"""Of Wilcoxon's test beside the t-test for many normal differences."""
QUANTILES = (np.arange(2000) + 0.5) / 2000
MAX_PATIENTS = 100_000
MAX_REPEATS = 1000
LARGEST_EFFECT = 100.0
"""In SDs."""


def power_of(effect: float, sd: float, patients: int, *, alpha: float = ALPHA, test: Test = "ranks") -> float:
    """Probability that the test, two-sided, finds a mean difference.

    Args:
        effect: The difference.
        sd: Of the patients' differences, in the same unit, above 0.
        patients: How many.
        alpha: Level of the test; of the first step of Holm's method over m arms, 0.05 / m.
        test: Which.
    """
    if test == "mean":
        return _t_power(abs(effect) / sd, patients, alpha) if patients >= FEWEST else 0.0
    if patients > EXACT_UP_TO:
        return _t_power(abs(effect) / sd, patients * EFFICIENCY, alpha)
    critical = _critical(patients, alpha)
    if critical is None:
        return 0.0
    shifted = _draws(patients) + abs(effect) / sd
    order = np.argsort(np.abs(shifted), axis=1)
    ranks = np.arange(1, patients + 1)
    positive = (ranks * (np.take_along_axis(shifted, order, axis=1) > 0)).sum(axis=1)
    total = patients * (patients + 1) // 2
    return float(np.mean(np.minimum(positive, total - positive) <= critical))


@cache
def _draws(patients: int) -> NDArray[np.float64]:
    return np.random.default_rng(patients).normal(size=(STUDIES, patients))


@cache
def _critical(patients: int, alpha: float) -> int | None:
    """The largest of the smaller rank sums that is significant; None if none is: the patients are too few."""
    # Of rank sums; the distribution counts half ranks, of which there are none without ties.
    below = 2 * np.cumsum(null_distribution(np.arange(1, patients + 1, dtype=np.float64)))[::2]
    significant = np.flatnonzero(below <= alpha)
    return int(significant[-1]) if len(significant) else None


def _t_power(effect: float, patients: float, alpha: float) -> float:
    """Of a t-test, over the sample's SD: SciPy's noncentral t is NaN for large effects."""
    freedom, shift = patients - 1, effect * sqrt(patients)
    critical = stats.t.ppf(1 - alpha / 2, freedom)
    needed = critical * np.sqrt(stats.chi2.ppf(QUANTILES, freedom) / freedom)
    return float(np.mean(stats.norm.sf(needed - shift) + stats.norm.sf(needed + shift)))


def detectable(sd: float, patients: int, *, alpha: float = ALPHA, test: Test = "ranks") -> float | None:
    """The smallest mean difference that is found with a power of 80 %.

    None, if the patients are so few that no difference is: of 6, at a level of 0.05 / 7, not even six losses of six.
    """
    effect = _detectable_effect(patients, alpha, test)
    return None if effect is None else sd * effect


@cache
def _detectable_effect(patients: int, alpha: float, test: Test) -> float | None:
    """In SDs."""

    def missing(effect: float) -> float:
        return power_of(effect, 1.0, patients, alpha=alpha, test=test) - POWER

    if missing(LARGEST_EFFECT) < 0:
        return None
    return float(optimize.brentq(missing, 0.0, LARGEST_EFFECT, xtol=1e-4))


def fewest_patients(alpha: float) -> int:
    """The smallest number of patients of whom a difference can be shown at all: all of them worse."""
    return next(patients for patients in count(1) if _critical(patients, alpha) is not None)


def patients_needed(effect: float, sd: float, *, alpha: float = ALPHA, test: Test = "ranks") -> int | None:
    """Patients of whom a difference is found with a power of 80 %; None above `MAX_PATIENTS`."""
    if power_of(effect, sd, MAX_PATIENTS, alpha=alpha, test=test) < POWER:
        return None
    low, high = 1, MAX_PATIENTS  # too few, enough
    while high - low > 1:
        middle = (low + high) // 2
        if power_of(effect, sd, middle, alpha=alpha, test=test) >= POWER:
            high = middle
        else:
            low = middle
    return high


def repeats_needed(required_sd: float, sd: float, noise_variance: float, repeats: int) -> int | None:
    """Repeats with which the patients' differences scatter by no more than `required_sd`; None if none are enough.

    Args:
        required_sd: What is wanted.
        sd: What was found with `repeats`.
        noise_variance: The part of `sd`² that comes from retraining, with `repeats`.
        repeats: Of every arm.
    """
    between = max(sd**2 - noise_variance, 0.0)
    left = required_sd**2 - between
    if left <= 0:
        return None
    needed = max(ceil(noise_variance * repeats / left - 1e-9), repeats)
    return needed if needed <= MAX_REPEATS else None


def sd_of_patients(sd: float, exams: Sequence[int], *, icc: float) -> float:
    """SD with which a patient's mean of visits counts in the mean over patients.

    Args:
        sd: Of the difference in one exam.
        exams: Of each patient.
        icc: Correlation of the differences in two exams of one patient, 0 to 1.
    """
    return sd * sqrt(sum(icc + (1 - icc) / n for n in exams) / len(exams))
