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
from submit.analysis.analysis import Analysis, Ranks
from submit.analysis.design import HIGHER_IS_BETTER
from submit.analysis.verdict import VerdictName
from submit.analysis.wording import METRIC_STYLES, shortened
from submit.report.figures import AMBER, BLUE, GREEN, GREY, MAX_VECTORS, VERMILLION, WIDTH_INCHES

MARKERS: dict[VerdictName, tuple[str, str]] = {
    "needed": ("o", VERMILLION),
    "worse": ("v", AMBER),
    "droppable": ("s", GREEN),
    "not distinguishable": ("D", GREY),
    "undecided": ("^", BLUE),
}
"""Shape and colour of each verdict: either alone tells them apart."""
COLUMNS = 4
FEW_VECTORS = 500
"""Patients in a panel; lines of more become a picture."""
PANEL_INCHES = WIDTH_INCHES / COLUMNS


def forest_figure(analysis: Analysis) -> Figure:
    """Mean difference of every arm with its 95 % interval; margin and noise floor as bands, verdicts as marks."""
    style = METRIC_STYLES[analysis.endpoint["metric"]]
    arms = [verdict.arm for verdict in analysis.by_loss]
    figure = Figure(figsize=(WIDTH_INCHES, 1.5 + 0.36 * len(arms)), layout="constrained")
    axes = figure.subplots()
    found = analysis.of_endpoint
    handles: list[Line2D | Patch] = []
    if analysis.margin is not None:
        axes.axvspan(-analysis.margin, analysis.margin, color=GREEN, alpha=0.12, lw=0)
        handles.append(Patch(color=GREEN, alpha=0.12, label=f"margin ±{style.text(analysis.margin)}"))
    if analysis.has_floor:
        handles.append(
            Line2D([], [], color=GREY, lw=0, marker="|", ms=10, mew=1.5, label="noise of retraining")
        )
    axes.axvline(0, color="black", lw=0.8)
    for place, verdict in enumerate(analysis.by_loss):
        own = found[verdict.arm]
        if own.mean is None:
            continue
        marker, colour = MARKERS[verdict.verdict]
        if own.low is not None and own.high is not None:
            axes.hlines(place, own.low, own.high, color=colour, lw=2)
        if (floor := verdict.leading.floor) is not None:
            axes.plot((-floor.value, floor.value), (place, place), "|", color=GREY, ms=14, mew=1.2)
        axes.plot(own.mean, place, marker, color=colour, markersize=7)
    shown = dict.fromkeys(verdict.verdict for verdict in analysis.verdicts)
    handles += [
        Line2D([], [], marker=MARKERS[name][0], color=MARKERS[name][1], lw=2, label=name) for name in shown
    ]
    axes.set_yticks(range(len(arms)), [shortened(arm) for arm in arms], parse_math=False)
    axes.set_ylim(len(arms) - 0.4, -0.6)
    _plain(axes, grid="x")
    structure = shortened(analysis.endpoint["class"], 24)
    unit = f", {style.unit}" if style.unit else ""
    better = HIGHER_IS_BETTER[analysis.endpoint["metric"]]
    left, right = ("worse", "better") if better else ("better", "worse")
    axes.set_xlabel(
        f"← {left} without it      {style.name} of {structure}: arm − reference{unit}      "
        f"{right} without it →",
        parse_math=False,
        fontsize=9,
    )
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return figure


def slopes_figure(values: DataFrame, arms: Sequence[str], label: str) -> Figure:
    """Each patient from the reference to an arm, a panel per arm; who is worse and who is better in colours.

    Args:
        values: Patients x arms, of the primary endpoint.
        arms: Names of the arms but the reference.
        label: Of the endpoint.
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

    figure = _multiples(arms, draw, xlabel=None, ylabel=label)
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


def volume_figure(losses: DataFrame, volume: DataFrame, arms: Sequence[str], label: str) -> Figure:
    """The loss of each patient over the volume of the lesion, a panel per arm.

    Args:
        losses: Patients x arms.
        volume: Column `volume_ml` by patient.
        arms: Names of the arms but the reference.
        label: Of a loss.
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

    figure = _multiples(arms, draw, xlabel="volume in the truth, ml", ylabel=label)
    for axes in figure.axes:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
    return figure


def ranks_figure(ranks: Ranks) -> Figure:
    """In what share of the bootstrap's draws each arm has each rank, as a heat map."""
    shares = np.array(ranks.shares)
    count = len(ranks.arms)
    figure = Figure(figsize=(max(5.0, 2.2 + 0.5 * count), 1.3 + 0.36 * count), layout="constrained")
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
    axes.set_yticks(range(count), [shortened(arm) for arm in ranks.arms], parse_math=False)
    axes.set_xticks(range(count), [str(rank + 1) for rank in range(count)])
    axes.set_xlabel("rank by loss (1: the largest), % of draws")
    return figure


def _multiples(
    arms: Sequence[str], draw: Callable[[Axes, str], None], *, xlabel: str | None, ylabel: str
) -> Figure:
    """A panel per arm with common axes."""
    columns = min(COLUMNS, len(arms))
    rows = ceil(len(arms) / columns)
    figure = Figure(
        figsize=(max(4.0, PANEL_INCHES * columns), 0.9 + 1.2 * PANEL_INCHES * rows), layout="constrained"
    )
    panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for axes, arm in zip(panels[: len(arms)], arms, strict=True):
        draw(axes, arm)
        axes.set_title(shortened(arm, 24), fontsize=9, parse_math=False)
        _plain(axes, grid="y")
        axes.tick_params(labelsize=8, labelbottom=True)
    for axes in panels[len(arms) :]:
        axes.remove()
    figure.supylabel(ylabel, fontsize=9, parse_math=False)
    if xlabel is not None:
        figure.supxlabel(xlabel, fontsize=9)
    return figure


def _plain(axes: Axes, *, grid: Literal["x", "y"]) -> None:
    axes.grid(axis=grid, color="#E0E0E0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
