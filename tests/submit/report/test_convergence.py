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
    assert found.error == pytest.approx(0.0)  # both folds fell by 0.2
    assert found.falls


def test_a_fall_is_seen_fold_by_fold_however_folds_differ() -> None:
    """Two folds that fall by 0.05 each; and two that fall by a tenth, 0.02 and 0.1, with an error of 0.04."""
    (found,) = convergence({"reference": (STEPS, np.stack([curve(0.55, 0.5), curve(1.05, 1.0)]))})
    assert found.fall == pytest.approx(0.05)
    assert found.falls
    (found,) = convergence({"reference": (STEPS, np.stack([curve(0.2, 0.18), curve(1.0, 0.9)]))})
    assert found.error == pytest.approx(0.04)
    assert not found.falls  # within two errors


def test_a_fall_of_less_than_a_twentieth_is_none() -> None:
    (found,) = convergence({"reference": (STEPS, np.stack([curve(0.31, 0.3), curve(0.51, 0.5)]))})
    assert found.fall == pytest.approx(0.01)
    assert not found.falls


def test_a_rise_is_no_fall() -> None:
    (found,) = convergence({"reference": (STEPS, np.stack([curve(0.3, 0.5), curve(0.3, 0.5)]))})
    assert (found.fall, found.falls) == (pytest.approx(-0.2), False)


def test_folds_that_ended_early_do_not_count() -> None:
    short = curve(0.9, 0.1)
    short[70:] = np.nan
    (found,) = convergence({"reference": (STEPS, np.stack([curve(0.5, 0.3), curve(0.5, 0.3), short]))})
    assert (found.folds, found.before) == (2, pytest.approx(0.5))


def test_of_one_fold_the_fall_alone_counts() -> None:
    (found,) = convergence({"reference": (STEPS, curve(0.5, 0.3)[None])})
    assert found.error is None
    assert found.falls


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
        "Still falling by more than a twentieth over the last fifth of the steps: reference, without b.",
        "Levelled off: without a.",
    ]
