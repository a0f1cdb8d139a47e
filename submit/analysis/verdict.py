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
from submit.analysis.design import ALPHA, HIGHER_IS_BETTER, Design
from submit.analysis.noise import Noise
from submit.analysis.paired_tests import Equivalence, equivalence, signed_rank
from submit.analysis.pairing import by_patient, differences, exams_of_patients

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
    """Tests in which the arm finds what is not there and the reference does not, less the reverse: without a pair."""

    @property
    def in_noise(self) -> bool:
        """Whether retraining alone explains the loss."""
        return self.loss is not None and self.noise_floor is not None and abs(self.loss) <= self.noise_floor

    @property
    def different(self) -> bool:
        """Whether the loss (or gain) is shown: by ranks and by the mean's interval, both in one direction."""
        if self.loss is None or self.p is None or self.p >= ALPHA or self.in_noise:
            return False
        shown = self.low is None or self.high is None or self.low > 0 or self.high < 0
        return shown and self.rank_sign * self.loss > 0

    @property
    def within_margin(self) -> bool:
        """Whether a loss of the margin is ruled out."""
        return self.can_be_dropped and self.p_not_worse is not None and self.p_not_worse < ALPHA / 2

    @property
    def can_be_dropped(self) -> bool:
        """Whether a small loss means that the channel is not missed."""
        return self.sensitive and self.more_false_alarms <= 0


def decide(evidence: Evidence) -> VerdictName:
    """The verdict of an arm.

    The rules are tried in this order:

    1. droppable: a loss of the margin or more is ruled out;
    2. needed, or droppable: the arm is worse, or better, than the reference by more than retraining alone explains;
    3. not distinguishable: retraining alone explains the difference;
    4. undecided.

    So a loss that is certain but smaller than the margin makes a channel droppable, not needed.
    """
    if evidence.loss is None:
        return "undecided"
    if evidence.within_margin:
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
    if noise is None or not exams or noise.degrees_of_freedom < MIN_FREEDOM:
        return None
    trainings = exams if design.test_unit == "exam" else (1,) * len(exams)  # one tests all exams of a patient
    floor = noise.floor(trainings, repeats=design.repeats)
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


def _sensitive(tests: DataFrame, design: Design) -> bool:
    """Whether the reference has more than a margin to lose: else nothing could be worse by so much."""
    if design.margin is None or not HIGHER_IS_BETTER[design.metric] or REFERENCE not in tests:
        return True
    values = by_patient(tests)[REFERENCE].dropna().to_numpy(dtype=np.float64)
    if len(values) < 2:
        return True
    error = values.std(ddof=1) / np.sqrt(len(values))
    return bool(values.mean() - stats.t.ppf(0.975, len(values) - 1) * error > design.margin)


def _more_false_alarms(tests: DataFrame, done: DataFrame, arm: str) -> int:
    """Of tests that both the arm and the reference did."""
    if arm not in tests or REFERENCE not in tests:
        return 0
    both = done[arm] & done[REFERENCE]
    one, other = tests.loc[both, arm].notna(), tests.loc[both, REFERENCE].notna()
    return int((one & ~other).sum() - (~one & other).sum())


def gather(tests: DataFrame, done: DataFrame, design: Design, noise: Noise | None) -> tuple[ArmEvidence, ...]:
    """The evidence on every arm but the reference, in their order.

    Args:
        tests: Of the primary endpoint, as `pairing.by_arm` gives them.
        done: Which tests were done, as `pairing.done_by_arm` gives it.
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
    ends, bootstrap_p = _bootstrap(losses, design)
    p = adjusted([signed_rank(values).p if len(values) else None for values in by_arm.values()], "holm")
    not_worse = adjusted(
        [
            float(np.fmax(found.p_below_upper, bootstrap_p[arm])) if found else None
            for arm, found in equivalences.items()
        ],
        "holm",
    )
    counts = exams_of_patients(tests)
    sensitive = _sensitive(tests, design)
    evidence = []
    for (arm, values), p_different, p_not_worse in zip(by_arm.items(), p, not_worse, strict=True):
        exams = tuple(int(n) for n in counts[arm] if n) if arm in counts else ()
        evidence.append(
            ArmEvidence(
                arm=arm,
                loss=float(values.mean()) if len(values) else None,
                p=p_different,
                p_not_worse=p_not_worse,
                low=ends.get(arm, (None, None))[0],
                high=ends.get(arm, (None, None))[1],
                rank_sign=int(np.sign(signed_rank(values).rank_biserial)) if len(values) else 0,
                sensitive=sensitive,
                more_false_alarms=_more_false_alarms(tests, done, arm),
                noise_floor=_floor(values, exams, design, noise),
                sd=float(values.std(ddof=1)) if len(values) > 1 else None,
                exams=exams,
                equivalence=equivalences[arm],
            )
        )
    return tuple(evidence)
