"""Power, and what it takes."""

import pytest
from statsmodels.stats.power import TTestPower

from submit.analysis.power import detectable, patients_needed, power_of, repeats_needed, sd_of_patients


@pytest.mark.parametrize("patients", [3, 6, 25, 100])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 7])
def test_power_is_that_of_statsmodels(patients: int, alpha: float) -> None:
    for effect in (0.1, 0.5):  # statsmodels gives NaN for large ones
        expected = TTestPower().power(effect, patients, alpha)
        assert power_of(effect * 0.2, 0.2, patients, alpha=alpha) == pytest.approx(expected, abs=1e-4)


def test_the_reference_study_s_detectable_difference() -> None:
    """knowledge: paired SD 0.107, 36 exams, 80 % power: 0.051, and 0.066 at a seventh of the level."""
    assert detectable(0.107, 36) == pytest.approx(0.0514, abs=1e-4)
    assert detectable(0.107, 36, alpha=0.05 / 7) == pytest.approx(0.0664, abs=1e-4)
    assert power_of(detectable(0.107, 36), 0.107, 36) == pytest.approx(0.8)


def test_two_patients_can_find_something_and_no_spread_finds_everything() -> None:
    assert power_of(detectable(0.1, 2), 0.1, 2) == pytest.approx(0.8)
    assert detectable(0.0, 25) == 0


def test_as_many_patients_as_are_needed_and_not_one_more() -> None:
    needed = patients_needed(0.05, 0.1)
    assert needed == 34  # statsmodels: 33.37
    assert power_of(0.05, 0.1, needed) >= 0.8 > power_of(0.05, 0.1, needed - 1)
    assert patients_needed(1e-6, 1.0) is None
    assert patients_needed(10.0, 0.1) == 2


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
