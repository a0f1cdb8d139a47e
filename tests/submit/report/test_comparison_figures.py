"""Charts of the comparisons with the reference arm."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from pandas import DataFrame

from submit.analysis.ranks import Ranks
from submit.analysis.wording import shortened
from submit.report.comparison_figures import (
    multiples,
    ranks_figure,
    slopes_figure,
    volume_figure,
)
from submit.report.figures import BLUE, NARROW_INCHES, VERMILLION, WIDTH_INCHES
from tests.submit.analysis.tables import ARMS


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
