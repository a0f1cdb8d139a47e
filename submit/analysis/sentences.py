"""A verdict in one sentence, with the numbers behind it."""

from submit.analysis.comparisons import Comparison
from submit.analysis.design import Design
from submit.analysis.detection import Detection
from submit.analysis.differences import BothFound
from submit.analysis.plan import Plan
from submit.analysis.verdict import DECIDED, MOST_TIMES, Evidence, decide
from submit.analysis.wording import METRIC_STYLES, percent, precise, probability
from submit.wording import counted


def sentence(
    evidence: Evidence,
    found: Comparison,
    seen: Detection,
    drawn: BothFound | None,
    plan: Plan | None,
    design: Design,
) -> str:
    """Why an arm has its verdict on one structure: lesions first, then the mean, then what follows.

    Args:
        evidence: What it was decided by.
        found: The arm's comparison in this structure.
        seen: Lesions found and false alarms.
        drawn: The difference where both found the lesion; None for a metric that has none.
        plan: What it would take to decide, for an open one.
        design: The design.
    """
    style = METRIC_STYLES[design.metric]
    lesions = _lesions(seen, evidence.structure, design)
    if found.mean is None or evidence.loss is None:
        none = (
            f"{style.name} of {evidence.structure} has no pair of tests: there is none without a lesion, nor where "
            "both miss it."
        )
        return " ".join(part for part in (lesions, none, *_obstacles(evidence, design)) if part)
    relative = "" if found.relative is None else f"{percent(found.relative)}; "
    change = (
        f"{style.name} of {evidence.structure} changes by {style.with_unit(found.mean, signed=True)} "
        f"({_interval(found, design)}{relative}{counted(found.patients, 'patient')})"
        + ("" if evidence.p is None else f", {probability(evidence.p)}")
    )
    parts = [
        lesions,
        f"{change}: {_reason(evidence, design)}.",
        _drawn(seen, drawn, design),
        _beyond(evidence),
    ]
    if decide(evidence) not in DECIDED:
        parts += [*_obstacles(evidence, design), _needed(plan, evidence, design)]
    return " ".join(part for part in parts if part)


def _reason(evidence: Evidence, design: Design) -> str:
    """What the numbers say, in words."""
    style, margin = METRIC_STYLES[design.metric], evidence.margin
    match decide(evidence):
        case "needed":
            return f"a loss of more than the margin, {style.threshold(margin)}, is shown"
        case "droppable" if evidence.margin_ruled_out:
            return (
                f"a loss of {style.threshold(margin)} or more is ruled out, {precise(evidence.p_not_worse)} "
                f"(one-sided; below {evidence.margin_level:.2g})"
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
                f"training the same network again changes it by up to ±{style.with_unit(floor.value)} "
                f"({style.text(floor.low)} to {style.text(floor.high)}), which is {100 * floor.share:.0f} % of the "
                "scatter"
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
        return f"{loss} is ruled out, {precise(evidence.p_not_worse)} (one-sided)"
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


def _drawn(seen: Detection, drawn: BothFound | None, design: Design) -> str:
    """The mean over the lesions that both found, where they do not find the same ones."""
    if drawn is None or drawn.mean is None or not (seen.lost or seen.gained):
        return ""
    style = METRIC_STYLES[design.metric]
    return (
        f"Where both find the lesion ({counted(drawn.patients, 'patient')}) it changes by "
        f"{style.with_unit(drawn.mean, signed=True)}."
    )


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
