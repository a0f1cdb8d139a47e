import pytest

from submit.check.outliers import rare, stands_out


def marked(values, **options):
    return [position for position, mark in enumerate(stands_out(values, **options)) if mark]


SIX = [90, 94, 98, 102, 106, 110]
"""With a seventh above, the median is 102 and the median distance that of 110: log(110 / 102) = 0.0755. The limit of
7 exams is 4.5 x (1 + 10 / 7) x 1.4826 x 0.0755 = 1.2235: a factor of 3.40, up to 346.7."""


def test_ten_times_as_much_and_a_tenth_are_equally_far():
    assert marked([*SIX, 1000]) == [6]
    assert marked([*SIX, 10]) == [6]


def test_what_is_within_the_spread_of_the_others_is_not_marked():
    assert marked([*SIX, 345]) == []
    assert marked([*SIX, 348]) == [6]


def test_fewer_than_five_exams_have_no_mark():
    assert marked([1, 1, 1, 1000]) == []
    assert marked([1, 1, 1, 1, 1000]) == [4]


def test_exams_without_a_value_are_neither_counted_nor_marked():
    assert marked([1, None, 1, 1, 1000]) == []
    assert marked([1, None, 1, 1, 1, 1000]) == [5]


def test_rounding_is_no_difference_though_all_others_are_equal():
    assert marked([3, 3, 3, 3, 3, 3.0000001, 3.5]) == []
    assert marked([3, 3, 3, 3, 3, 3.0000001, 3.7]) == [6]


def test_equal_values_have_no_mark():
    assert marked([5.0] * 8) == []
    assert marked([0.0] * 8) == []


def test_two_groups_are_no_outliers():
    assert marked([1] * 8 + [10] * 2) == [8, 9]  # a fifth
    assert marked([1] * 8 + [10] * 3) == []


def test_nothing_is_far_from_something():
    assert marked([5, 5, 5.5, 5, 5, 0]) == [5]
    assert marked([0, 0, 0, 0, 5]) == []  # of which most have none


def test_values_that_can_be_negative_are_measured_in_a_unit():
    z_scores = [-0.1, 0.0, 0.1, 0.05, -0.05, 5.0]
    assert marked(z_scores, unit=4.0) == [5]
    assert marked([0.0, 0.0, 0.0, 0.0, 0.0, 1e-9], unit=4.0) == []
    assert marked([0.0, 0.0, 0.0, 0.0, 0.0, 0.7], unit=4.0) == []  # less than a fifth of the unit
    assert marked([0.0, 0.0, 0.0, 0.0, 0.0, 0.9], unit=4.0) == [5]


@pytest.mark.parametrize("exams", [5, 36])
def test_one_exam_is_rare_in_a_small_cohort(exams):
    assert rare(["LPS"] * (exams - 1) + ["RAS"])[-1]
    assert not any(rare(["LPS"] * (exams - 1) + ["RAS"])[:-1])
    assert not any(rare(["LPS"] * (exams - 2) + ["RAS"] * 2))


def test_one_in_twenty_is_rare():
    assert sum(rare(["LPS"] * 95 + ["RAS"] * 5)) == 5
    assert sum(rare(["LPS"] * 94 + ["RAS"] * 6)) == 0


def test_where_all_are_rare_none_is():
    assert not any(rare("abcdefgh"))
    assert not any(rare(["a", "a", "a", "b"]))  # of 4 exams none is
