"""What it would take to decide an arm."""

from dataclasses import replace
from math import ceil
from typing import Any

import pytest

from submit.analysis.design import Design
from submit.analysis.noise import Noise
from submit.analysis.plan import Plan, plan_for
from submit.analysis.power import power_of
from submit.analysis.verdict import ArmEvidence
from tests.submit.analysis.tables import design


def undecided(**changes: Any) -> ArmEvidence:
    """A loss of 0.005 with a margin of 0.02."""
    values: dict[str, Any] = {
        "arm": "without a",
        "loss": 0.005,
        "p": 0.3,
        "p_not_worse": 0.4,
        "noise_floor": None,
        "low": -0.01,
        "high": 0.04,
        "rank_sign": 1,
        "sd": 0.05,
        "exams": (1, 2) * 10,
        "equivalence": None,
    }
    return ArmEvidence(**values | changes)


def planned(evidence: ArmEvidence, of: Design | None = None, noise: Noise | None = None) -> Plan:
    plan = plan_for(evidence, of or design(20), noise)
    assert plan is not None
    return plan


def test_the_nearer_way_is_taken() -> None:
    """Of a loss below half of the margin to rule out the margin, else to show the loss."""
    ways = {loss: planned(undecided(loss=loss)) for loss in (-0.002, 0.005, 0.0099, 0.0101, 0.02, 0.021)}
    assert [plan.goal for plan in ways.values()] == ["rule out"] * 3 + ["show"] * 3
    assert [plan.effect for plan in ways.values()] == pytest.approx(
        [0.022, 0.015, 0.0101, 0.0101, 0.02, 0.021]
    )


def test_patients_are_as_many_as_decide_at_holm_s_first_step() -> None:
    plan = planned(undecided())
    assert plan.patients is not None
    power = [power_of(0.015, 0.05, plan.patients - n, alpha=0.05 / 2, test="mean") for n in (0, 1)]
    assert power[0] >= 0.8 > power[1]
    assert plan.exams == ceil(plan.patients * 1.5)
    assert (plan.repeats, plan.fewest) == (None, None)


def test_without_a_margin_it_is_what_was_found_that_is_to_be_shown() -> None:
    plan = planned(undecided(), design(20, margin=None))
    assert (plan.goal, plan.effect) == ("show", 0.005)


@pytest.mark.parametrize("obstacle", [{"sensitive": False}, {"more_false_alarms": 1}])
def test_what_cannot_be_dropped_can_only_be_shown(obstacle: dict[str, Any]) -> None:
    assert planned(undecided(**obstacle)).goal == "show"
    assert plan_for(undecided(**obstacle, loss=0.0), design(20), None) is None


def test_repeats_help_as_far_as_the_spread_is_of_retraining() -> None:
    """A patient of one exam has 2 s^2, of two exams s^2: with s = 0.04 nearly all of the variance of 0.0025."""
    noise = Noise(sd=0.04, degrees_of_freedom=50, exams=20)
    plan = planned(undecided(), noise=noise)
    assert plan.repeats is not None
    between = 0.05**2 - 1.5 * 0.04**2
    power = [
        power_of(0.015, (between + 1.5 * 0.04**2 / (plan.repeats - n)) ** 0.5, 20, alpha=0.025, test="mean")
        for n in (0, 1)
    ]
    assert power[0] >= 0.799 > power[1]
    for little in (Noise(sd=0.001, degrees_of_freedom=50, exams=20), replace(noise, degrees_of_freedom=4)):
        assert planned(undecided(), noise=little).repeats is None


def test_what_is_within_the_noise_needs_a_smaller_floor_too() -> None:
    """The floor of 0.06 is 1.5 times the loss of 0.04: it takes more than 1.5^2 times as many to be below it."""
    noise = Noise(sd=0.05, degrees_of_freedom=50, exams=20)
    free = planned(undecided(loss=0.04, sd=0.06), design(20, margin=None, repeats=2), noise)
    within = planned(
        undecided(loss=0.04, sd=0.06, noise_floor=0.06), design(20, margin=None, repeats=2), noise
    )
    assert free.patients is not None
    assert free.repeats is not None
    assert free.patients < 45
    assert free.repeats < 5
    assert within.patients == 20 * 1.5**2 + 1
    assert within.repeats == ceil(2 * 1.5**2)


def test_few_patients_are_told_how_many_can_show_anything() -> None:
    assert (
        planned(undecided(exams=(1,) * 5), design(5)).fewest is None
    )  # the test against the margin can do with 5
    plan = planned(undecided(exams=(1,) * 5, loss=0.015), design(5))
    assert plan.fewest == 7  # of 2 arms: 2 / 2^7 < 0.025 < 2 / 2^6
    assert plan.patients is not None
    assert plan.patients > 7


def test_an_effect_that_is_too_small_for_any_study_has_no_number_of_patients() -> None:
    plan = planned(undecided(loss=1e-5), design(20, margin=None))
    assert (plan.patients, plan.exams) == (None, None)


def test_where_there_is_nothing_to_plan_with_there_is_no_plan() -> None:
    assert plan_for(undecided(sd=None), design(20), None) is None
    assert plan_for(undecided(loss=0.0), design(20, margin=None), None) is None


def test_where_patients_are_not_what_is_wanting_there_is_no_plan() -> None:
    assert plan_for(undecided(loss=0.1), design(20), None) is None


def test_visits_that_one_training_tests_have_its_noise_in_common() -> None:
    """Three visits each: the noise of a patient is that of one training and not of three."""
    noise = Noise(sd=0.02, degrees_of_freedom=50, exams=20)
    evidence = undecided(sd=0.034, exams=(3,) * 20)
    by_patient = planned(evidence, design(20, test_unit="patient"), noise).repeats
    assert by_patient is not None
    between = 0.034**2 - 2 * 0.02**2
    power = [
        power_of(0.015, (between + 2 * 0.02**2 / (by_patient - n)) ** 0.5, 20, alpha=0.025, test="mean")
        for n in (0, 1)
    ]
    assert power[0] >= 0.799 > power[1]
    assert planned(evidence, design(20), noise).repeats is None


def test_noise_is_never_more_than_all_that_differences_scatter_by() -> None:
    """Then repeats divide the whole variance."""
    plan = planned(undecided(), noise=Noise(sd=0.5, degrees_of_freedom=50, exams=20))
    assert plan.repeats is not None
    power = [power_of(0.015, 0.05 / (plan.repeats - n) ** 0.5, 20, alpha=0.025, test="mean") for n in (0, 1)]
    assert power[0] >= 0.799 > power[1]
