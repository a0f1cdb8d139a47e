"""Power, and what it takes."""

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from submit.analysis.power import (
    detectable,
    patients_needed,
    power_of,
    repeats_needed,
    sd_of_patients,
)
from submit.analysis.sign_flips import FEWEST, SignFlips


def test_power_is_how_often_the_test_finds_it() -> None:
    draw = np.random.default_rng(99)
    for patients, effect in ((8, 1.2), (25, 0.6)):
        found = [(SignFlips(draw.normal(effect, 1, (patients, 1)), 0).p(0) or 0) < 0.05 for _ in range(400)]
        assert power_of(effect * 0.1, 0.1, patients) == pytest.approx(np.mean(found), abs=0.07)


def test_power_among_seven_arms_is_that_at_a_seventh_of_the_level_or_better() -> None:
    """The largest t of arms that share their reference asks for less than a seventh of 5 %."""
    draw, found = np.random.default_rng(5), []
    for _ in range(300):
        values = (draw.normal(size=(12, 7)) - draw.normal(size=(12, 1))) / 2**0.5
        values[:, 0] += 1.3
        found.append((SignFlips(values, 0).p(0, range(7)) or 0) < 0.05)
    promised = power_of(1.3, 1.0, 12, alpha=0.05 / 7)
    assert promised - 0.05 < np.mean(found) < power_of(1.3, 1.0, 12) + 0.05


def test_without_an_effect_power_is_the_level_which_few_flips_have_in_steps() -> None:
    """Of six patients p is 1/32, 2/32, ...; of seven 3/64 is the last below 5 %, of ten 25/512."""
    for patients, level in ((6, 1 / 32), (7, 3 / 64), (10, 25 / 512), (36, 0.05), (5000, 0.05)):
        assert power_of(0.0, 1.0, patients) == pytest.approx(level, rel=0.005)


@pytest.mark.parametrize("patients", [20, 36, 100, 1000])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 7])
def test_power_is_that_of_a_t_test(patients: int, alpha: float) -> None:
    effect = 3.2 / patients**0.5
    expected = TTestPower().power(effect, patients, alpha)
    assert power_of(effect * 0.2, 0.2, patients, alpha=alpha) == pytest.approx(expected, abs=0.003)


def test_the_reference_study_s_detectable_difference() -> None:
    """knowledge: paired SD 0.107, 36 exams, 80 % power: 0.051, and 0.066 at a seventh of the level."""
    one, seven = detectable(0.107, 36), detectable(0.107, 36, alpha=0.05 / 7)
    assert one == pytest.approx(0.0514, abs=2e-4)
    assert seven == pytest.approx(0.0664, abs=2e-4)
    assert power_of(one or 0, 0.107, 36) == pytest.approx(0.8, abs=0.001)


def test_too_few_patients_find_nothing_however_large() -> None:
    """Of five losses of five, p is 1/16; of six 1/32, whatever the other arms are."""
    assert FEWEST == 6
    assert detectable(0.1, 5) is None
    assert power_of(1e9, 1.0, 5) == 0
    assert detectable(0.1, 6) is not None
    assert detectable(0.1, 6, alpha=0.05 / 7) is not None
    assert detectable(0.0, 25) == 0


def test_as_many_patients_as_are_needed_and_not_one_more() -> None:
    needed = patients_needed(0.05, 0.1)
    assert needed == 34  # a textbook's t-test of half an SD
    assert power_of(0.05, 0.1, 34) >= 0.8 > power_of(0.05, 0.1, 33)
    assert patients_needed(1e-6, 1.0) is None
    assert patients_needed(10.0, 0.1) == patients_needed(10.0, 0.1, alpha=0.05 / 7) == 6


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
