"""A verdict in one sentence, with the numbers behind it."""

from submit.analysis.comparisons import Comparison
from submit.analysis.design import ALPHA, HIGHER_IS_BETTER, Design
from submit.analysis.plan import Plan
from submit.analysis.power import POWER
from submit.analysis.verdict import ArmEvidence, VerdictName
from submit.analysis.wording import METRIC_STYLES, percent, probability
from submit.wording import counted


def sentence(
    verdict: VerdictName, evidence: ArmEvidence, found: Comparison, plan: Plan | None, design: Design
) -> str:
    """Why an arm has its verdict.

    Args:
        verdict: The verdict.
        evidence: What it was decided by.
        found: The arm's comparison in the primary endpoint.
        plan: What it would take to decide, for an undecided one.
        design: The design.
    """
    style = METRIC_STYLES[design.metric]
    if found.mean is None or evidence.loss is None:
        return f"No test of this arm has a partner in the reference arm with a defined {style.name}."
    change = (
        f"{style.name} of {design.structure} changes by {style.with_unit(found.mean, signed=True)} "
        f"({_interval(found, design)}{percent(found.relative)}; {counted(found.patients, 'patient')})"
    )
    tested = f"{probability(evidence.p)} (Wilcoxon, Holm over {counted(len(design.compared), 'arm')})"
    noise = f"retraining alone changes it by up to ±{style.with_unit(evidence.noise_floor)}"
    has_noise = evidence.noise_floor is not None
    if verdict == "needed":
        return f"{change}, {tested}" + (f"; {noise}." if has_noise else ".")
    if verdict == "droppable":
        if evidence.p_not_worse is not None and evidence.p_not_worse < ALPHA:
            worse = "drop" if HIGHER_IS_BETTER[design.metric] else "rise"
            return (
                f"{change}; a {worse} of {style.with_unit(design.margin)} or more is ruled out, "
                f"{probability(evidence.p_not_worse)} (one-sided, Holm)."
            )
        return f"{change}: better without it, {tested}" + (f"; {noise}." if has_noise else ".")
    if verdict == "not distinguishable":
        return f"{change}, and {noise}."
    return f"{change}, {tested}: neither shown nor ruled out. {_needed(plan, design)}".strip()


def _interval(found: Comparison, design: Design) -> str:
    style = METRIC_STYLES[design.metric]
    if found.low is None or found.high is None:
        return ""
    return f"95 % interval {style.text(found.low, signed=True)} to {style.text(found.high, signed=True)}; "


def _needed(plan: Plan | None, design: Design) -> str:
    """What it would take, in words."""
    if plan is None:
        return ""
    style = METRIC_STYLES[design.metric]
    ways = []
    if plan.patients is not None and plan.exams is not None:
        ways.append(f"about {counted(plan.patients, 'patient')} ({counted(plan.exams, 'exam')})")
    if plan.repeats is not None:
        ways.append(f"{counted(plan.repeats, 'repeat')} with these patients")
    difference = f"a difference of {style.with_unit(plan.effect)} with a power of {POWER:.0%}"
    if not ways:
        return f"No number of patients within reason would show {difference}."
    return f"To show {difference} would take {' or '.join(ways)}."
