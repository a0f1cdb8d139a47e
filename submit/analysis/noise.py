"""The noise of retraining: how much the same arm differs from itself when it is trained again."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from pandas import DataFrame

from submit.analysis.pairing import EXAM


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What retraining alone does to a metric, from repeats of the reference arm."""

    sd: float
    """Of one test when the network is trained again, pooled over exams; in the metric's unit."""
    degrees_of_freedom: int
    """Repeats beyond the first, over all exams."""
    exams: int
    """Exams with repeats; patients, where one training tests all their exams."""

    def variance_of_difference(self, *, repeats: int, exams: float) -> float:
        """Of a patient's mean difference between two arms, from retraining alone.

        Args:
            repeats: Of both arms.
            exams: Of the patient; for several patients, the harmonic mean.
        """
        return 2 * self.sd**2 / (repeats * exams)

    def variance_of_mean(self, exams: Sequence[int], *, repeats: int) -> float:
        """Of the mean difference of two equal arms over patients, by retraining alone.

        Args:
            exams: Of each patient, at least one.
            repeats: Of both arms.
        """
        return sum(self.variance_of_difference(repeats=repeats, exams=n) for n in exams) / len(exams) ** 2


def retraining_noise(rows: DataFrame, metric: str, *, by_patient: bool = False) -> Noise | None:
    """The noise of a metric; None if no exam was tested twice.

    Args:
        rows: Tests of the reference arm in one structure, all repeats, with the columns `patient`, `exam`, `repeat`.
        metric: A column.
        by_patient: Whether one training tests all exams of a patient, so that these are not independent.
    """
    known = rows.dropna(subset=[metric])
    tested = EXAM
    if by_patient:
        known, tested = known.groupby(["patient", "repeat"], as_index=False)[[metric]].mean(), ["patient"]
    by_unit = known.groupby(tested)[metric]
    variance, count = by_unit.var(ddof=1), by_unit.size()
    repeated = count > 1
    freedom = int((count[repeated] - 1).sum())
    if not freedom:
        return None
    pooled = float((variance[repeated].astype("float64") * (count[repeated] - 1)).sum()) / freedom
    return Noise(sd=sqrt(pooled), degrees_of_freedom=freedom, exams=int(repeated.sum()))
