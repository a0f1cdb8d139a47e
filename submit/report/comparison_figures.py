"""Charts of the comparisons with the reference arm: differences, patients, ranks, volume."""

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from pandas import DataFrame

from job.contract.grid import REFERENCE
from submit.analysis.analysis import Analysis, Ranks, Verdict
from submit.analysis.comparisons import Comparison
from submit.analysis.design import HIGHER_IS_BETTER
from submit.analysis.verdict import VerdictName
from submit.analysis.wording import METRIC_STYLES, shortened
from submit.report.figures import (
    AMBER,
    BLUE,
    DARK,
    GREEN,
    GREY,
    MAX_VECTORS,
    NARROW_INCHES,
    VERMILLION,
    WIDTH_INCHES,
)
from submit.report.headline import DECIDED, in_order

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
PANEL_INCHES = NARROW_INCHES / 2
"""The least width of a panel."""
ROW_INCHES = 2.5
"""Height of a row of panels."""
FEW_VECTORS = 500
"""Patients in a panel; lines of more become a picture."""
MOST_SPANS = 6.0
"""An axis is at most as long as so many times the span of the means and the margin; intervals may run out of it."""
FOREST_INCHES = 5.6
"""Beside a table, half as wide as the page."""


def forest_figure(analysis: Analysis, width_inches: float = FOREST_INCHES) -> Figure:
    """Mean difference of every arm with its 95 % interval; margin and noise floor as bands, verdicts as marks."""
    order, found = in_order(analysis), analysis.of_endpoint
    figure = Figure(figsize=(width_inches, 1.7 + 0.4 * len(order)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="black", lw=0.8)
    for place, verdict in enumerate(order):
        own = found[verdict.arm]
        if own.mean is None:
            continue
        if (margin := verdict.leading.margin) is not None:
            axes.broken_barh([(-margin, 2 * margin)], (place - 0.5, 1), color=GREY, alpha=0.13, lw=0)
        marker, colour, fill = _look(verdict)
        if own.low is not None and own.high is not None:
            axes.hlines(place, own.low, own.high, color=colour, lw=2)
        if (floor := verdict.leading.floor) is not None:
            axes.plot((-floor.value, floor.value), (place, place), "|", color=GREY, ms=14, mew=1.2)
        axes.plot(own.mean, place, marker, color=colour, markersize=8, markerfacecolor=fill, mew=1.6)
    axes.set_xlim(*_span([found[verdict.arm] for verdict in order], analysis.margin))
    axes.set_yticks(range(len(order)), [shortened(verdict.arm, 24) for verdict in order], parse_math=False)
    axes.set_ylim(len(order) - 0.4, -0.6)
    _plain(axes, grid="x")
    axes.set_xlabel(_forest_label(analysis), parse_math=False)
    figure.legend(
        handles=_forest_legend(analysis), loc="outside upper left", ncols=2, frameon=False, fontsize=9
    )
    return figure


def _look(verdict: Verdict) -> tuple[str, str, str]:
    """Shape, colour and filling of a mark."""
    if not verdict.complete:
        return (*UNFINISHED, UNFINISHED[1])
    marker, colour = MARKERS[verdict.verdict]
    if verdict.harmed and verdict.verdict not in DECIDED:
        return marker, HARM, "white"
    return marker, colour, colour


def _forest_legend(analysis: Analysis) -> list[Line2D | Patch]:
    drawn = [each for each in in_order(analysis) if analysis.of_endpoint[each.arm].mean is not None]
    names: dict[str, tuple[str, str]] = {
        each.verdict: MARKERS[each.verdict] for each in drawn if each.complete
    }
    if not all(each.complete for each in drawn):
        names["unfinished"] = UNFINISHED
    handles: list[Line2D | Patch] = [
        Line2D([], [], marker=marker, color=colour, ms=7, lw=2, label=name)
        for name, (marker, colour) in names.items()
    ]
    if any(_look(each)[1:] == (HARM, "white") for each in drawn):
        handles.append(Line2D([], [], marker="o", color=HARM, markerfacecolor="white", mew=1.6, ms=7, lw=2))
        handles[-1].set_label("hollow: harm elsewhere")
    if analysis.margin is not None:
        handles.append(Patch(color=GREY, alpha=0.13, label="margin"))
    if analysis.has_floor:
        handles.append(
            Line2D([], [], color=GREY, lw=0, marker="|", ms=10, mew=1.5, label="noise of retraining")
        )
    return handles


def _forest_label(analysis: Analysis) -> str:
    style, structure = METRIC_STYLES[analysis.endpoint["metric"]], shortened(analysis.endpoint["class"], 24)
    unit = f", {style.unit}" if style.unit else ""
    left, right = (
        ("worse", "better") if HIGHER_IS_BETTER[analysis.endpoint["metric"]] else ("better", "worse")
    )
    return f"{style.name} of {structure}: arm − reference{unit}\n← {left}                {right} →"


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


def slopes_figure(
    values: DataFrame, arms: Sequence[str], label: str, width_inches: float = WIDTH_INCHES
) -> Figure:
    """Each patient from the reference to an arm, a panel per arm; who is worse and who is better in colours.

    Args:
        values: Patients x arms, of the primary endpoint.
        arms: Names of the arms but the reference.
        label: Of the endpoint.
        width_inches: Of the figure.
    """

    def draw(axes: Axes, arm: str) -> None:
        if arm not in values or REFERENCE not in values:
            return
        pairs = values[[REFERENCE, arm]].dropna().to_numpy(dtype=np.float64)
        if not len(pairs):
            return
        few = len(pairs) <= 40
        lines_NEXY = np.stack([np.broadcast_to((0.0, 1.0), pairs.shape), pairs], axis=2)
        colours = [VERMILLION if other < one else BLUE for one, other in pairs]
        look: dict[str, Any] = {"alpha": 0.7 if few else 0.2, "rasterized": len(pairs) > FEW_VECTORS}
        axes.add_collection(LineCollection(list(lines_NEXY), colors=colours, linewidths=1, **look))
        if few:
            x, y = lines_NEXY.reshape(-1, 2).T
            axes.scatter(x, y, s=9, c=np.repeat(colours, 2), lw=0, **look)
        axes.autoscale_view()
        axes.plot((0, 1), pairs.mean(axis=0), color="black", lw=2.5)

    figure = _multiples(arms, draw, width_inches, xlabel=None, ylabel=label)
    for axes in figure.axes:
        axes.set_xlim(-0.15, 1.15)
        axes.set_xticks((0, 1), ("reference", "arm"))
    entries = [
        Line2D([], [], color=VERMILLION, label="patient, lower than with all channels"),
        Line2D([], [], color=BLUE, label="higher"),
        Line2D([], [], color="black", lw=2.5, label="mean"),
    ]
    figure.legend(handles=entries, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return figure


def volume_figure(
    losses: DataFrame,
    volume: DataFrame,
    arms: Sequence[str],
    label: str,
    width_inches: float = WIDTH_INCHES,
) -> Figure:
    """The loss of each patient over the volume of the lesion, a panel per arm.

    Args:
        losses: Patients x arms.
        volume: Column `volume_ml` by patient.
        arms: Names of the arms but the reference.
        label: Of a loss.
        width_inches: Of the figure.
    """

    def draw(axes: Axes, arm: str) -> None:
        axes.axhline(0, color="black", lw=0.8)
        if arm in losses:
            both = losses[[arm]].join(volume).dropna()
            both = both[both["volume_ml"] > 0]
            axes.scatter(
                both["volume_ml"],
                both[arm],
                s=16,
                color=BLUE,
                alpha=0.7,
                lw=0,
                rasterized=len(both) > MAX_VECTORS,
            )

    figure = _multiples(arms, draw, width_inches, xlabel="volume in the truth, ml", ylabel=label)
    for axes in figure.axes:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
    return figure


def ranks_figure(ranks: Ranks, arms: Sequence[str], width_inches: float = WIDTH_INCHES) -> Figure:
    """In what share of the bootstrap's draws each arm has each rank, as a heat map.

    Args:
        ranks: The shares.
        arms: Names, from top to bottom.
        width_inches: Of the figure.
    """
    shares = np.array([ranks.shares[ranks.arms.index(arm)] for arm in arms])
    count = len(arms)
    size_inches = (max(width_inches, 1.6 + 0.32 * count), 1.3 + 0.36 * count)
    figure = Figure(figsize=size_inches, layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for arm, row in enumerate(shares):
        for rank, share in enumerate(row):
            if share >= 0.005 and count <= 12:
                axes.text(
                    rank,
                    arm,
                    f"{100 * share:.0f}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if share > 0.6 else "black",
                )
    axes.set_yticks(range(count), [shortened(arm, 24) for arm in arms], parse_math=False)
    axes.set_xticks(range(count), [str(rank + 1) for rank in range(count)])
    axes.set_xlabel("rank by loss (1: the largest), % of draws")
    return figure


def multiples(arms: Sequence[str], width_inches: float) -> tuple[Figure, list[Axes]]:
    """A figure with a panel for each arm, with common axes, and its panels in their order."""
    columns = max(1, min(int(width_inches / PANEL_INCHES), len(arms)))
    rows = max(1, ceil(len(arms) / columns))
    figure = Figure(figsize=(width_inches, 0.9 + ROW_INCHES * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for axes in panels[len(arms) :]:
        axes.remove()
    return figure, panels[: len(arms)]


def _multiples(
    arms: Sequence[str],
    draw: Callable[[Axes, str], None],
    width_inches: float,
    *,
    xlabel: str | None,
    ylabel: str,
) -> Figure:
    """A panel per arm with common axes."""
    figure, panels = multiples(arms, width_inches)
    for axes, arm in zip(panels, arms, strict=True):
        draw(axes, arm)
        axes.set_title(shortened(arm, 24), fontsize=9, parse_math=False)
        _plain(axes, grid="y")
        axes.tick_params(labelsize=8, labelbottom=True)
    figure.supylabel(ylabel, fontsize=9, parse_math=False)
    if xlabel is not None:
        figure.supxlabel(xlabel, fontsize=9)
    return figure


def _plain(axes: Axes, *, grid: Literal["x", "y"]) -> None:
    axes.grid(axis=grid, color="#E0E0E0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
