"""Secondary endpoints that are worse in an arm: a safety screen.

It is not adjusted for multiplicity. A screen that asks for proof of harm hides it: of ten patients and fifty tests
nothing could ever be shown. What it names may be chance, in one of twenty endpoints, and is there to be looked at. A
large loss of Dice is named though it is not shown: few patients show little.
"""

from collections.abc import Iterable, Sequence

from job.contract.cohort_rules import UNION
from submit.analysis.comparisons import Comparison
from submit.analysis.design import HIGHER_IS_BETTER, Design
from submit.analysis.wording import METRIC_STYLES

LARGE_LOSS = 0.05
"""Of mean Dice in another structure."""


def harms_of(arm: str, comparisons: Iterable[Comparison], design: Design) -> tuple[Comparison, ...]:
    """The secondary endpoints of an arm whose 95 % interval lies on the worse side of 0, or whose loss is large."""
    return tuple(
        each
        for each in comparisons
        if each.arm == arm and each.endpoint not in design.endpoints and (is_worse(each) or is_large(each))
    )


def is_worse(found: Comparison) -> bool:
    """Whether an interval excludes 0 to the worse side."""
    if found.low is None or found.high is None:
        return False
    return found.high < 0 if HIGHER_IS_BETTER[found.metric] else found.low > 0


def is_large(found: Comparison) -> bool:
    """Whether a mean loss of Dice is large, shown or not."""
    return found.metric == "dice" and found.mean is not None and found.mean <= -LARGE_LOSS


def harm_text(found: Comparison) -> str:
    """A secondary endpoint that is worse, with its numbers."""
    style = METRIC_STYLES[found.metric]
    interval = (
        "no interval"
        if found.low is None
        else f"{style.text(found.low, signed=True)} to {style.text(found.high, signed=True)}"
    )
    shown = "" if is_worse(found) else "; large, not shown"
    return f"{style.name} of {found.structure} {style.with_unit(found.mean, signed=True)} ({interval}{shown})"


def harmed(harms: Sequence[Comparison], design: Design) -> list[str]:
    """What is harmed, in the words of a headline: structures, or a metric of one where its Dice is not.

    The union of all classes is left out where a class is named that is part of it.
    """
    by_structure: dict[str, list[str]] = {}
    for each in harms:
        by_structure.setdefault(each.structure, []).append(each.metric)
    named = {}
    for structure, metrics in by_structure.items():
        whole = "dice" in metrics and (structure, "dice") not in design.endpoints
        named[structure] = structure if whole else f"{METRIC_STYLES[metrics[0]].name} of {structure}"
    if len(named) > 1:
        named.pop(UNION, None)
    return list(named.values())
