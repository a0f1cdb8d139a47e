"""What it would take to decide an arm that is undecided."""

from dataclasses import dataclass
from math import ceil
from typing import Literal

from submit.analysis.design import ALPHA, Design
from submit.analysis.noise import Noise
from submit.analysis.power import detectable, fewest_patients, patients_needed, repeats_needed
from submit.analysis.verdict import MIN_FREEDOM, ArmEvidence

Goal = Literal["show", "rule out"]


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
    """Patients below whom no difference can be shown, however large; None where there are enough."""
    repeats: int | None
    """Of every arm, with the patients that there are; None: none would do, or the noise is not known."""


def plan_for(evidence: ArmEvidence, design: Design, noise: Noise | None) -> Plan | None:
    """The plan for an arm; None if its spread is not known, or if it is not for a want of patients that it is open.

    The level is that of the first step of Holm's method, which is the strictest; the power that of Wilcoxon's test,
    which is near that of the test against the margin.
    """
    goal, effect = _goal(evidence, design)
    if not evidence.sd or effect <= 0:
        return None
    alpha, patients = ALPHA / len(design.compared), len(evidence.exams)
    needed = patients_needed(effect, evidence.sd, alpha=alpha)
    repeats = _repeats(effect, evidence, design, noise)
    if (
        goal == "show" and evidence.in_noise
    ):  # the floor must be below the loss too; it shrinks with their root
        assert evidence.noise_floor is not None
        factor = (evidence.noise_floor / effect) ** 2
        needed = None if needed is None else max(needed, ceil(factor * patients) + 1)
        repeats = None if repeats is None else max(repeats, ceil(factor * design.repeats) + 1)
    if needed is not None and needed <= patients:
        return None
    return Plan(
        goal=goal,
        effect=effect,
        patients=needed,
        exams=None if needed is None else ceil(needed * sum(evidence.exams) / patients),
        fewest=fewest_patients(alpha) if detectable(1.0, patients, alpha=alpha) is None else None,
        repeats=repeats,
    )


def _goal(evidence: ArmEvidence, design: Design) -> tuple[Goal, float]:
    """What is the nearer way to a verdict, and how far the loss is from where it would fail."""
    loss = evidence.loss or 0.0
    below_margin = design.margin - loss if design.margin is not None and evidence.can_be_dropped else 0.0
    return ("rule out", below_margin) if below_margin >= abs(loss) else ("show", abs(loss))


def _repeats(effect: float, evidence: ArmEvidence, design: Design, noise: Noise | None) -> int | None:
    patients = len(evidence.exams)
    in_sds = detectable(1.0, patients, alpha=ALPHA / len(design.compared))
    if noise is None or noise.degrees_of_freedom < MIN_FREEDOM or in_sds is None or evidence.sd is None:
        return None
    variances = [
        noise.variance_of_difference(repeats=design.repeats, exams=exams) for exams in evidence.exams
    ]
    variance = min(sum(variances) / patients, evidence.sd**2)
    return repeats_needed(effect / in_sds, evidence.sd, variance, design.repeats)
