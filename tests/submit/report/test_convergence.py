"""Whether trainings had levelled off, by curves of which the end is known."""

import numpy as np
import pytest

from submit.report.convergence import convergence, in_words

STEPS = np.arange(1, 101)


def curve(before: float, end: float) -> np.ndarray:
    """Of 100 steps: one level up to step 80, another in the last ten, and between them a step down."""
    losses = np.full(100, before)
    losses[80:90], losses[90:] = (before + end) / 2, end
    return losses


def test_a_fall_is_that_over_the_last_fifth_of_the_steps() -> None:
    (found,) = convergence({"reference": (STEPS, np.stack([curve(0.5, 0.3), curve(0.6, 0.4)]))})
    assert (found.folds, found.before, found.end) == (2, pytest.approx(0.55), pytest.approx(0.35))
    assert found.fall == pytest.approx(0.2)
    assert found.scatter == pytest.approx(np.sqrt(2) * 0.05)  # of 0.3 and 0.4
    assert found.falls


def test_a_fall_within_what_folds_differ_by_is_none() -> None:
    (found,) = convergence({"reference": (STEPS, np.stack([curve(0.31, 0.3), curve(0.51, 0.5)]))})
    assert found.fall == pytest.approx(0.01)
    assert found.scatter == pytest.approx(np.sqrt(2) * 0.1)
    assert found.falls is False


def test_a_rise_is_no_fall() -> None:
    (found,) = convergence({"reference": (STEPS, np.stack([curve(0.3, 0.5), curve(0.3, 0.5)]))})
    assert (found.fall, found.falls) == (pytest.approx(-0.2), False)


def test_folds_that_ended_early_do_not_count() -> None:
    short = curve(0.9, 0.1)
    short[70:] = np.nan
    (found,) = convergence({"reference": (STEPS, np.stack([curve(0.5, 0.3), curve(0.5, 0.3), short]))})
    assert (found.folds, found.before) == (2, pytest.approx(0.5))


def test_one_fold_says_nothing_of_how_folds_differ() -> None:
    found = convergence({"reference": (STEPS, curve(0.5, 0.3)[None])})
    assert [each.falls for each in found] == [None]
    assert in_words(found) == ["Of one fold only, which says nothing of how folds differ: reference."]


def test_steps_that_are_far_apart_have_levels_too() -> None:
    steps = np.array([20, 40, 60, 80, 100])
    (found,) = convergence(
        {"reference": (steps, np.array([[1.0, 0.8, 0.6, 0.4, 0.2], [1.0, 0.8, 0.6, 0.4, 0.2]]))}
    )
    assert (found.before, found.end) == (0.4, 0.2)


def test_too_few_steps_say_nothing() -> None:
    assert convergence({"reference": (np.array([1, 2, 3]), np.ones((2, 3)))}) == []
    assert convergence({}) == []


def test_arms_are_named_by_what_their_curves_say() -> None:
    falls, level = np.stack([curve(0.5, 0.3)] * 2), np.stack([curve(0.5, 0.5), curve(0.6, 0.6)])
    found = convergence(
        {"reference": (STEPS, falls), "without a": (STEPS, level), "without b": (STEPS, falls)}
    )
    assert in_words(found) == [
        "Still falling over the last fifth of the steps, by more than folds differ by: reference, without b.",
        "Fell by no more than folds differ by: without a.",
    ]
