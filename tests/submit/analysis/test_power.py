"""Power, and what it takes."""

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from submit.analysis.paired_tests import signed_rank
from submit.analysis.power import detectable, patients_needed, power_of, repeats_needed, sd_of_patients


def test_power_is_how_often_the_test_finds_it() -> None:
    draw = np.random.default_rng(99)
    for patients, effect, alpha in ((8, 1.2, 0.05), (25, 0.7, 0.05 / 7)):
        found = [signed_rank(draw.normal(effect, 1, patients)).p < alpha for _ in range(2000)]
        assert power_of(effect * 0.1, 0.1, patients, alpha=alpha) == pytest.approx(np.mean(found), abs=0.03)


def test_without_an_effect_power_is_at_most_the_level() -> None:
    for patients in (6, 10, 36):
        assert power_of(0.0, 1.0, patients) == pytest.approx(0.04, abs=0.015)


@pytest.mark.parametrize("patients", [100, 200, 201, 1000])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 7])
def test_power_is_near_that_of_a_t_test_which_needs_five_percent_fewer_patients(
    patients: int, alpha: float
) -> None:
    effect = 3.2 / patients**0.5
    expected = TTestPower().power(effect, patients * 0.955, alpha)
    assert power_of(effect * 0.2, 0.2, patients, alpha=alpha) == pytest.approx(expected, abs=0.02)


def test_the_reference_study_s_detectable_difference() -> None:
    """knowledge: paired SD 0.107, 36 exams, 80 % power: 0.051, and 0.066 at a seventh of the level, by a t-test."""
    one, seven = detectable(0.107, 36), detectable(0.107, 36, alpha=0.05 / 7)
    assert one is not None
    assert seven is not None
    assert one == pytest.approx(0.0514 / 0.955**0.5, rel=0.02)
    assert seven == pytest.approx(0.0664 / 0.955**0.5, rel=0.02)
    assert power_of(one, 0.107, 36) == pytest.approx(0.8, abs=0.001)


def test_too_few_patients_find_nothing_however_large() -> None:
    """Six losses of six have p = 1/32, which is above 0.05 / 7; nine of nine have 1/256."""
    assert detectable(0.1, 5) is None
    assert detectable(0.1, 6) is not None
    assert detectable(0.1, 8, alpha=0.05 / 7) is None
    assert detectable(0.1, 9, alpha=0.05 / 7) is not None
    assert power_of(1e9, 1.0, 8, alpha=0.05 / 7) == 0
    assert detectable(0.0, 25) == 0


def test_as_many_patients_as_are_needed_and_hardly_one_more() -> None:
    needed = patients_needed(0.05, 0.1)
    assert needed is not None
    assert 34 <= needed <= 37  # a t-test: 33.4, divided by 0.955
    assert power_of(0.05, 0.1, needed) >= 0.8 > power_of(0.05, 0.1, needed - 2)
    assert patients_needed(1e-6, 1.0) is None
    assert patients_needed(10.0, 0.1) == 6
    assert patients_needed(10.0, 0.1, alpha=0.05 / 7) == 9


def test_repeats_shrink_only_the_part_that_is_noise() -> None:
    # Of a variance of 1, with one repeat, 0.75 is noise: with 3 repeats 0.25 + 0.25 are left.
    assert repeats_needed(0.5**0.5, 1.0, 0.75, 1) == 3
    assert repeats_needed(0.49**0.5, 1.0, 0.75, 1) == 4
    assert repeats_needed(0.5, 1.0, 0.75, 1) is None  # what is between patients is all of it
    assert repeats_needed(2.0, 1.0, 0.75, 2) == 2  # as many as there are


def test_visits_count_as_much_as_they_differ() -> None:
    assert sd_of_patients(0.1, [1, 1, 1], icc=0.5) == pytest.approx(0.1)
    assert sd_of_patients(0.1, [4, 4], icc=1.0) == pytest.approx(0.1)
    assert sd_of_patients(0.1, [4, 4], icc=0.0) == pytest.approx(0.05)
    assert sd_of_patients(0.1, [1, 2], icc=0.5) == pytest.approx(0.1 * ((1 + 0.75) / 2) ** 0.5)
