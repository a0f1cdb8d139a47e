"""A verdict in one sentence, with the numbers behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from submit.analysis.comparisons import Comparison
from submit.analysis.design import Design
from submit.analysis.detection import Detection
from submit.analysis.plan import Plan
from submit.analysis.verdict import MOST_TIMES, Evidence, VerdictName, decide
from submit.analysis.wording import METRIC_STYLES, percent, probability
from submit.wording import counted

VERDICT_WORDS: dict[VerdictName, str] = {
    "needed": "needed",
    "worse": "worse, perhaps by less than the margin",
    "droppable": "droppable",
    "not distinguishable": "not distinguishable from retraining",
    "undecided": "undecided",
}
"""How verdicts are written for people."""


def sentence(
    evidence: Evidence, found: Comparison, seen: Detection, plan: Plan | None, design: Design
) -> str:
    """Why an arm has its verdict on one structure: lesions first, then the mean, then what follows.

    Args:
        evidence: What it was decided by.
        found: The arm's comparison in this structure.
        seen: Lesions found and false alarms.
        plan: What it would take to decide, for an open one.
        design: The design.
    """
    style = METRIC_STYLES[design.metric]
    lesions = _lesions(seen, evidence.structure, design)
    if found.mean is None or evidence.loss is None:
        none = (
            f"No test of this arm has a partner in the reference arm with a defined {style.name} of "
            f"{evidence.structure}."
        )
        return " ".join(part for part in (lesions, none) if part)
    relative = "" if found.relative is None else f"{percent(found.relative)}; "
    change = (
        f"{style.name} of {evidence.structure} changes by {style.with_unit(found.mean, signed=True)} "
        f"({_interval(found, design)}{relative}{counted(found.patients, 'patient')}){_test(evidence, design)}"
    )
    parts = [lesions, f"{change}: {_reason(evidence, design)}.", _beyond(evidence)]
    if decide(evidence) not in ("needed", "droppable"):
        parts += [*_obstacles(evidence, design), _needed(plan, evidence, design)]
    return " ".join(part for part in parts if part)


def _test(evidence: Evidence, design: Design) -> str:
    """P with the family that it is adjusted over; nothing of one patient, who has none."""
    if evidence.p is None:
        return ""
    family = counted(len(design.compared), "arm")
    if len(design.endpoint_structures) > 1:
        family += f" and {counted(len(design.endpoint_structures), 'structure')}"
    return f", {probability(evidence.p)} (sign flips, max-t over {family})"


def _reason(evidence: Evidence, design: Design) -> str:
    """What the numbers say, in words."""
    style, margin = METRIC_STYLES[design.metric], evidence.margin
    match decide(evidence):
        case "needed":
            return f"a loss of more than the margin, {style.threshold(margin)}, is shown"
        case "droppable" if evidence.margin_ruled_out:
            return (
                f"a loss of {style.threshold(margin)} or more is ruled out, {probability(evidence.p_not_worse)} "
                f"(one-sided, Holm; below {evidence.margin_level:.2g})"
            )
        case "droppable":
            return "better without it"
        case "worse" if margin is None:
            return "a loss is shown; no margin was stated that would say whether it matters"
        case "worse":
            return f"a loss is shown, which may be smaller than the margin, {style.threshold(margin)}"
        case "not distinguishable":
            assert evidence.floor is not None
            floor = evidence.floor
            return (
                f"training the same network again changes it by up to ±{style.with_unit(floor.value)} in 95 of 100 "
                f"studies (known to {style.text(floor.low)} to {style.text(floor.high)}), and is "
                f"{100 * floor.share:.0f} % of the scatter"
            )
    if evidence.is_better:
        return f"a gain is shown, but {_margin(evidence, design)}"
    return f"a difference is not shown, and {_margin(evidence, design)}"


def _margin(evidence: Evidence, design: Design) -> str:
    """Whether a loss of the margin is ruled out, in words."""
    if evidence.margin is None:
        return "no margin was stated, so that no loss can be ruled out"
    if not evidence.margin:
        return "beside a reference that is perfect, or finds nothing, no loss is small"
    loss = f"a loss of {METRIC_STYLES[design.metric].threshold(evidence.margin)}"
    if evidence.margin_ruled_out:
        return f"{loss} is ruled out, {probability(evidence.p_not_worse)} (one-sided, Holm)"
    return f"{loss} is not ruled out"


def _lesions(seen: Detection, structure: str, design: Design) -> str:
    """Lesions lost and gained and false alarms, before any mean; each counts once in every repeat."""
    said = []
    repeats = f" in {design.repeats} repeats" if design.repeats > 1 else ""
    if seen.lost or seen.gained:
        gained = f", and finds {seen.gained} that the reference misses" if seen.gained else ""
        said.append(
            f"Loses {seen.lost} of {counted(seen.found_by_reference, 'lesion')} ({structure}) that the reference "
            f"finds{gained}{repeats}{_tested(seen.misses.p)}."
            if seen.lost
            else f"Finds {counted(seen.gained, 'lesion')} ({structure}) that the reference misses{repeats}"
            f"{_tested(seen.misses.p)}."
        )
    alarms = seen.false_alarms
    if alarms.only_arm or alarms.only_reference:
        said.append(
            f"False alarms ({structure}) in {alarms.arm} of {counted(alarms.tests, 'exam')} without a lesion, of the "
            f"reference in {alarms.reference}{repeats}{_tested(alarms.p)}."
        )
    return " ".join(said)


def _tested(p: float | None) -> str:
    return f" (McNemar, {probability(p)})" if p is not None else ""


def _beyond(evidence: Evidence) -> str:
    """How many patients lose more than the margin: what a mean hides."""
    if not evidence.beyond_margin:
        return ""
    lose = "loses" if evidence.beyond_margin == 1 else "lose"
    return f"{evidence.beyond_margin} of {counted(evidence.patients, 'patient')} {lose} more than the margin."


def _obstacles(evidence: Evidence, design: Design) -> list[str]:
    """What stands in the way of a verdict, beside chance."""
    if evidence.can_see:
        return []
    return [
        f"The reference itself is not shown to segment it well enough (a mean Dice above {design.smallest_dice:g}) "
        "that anything could be called droppable beside it."
    ]


def _interval(found: Comparison, design: Design) -> str:
    style = METRIC_STYLES[design.metric]
    if found.low is None:
        return ""
    cut = ", cut where the metric ends" if found.cut else ""
    return f"95 % interval {style.interval(found.low, found.high)}{cut}; "


def _needed(plan: Plan | None, evidence: Evidence, design: Design) -> str:
    """What it would take, in words."""
    if plan is None:
        return ""
    margin = METRIC_STYLES[design.metric].threshold(plan.margin)
    ways = []
    if plan.patients is not None and plan.exams is not None:
        ways.append(f"about {counted(plan.patients, 'patient')} ({counted(plan.exams, 'exam')})")
    elif plan.repeats is None:
        ways.append(f"more than {MOST_TIMES} times this cohort")
    if plan.repeats is not None:
        ways.append(f"at best {counted(plan.repeats, 'repeat')} of every arm with these patients")
    return f"To tell a loss of {margin} from none would take {' or '.join(ways)}."


@dataclass(frozen=True, kw_only=True)
class HeadlineArm:
    """An arm as the headline needs it."""

    name: str
    """What it leaves out, or the channel that it has."""
    verdict: VerdictName
    loss: float | None
    """None without a pair."""
    harmed: tuple[str, ...] = ()
    """What is worse without it beside the endpoint."""
    done: tuple[int, int] | None = None
    """Tests that are done, of how many, where too many are missing for a verdict."""


LEFT_OUT: dict[VerdictName, str] = {
    "needed": "Needed: {}.",
    "worse": "Worse without it, perhaps by less than matters: {}.",
    "droppable": "Can be left out, one at a time: {}.",
    "not distinguishable": "Not told apart from training the network again: {}.",
    "undecided": "Undecided: {}.",
}
"""How verdicts on what an arm leaves out are summed up."""
ONE_IN: dict[VerdictName, str] = LEFT_OUT | {
    "needed": "Not enough alone: {}.",
    "worse": "Worse alone, perhaps by less than matters: {}.",
    "droppable": "Enough alone, as far as this endpoint goes: {}.",
}
"""The same of arms with one channel."""
UNFINISHED = "Too few tests for a verdict yet: {}."


def answer(
    arms: Sequence[HeadlineArm], words: Mapping[VerdictName, str], structures: Sequence[str]
) -> list[str]:
    """All verdicts, a sentence for each kind; the largest loss first, of what is droppable the smallest.

    Args:
        arms: The arms.
        words: A sentence for each kind.
        structures: Of the endpoint.
    """
    lines = []
    for kind, text in words.items():
        own = [arm for arm in arms if arm.verdict == kind and arm.done is None]
        own.sort(key=lambda arm: arm.loss or 0.0, reverse=kind != "droppable")
        own.sort(key=lambda arm: arm.loss is None)
        if kind == "droppable":
            own.sort(key=lambda arm: bool(arm.harmed))
        if own:
            named = [_named(arm, structures) for arm in own]
            separator = ", " if named == [arm.name for arm in own] else "; "
            lines.append(text.format(separator.join(named)))
    unfinished = [f"{arm.name} ({arm.done[0]} of {arm.done[1]})" for arm in arms if arm.done is not None]
    return [*lines, UNFINISHED.format(", ".join(unfinished))] if unfinished else lines


def influence(arms: Sequence[HeadlineArm]) -> str:
    """Which channel matters most and least, by the mean loss; empty where no two differ."""
    known = [arm for arm in arms if arm.done is None and arm.loss is not None]
    known.sort(key=lambda arm: -(arm.loss or 0.0))
    if not known or known[0].loss == known[-1].loss:
        return ""
    return f"Most influential: {known[0].name}; least: {known[-1].name}."


def _named(arm: HeadlineArm, structures: Sequence[str]) -> str:
    if not arm.harmed or arm.verdict in ("needed", "worse"):
        return arm.name
    if arm.verdict != "droppable":
        return f"{arm.name} (with harm to {' and '.join(arm.harmed)})"
    return f"{arm.name} as far as {' and '.join(structures)} goes, with harm to {' and '.join(arm.harmed)}"
