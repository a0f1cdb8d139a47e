"""The forest plot."""

import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from pandas import concat

from submit.analysis.analysis import Analysis, Verdict, analyse
from submit.analysis.verdict import Floor
from submit.report.figures import GREEN, GREY, VERMILLION
from submit.report.forest import HARM, MARKERS, forest_figure
from tests.submit.analysis.tables import design, paired, table

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


def test_a_floor_that_is_not_known_is_not_in_the_legend(analysis: Analysis) -> None:
    floor = Floor(value=0.01, low=0.007, high=0.02, share=0.5)
    known = tuple(
        each.model_copy(update={"structures": (each.leading.model_copy(update={"floor": floor}),)})
        for each in analysis.verdicts
    )
    assert "noise of retraining" not in names_of(forest_figure(analysis))
    assert "noise of retraining" in names_of(forest_figure(analysis.model_copy(update={"verdicts": known})))


def test_every_structure_of_the_endpoint_has_a_panel_marked_by_its_own_verdict() -> None:
    large, none = [-0.2 - 0.003 * n for n in range(12)], [0.001 * (-1) ** n for n in range(12)]
    rows = concat(
        [
            table(paired([0.7] * 12, a=large, b=none), structure="tumour"),
            table(paired([0.7] * 12, a=none, b=large), structure="node"),
        ],
        ignore_index=True,
    )
    own = design(12, structures=("tumour", "node"), further_structures=("node",))
    tumour, node = forest_figure(analyse(rows, own, run="r", manifest="m")).axes
    for axes in (tumour, node):
        assert [label.get_text() for label in axes.get_yticklabels()] == ["without a", "without b"]
    assert "of tumour" in tumour.get_xlabel()
    assert "of node" in node.get_xlabel()
    shapes = [
        [line.get_marker() for line in axes.lines if line.get_marker() in SHAPES] for axes in (tumour, node)
    ]
    assert shapes == [["o", "s"], ["s", "o"]]
    hollow = [
        [line.get_markerfacecolor() for line in axes.lines if line.get_marker() in SHAPES]
        for axes in (tumour, node)
    ]
    assert hollow == [[VERMILLION, "white"], ["white", VERMILLION]]  # neither may go, as the other panel says


def test_nothing_is_green_that_is_not_droppable_for_all_structures(analysis: Analysis) -> None:
    open_, droppable = (
        analysis.verdicts[1].model_copy(update={"verdict": name}) for name in ("undecided", "droppable")
    )
    figure = forest_figure(analysis.model_copy(update={"verdicts": (open_, droppable)}))
    colours = [line.get_color() for line in figure.axes[0].lines if line.get_marker() in SHAPES]
    assert colours == [GREY, GREEN]
