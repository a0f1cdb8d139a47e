"""What it would take to decide an arm that is undecided."""

from dataclasses import dataclass
from math import ceil, floor
from typing import Literal

from submit.analysis.design import Design, trainings
from submit.analysis.noise import Noise
from submit.analysis.power import Test, detectable, fewest_patients, patients_needed, repeats_needed
from submit.analysis.verdict import MIN_FREEDOM, ArmEvidence

Goal = Literal["show", "rule out"]
TESTS: dict[Goal, Test] = {"show": "ranks", "rule out": "mean"}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many patients, or repeats, would decide, if the true loss is the one that was found."""

    goal: Goal
    """To show the loss (or gain), or to rule out a loss of the margin: whichever takes fewer patients."""
    effect: float
    """How far the loss is from 0, or from the margin."""
    patients: int | None
    """All in all; None: more than any study has."""
    exams: int | None
    """Of so many patients, with as many exams each as now."""
    fewest: int | None
    """Patients below whom no difference can be shown, however large; None where there are enough, or to rule out."""
    repeats: int | None
    """Of every arm, with the patients that there are; None: none would do, or the noise is not known."""


def plan_for(evidence: ArmEvidence, design: Design, noise: Noise | None) -> Plan | None:
    """The plan for an arm; None if its spread is not known, or if it is not for a want of patients that it is open.

    The level is that of the first step of Holm's method, which is the strictest.
    """
    goal, effect = _goal(evidence, design)
    if not evidence.sd or effect <= 0:
        return None
    alpha, patients, test = design.first_step, len(evidence.exams), TESTS[goal]
    needed = patients_needed(effect, evidence.sd, alpha=alpha, test=test)
    in_sds = detectable(1.0, patients, alpha=alpha, test=test)
    repeats = None if in_sds is None else _repeats(effect / in_sds, evidence, design, noise)
    if goal == "show" and evidence.in_noise:
        # The floor must be below the loss too; it shrinks with the root of the patients, and of the repeats.
        assert evidence.noise_floor is not None
        factor = (evidence.noise_floor / effect) ** 2
        needed = None if needed is None else max(needed, floor(factor * patients) + 1)
        repeats = None if repeats is None else max(repeats, floor(factor * design.repeats) + 1)
    if needed is not None and needed <= patients:
        return None
    return Plan(
        goal=goal,
        effect=effect,
        patients=needed,
        exams=None if needed is None else ceil(needed * sum(evidence.exams) / patients),
        fewest=fewest_patients(alpha) if goal == "show" and in_sds is None else None,
        repeats=repeats,
    )


def _goal(evidence: ArmEvidence, design: Design) -> tuple[Goal, float]:
    """What is the nearer way to a verdict, and how far the loss is from where it would fail."""
    loss = evidence.loss or 0.0
    below_margin = design.margin - loss if design.margin is not None and evidence.can_be_dropped else 0.0
    return ("rule out", below_margin) if below_margin >= abs(loss) else ("show", abs(loss))


def _repeats(required_sd: float, evidence: ArmEvidence, design: Design, noise: Noise | None) -> int | None:
    if noise is None or noise.degrees_of_freedom < MIN_FREEDOM or evidence.sd is None:
        return None
    variances = [
        noise.variance_of_difference(repeats=design.repeats, exams=own)
        for own in trainings(evidence.exams, design.test_unit)
    ]
    variance = min(sum(variances) / len(variances), evidence.sd**2)
    return repeats_needed(required_sd, evidence.sd, variance, design.repeats)
