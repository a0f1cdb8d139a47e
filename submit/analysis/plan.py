"""What it would take to decide an arm that is open."""

from dataclasses import dataclass
from math import ceil

from submit.analysis.design import ALPHA, Design, trainings
from submit.analysis.evidence import MIN_FREEDOM
from submit.analysis.noise import Noise
from submit.analysis.power import POWER, detectable, patients_needed, power_of, repeats_needed
from submit.analysis.sign_flips import FEWEST
from submit.analysis.verdict import MOST_TIMES, Evidence, margin_level


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many patients, or repeats, tell a loss of the margin from none, with a power of 80 %.

    Not for the loss that was found: that of a small study is a lucky or an unlucky one.
    """

    margin: float
    patients: int | None
    """All in all, rounded; None: more than ten times as many as there are."""
    exams: int | None
    """Of so many patients, with as many exams each as now."""
    repeats: int | None
    """Of every arm, with the patients that there are; None: none would do, or the noise is not known."""


def plan_for(evidence: Evidence, design: Design, noise: Noise | None) -> Plan | None:
    """The plan for an arm; None without a margin, a spread, or a want of patients.

    To show a loss of the margin where there is one, and to rule it out where there is none, whichever takes more.
    """
    margin, patients = evidence.margin, evidence.patients
    if not evidence.sd or not margin or not evidence.can_see:
        return None
    alpha = design.shared_level
    needed = patients_for_margin(margin, evidence.sd, alpha=alpha)
    in_sds = detectable(1.0, patients, alpha=_sharper(alpha, patients))
    repeats = None if in_sds is None else _repeats(margin / in_sds, evidence, design, noise)
    if needed is not None and needed <= patients:
        return None
    within = needed is not None and needed <= MOST_TIMES * patients
    return Plan(
        margin=margin,
        patients=rounded(needed) if within and needed is not None else None,
        exams=rounded(ceil(needed * sum(evidence.exams) / patients))
        if within and needed is not None
        else None,
        repeats=repeats,
    )


def patients_for_margin(margin: float, sd: float, *, alpha: float) -> int | None:
    """Patients who show a loss of the margin, and rule it out where there is none.

    None above `power.MAX_PATIENTS`.

    Args:
        margin: The loss.
        sd: Of the patients' differences, in the same unit.
        alpha: Level of one arm.
    """
    needed = patients_needed(margin, sd, alpha=alpha)
    if needed is None:
        return None
    needed = max(needed, FEWEST)
    while power_of(margin, sd, needed, alpha=_sharper(alpha, needed)) < POWER:
        needed += 1
    return needed


def _sharper(alpha: float, patients: int) -> float:
    """The level of one arm at which a loss of the margin is ruled out: of few patients a sharper one."""
    return alpha * margin_level(patients) / (ALPHA / 2)


def _repeats(required_sd: float, evidence: Evidence, design: Design, noise: Noise | None) -> int | None:
    if noise is None or noise.degrees_of_freedom < MIN_FREEDOM or evidence.sd is None:
        return None
    variances = [
        noise.variance_of_difference(repeats=design.repeats, exams=own)
        for own in trainings(evidence.exams, design.test_unit)
    ]
    variance = min(sum(variances) / len(variances), evidence.sd**2)
    return repeats_needed(required_sd, evidence.sd, variance, design.repeats)


def rounded(number: int) -> int:
    """A size as it is planned: to fives up to 100, to tens up to 500, then to fifties; always up."""
    step = 1 if number <= 20 else 5 if number <= 100 else 10 if number <= 500 else 50
    return ceil(number / step) * step
