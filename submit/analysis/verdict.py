"""The answer for each arm, by rules that are written down in docs/statistics.md."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame
from scipy import stats

from submit.analysis.comparisons import adjusted
from submit.analysis.design import ALPHA, HIGHER_IS_BETTER, Design
from submit.analysis.noise import Noise
from submit.analysis.paired_tests import Equivalence, equivalence, signed_rank
from submit.analysis.pairing import differences, exams_of_patients

VerdictName = Literal["needed", "droppable", "not distinguishable", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a verdict is decided by. A loss is how much worse the arm is than the reference; below 0 it is better."""

    loss: float | None
    """Mean over patients, in the unit of the primary endpoint; None without a pair."""
    p: float | None
    """That the loss is not 0: two-sided, adjusted over the arms."""
    p_not_worse: float | None
    """That the loss is below the margin: one-sided, adjusted over the arms; None without a margin."""
    noise_floor: float | None
    """What retraining alone changes; None if it was not measured."""

    @property
    def in_noise(self) -> bool:
        """Whether retraining alone explains the loss."""
        return self.loss is not None and self.noise_floor is not None and abs(self.loss) <= self.noise_floor

    @property
    def different(self) -> bool:
        """Whether the loss (or gain) is shown, and more than retraining explains."""
        return self.p is not None and self.p < ALPHA and not self.in_noise


def decide(evidence: Evidence) -> VerdictName:
    """The verdict of an arm.

    The rules are tried in this order:

    1. droppable: a loss of the margin or more is ruled out, or the arm is better than the reference;
    2. needed: the arm is worse than the reference, by more than retraining alone explains;
    3. not distinguishable: retraining alone explains the difference;
    4. undecided.

    So a loss that is certain but smaller than the margin makes a channel droppable, not needed.
    """
    if evidence.loss is None:
        return "undecided"
    if evidence.p_not_worse is not None and evidence.p_not_worse < ALPHA:
        return "droppable"
    if evidence.different:
        return "needed" if evidence.loss > 0 else "droppable"
    return "not distinguishable" if evidence.in_noise else "undecided"


@dataclass(frozen=True, kw_only=True)
class ArmEvidence(Evidence):
    """The same with what a verdict's sentence and plan need."""

    arm: str
    sd: float | None
    """Of the patients' losses."""
    exams: tuple[int, ...]
    """Of each patient with a pair."""
    equivalence: Equivalence | None
    """Of the loss, not adjusted; None without a margin."""


def _floor(
    values: NDArray[np.float64], exams: tuple[int, ...], design: Design, noise: Noise | None
) -> float | None:
    """What retraining alone changes in an arm's mean difference; None if it was not measured.

    Arms share their draws with the reference, which two trainings of the reference do not: the noise between arms is
    smaller than theirs, and never more than all that the patients' differences scatter by.
    """
    if noise is None or not exams:
        return None
    floor = noise.floor(exams, repeats=design.repeats)
    if len(values) < 2:
        return floor
    scatter = float(values.std(ddof=1) / np.sqrt(len(values)) * stats.t.ppf(0.975, len(values) - 1))
    return min(floor, scatter)


def gather(tests: DataFrame, design: Design, noise: Noise | None) -> tuple[ArmEvidence, ...]:
    """The evidence on every arm but the reference, in their order.

    Args:
        tests: Of the primary endpoint, as `pairing.by_arm` gives them.
        design: The design.
        noise: Of retraining.
    """
    losses = differences(tests) * (-1 if HIGHER_IS_BETTER[design.metric] else 1)
    by_arm = {
        arm: losses[arm].dropna().to_numpy(dtype=np.float64) if arm in losses else np.empty(0)
        for arm in design.compared
    }
    equivalences = {
        arm: equivalence(values, design.margin) if design.margin is not None else None
        for arm, values in by_arm.items()
    }
    p = adjusted([signed_rank(values).p if len(values) else None for values in by_arm.values()], "holm")
    not_worse = adjusted([found.p_below_upper if found else None for found in equivalences.values()], "holm")
    counts = exams_of_patients(tests)
    evidence = []
    for (arm, values), p_different, p_not_worse in zip(by_arm.items(), p, not_worse, strict=True):
        exams = tuple(int(n) for n in counts[arm] if n) if arm in counts else ()
        evidence.append(
            ArmEvidence(
                arm=arm,
                loss=float(values.mean()) if len(values) else None,
                p=p_different,
                p_not_worse=p_not_worse,
                noise_floor=_floor(values, exams, design, noise),
                sd=float(values.std(ddof=1)) if len(values) > 1 else None,
                exams=exams,
                equivalence=equivalences[arm],
            )
        )
    return tuple(evidence)
