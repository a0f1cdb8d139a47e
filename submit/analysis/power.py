"""How small a difference a study can find, and how large it would have to be: before it runs, and after.

For the test that decides, sign flips with the largest t over the arms, with differences that are normal: its power
is that of a t-test at the level shared among the arms (benchmarks/calibration.py), from the patients on of whom
flips can show anything; of few, p comes in steps, and the level is the step below 5 %.
"""

from collections.abc import Sequence
from functools import cache
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from submit.analysis.design import ALPHA
from submit.analysis.sign_flips import FEWEST

POWER = 0.8
QUANTILES = (np.arange(2000) + 0.5) / 2000
MAX_PATIENTS = 100_000
MAX_REPEATS = 1000
LARGEST_EFFECT = 100.0
"""In SDs."""


def power_of(effect: float, sd: float, patients: int, *, alpha: float = ALPHA) -> float:
    """Probability that the test, two-sided, finds a mean difference.

    Args:
        effect: The difference.
        sd: Of the patients' differences, in the same unit, above 0.
        patients: How many.
        alpha: Level of the test; of one of m arms, 0.05 / m.
    """
    if patients < FEWEST:
        return 0.0
    freedom, shift = patients - 1, abs(effect) / sd * sqrt(patients)
    critical = stats.t.ppf(1 - alpha * _step(patients) / 2, freedom)
    # Over the sample's SD: SciPy's noncentral t is NaN for large effects.
    needed = critical * _sds(freedom)
    return float(np.mean(special.ndtr(shift - needed) + special.ndtr(-shift - needed)))


@cache
def _sds(freedom: int) -> NDArray[np.float64]:
    """Quantiles of a sample's SD, of a true one of 1."""
    return np.array(np.sqrt(stats.chi2.ppf(QUANTILES, freedom) / freedom), dtype=np.float64)


def _step(patients: int) -> float:
    """The largest p below 5 % that sign flips can have, as a share of that: of six patients 1/32, of ten 25/512."""
    flips = 2.0 ** min(patients - 1, 50)
    return (ceil(ALPHA * flips) - 1) / (ALPHA * flips)


def detectable(sd: float, patients: int, *, alpha: float = ALPHA) -> float | None:
    """The smallest mean difference that is found with a power of 80 %; None of fewer than `FEWEST` patients."""
    effect = _detectable_effect(patients, alpha)
    return None if effect is None else sd * effect


@cache
def _detectable_effect(patients: int, alpha: float) -> float | None:
    """In SDs."""

    def missing(effect: float) -> float:
        return power_of(effect, 1.0, patients, alpha=alpha) - POWER

    if missing(LARGEST_EFFECT) < 0:
        return None
    return float(optimize.brentq(missing, 0.0, LARGEST_EFFECT, xtol=1e-4))


def patients_needed(effect: float, sd: float, *, alpha: float = ALPHA) -> int | None:
    """Patients of whom a difference is found with a power of 80 %; None above `MAX_PATIENTS`."""
    if power_of(effect, sd, MAX_PATIENTS, alpha=alpha) < POWER:
        return None
    low, high = 1, MAX_PATIENTS  # too few, enough
    while high - low > 1:
        middle = (low + high) // 2
        if power_of(effect, sd, middle, alpha=alpha) >= POWER:
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
