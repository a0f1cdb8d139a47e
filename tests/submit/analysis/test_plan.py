"""What it would take to decide an arm."""

from typing import Any

import pytest

from submit.analysis.noise import Noise
from submit.analysis.plan import plan_for
from submit.analysis.power import power_of
from submit.analysis.verdict import ArmEvidence
from tests.submit.analysis.tables import design


def undecided(**changes: Any) -> ArmEvidence:
    values: dict[str, Any] = {
        "arm": "without a",
        "loss": 0.015,
        "p": 0.3,
        "p_not_worse": 0.4,
        "noise_floor": None,
        "low": -0.01,
        "high": 0.04,
        "margin": 0.02,
        "rank_sign": 1,
        "sd": 0.05,
        "exams": (1, 2) * 10,
        "equivalence": None,
    }
    return ArmEvidence(**values | changes)


def test_patients_are_as_many_as_show_the_margin_at_holm_s_first_step() -> None:
    plan = plan_for(undecided(), design(20), None)
    assert plan is not None
    assert plan.effect == 0.02
    assert plan.patients is not None
    assert power_of(0.02, 0.05, plan.patients, alpha=0.05 / 2) >= 0.8
    assert power_of(0.02, 0.05, plan.patients - 3, alpha=0.05 / 2) < 0.8
    assert plan.exams == pytest.approx(plan.patients * 1.5, abs=1)
    assert plan.repeats is None


def test_without_a_margin_it_is_what_was_found_that_is_to_be_shown() -> None:
    plan = plan_for(undecided(), design(20, margin=None), None)
    assert plan is not None
    assert plan.effect == 0.015


def test_repeats_help_as_far_as_the_spread_is_of_retraining() -> None:
    """A patient of one exam has 2 s^2, of two exams s^2: with s = 0.04 nearly all of the variance of 0.0025."""
    noise = Noise(sd=0.04, degrees_of_freedom=50, exams=20)
    plan = plan_for(undecided(), design(20), noise)
    assert plan is not None
    assert plan.repeats is not None
    between = 0.05**2 - 1.5 * 0.04**2
    assert power_of(0.02, (between + 1.5 * 0.04**2 / plan.repeats) ** 0.5, 20, alpha=0.025) >= 0.799
    assert power_of(0.02, (between + 1.5 * 0.04**2 / (plan.repeats - 1)) ** 0.5, 20, alpha=0.025) < 0.8
    little = Noise(sd=0.001, degrees_of_freedom=50, exams=20)
    of_little = plan_for(undecided(), design(20), little)
    assert of_little is not None
    assert of_little.repeats is None


def test_without_a_spread_there_is_nothing_to_plan_with() -> None:
    assert plan_for(undecided(sd=None), design(20), None) is None
    assert plan_for(undecided(loss=0.0), design(20, margin=None), None) is None
