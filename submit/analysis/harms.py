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
    if HIGHER_IS_BETTER[found.metric]:
        return found.high is not None and found.high < 0
    return found.low is not None and found.low > 0


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
    """What is harmed, in the words of a headline: structures whose Dice is, metrics of others and of the endpoint's.

    The union of all classes is left out where each of its metrics is worse in a class, which is part of it.
    """
    metrics: dict[str, list[str]] = {}
    for each in harms:
        metrics.setdefault(each.structure, []).append(each.metric)
    of_classes = {metric for structure, own in metrics.items() if structure != UNION for metric in own}
    if set(metrics.get(UNION, ())) <= of_classes:
        metrics.pop(UNION, None)
    return [
        structure
        if "dice" in own and structure not in design.endpoint_structures
        else f"{_names(own)} of {structure}"
        for structure, own in metrics.items()
    ]


def _names(metrics: Sequence[str]) -> str:
    """Metrics within a headline; HD95 once, if it is worse by both definitions."""
    shown = [metric for metric in metrics if metric != "hd95_voxels_mm" or "hd95_mm" not in metrics]
    return " and ".join(METRIC_STYLES[metric].within for metric in shown)
