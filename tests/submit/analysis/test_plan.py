"""What it would take to decide an arm."""

from dataclasses import replace
from typing import Any

import pytest

from submit.analysis.design import Design
from submit.analysis.noise import Noise
from submit.analysis.plan import Plan, patients_for_margin, plan_for, rounded
from submit.analysis.power import patients_needed, power_of
from submit.analysis.verdict import Evidence, margin_level
from tests.submit.analysis.tables import design


def undecided(**changes: Any) -> Evidence:
    """A loss of 0.005 of 20 patients, half of them with two exams; the margin is 0.02."""
    values: dict[str, Any] = {
        "arm": "without a",
        "structure": "tumour",
        "loss": 0.005,
        "p": 0.3,
        "low": -0.01,
        "high": 0.04,
        "margin": 0.02,
        "p_not_worse": 0.4,
        "patients": 20,
        "floor": None,
        "losses": {},
        "exams": (1, 2) * 10,
        "sd": 0.05,
        "reference": 0.8,
        "p_equivalent": None,
    }
    return Evidence(**values | changes)


def planned(evidence: Evidence, of: Design | None = None, noise: Noise | None = None) -> Plan:
    plan = plan_for(evidence, of or design(20), noise)
    assert plan is not None
    return plan


def test_the_plan_is_for_the_margin_whatever_was_found() -> None:
    """A small study finds a lucky or an unlucky loss; a plan for that would be 60,000 patients, or 9."""
    plans = [planned(undecided(loss=loss)) for loss in (-0.002, 0.0001, 0.005, 0.0199, 0.3)]
    assert set(plans) == {plans[0]}
    assert plans[0].margin == 0.02


def test_patients_are_as_many_as_tell_the_margin_from_none_rounded_up() -> None:
    """Of two arms, at 2.5 %: 62 patients show the margin, 67 rule it out; rounded, 1.5 exams each."""
    assert patients_needed(0.02, 0.05, alpha=0.025) == 62
    assert patients_for_margin(0.02, 0.05, alpha=0.025) == 67
    assert patients_needed(0.02, 0.06, alpha=0.025) == patients_for_margin(0.02, 0.06, alpha=0.025) == 89
    plan = planned(undecided())
    assert (plan.patients, plan.exams, plan.repeats) == (70, 110, None)


def test_structures_of_the_endpoint_share_the_level_too() -> None:
    of = design(20, structures=("tumour", "node"), further_structures=("node",))
    exact = patients_needed(0.02, 0.05, alpha=0.0125)
    assert exact is not None
    assert planned(undecided(), of).patients == rounded(exact) > 70


def test_few_patients_must_rule_the_margin_out_at_a_sharper_level() -> None:
    """With an SD of 0.012 ten patients show a loss of 0.02 at 2.5 %; to rule it out there takes 0.10 %."""
    shown = patients_needed(0.02, 0.012, alpha=0.025)
    ruled_out = patients_for_margin(0.02, 0.012, alpha=0.025)
    assert shown is not None
    assert ruled_out is not None
    assert shown < ruled_out < 72
    for patients, enough in ((ruled_out, True), (ruled_out - 1, False)):
        power = power_of(0.02, 0.012, patients, alpha=margin_level(patients))  # of 5 % / 2 arms
        assert (power >= 0.8) == enough


@pytest.mark.parametrize(
    ("exact", "planned"),
    [(7, 7), (20, 20), (21, 25), (62, 65), (100, 100), (101, 110), (288, 290), (500, 500), (501, 550)],
)
def test_sizes_are_rounded_up_as_they_are_planned(exact: int, planned: int) -> None:
    assert rounded(exact) == planned


def test_more_than_ten_times_the_cohort_is_no_plan() -> None:
    """An SD of 0.1 takes 241 patients of two arms: more than ten times 22, and less than ten times 25."""
    assert patients_for_margin(0.02, 0.1, alpha=0.025) == 241
    none = planned(undecided(sd=0.1, patients=22, exams=(1,) * 22), design(22))
    assert (none.patients, none.exams, none.repeats) == (None, None, None)
    some = planned(undecided(sd=0.1, patients=25, exams=(1,) * 25), design(25))
    assert (some.patients, some.exams) == (250, 250)
    assert planned(undecided(sd=50.0)).patients is None  # more than any study has


