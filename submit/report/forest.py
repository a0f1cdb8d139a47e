"""The forest plot: every arm against the reference arm in the primary endpoint."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from submit.analysis.analysis import Analysis, StructureVerdict, Verdict
from submit.analysis.comparisons import Comparison
from submit.analysis.headline import in_order, short_name
from submit.analysis.verdict import LOSSES, VerdictName
from submit.analysis.wording import METRIC_STYLES, shortened
from submit.report.figures import AMBER, DARK, GREEN, GREY, VERMILLION

MARKERS: dict[VerdictName, tuple[str, str]] = {
    "needed": ("o", VERMILLION),
    "worse": ("v", AMBER),
    "droppable": ("s", GREEN),
    "not distinguishable": ("D", GREY),
    "undecided": ("^", DARK),
}
"""Shape and colour of each verdict: either alone tells them apart."""
UNFINISHED = ("x", GREY)
"""Of an arm with too few tests for a verdict."""
HARM = VERMILLION
"""Colour of a verdict, whatever it is, where something beside the endpoint is worse; the shape is then hollow."""
MOST_SPANS = 6.0
"""An axis is at most as long as so many times the span of the means and the margin; intervals may run out of it."""
ENDLESS = 1e6
"""Where the line of an interval without an upper end goes to, beyond every axis."""
FOREST_INCHES = 5.6
"""Beside a table, half as wide as the page."""


def forest_figure(analysis: Analysis, width_inches: float = FOREST_INCHES) -> Figure:
    """Mean difference of every arm with its 95 % interval; margin and noise floor as bands, verdicts as marks.

    A panel for each structure of the endpoint, with arms in the same order, marked by the verdict on that structure.
    """
    order, count = in_order(analysis), len(analysis.structures)
    figure = Figure(figsize=(width_inches, 1.0 + count * (0.7 + 0.4 * len(order))), layout="constrained")
    panels = figure.subplots(count, 1, squeeze=False)[:, 0]
    for number, (axes, structure) in enumerate(zip(panels, analysis.structures, strict=True)):
        axes.axvline(0, color="black", lw=0.8)
        found = [_compared(analysis, verdict, structure) for verdict in order]
        for place, (verdict, own) in enumerate(zip(order, found, strict=True)):
            _draw_arm(axes, place, verdict, verdict.structures[number], own)
        axes.set_xlim(*_span(found, analysis.margin))  # which cuts off a line without an end
        axes.set_yticks(range(len(order)), [shortened(each.arm, 24) for each in order], parse_math=False)
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.grid(axis="x", color="#E0E0E0", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel(_label(analysis, structure), parse_math=False)
    figure.legend(handles=_legend(analysis), loc="outside upper left", ncols=2, frameon=False, fontsize=9)
    return figure


def _compared(analysis: Analysis, verdict: Verdict, structure: str) -> Comparison:
    """An arm in one structure of the endpoint."""
    endpoint = (structure, analysis.endpoint["metric"])
    (found,) = (
        each for each in analysis.comparisons if each.arm == verdict.arm and each.endpoint == endpoint
    )
    return found


def _draw_arm(axes: Axes, place: int, verdict: Verdict, decided: StructureVerdict, found: Comparison) -> None:
    """A row: mean, interval, margin and noise; empty without a pair."""
    if found.mean is None:
        return
    if decided.margin is not None:
        band = (-decided.margin, 2 * decided.margin)
        axes.broken_barh([band], (place - 0.5, 1), color=GREY, alpha=0.13, lw=0)
    if decided.floor is not None:
        ends = (-decided.floor.value, decided.floor.value)
        axes.plot(ends, (place, place), "|", color=GREY, ms=14, mew=1.2)
    marker, colour, fill = _look(verdict, decided)
    if found.low is not None:
        axes.hlines(place, found.low, ENDLESS if found.high is None else found.high, color=colour, lw=2)
    axes.plot(found.mean, place, marker, color=colour, markersize=8, markerfacecolor=fill, mew=1.6)


def _look(verdict: Verdict, decided: StructureVerdict) -> tuple[str, str, str]:
    """Shape, colour and filling of a mark: green is only what may go as far as all is known."""
    if not verdict.complete:
        return (*UNFINISHED, UNFINISHED[1])
    marker, colour = MARKERS[decided.verdict]
    missed_elsewhere = verdict.verdict in LOSSES or bool(verdict.harmed)
    if missed_elsewhere and decided.verdict not in LOSSES:
        return marker, HARM, "white"
    if decided.verdict == "droppable" and verdict.verdict != "droppable":
        colour = GREY
    return marker, colour, colour


def _legend(analysis: Analysis) -> list[Line2D | Patch]:
    drawn = [
        (verdict, own) for verdict in in_order(analysis) for own in verdict.structures if own.loss is not None
    ]
    looks = [_look(*each) for each in drawn]
    names: dict[VerdictName, tuple[str, str]] = {
        own.verdict: MARKERS[own.verdict] for verdict, own in drawn if verdict.complete
    }
    if "droppable" in names and not any(colour == GREEN for _, colour, _ in looks):
        names["droppable"] = (MARKERS["droppable"][0], GREY)
    handles: list[Line2D | Patch] = [
        Line2D([], [], marker=marker, color=colour, ms=7, lw=2, label=short_name(name, analysis))
        for name, (marker, colour) in names.items()
    ]
    if not all(verdict.complete for verdict, _ in drawn):
        marker, colour = UNFINISHED
        handles.append(Line2D([], [], marker=marker, color=colour, ms=7, lw=2, label="unfinished"))
    if any(fill == "white" for _, _, fill in looks):
        handles.append(Line2D([], [], marker="o", color=HARM, markerfacecolor="white", mew=1.6, ms=7, lw=2))
        handles[-1].set_label("hollow: harm elsewhere")
    if analysis.margin is not None:
        handles.append(Patch(color=GREY, alpha=0.13, label="margin"))
    if analysis.has_floor:
        handles.append(
            Line2D([], [], color=GREY, lw=0, marker="|", ms=10, mew=1.5, label="noise of retraining")
        )
    return handles


def _label(analysis: Analysis, structure: str) -> str:
    style = METRIC_STYLES[analysis.endpoint["metric"]]
    unit = f", {style.unit}" if style.unit else ""
    left, right = ("worse", "better") if style.metric.higher_is_better else ("better", "worse")
    what = f"{style.name} of {shortened(structure, 24)}: arm − reference{unit}"
    return f"{what}\n← {left}                {right} →"


def _span(found: Sequence[Comparison], margin: float | None) -> tuple[float, float]:
    """Ends of an axis that fits the data: all means and the margin; intervals as far as they leave these readable."""
    means = [0.0, *(each.mean for each in found if each.mean is not None)]
    means += [] if margin is None else [-margin, margin]
    low, high = min(means), max(means)
    room = ((high - low) or 1.0) * (MOST_SPANS - 1) / 2
    ends = [each.low for each in found if each.low is not None]
    ends += [each.high for each in found if each.high is not None]
    low, high = max(low - room, min([low, *ends])), min(high + room, max([high, *ends]))
    pad = 0.04 * ((high - low) or 1.0)
    return low - pad, high + pad
