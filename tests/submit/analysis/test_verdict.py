"""The rules of the verdict, at their boundaries."""

from itertools import product
from typing import Any, get_args

import pytest

from submit.analysis.verdict import Evidence, Floor, VerdictName, decide, decide_all, margin_level

BIT = 1e-9
FLOOR = Floor(value=0.06, low=0.05, high=0.08, share=0.5)


def evidence(**changes: Any) -> Evidence:
    """A loss of 0.05 of 80 patients that is not shown; a loss of the margin, 0.02, is not ruled out."""
    values = {"structure": "tumour", "loss": 0.05, "p": 0.06, "low": -0.01, "high": 0.11, "margin": 0.02}
    values |= {"p_not_worse": 0.5, "patients": 80, "floor": None}
    values |= {"arm": "without a", "losses": {}, "exams": (1,) * 80, "sd": 0.3, "reference": 0.8}
    return Evidence(**{**values, "p_equivalent": None, **changes})


def test_needed_asks_for_a_loss_of_more_than_the_margin() -> None:
    assert decide(evidence(low=0.02 + BIT)) == "needed"
    assert decide(evidence(low=0.02)) == "worse"


def test_a_loss_that_is_shown_and_may_be_below_the_margin_is_worse() -> None:
    assert decide(evidence(low=BIT)) == "worse"
    assert decide(evidence(low=0.0)) == "undecided"
    assert decide(evidence(low=None, high=None)) == "undecided"


def test_without_a_margin_nothing_is_needed_however_large_the_loss() -> None:
    assert decide(evidence(margin=None, p_not_worse=None, loss=9.0, low=8.0, high=10.0)) == "worse"


def test_what_is_surely_below_the_margin_is_droppable_even_if_it_is_surely_a_loss() -> None:
    assert decide(evidence(loss=0.01, low=0.005, high=0.015, p_not_worse=0.025 - BIT)) == "droppable"
    assert decide(evidence(loss=0.01, low=0.005, high=0.025, p_not_worse=0.025)) == "worse"
    assert decide(evidence(p_not_worse=0.025 - BIT, floor=FLOOR)) == "droppable"


def test_nothing_is_droppable_beside_a_reference_that_sees_nothing() -> None:
    assert decide(evidence(p_not_worse=0.001, can_see=False)) == "undecided"
    better = {"loss": -0.05, "low": -0.09, "high": -0.01, "can_see": False}
    assert decide(evidence(**better, p_not_worse=0.001)) == "undecided"
    assert decide(evidence(**better, margin=None, p_not_worse=None)) == "undecided"
    assert decide(evidence(low=0.03, can_see=False)) == "needed"
    assert decide(evidence(low=0.01, can_see=False)) == "worse"


@pytest.mark.parametrize("margin", [None, 0.02])
def test_a_gain_that_is_shown_is_no_loss_of_the_margin(margin: float | None) -> None:
    better = {"loss": -0.05, "low": -0.09, "margin": margin, "p_not_worse": margin and 0.5}
    assert decide(evidence(**better, high=-BIT)) == "droppable"
    assert decide(evidence(**better, high=0.0)) == "undecided"
    assert decide(evidence(**better, high=None)) == "undecided"


def test_a_loss_that_is_not_shown_is_never_droppable_for_that() -> None:
    for p_not_worse in (None, 0.5, 0.025):
        assert decide(evidence(loss=0.0, p=1.0, p_not_worse=p_not_worse)) == "undecided"


def test_the_fewer_the_patients_the_surer_a_loss_must_be_ruled_out() -> None:
    """Of ten patients, one in twenty is in none of them with a chance of 0.95^10 = 0.5987: 0.025 x 0.025 / 0.5987."""
    assert margin_level(10) == pytest.approx(0.00104387, rel=1e-5)
    assert margin_level(71) == pytest.approx(0.025 * 0.025 / 0.95**71)
    assert margin_level(71) < margin_level(72) == margin_level(100_000) == 0.025
    levels = [margin_level(n) for n in range(1, 80)]
    assert levels == sorted(levels)
    few, many = (evidence(p_not_worse=0.00105, patients=n) for n in (10, 11))
    assert (decide(few), decide(many)) == ("undecided", "droppable")


def test_not_distinguishable_is_within_what_retraining_surely_makes() -> None:
    assert decide(evidence(loss=0.05, floor=FLOOR)) == "not distinguishable"
    assert decide(evidence(loss=-0.05, floor=FLOOR)) == "not distinguishable"
    assert decide(evidence(loss=0.05 + BIT, floor=FLOOR)) == "undecided"  # beyond the floor's lower end


def test_where_the_arm_s_own_scatter_is_the_larger_part_nothing_is_said_of_retraining() -> None:
    little = Floor(value=0.06, low=0.05, high=0.08, share=0.5 - BIT)
    assert decide(evidence(loss=0.01, floor=little)) == "undecided"


def test_retraining_never_takes_away_what_is_shown() -> None:
    assert decide(evidence(low=0.001, floor=FLOOR)) == "worse"
    assert decide(evidence(low=0.021, floor=FLOOR)) == "needed"
    gain = {"loss": -0.04, "low": -0.06, "margin": None, "p_not_worse": None, "floor": FLOOR}
    assert decide(evidence(**gain, high=-BIT, can_see=False)) == "undecided"
    assert decide(evidence(**gain, high=0.0, can_see=False)) == "not distinguishable"


def test_without_a_pair_nothing_is_decided() -> None:
    nothing = evidence(loss=None, p=None, low=None, high=None, p_not_worse=None, patients=0, floor=FLOOR)
    assert decide(nothing) == "undecided"


OF: dict[VerdictName, Evidence] = {
    "needed": evidence(low=0.03),
    "worse": evidence(low=0.01),
    "droppable": evidence(p_not_worse=0.001),
    "not distinguishable": evidence(floor=FLOOR),
    "undecided": evidence(),
}
"""Of each verdict, what it is reached by."""


def test_each_verdict_can_be_reached() -> None:
    assert set(OF) == set(get_args(VerdictName))
    assert {name: decide(each) for name, each in OF.items()} == {name: name for name in OF}


def test_droppable_is_what_every_structure_can_do_without() -> None:
    """One loss outweighs all, and one open question keeps all open."""
    for names in product(OF, repeat=3):
        found = decide_all([OF[name] for name in names])
        assert (found == "droppable") == (set(names) == {"droppable"})
        assert (found == "needed") == ("needed" in names)
        assert (found == "worse") == ("worse" in names and "needed" not in names)
        if not {"needed", "worse"} & set(names):
            assert (found == "undecided") == ("undecided" in names)
        assert found == decide_all([OF[name] for name in reversed(names)])


def test_of_one_structure_the_verdict_is_that_structure_s() -> None:
    assert [decide_all([each]) for each in OF.values()] == list(OF)
