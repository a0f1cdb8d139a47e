"""Charts of the comparisons with the reference arm: patients, ranks, volume."""

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from pandas import DataFrame

from job.contract.grid import REFERENCE
from submit.analysis.ranks import Ranks
from submit.analysis.wording import shortened
from submit.report.figures import (
    BLUE,
    MAX_VECTORS,
    NARROW_INCHES,
    VERMILLION,
    WIDTH_INCHES,
)

PANEL_INCHES = NARROW_INCHES / 2
"""The least width of a panel."""
ROW_INCHES = 2.5
"""Height of a row of panels."""
FEW_VECTORS = 500
"""Patients in a panel; lines of more become a picture."""


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
