"""Charts of the comparisons with the reference arm."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from pandas import DataFrame

from submit.analysis.analysis import Analysis, Ranks, analyse
from submit.analysis.wording import shortened
from submit.report.comparison_figures import (
    MARKERS,
    forest_figure,
    ranks_figure,
    slopes_figure,
    volume_figure,
)
from submit.report.figures import BLUE, VERMILLION
from tests.submit.analysis.tables import ARMS, design, paired, table


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
    marks = [line for line in axes.lines if line.get_marker() in ("o", "s", "D", "^")]
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
    assert len([line for line in axes.lines if line.get_marker() == "^"]) == 1


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
    (axes,) = ranks_figure(ranks).axes
    assert [(text.get_position(), text.get_text()) for text in axes.texts] == [
        ((0, 0), "90"),
        ((1, 0), "10"),
        ((0, 1), "10"),
        ((1, 1), "90"),
    ]


def test_a_long_name_is_shortened_and_a_short_one_is_not() -> None:
    assert shortened("without t2") == "without t2"
    assert shortened("a" * 36) == "a" * 36
    assert shortened("without " + "x" * 100 + "_end", 20) == "without xx…xxxxx_end"


def test_a_floor_that_is_not_known_is_not_in_the_legend(analysis: Analysis) -> None:
    def labels(of: Analysis) -> list[str]:
        (legend,) = forest_figure(of).legends
        return [text.get_text() for text in legend.get_texts()]

    assert "noise of retraining" not in labels(analysis)
    floors = tuple(verdict.model_copy(update={"noise_floor": 0.01}) for verdict in analysis.verdicts)
    assert "noise of retraining" in labels(analysis.model_copy(update={"verdicts": floors}))
