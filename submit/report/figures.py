"""The charts of the reference study's Figure 3: every fold by arm, and the aggregate by arm.

After Bielak et al., Radiat Oncol 15:181 (2020), doi 10.1186/s13014-020-01618-z. Colours: Okabe & Ito's set,
which colour-blind readers can tell apart. The same input gives the same bytes.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pandas import DataFrame

from job.contract.grid import REFERENCE
from job.contract.results import Status
from submit.analysis.aggregate import Aggregate
from submit.analysis.pairing import TEST
from submit.analysis.wording import shortened

BLUE, VERMILLION, PURPLE, GREEN, GREY = "#0072B2", "#D55E00", "#CC79A7", "#009E73", "#595959"
AMBER = "#E69F00"

MARKS: dict[Status, dict[str, Any]] = {
    "ok": {"marker": "o", "color": BLUE, "alpha": 0.6, "linewidths": 0, "label": "one test"},
    "miss": {"marker": "x", "color": VERMILLION, "linewidths": 1.2, "label": "miss"},
    "false-alarm": {"marker": "^", "color": PURPLE, "linewidths": 0, "label": "false alarm"},
}
"""How a test is drawn, by status; a correct absence has no Dice."""

GOLDEN_RATIO = 0.618034
WIDTH_INCHES = 6.5
"""Between the margins of a page; wider figures are hard to read on paper and on a telephone."""
MAX_VECTORS = 5000
"""Marks that are drawn as such; more become a picture, else a page would have many megabytes of them."""


def folds_figure(table: DataFrame, arms: Sequence[str], structures: Sequence[str]) -> Figure:
    """Dice of every test, grouped by arm, with the median of each arm; a panel per structure.

    A test stands at the same place in the column of each arm.

    Args:
        table: Paired block of the results.
        arms: Names, in the order of the axis.
        structures: Names, from top to bottom.
    """
    figure, panels = _panels(arms, structures)
    for axes, structure in zip(panels, structures, strict=True):
        rows = table[(table["structure"] == structure) & table["dice"].notna()]
        x = np.array([arms.index(arm) for arm in rows["arm"]]) + _offsets(rows)
        for status, marks in MARKS.items():
            chosen = (rows["status"] == status).to_numpy()
            dice = rows["dice"][chosen].to_numpy(dtype=float)
            axes.scatter(x[chosen], dice, s=18, rasterized=len(rows) > MAX_VECTORS, **marks)
        medians = {str(arm): float(median) for arm, median in rows.groupby("arm")["dice"].median().items()}
        places = np.array([arms.index(arm) for arm in medians])
        axes.hlines(
            list(medians.values()), places - 0.36, places + 0.36, color="black", lw=1.8, label="median"
        )
        if REFERENCE in medians:
            _reference_line(axes, medians[REFERENCE], "median of the reference")
        axes.set_ylim(-0.04, 1.04)
        axes.set_ylabel("Dice")
    _legend(figure, panels)
    return figure


def arms_figure(aggregate: Aggregate, structures: Sequence[str]) -> Figure:
    """Mean Dice of every arm with a bar of one standard deviation between tests; a panel per structure."""
    figure, panels = _panels([arm.arm for arm in aggregate.arms], structures)
    for axes, structure in zip(panels, structures, strict=True):
        for place, arm in enumerate(aggregate.arms):
            dice = arm.metrics[structure]["dice"]
            if dice.mean is None:
                continue
            sd = dice.sd or 0.0
            ends = (max(0.0, dice.mean - sd), min(1.0, dice.mean + sd))
            axes.vlines(place, *ends, color=BLUE, lw=2, alpha=0.5, label="SD between tests")
            axes.plot(place, dice.mean, "o", markersize=7, color=BLUE, label="mean")
            axes.text(place, 1.1, f"{dice.mean:.2f}", ha="center", va="center", fontsize=8)
            if arm.arm == REFERENCE:
                _reference_line(axes, dice.mean, "mean of the reference")
        axes.set_ylim(0, 1.16)
        axes.set_yticks(np.arange(0, 1.01, 0.2))
        axes.set_ylabel("Dice, mean ± SD")
    _legend(figure, panels)
    return figure


Kind = Literal["svg", "pdf", "png"]
WITHOUT_TIME: dict[Kind, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}


def encode(figure: Figure, kind: Kind) -> bytes:
    """The bytes of a figure's file: the same for the same figure."""
    file = BytesIO()
    # TrueType in PDF, which publishers ask for; paths in SVG, which look the same everywhere.
    fonts: dict[Any, Any] = {"svg.hashsalt": "loosweep", "svg.fonttype": "path", "pdf.fonttype": 42}
    with matplotlib.rc_context(fonts):
        figure.savefig(file, format=kind, dpi=160, metadata=WITHOUT_TIME[kind])
    return file.getvalue()


def _panels(arms: Sequence[str], structures: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """A figure with one panel below the other; the arms stand along x, far enough apart for their names."""
    size_inches = (max(WIDTH_INCHES, 1.6 + 0.42 * len(arms)), 1.8 + 2.4 * len(structures))
    figure = Figure(figsize=size_inches, layout="constrained")
    panels: list[Axes] = list(figure.subplots(len(structures), 1, sharex=True, squeeze=False)[:, 0])
    for axes, structure in zip(panels, structures, strict=True):
        axes.set_title(shortened(structure, 48), loc="left", fontsize=11, fontweight="bold", parse_math=False)
        axes.grid(axis="y", color="#E0E0E0", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlim(-0.6, len(arms) - 0.4)
    panels[-1].set_xticks(
        range(len(arms)),
        [shortened(arm) for arm in arms],
        rotation=40,
        ha="right",
        rotation_mode="anchor",
        parse_math=False,
    )
    return figure, panels


def _offsets(rows: DataFrame) -> NDArray[np.float64]:
    """Where in its arm's column each test stands, from -0.3 to 0.3: evenly spread, neighbours far apart."""
    number = rows.groupby(TEST, sort=True).ngroup().to_numpy(dtype=np.float64)
    return np.asarray(0.6 * (number * GOLDEN_RATIO % 1) - 0.3)


def _reference_line(axes: Axes, value: float, label: str) -> None:
    axes.axhline(value, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0.9, label=label)


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """One legend for all panels, above them."""
    entries: dict[str, Artist] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    if entries:
        figure.legend(
            entries.values(), entries.keys(), loc="outside upper center", ncols=3, frameon=False, fontsize=9
        )
