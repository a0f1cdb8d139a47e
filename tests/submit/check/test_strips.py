import pytest

from submit.check.amounts import Amount
from submit.check.strips import strip_of


def strip(values, marks=()):
    amount = Amount(
        name="t1", unit="mm", values=tuple(values), marks=tuple(n in marks for n in range(len(values)))
    )
    return strip_of(amount, [f"p{n}" for n in range(len(values))])


def test_amounts_are_placed_by_their_logarithms():
    found = strip([10, 1000, 100])
    assert [dot.x for dot in found.dots] == pytest.approx([0, 1, 0.5])
    assert (found.low, found.typical, found.high, found.typical_x) == ("10 mm", "100 mm", "1,000 mm", 0.5)
    assert [dot.text for dot in found.dots] == ["p0: 10 mm", "p1: 1,000 mm", "p2: 100 mm"]


def test_values_that_can_be_negative_are_placed_by_their_differences():
    assert [dot.x for dot in strip([-1, 0, 3]).dots] == pytest.approx([0, 0.25, 1])


def test_equal_values_are_in_the_middle():
    assert [dot.x for dot in strip([5, 5]).dots] == [0.5, 0.5]


def test_an_exam_without_a_value_has_no_dot():
    assert [dot.exam for dot in strip([1, None, 2]).dots] == [0, 2]
    assert strip([None, None]) is None


def test_the_odd_ones_are_in_the_order_of_their_values():
    assert [dot.text for dot in strip([9, 1, 5, 2], marks=(0, 3)).marked] == ["p3: 2 mm", "p0: 9 mm"]


def test_of_many_exams_as_many_dots_stay_as_can_be_told_apart_and_all_that_are_marked():
    found = strip([100 + n % 50 for n in range(30_000)], marks=range(20))
    assert len(found.dots) <= 50 * 7 + 20
    assert len(found.marked) == 20
