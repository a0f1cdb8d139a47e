"""How small a difference a study can find, and how large it would have to be: before it runs, and after."""

from collections.abc import Sequence
from math import ceil, sqrt

import numpy as np
from scipy import optimize, stats

POWER = 0.8
ALPHA = 0.05
QUANTILES = (np.arange(2000) + 0.5) / 2000
MAX_PATIENTS = 100_000
MAX_REPEATS = 1000


def power_of(effect: float, sd: float, patients: int, *, alpha: float = ALPHA) -> float:
    """Probability that a two-sided paired t-test of a mean difference finds it.

    Args:
        effect: The difference.
        sd: Of the patients' differences, in the same unit, above 0.
        patients: At least two.
        alpha: Level of the test; of the first step of Holm's method over m arms, 0.05 / m.
    """
    freedom, shift = patients - 1, abs(effect) / sd * sqrt(patients)
    critical = stats.t.ppf(1 - alpha / 2, freedom)
    # Over the sample's SD; SciPy's noncentral t is NaN for large effects and few patients.
    needed = critical * np.sqrt(stats.chi2.ppf(QUANTILES, freedom) / freedom)
    return float(np.mean(stats.norm.sf(needed - shift) + stats.norm.sf(needed + shift)))


def detectable(sd: float, patients: int, *, alpha: float = ALPHA, power: float = POWER) -> float:
    """The smallest mean difference that the test of `power_of` finds with this power.

    Wilcoxon's test needs up to 5 % more patients for the same power if differences are normal, and fewer if they have
    long tails.
    """
    if sd == 0:
        return 0.0
    return sd * float(
        optimize.brentq(lambda d: power_of(d, 1.0, patients, alpha=alpha) - power, 1e-9, 1e3, xtol=1e-9)
    )


def patients_needed(effect: float, sd: float, *, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """Patients of whom a difference is found with this power; None above `MAX_PATIENTS`."""
    if power_of(effect, sd, MAX_PATIENTS, alpha=alpha) < power:
        return None
    low, high = 1, MAX_PATIENTS  # too few, enough
    while high - low > 1:
        middle = (low + high) // 2
        if power_of(effect, sd, middle, alpha=alpha) >= power:
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
