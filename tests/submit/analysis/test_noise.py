"""The noise of retraining."""

from math import sqrt

import numpy as np
import pytest

from submit.analysis.noise import Noise, retraining_noise
from tests.submit.analysis.tables import REFERENCE, Test, table

REPEATED: list[Test] = [
    *(("p0", "e0", repeat, REFERENCE, dice) for repeat, dice in enumerate((0.5, 0.6, 0.7))),
    *(("p0", "e1", repeat, REFERENCE, dice) for repeat, dice in enumerate((0.8, 0.8))),
    ("p1", "e2", 0, REFERENCE, 0.1),
]


def test_noise_is_pooled_over_exams_and_not_over_patients() -> None:
    """Squares sum to 0.02 with 2 degrees of freedom in e0, to 0 with 1 in e1; e2 was tested once."""
    found = retraining_noise(table(REPEATED), "dice")
    assert found == Noise(sd=pytest.approx(sqrt(0.02 / 3)), degrees_of_freedom=3, exams=2)


def test_exams_that_one_training_tests_are_one_draw_of_its_noise() -> None:
    """p0: means of (0.5, 0.8), (0.6, 0.8) and 0.7: squares sum to 2 x 0.025^2 + ... with 2 degrees of freedom."""
    found = retraining_noise(table(REPEATED), "dice", by_patient=True)
    means = [0.65, 0.7, 0.7]
    variance = sum((each - sum(means) / 3) ** 2 for each in means) / 2
    assert found == Noise(sd=pytest.approx(sqrt(variance)), degrees_of_freedom=2, exams=1)


def test_without_a_second_training_there_is_no_noise_to_know() -> None:
    assert retraining_noise(table(REPEATED[-1:]), "dice") is None
    assert retraining_noise(table([]), "dice") is None


def test_the_variance_is_that_of_the_difference_of_two_trainings() -> None:
    noise = Noise(sd=0.1, degrees_of_freedom=9, exams=99)
    assert noise.variance_of_difference(repeats=1, exams=1) == pytest.approx(0.02)
    assert noise.variance_of_difference(repeats=3, exams=2) == pytest.approx(0.02 / 6)


def test_the_variance_of_the_mean_is_that_of_differences_of_two_equal_arms() -> None:
    noise = Noise(sd=0.1, degrees_of_freedom=9, exams=99)
    assert noise.variance_of_mean([1] * 25, repeats=1) == pytest.approx(0.02 / 25)
    assert noise.variance_of_mean([1] * 25, repeats=4) == pytest.approx(0.02 / 100)
    # A patient of two exams has half the variance.
    assert noise.variance_of_mean([1, 2], repeats=1) == pytest.approx(0.02 * 1.5 / 4)
    draw = np.random.default_rng(0)
    means = [
        np.mean([np.diff(draw.normal(0, 0.1, (2, n)).mean(axis=1)) for n in (1, 2, 3)]) for _ in range(4000)
    ]
    assert np.var(means) == pytest.approx(noise.variance_of_mean([1, 2, 3], repeats=1), rel=0.1)
