"""The answer for each arm, by rules that are written down in docs/statistics.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log
from typing import Literal

from submit.analysis.design import ALPHA

VerdictName = Literal["needed", "worse", "droppable", "not distinguishable", "undecided"]
LOSSES: tuple[VerdictName, ...] = ("needed", "worse")
"""Verdicts that say that a loss is shown: nobody takes them for leave to stop a scan."""
DECIDED: tuple[VerdictName, ...] = ("needed", "droppable")
"""Verdicts that no further test would make plainer."""
RARE = 0.05
"""Share of patients who lose much, that a study should have seen at least once before it calls a channel
droppable."""
FULL_LEVEL_FROM = ceil(log(ALPHA / 2) / log(1 - RARE))
"""Patients among whom what is that rare is seen, but for a chance of 2.5 %."""
MOST_TIMES = 10
"""Times the patients of a study; a plan for more is none."""
HALF = 0.5
"""Of the scatter of an arm's differences; where retraining makes more of it, repeats tell more than patients."""


@dataclass(frozen=True, kw_only=True)
class Floor:
    """Within which the mean difference of two equal arms lies, by retraining alone, in 95 of 100 studies."""

    value: float
    low: float
    """Of its own 95 % interval: it is measured on few further trainings. So is `high`."""
    high: float
    share: float
    """Of the variance of the arm's mean difference; 1 of an arm that does not scatter.

    More than 1 where retraining makes less than its variance, doubled, says: all arms share their draws with the
    reference, and two trainings of the reference do not.
    """


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What decides a verdict on an arm in one structure, with what its sentence and plan need.

    A loss is how much worse the arm is; below 0 it is better.
    """

    arm: str
    structure: str
    loss: float | None
    """Mean over patients, in the unit of the endpoint's metric; None without a pair."""
    p: float | None
    """That the loss is 0: two-sided, adjusted over the arms."""
    low: float | None
    """Of the simultaneous 95 % interval of the loss; None for too few patients."""
    high: float | None
    """The same; None also where the interval has no upper end."""
    margin: float | None
    """The loss below which a channel counts as droppable, as it is for this reference; None: none was stated."""
    p_not_worse: float | None
    """That the loss is below the margin: one-sided, adjusted over the arms; None without a margin or for too few
    patients."""
    patients: int
    """With a pair."""
    floor: Floor | None
    """Of retraining; None if it was not measured."""
    can_see: bool = True
    """Whether the reference itself is good enough that a loss could be seen."""
    losses: Mapping[str, float]
    """By patient."""
    exams: tuple[int, ...]
    """Of each patient with a pair."""
    sd: float | None
    """Of the patients' losses."""
    reference: float | None
    """Mean of the reference over the same tests."""
    p_equivalent: float | None
    """That the difference is within the margin on both sides: the larger of two one-sided p, not adjusted."""

    @property
    def beyond_margin(self) -> int | None:
        """Patients who lose more than the margin; None without a margin."""
        return None if self.margin is None else sum(loss > self.margin for loss in self.losses.values())

    @property
    def margin_level(self) -> float:
        """The level at which a loss of the margin is ruled out: 2.5 %, less for few patients (`margin_level`)."""
        return margin_level(self.patients)

    @property
    def is_worse(self) -> bool:
        """Whether a loss is shown."""
        return self.low is not None and self.low > 0

    @property
    def is_better(self) -> bool:
        """Whether a gain is shown."""
        return self.high is not None and self.high < 0

    @property
    def exceeds_margin(self) -> bool:
        """Whether a loss of more than the margin is shown."""
        return self.margin is not None and self.low is not None and self.low > self.margin

    @property
    def margin_ruled_out(self) -> bool:
        """Whether a loss of the margin is ruled out."""
        return self.p_not_worse is not None and self.p_not_worse < self.margin_level

    @property
    def is_noise(self) -> bool:
        """Whether the difference is within what retraining surely makes, and retraining is most of the scatter.

        Not a gain that is shown.
        """
        if self.loss is None or self.floor is None or self.is_better:
            return False
        return abs(self.loss) <= self.floor.low and self.floor.share >= HALF


def margin_level(patients: int) -> float:
    """The one-sided level at which a loss of the margin is ruled out: 2.5 %, less below 72 patients.

    Losses have a long tail, and few patients show little of it: they look better than they are. The level is 2.5 %
    times 2.5 % over the chance that a loss that hits one in twenty hit none of them, which is what it takes to keep
    the error below 2.5 % in simulated worlds with such losses and as much other scatter as trainings have
    (benchmarks/calibration.py). Where there is next to no scatter, nothing that is computed of patients who were
    spared can tell of those who were not: `Analysis.unseen` says how many these may be.
    """
    unseen = (1 - RARE) ** patients
    return ALPHA / 2 * (ALPHA / 2 / max(unseen, ALPHA / 2))


def decide(evidence: Evidence) -> VerdictName:
    """The verdict on one structure.

    The rules are tried in this order:

    1. droppable: a loss of the margin or more is ruled out, or a gain is shown, beside a reference that can see;
    2. needed: a loss of more than the margin is shown;
    3. worse: a loss is shown, which may be below the margin;
    4. not distinguishable: the difference is within what retraining makes;
    5. undecided.
    """
    if evidence.loss is None:
        return "undecided"
    if evidence.can_see and (evidence.margin_ruled_out or evidence.is_better):
        return "droppable"
    if evidence.exceeds_margin:
        return "needed"
    if evidence.is_worse:
        return "worse"
    return "not distinguishable" if evidence.is_noise else "undecided"


def decide_all(evidence: Sequence[Evidence]) -> VerdictName:
    """The verdict of an arm on all structures of the endpoint.

    A channel that one structure needs is needed; droppable is what is droppable for each of them (intersection-union:
    each at its full level).
    """
    verdicts = [decide(each) for each in evidence]
    for name in LOSSES:
        if name in verdicts:
            return name
    if all(verdict == "droppable" for verdict in verdicts):
        return "droppable"
    return "not distinguishable" if set(verdicts) <= {"not distinguishable", "droppable"} else "undecided"
