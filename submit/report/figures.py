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
AMBER, DARK = "#E69F00", "#1A1A1A"

MARKS: dict[Status, dict[str, Any]] = {
    "ok": {"marker": "o", "color": BLUE, "alpha": 0.6, "linewidths": 0, "label": "one test"},
    "miss": {"marker": "x", "color": VERMILLION, "linewidths": 1.2, "label": "miss"},
    "false-alarm": {"marker": "^", "color": PURPLE, "linewidths": 0, "label": "false alarm"},
}
"""How a test is drawn, by status; a correct absence has no Dice."""

GOLDEN_RATIO = 0.618034
WIDTH_INCHES = 9.0
"""As wide as the page, with letters of 9 points; between the margins of a paper they have 6.5."""
NARROW_INCHES = 4.2
"""As wide as a telephone, with the same letters."""
MAX_VECTORS = 5000
"""Marks that are drawn as such; more become a picture, else a page would have many megabytes of them."""


def folds_figure(
    table: DataFrame, arms: Sequence[str], structures: Sequence[str], width_inches: float = WIDTH_INCHES
) -> Figure:
    """Dice of every test, grouped by arm, with the median of each arm; a panel per structure.

    A test stands at the same place in the column of each arm.

    Args:
        table: Paired block of the results.
        arms: Names, in the order of the axis.
        structures: Names, from top to bottom.
        width_inches: Of the figure.
    """
    figure, panels = _panels(arms, structures, width_inches)
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
        _fit(axes, rows["dice"].to_numpy(dtype=float))
        axes.set_ylabel("Dice")
    _legend(figure, panels)
    return figure


def arms_figure(
    aggregate: Aggregate, arms: Sequence[str], structures: Sequence[str], width_inches: float = WIDTH_INCHES
) -> Figure:
    """Mean Dice of every arm with a bar of one standard deviation between tests; a panel per structure.

    Args:
        aggregate: Of all arms.
        arms: Names, in the order of the axis.
        structures: Names, from top to bottom.
        width_inches: Of the figure.
    """
    by_arm = {arm.arm: arm for arm in aggregate.arms}
    figure, panels = _panels(arms, structures, width_inches)
    for axes, structure in zip(panels, structures, strict=True):
        drawn: list[float] = []
        for place, arm in enumerate(by_arm[name] for name in arms):
            dice = arm.metrics[structure]["dice"]
            if dice.mean is None:
                continue
            sd = dice.sd or 0.0
            ends = (max(0.0, dice.mean - sd), min(1.0, dice.mean + sd))
            axes.vlines(place, *ends, color=BLUE, lw=2, alpha=0.5, label="SD between tests")
            axes.plot(place, dice.mean, "o", markersize=7, color=BLUE, label="mean")
            drawn += ends
            above = axes.get_xaxis_transform()
            axes.text(place, 0.95, f"{dice.mean:.3f}", ha="center", va="center", fontsize=8, transform=above)
            if arm.arm == REFERENCE:
                _reference_line(axes, dice.mean, "mean of the reference")
        _fit(axes, np.array(drawn), above=0.12)
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


def _panels(arms: Sequence[str], structures: Sequence[str], width_inches: float) -> tuple[Figure, list[Axes]]:
    """A figure with one panel below the other; the arms stand along x, far enough apart for their names."""
    size_inches = (max(width_inches, 1.6 + 0.42 * len(arms)), 1.8 + 2.4 * len(structures))
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


def _fit(axes: Axes, dice: NDArray[np.float64], above: float = 0.0) -> None:
    """An axis of Dice that fits what is drawn, within 0 and 1; with room above it, as a share of its length."""
    low, high = (float(dice.min()), float(dice.max())) if len(dice) else (0.0, 1.0)
    pad = max(0.04 * (high - low), 0.005)
    low, high = max(low - pad, -0.04), min(high + pad, 1.04)
    axes.set_ylim(low, high + above * (high - low))


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
