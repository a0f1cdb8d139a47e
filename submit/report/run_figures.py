"""Charts of the run itself: statuses of tests, training curves, time and money."""

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter
from numpy.typing import NDArray
from pandas import DataFrame

from job.contract.grid import REFERENCE
from job.contract.results import Status
from submit.analysis.wording import shortened
from submit.report.comparison_figures import multiples
from submit.report.figures import BLUE, GREEN, GREY, PURPLE, VERMILLION, WIDTH_INCHES

STATUS_COLOURS: dict[Status | str, str] = {
    "ok": BLUE,
    "miss": VERMILLION,
    "false-alarm": PURPLE,
    "both-empty": GREEN,
    "missing": "#D9D9D9",
}
PANEL_INCHES = 2.0
"""The least width of a panel of statuses."""
PHASE_COLOURS = (
    GREY,
    "#E69F00",
    "#56B4E9",
    GREEN,
    "#F0E442",
    BLUE,
    VERMILLION,
    PURPLE,
    "#000000",
    "#A6761D",
    "#D9D9D9",
)

Curves = Mapping[str, tuple[NDArray[np.int64], NDArray[np.float64]]]
"""By arm: steps, and the loss at them, folds x steps (NaN where a fold has none)."""


def status_figure(counts: Mapping[str, DataFrame], width_inches: float = WIDTH_INCHES) -> Figure:
    """How the tests of each arm ended, as stacked bars; a panel per structure.

    Args:
        counts: By structure, arms x statuses, `missing` among them.
        width_inches: Of the figure.
    """
    arms = [str(arm) for arm in next(iter(counts.values())).index]
    columns = max(1, min(len(counts), int((width_inches - 1.6) / PANEL_INCHES)))
    rows = ceil(len(counts) / columns)
    size_inches = (width_inches, 0.9 + rows * (0.7 + 0.3 * len(arms)))
    figure = Figure(figsize=size_inches, layout="constrained")
    panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for axes in panels[len(counts) :]:
        axes.remove()
    for axes, (structure, own) in zip(panels, counts.items(), strict=False):
        _stack(axes, own.loc[arms])
        axes.set_title(shortened(structure, 24), fontsize=10, parse_math=False)
        axes.set_xlabel("tests")
        axes.tick_params(labelbottom=True)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(arms)), [shortened(arm, 24) for arm in arms], parse_math=False)
    panels[0].set_ylim(len(arms) - 0.4, -0.6)
    entries = [
        Patch(color=colour, label=status)
        for status, colour in STATUS_COLOURS.items()
        if any(own[status].any() for own in counts.values())
    ]
    figure.legend(
        handles=entries, loc="outside upper center", ncols=_columns(width_inches), frameon=False, fontsize=9
    )
    return figure


def _columns(width_inches: float) -> int:
    """Of a legend."""
    return max(1, int(width_inches / 1.4))


def _stack(axes: Axes, counts: DataFrame) -> None:
    """Bars with their numbers."""
    left = np.zeros(len(counts))
    for status in counts.columns:
        values = counts[status].to_numpy(dtype=np.float64)
        axes.barh(range(len(counts)), values, left=left, color=STATUS_COLOURS[status])
        dark = status != "missing"
        for place, (start, value) in enumerate(zip(left, values, strict=True)):
            if value:
                axes.text(
                    start + value / 2,
                    place,
                    f"{value:.0f}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if dark else "black",
                )
        left += values


def curves_figure(curves: Curves, arms: Sequence[str], width_inches: float = WIDTH_INCHES) -> Figure:
    """Training loss over steps: median and 10th to 90th percentile over folds, a panel per arm.

    The reference's median stands in grey behind every other arm.

    Args:
        curves: By arm.
        arms: Names, in the order of the panels; those without a curve are left out.
        width_inches: Of the figure.
    """
    arms = [arm for arm in arms if arm in curves]
    figure, panels = multiples(arms, width_inches)
    for axes, arm in zip(panels, arms, strict=True):
        steps, losses = curves[arm]
        if arm != REFERENCE and REFERENCE in curves:
            own_steps, own = curves[REFERENCE]
            axes.plot(own_steps, np.nanmedian(own, axis=0), color=GREY, lw=1)
        low, middle, high = np.nanpercentile(losses, (10, 50, 90), axis=0)
        axes.fill_between(steps, low, high, color=BLUE, alpha=0.25, lw=0)
        axes.plot(steps, middle, color=BLUE, lw=1.5)
        axes.set_title(shortened(arm, 24), fontsize=9, parse_math=False)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, which="both")
    figure.supxlabel("step", fontsize=9)
    figure.supylabel("training loss", fontsize=9)
    return figure


def time_figure(seconds: DataFrame, width_inches: float = WIDTH_INCHES) -> Figure:
    """Mean time of a fold of each arm by phase, as stacked bars.

    Args:
        seconds: Arms x phases, mean seconds a fold.
        width_inches: Of the figure.
    """
    columns = _columns(width_inches)
    legend_rows = ceil(len(seconds.columns) / columns)
    size_inches = (width_inches, 1.2 + 0.2 * legend_rows + 0.3 * len(seconds))
    figure = Figure(figsize=size_inches, layout="constrained")
    axes = figure.subplots()
    longest = float(seconds.sum(axis=1).max()) if len(seconds) else 0.0
    scale, unit = (
        (3600, "hours") if longest >= 3600 else (60, "minutes") if longest >= 120 else (1, "seconds")
    )
    left = np.zeros(len(seconds))
    for number, phase in enumerate(seconds.columns):
        values = seconds[phase].to_numpy(dtype=np.float64) / scale
        colour = PHASE_COLOURS[number % len(PHASE_COLOURS)]
        axes.barh(range(len(seconds)), values, left=left, color=colour, label=phase)
        left += values
    axes.set_yticks(range(len(seconds)), [shortened(str(arm), 24) for arm in seconds.index], parse_math=False)
    axes.set_ylim(len(seconds) - 0.4, -0.6)
    axes.set_xlabel(f"{unit} a fold, mean")
    axes.spines[["top", "right"]].set_visible(False)
    if len(seconds.columns):
        figure.legend(loc="outside upper center", ncols=columns, frameon=False, fontsize=9)
    return figure


def status_counts(rows: DataFrame, arms: Sequence[str], planned: int) -> DataFrame:
    """Arms x statuses: how many tests ended in each, and how many are missing.

    Args:
        rows: Tests of one structure.
        arms: Names.
        planned: Tests of an arm.
    """
    counts = rows.groupby(["arm", "status"]).size().unstack(fill_value=0)
    counts = counts.reindex(index=list(arms), columns=[*STATUS_COLOURS][:-1], fill_value=0)
    return counts.assign(missing=planned - counts.sum(axis=1))
