"""What it would take to decide an arm that is undecided."""

from dataclasses import dataclass
from math import ceil

from submit.analysis.design import ALPHA, Design
from submit.analysis.noise import Noise
from submit.analysis.power import detectable, fewest_patients, patients_needed, repeats_needed
from submit.analysis.verdict import ArmEvidence


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many patients, or repeats, would show a difference; None: none within reason."""

    effect: float
    """The difference: the margin, or without one what was found."""
    patients: int | None
    exams: int | None
    """Of so many patients, with as many exams each as now."""
    fewest: int | None
    """Patients below whom no difference can be shown, however large; None where there are enough."""
    repeats: int | None
    """Of every arm, with the patients that there are; None also if the noise of retraining is not known."""


def plan_for(evidence: ArmEvidence, design: Design, noise: Noise | None) -> Plan | None:
    """The plan for an arm; None where its spread is not known, or there is no effect to plan for.

    The level is that of the first step of Holm's method, which is the strictest.
    """
    effect = design.margin if design.margin is not None else abs(evidence.loss or 0.0)
    if not evidence.sd or not effect:
        return None
    alpha, patients = ALPHA / len(design.compared), len(evidence.exams)
    needed = patients_needed(effect, evidence.sd, alpha=alpha)
    repeats = None
    too_few = detectable(1.0, patients, alpha=alpha) is None
    if noise is not None and not too_few:
        variances = [
            noise.variance_of_difference(repeats=design.repeats, exams=exams) for exams in evidence.exams
        ]
        noise_variance = min(sum(variances) / patients, evidence.sd**2)
        found = detectable(1.0, patients, alpha=alpha)  # in SDs
        assert found is not None
        repeats = repeats_needed(effect / found, evidence.sd, noise_variance, design.repeats)
    return Plan(
        effect=effect,
        patients=needed,
        exams=None if needed is None else ceil(needed * sum(evidence.exams) / patients),
        fewest=fewest_patients(alpha) if too_few else None,
        repeats=repeats,
    )
