"""A verdict in one sentence, with the numbers behind it."""

from collections.abc import Mapping, Sequence

from submit.analysis.comparisons import Comparison
from submit.analysis.design import ALPHA, HIGHER_IS_BETTER, Design
from submit.analysis.plan import Plan
from submit.analysis.verdict import ArmEvidence, VerdictName
from submit.analysis.wording import METRIC_STYLES, number, percent, probability
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
    relative = "" if found.relative is None else f"{percent(found.relative)}; "
    change = (
        f"{style.name} of {design.structure} changes by {style.with_unit(found.mean, signed=True)} "
        f"({_interval(found, design)}{relative}{counted(found.patients, 'patient')})"
    )
    tested = f"{probability(evidence.p)} (Wilcoxon, Holm over {counted(len(design.compared), 'arm')})"
    noise = f"retraining alone changes it by up to ±{style.with_unit(evidence.noise_floor)} (95 of 100 times)"
    has_noise = evidence.noise_floor is not None
    if verdict == "needed":
        return f"{change}, {tested}" + (f"; {noise}." if has_noise else ".")
    if verdict == "droppable":
        if evidence.margin_ruled_out and evidence.can_be_dropped:
            return (
                f"{change}; a loss of {style.with_unit(design.margin)} or more is ruled out, "
                f"{probability(evidence.p_not_worse)} (one-sided, Holm)."
            )
        return f"{change}: better without it, {tested}" + (f"; {noise}." if has_noise else ".")
    said = (
        f"{change}, and {noise}; {_margin(evidence, design)}."
        if verdict == "not distinguishable"
        else f"{change}, {tested}: a difference is {_shown(evidence)}, and {_margin(evidence, design)}."
    )
    return " ".join(part for part in (said, *_obstacles(evidence), _needed(plan, design)) if part)


def _margin(evidence: ArmEvidence, design: Design) -> str:
    """Whether a loss of the margin is ruled out, in words."""
    if design.margin is None:
        return "no margin was stated, so that no loss can be ruled out"
    loss = f"a loss of {METRIC_STYLES[design.metric].with_unit(design.margin)}"
    if evidence.margin_ruled_out:
        return f"{loss} is ruled out, {probability(evidence.p_not_worse)} (one-sided, Holm)"
    return f"{loss} is not ruled out"


def _shown(evidence: ArmEvidence) -> str:
    """Whether a difference is shown, in words."""
    if evidence.different:
        return "shown"
    if evidence.p is None or evidence.p >= ALPHA:
        return "not shown"
    if evidence.rank_sign * (evidence.loss or 0) <= 0:
        return "shown by ranks, but not in the direction of the mean"
    return "shown by ranks, but not for the mean"


def _obstacles(evidence: ArmEvidence) -> list[str]:
    """What stands in the way of a verdict, beside chance."""
    said = []
    if not evidence.sensitive:
        said.append("The reference itself is not so good that a loss of the margin could be seen.")
    if evidence.more_false_alarms > 0:
        said.append(
            f"The arm has {counted(evidence.more_false_alarms, 'more false alarm')} than the reference, in exams "
            "without a lesion: nothing with more of them is called droppable."
        )
    if evidence.p is not None and evidence.p < ALPHA and evidence.rank_sign * (evidence.loss or 0) <= 0:
        said.append("Most patients change the other way than the mean, which a few large changes make.")
    return said


def is_harm(found: Comparison) -> bool:
    """Whether an arm is worse than the reference in a secondary endpoint: by ranks, after adjustment."""
    if not found.rank_biserial or found.p_adjusted is None or found.p_adjusted >= ALPHA:
        return False
    return (found.rank_biserial < 0) == HIGHER_IS_BETTER[found.metric]


def harm(found: Comparison) -> str:
    """A secondary endpoint that is worse, in words."""
    style = METRIC_STYLES[found.metric]
    assert found.mean is not None
    assert found.rank_biserial is not None
    change = style.with_unit(found.mean, signed=True)
    if found.mean * found.rank_biserial <= 0:  # a few large changes make the mean
        change = (
            f"in most patients (rank-biserial {number(found.rank_biserial, 2, signed=True)}; mean {change})"
        )
    return f"{style.name} of {found.structure} {change}, {probability(found.p_adjusted)}"


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
    few = ""
    if plan.fewest is not None:
        few = (
            f"So few patients cannot show any difference over {counted(len(design.compared), 'arm')}, however large; "
            f"{plan.fewest} can. "
        )
    ways = []
    if plan.patients is not None and plan.exams is not None:
        ways.append(f"about {counted(plan.patients, 'patient')} ({counted(plan.exams, 'exam')})")
    if plan.repeats is not None:
        ways.append(f"at best {counted(plan.repeats, 'repeat')} of every arm with these patients")
    goal = (
        f"show a difference of {style.with_unit(plan.effect)}"
        if plan.goal == "show"
        else f"rule out a loss of {style.with_unit(design.margin)}"
    )
    if not ways:
        return (
            f"{few}No number of patients within reason would {goal}, if the true difference is the one found."
        )
    return f"{few}To {goal} would take {' or '.join(ways)}, if the true difference is the one found."


LEFT_OUT: dict[VerdictName, str] = {
    "needed": "Needed: {}.",
    "droppable": "Can be left out, one at a time: {}.",
    "not distinguishable": "Not told apart from training the network again: {}.",
    "undecided": "Undecided: {}.",
}
"""How verdicts on what an arm leaves out are summed up."""
ONE_IN: dict[VerdictName, str] = LEFT_OUT | {
    "needed": "Not enough alone: {}.",
    "droppable": "Enough alone, as far as this endpoint goes: {}.",
}
"""The same of arms with one channel."""


def answer(verdicts: Sequence[tuple[str, VerdictName]], words: Mapping[VerdictName, str]) -> list[str]:
    """All verdicts, a sentence for each kind.

    Args:
        verdicts: Of what, and the verdict.
        words: A sentence for each kind.
    """
    return [
        text.format(", ".join(name for name, verdict in verdicts if verdict == kind))
        for kind, text in words.items()
        if any(verdict == kind for _, verdict in verdicts)
    ]
