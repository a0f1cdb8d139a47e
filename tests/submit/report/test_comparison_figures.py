"""Charts of the comparisons with the reference arm."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from pandas import DataFrame

from submit.analysis.analysis import Analysis, Ranks, Verdict, analyse
from submit.analysis.verdict import Floor
from submit.analysis.wording import shortened
from submit.report.comparison_figures import (
    HARM,
    MARKERS,
    forest_figure,
    multiples,
    ranks_figure,
    slopes_figure,
    volume_figure,
)
from submit.report.figures import BLUE, NARROW_INCHES, VERMILLION, WIDTH_INCHES
from tests.submit.analysis.tables import ARMS, design, paired, table

SHAPES = tuple(marker for marker, _ in MARKERS.values())


def names_of(figure: Figure) -> list[str]:
    """Of its legend."""
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    """Of 12 patients: `without a` loses 0.2, `without b` nothing."""
    losses = [-0.2 - 0.003 * n for n in range(12)]
    rows = table(paired([0.7] * 12, a=losses, b=[0.001 * (-1) ** n for n in range(12)]))
    return analyse(rows, design(12), run="r", manifest="m")


def test_the_forest_has_each_mean_with_its_interval_in_the_verdict_s_colour_and_shape(
    analysis: Analysis,
) -> None:
    (axes,) = forest_figure(analysis).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["without a", "without b"]
    marks = [line for line in axes.lines if line.get_marker() in SHAPES]
    intervals = [each for each in axes.collections if isinstance(each, LineCollection)]
    for place, (verdict, found) in enumerate(zip(analysis.verdicts, analysis.comparisons, strict=False)):
        marker, colour = MARKERS[verdict.verdict]
        assert (marks[place].get_marker(), marks[place].get_color()) == (marker, colour)
        assert marks[place].get_xydata().tolist() == [[found.mean, place]]
        ((start, end),) = intervals[place].get_segments()
        assert (start[0], end[0]) == (found.low, found.high)


def test_an_arm_without_pairs_has_a_row_and_no_mark() -> None:
    rows = table(paired([0.7] * 6, a=[-0.1, -0.2, -0.1, -0.2, -0.1, -0.3]))
    (axes,) = forest_figure(analyse(rows, design(6), run="r", manifest="m")).axes
    assert len(axes.get_yticklabels()) == 2
    assert len([line for line in axes.lines if line.get_marker() in SHAPES]) == 1


def test_the_largest_loss_stands_on_top() -> None:
    rows = table(
        paired([0.7] * 12, a=[0.001 * (-1) ** n for n in range(12)], b=[-0.2 - 0.003 * n for n in range(12)])
    )
    (axes,) = forest_figure(analyse(rows, design(12), run="r", manifest="m")).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["without b", "without a"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_what_harms_something_else_is_hollow_and_has_the_colour_of_harm(analysis: Analysis) -> None:
    harmed = tuple(each.model_copy(update={"harmed": ("node",)}) for each in analysis.verdicts)
    figure = forest_figure(analysis.model_copy(update={"verdicts": harmed}))
    needed, droppable = (line for line in figure.axes[0].lines if line.get_marker() in SHAPES)
    assert (needed.get_marker(), needed.get_markerfacecolor()) == ("o", VERMILLION)
    assert (droppable.get_marker(), droppable.get_color(), droppable.get_markerfacecolor()) == (
        "s",
        HARM,
        "white",
    )
    assert "hollow: harm elsewhere" in names_of(figure)
    assert "hollow: harm elsewhere" not in names_of(forest_figure(analysis))


def test_an_unfinished_arm_has_the_mark_of_no_verdict(analysis: Analysis) -> None:
    first, second = analysis.verdicts
    few = first.model_copy(update={"pairs": 3})
    figure = forest_figure(analysis.model_copy(update={"verdicts": (few, second)}))
    assert [line.get_marker() for line in figure.axes[0].lines if line.get_marker() in ("x", *SHAPES)] == [
        "s",
        "x",
    ]
    assert "unfinished" in names_of(figure)
    assert "needed" not in names_of(figure)


def test_the_axis_fits_the_data_and_an_endless_interval_runs_out_of_it(analysis: Analysis) -> None:
    low, high = forest_figure(analysis).axes[0].get_xlim()
    ends = [end for each in analysis.comparisons[:2] for end in (each.low, each.high) if end is not None]
    assert low < min(ends) < low + 0.1 * (high - low)
    first, *others = analysis.comparisons
    wide = first.model_copy(update={"low": -500.0, "high": 500.0})
    low, high = forest_figure(analysis.model_copy(update={"comparisons": (wide, *others)})).axes[0].get_xlim()
    # The means and the margin span 0.2165 + 0.02; the axis is at most six times as long, and a little.
    assert high - low == pytest.approx(6 * 0.2365 * 1.08, rel=0.01)


def test_the_band_of_each_arm_is_its_own_margin(analysis: Analysis) -> None:
    def with_margin(verdict: Verdict, margin: float) -> Verdict:
        return verdict.model_copy(
            update={"structures": (verdict.leading.model_copy(update={"margin": margin}),)}
        )

    verdicts = tuple(with_margin(each, 0.01 * (n + 1)) for n, each in enumerate(analysis.verdicts))
    (axes,) = forest_figure(analysis.model_copy(update={"verdicts": verdicts})).axes
    bands = [each.get_paths()[0].vertices for each in axes.collections if isinstance(each, PolyCollection)]
    assert [(band[:, 0].min(), band[:, 0].max()) for band in bands] == [(-0.01, 0.01), (-0.02, 0.02)]


@pytest.mark.parametrize(("width", "columns"), [(WIDTH_INCHES, 4), (NARROW_INCHES, 2), (1.0, 1)])
def test_panels_stand_side_by_side_as_far_as_they_can_be_read(width: float, columns: int) -> None:
    figure, panels = multiples([f"without {n}" for n in range(7)], width)
    assert len(panels) == len(figure.axes) == 7
    assert panels[0].get_gridspec().ncols == columns
    assert figure.get_figwidth() == width


def test_each_patient_is_a_line_coloured_by_who_is_better() -> None:
    values = DataFrame({"reference": [0.8, 0.6, 0.5], "without a": [0.7, 0.7, np.nan]}, index=["p", "q", "r"])
    figure = slopes_figure(values, ARMS[1:], "Dice")
    a, b = figure.axes
    lines = next(each for each in a.collections if isinstance(each, LineCollection))
    assert [segment[:, 1].tolist() for segment in lines.get_segments()] == [[0.8, 0.7], [0.6, 0.7]]
    assert [to_hex(colour).upper() for colour in lines.get_colors()] == [VERMILLION, BLUE]
    (mean,) = a.lines
    assert (mean.get_ydata().tolist(), mean.get_color()) == (
        [pytest.approx(0.7), pytest.approx(0.7)],
        "black",
    )
    low, high = a.get_ylim()
    assert low < 0.6
    assert high > 0.8
    assert not b.lines
    assert not b.collections


def test_losses_stand_over_the_volume_of_patients_who_have_one() -> None:
    losses = DataFrame({"without a": [0.1, 0.2, 0.3]}, index=["p", "q", "r"])
    volume = DataFrame({"volume_ml": [5.0, 50.0, 0.0]}, index=["p", "q", "r"])
    a, b = volume_figure(losses, volume, ARMS[1:], "loss").axes
    assert a.collections[0].get_offsets().tolist() == [[5.0, 0.1], [50.0, 0.2]]
    assert a.get_xscale() == "log"
    assert not b.collections


def test_shares_of_ranks_are_written_into_their_cells() -> None:
    ranks = Ranks(arms=("without a", "without b"), patients=9, shares=((0.9, 0.1), (0.1, 0.9)))
    (axes,) = ranks_figure(ranks, ["without b", "without a"]).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["without b", "without a"]
    assert [(text.get_position(), text.get_text()) for text in axes.texts] == [
        ((0, 0), "10"),
        ((1, 0), "90"),
        ((0, 1), "90"),
        ((1, 1), "10"),
    ]


def test_a_long_name_is_shortened_and_a_short_one_is_not() -> None:
    assert shortened("without t2") == "without t2"
    assert shortened("a" * 36) == "a" * 36
    assert shortened("without " + "x" * 100 + "_end", 20) == "without xx…xxxxx_end"


def test_a_floor_that_is_not_known_is_not_in_the_legend(analysis: Analysis) -> None:
    floor = Floor(value=0.01, low=0.007, high=0.02, share=0.5)
    known = tuple(
        each.model_copy(update={"structures": (each.leading.model_copy(update={"floor": floor}),)})
        for each in analysis.verdicts
    )
    assert "noise of retraining" not in names_of(forest_figure(analysis))
    assert "noise of retraining" in names_of(forest_figure(analysis.model_copy(update={"verdicts": known})))