LEVEL = 0.025 * 0.025 / 0.95**20
"""At which 20 patients rule a loss of the margin out, two-sided and shared by two arms."""


def test_repeats_are_as_many_as_rule_the_margin_out_of_these_patients() -> None:
    """Ten patients, seven arms: 0.10 % / 7 one-sided. At 2.5 % / 7 it was 4 repeats, which rule it out in 39 %."""
    of = design(10, arms=("reference", *(f"without {n}" for n in range(7))))
    evidence = undecided(sd=0.025, patients=10, exams=(1,) * 10)
    plan = planned(evidence, of, Noise(sd=0.5, degrees_of_freedom=50, exams=10))
    assert plan.repeats == 8
    level = 2 * 0.025 * 0.025 / 0.95**10 / 7
    power = [power_of(0.02, 0.025 / repeats**0.5, 10, alpha=level) for repeats in (4, 7, 8)]
    assert power[0] == pytest.approx(0.39, abs=0.01)
    assert power[1] < 0.8 < power[2]


def test_repeats_help_as_far_as_the_spread_is_of_retraining() -> None:
    """A patient of one exam has 2 s^2, of two exams s^2: with s = 0.04 nearly all of the variance of 0.0025."""
    noise = Noise(sd=0.04, degrees_of_freedom=50, exams=20)
    plan = planned(undecided(), noise=noise)
    assert plan.repeats is not None
    between = 0.05**2 - 1.5 * 0.04**2
    power = [
        power_of(0.02, (between + 1.5 * 0.04**2 / (plan.repeats - n)) ** 0.5, 20, alpha=LEVEL) for n in (0, 1)
    ]
    assert power[0] >= 0.799 > power[1]
    for little in (Noise(sd=0.001, degrees_of_freedom=50, exams=20), replace(noise, degrees_of_freedom=4)):
        assert planned(undecided(), noise=little).repeats is None


def test_noise_is_never_more_than_all_that_differences_scatter_by() -> None:
    """Then repeats divide the whole variance."""
    plan = planned(undecided(), noise=Noise(sd=0.5, degrees_of_freedom=50, exams=20))
    assert plan.repeats is not None
    power = [power_of(0.02, 0.05 / (plan.repeats - n) ** 0.5, 20, alpha=LEVEL) for n in (0, 1)]
    assert power[0] >= 0.799 > power[1]


def test_visits_that_one_training_tests_have_its_noise_in_common() -> None:
    """Three visits each: the noise of a patient is that of one training and not of three."""
    noise = Noise(sd=0.025, degrees_of_freedom=50, exams=20)
    evidence = undecided(sd=0.038, exams=(3,) * 20)
    by_patient = planned(evidence, design(20, test_unit="patient"), noise).repeats
    assert by_patient is not None
    between = 0.038**2 - 2 * 0.025**2
    power = [
        power_of(0.02, (between + 2 * 0.025**2 / (by_patient - n)) ** 0.5, 20, alpha=LEVEL) for n in (0, 1)
    ]
    assert power[0] >= 0.799 > power[1]
    assert planned(evidence, design(20), noise).repeats is None


@pytest.mark.parametrize(
    "obstacle",
    [{"sd": None}, {"sd": 0.0}, {"margin": None}, {"margin": 0.0}, {"can_see": False}, {"sd": 0.01}],
    ids=[
        "one patient",
        "no spread",
        "no margin",
        "a perfect reference",
        "a blind reference",
        "enough patients",
    ],
)
def test_where_patients_are_not_what_is_wanting_there_is_no_plan(obstacle: dict[str, Any]) -> None:
    assert plan_for(undecided(**obstacle), design(20), None) is None
