"""What the metrics of a report are, and where two definitions of one lead to different conclusions."""

from collections.abc import Iterable

from job.contract.metrics import METRICS, Metric
from submit.analysis.analysis import Analysis
from submit.report.effect_map import mark_of


def defined(names: Iterable[str]) -> list[Metric]:
    """Those of some metrics that the page and the methods define, in the order of the table."""
    known = set(names)
    return [each for each in METRICS.values() if each.name in known and (each.formula or each.definition)]


def overlaps(names: Iterable[str]) -> list[str]:
    """Titles of those that are 0 in a miss and a false alarm."""
    known = set(names)
    return [each.title for each in METRICS.values() if each.name in known and each.one_empty == "zero"]


def flips(analysis: Analysis) -> dict[str, list[str]]:
    """By title, the arms and structures in which one definition shows a change and another does not, or the opposite.

    Those of the metric that others are variants of.
    """
    found = {(each.arm, *each.endpoint): mark_of(each) for each in analysis.comparisons}
    said: dict[str, list[str]] = {}
    for (arm, structure, name), mark in found.items():
        for other in METRICS.values():
            by_other = (arm, structure, other.name)
            if other.variant_of == name and by_other in found and found[by_other] != mark:
                title, words = METRICS[name].title, [each or "not shown" for each in (mark, found[by_other])]
                where = f"{arm} in {structure} ({title} {words[0]}, {other.title} {words[1]})"
                said.setdefault(title, []).append(where)
    return said
