"""The answer for each arm, by rules that are written down in docs/statistics.md."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame
from scipy import stats

from job.contract.grid import REFERENCE
from submit.analysis.bootstrap import bootstrap_means
from submit.analysis.comparisons import adjusted
from submit.analysis.design import ALPHA, Design, trainings
from submit.analysis.noise import Noise
from submit.analysis.paired_tests import Equivalence, equivalence, signed_rank
from submit.analysis.pairing import by_patient, differences, exams_of_patients, false_alarms

MIN_FREEDOM = 5
"""Further trainings; fewer do not say what the noise is."""
VerdictName = Literal["needed", "droppable", "not distinguishable", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What decides a verdict. A loss is how much worse the arm is than the reference; below 0 it is better."""

    loss: float | None
    """Mean over patients, in the unit of the primary endpoint; None without a pair."""
    p: float | None
    """That the loss is not 0: two-sided, adjusted over the arms."""
    p_not_worse: float | None
    """That the loss is below the margin: one-sided, the larger p of the t-test and of the bootstrap, adjusted over
    the arms; None without a margin, and of fewer than `FEWEST` patients."""
    noise_floor: float | None
    """What retraining alone changes; None if it was not measured."""
    low: float | None
    """Of the loss's 95 % interval; None for too few patients. So is `high`."""
    high: float | None
    rank_sign: int
    """Which way most of the rank sum goes: 1 for losses, -1 for gains, 0 for neither."""
    sensitive: bool = True
    """Whether the reference itself is good enough that a loss of the margin could be seen."""
    more_false_alarms: int = 0
    """False alarms of the arm less those of the reference; exams without a lesion have no pair."""

    @property
    def in_noise(self) -> bool:
        """Whether retraining alone explains the loss."""
        return self.loss is not None and self.noise_floor is not None and abs(self.loss) <= self.noise_floor

    @property
    def different(self) -> bool:
        """Whether the loss (or gain) is shown: by ranks and by the mean's interval, both in one direction."""
        if self.loss is None or self.p is None or self.p >= ALPHA or self.in_noise:
            return False
        # Draws of patients of whom most have the same loss have no spread, and the mean no interval.
        shown = self.low is None or self.high is None or self.low > 0 or self.high < 0
        return shown and self.rank_sign * self.loss > 0

    @property
    def margin_ruled_out(self) -> bool:
        """Whether a loss of the margin is ruled out."""
        return self.p_not_worse is not None and self.p_not_worse < ALPHA / 2

    @property
    def can_be_dropped(self) -> bool:
        """Whether a small loss means that the channel is not missed."""
        return self.sensitive and self.more_false_alarms <= 0


def decide(evidence: Evidence) -> VerdictName:
    """The verdict of an arm.

    The rules are tried in this order:

    1. droppable: a loss of the margin or more is ruled out, and the reference could have shown it;
    2. needed, or droppable: the arm is worse, or better, than the reference by more than retraining alone explains;
       nothing is droppable with more false alarms;
    3. not distinguishable: retraining alone explains the difference;
    4. undecided.

    So a loss that is certain but smaller than the margin makes a channel droppable, not needed.
    """
    if evidence.loss is None:
        return "undecided"
    if evidence.margin_ruled_out and evidence.can_be_dropped:
        return "droppable"
    if evidence.different and evidence.loss > 0:
        return "needed"
    if evidence.different and evidence.more_false_alarms <= 0:
        return "droppable"
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
    if noise is None or not exams or noise.degrees_of_freedom < MIN_FREEDOM:
        return None
    floor = noise.floor(trainings(exams, design.test_unit), repeats=design.repeats)
    if len(values) < 2:
        return floor
    scatter = float(values.std(ddof=1) / np.sqrt(len(values)) * stats.t.ppf(0.975, len(values) - 1))
    return min(floor, scatter)


def _bootstrap(
    losses: DataFrame, design: Design
) -> tuple[dict[str, tuple[float | None, float | None]], dict[str, float]]:
    """Of each arm with a pair: the ends of its 95 % interval, and p of a loss of the margin or more (NaN: none)."""
    if losses.empty:
        return {}, {}
    arms = list(map(str, losses.columns))
    means = bootstrap_means(losses.to_numpy(dtype=np.float64), design.seed)
    ends: dict[str, tuple[float | None, float | None]] = {
        arm: (None, None) if np.isnan(low) else (float(low), float(high))
        for arm, low, high in zip(arms, *means.intervals(), strict=True)
    }
    margin = np.inf if design.margin is None else design.margin
    return ends, dict(zip(arms, means.p_at_or_above(margin).tolist(), strict=True))


def _sensitive(dice: DataFrame, design: Design) -> bool:
    """Whether the reference has more than a margin of Dice to lose, or for a distance any: else nothing can be worse.

    By the 95 % bound of its mean.
    """
    margin = design.margin if design.metric == "dice" else 0.0
    if margin is None or REFERENCE not in dice:
        return True
    values = by_patient(dice)[REFERENCE].dropna().to_numpy(dtype=np.float64)
    if len(values) < 2:
        return True
    error = values.std(ddof=1) / np.sqrt(len(values))
    return bool(values.mean() - stats.t.ppf(0.975, len(values) - 1) * error > margin)


def gather(
    tests: DataFrame, dice: DataFrame, statuses: DataFrame, design: Design, noise: Noise | None
) -> tuple[ArmEvidence, ...]:
    """The evidence on every arm but the reference, in their order.

    Args:
        tests: Of the primary endpoint, as `pairing.by_arm` gives them.
        dice: Dice of the same structure, the same way: whether the reference sees it at all.
        statuses: How the tests ended, as `pairing.statuses` gives it.
        design: The design.
        noise: Of retraining.
    """
    losses = differences(tests) * design.sign
    by_arm = {
        arm: losses[arm].dropna().to_numpy(dtype=np.float64) if arm in losses else np.empty(0)
        for arm in design.compared
    }
    equivalences = {
        arm: equivalence(values, design.margin) if design.margin is not None else None
        for arm, values in by_arm.items()
    }
    ends, bootstrap_p = _bootstrap(losses, design)
    ranks = {arm: signed_rank(values) for arm, values in by_arm.items() if len(values)}
    p = adjusted({arm: ranks[arm].p if arm in ranks else None for arm in by_arm}, "holm")
    not_worse = adjusted(
        {
            arm: float(np.fmax(found.p_below_upper, bootstrap_p[arm])) if found else None
            for arm, found in equivalences.items()
        },
        "holm",
    )
    counts = exams_of_patients(tests)
    sensitive = _sensitive(dice, design)
    evidence = []
    for arm, values in by_arm.items():
        exams = tuple(int(n) for n in counts[arm] if n) if arm in counts else ()
        of_arm, of_reference = false_alarms(statuses, arm)
        evidence.append(
            ArmEvidence(
                arm=arm,
                loss=float(values.mean()) if len(values) else None,
                p=p[arm],
                p_not_worse=not_worse[arm],
                low=ends.get(arm, (None, None))[0],
                high=ends.get(arm, (None, None))[1],
                rank_sign=int(np.sign(ranks[arm].rank_biserial)) if arm in ranks else 0,
                sensitive=sensitive,
                more_false_alarms=of_arm - of_reference,
                noise_floor=_floor(values, exams, design, noise),
                sd=float(values.std(ddof=1)) if len(values) > 1 else None,
                exams=exams,
                equivalence=equivalences[arm],
            )
        )
    return tuple(evidence)
