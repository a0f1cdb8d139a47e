"""The rules of the verdict, at their boundaries."""

from typing import Any

import pytest

from submit.analysis.noise import Noise
from submit.analysis.pairing import by_arm
from submit.analysis.verdict import Evidence, decide, gather
from tests.submit.analysis.tables import design, paired, table

JUST, NOT = 0.05 - 1e-9, 0.05


def evidence(**changes: Any) -> Evidence:
    return Evidence(**{"loss": 0.05, "p": NOT, "p_not_worse": NOT, "noise_floor": None} | changes)


def test_a_certain_loss_makes_a_channel_needed() -> None:
    assert decide(evidence(p=JUST)) == "needed"
    assert decide(evidence(p=NOT)) == "undecided"


def test_a_loss_that_retraining_explains_is_not_distinguishable_however_certain() -> None:
    assert decide(evidence(p=JUST, noise_floor=0.05)) == "not distinguishable"
    assert decide(evidence(p=JUST, noise_floor=0.05 - 1e-9)) == "needed"
    assert decide(evidence(p=NOT, noise_floor=0.05)) == "not distinguishable"
    assert decide(evidence(p=NOT, noise_floor=0.04)) == "undecided"


def test_a_loss_below_the_margin_is_droppable_even_if_it_is_certain() -> None:
    assert decide(evidence(loss=0.005, p=JUST, p_not_worse=JUST)) == "droppable"
    assert decide(evidence(loss=0.005, p=JUST, p_not_worse=JUST, noise_floor=0.1)) == "droppable"
    assert decide(evidence(loss=0.005, p_not_worse=NOT)) == "undecided"


def test_what_is_better_left_out_is_droppable_with_and_without_a_margin() -> None:
    assert decide(evidence(loss=-0.05, p=JUST, p_not_worse=None)) == "droppable"
    assert decide(evidence(loss=-0.05, p=NOT, p_not_worse=None)) == "undecided"
    assert decide(evidence(loss=-0.05, p=JUST, p_not_worse=None, noise_floor=0.06)) == "not distinguishable"


def test_a_loss_that_is_not_significant_is_never_droppable_for_that() -> None:
    assert decide(evidence(loss=0.0, p=1.0, p_not_worse=None)) == "undecided"
    assert decide(evidence(loss=0.0, p=1.0, p_not_worse=NOT)) == "undecided"


def test_without_a_pair_nothing_is_decided() -> None:
    assert decide(evidence(loss=None, p=None, p_not_worse=None, noise_floor=0.1)) == "undecided"


def test_a_loss_is_worse_whichever_way_the_metric_goes() -> None:
    rows = table(paired([0.7, 0.8, 0.6], a=[-0.1, -0.2, -0.1], b=[0.1, 0.1, 0.1]))
    dice = gather(by_arm(rows, "tumour", "dice"), design(3), None)
    of = design(3, metric="hd95_mm", margin=None)
    distance = gather(by_arm(rows, "tumour", "hd95_mm"), of, None)
    assert [each.loss for each in dice] == [pytest.approx(0.4 / 3), pytest.approx(-0.1)]
    assert [each.loss for each in distance] == [pytest.approx(4 / 3), pytest.approx(-1)]
    assert [each.p_not_worse for each in distance] == [None, None]


def test_both_families_are_corrected_over_all_arms() -> None:
    tiny = [0.001, -0.001, 0.002, -0.002, 0.0015, -0.0015]
    rows = table(paired([0.7] * 6, a=tiny, b=[-0.2, -0.21, -0.22, -0.23, -0.24, -0.25]))
    without_a, without_b = gather(by_arm(rows, "tumour", "dice"), design(6), None)
    assert without_a.equivalence is not None
    assert without_a.p_not_worse == pytest.approx(2 * without_a.equivalence.p_below_upper)
    assert without_b.p == pytest.approx(2 * 2 / 64)
    assert (decide(without_a), decide(without_b)) == (
        "droppable",
        "undecided",
    )  # 6 patients of 2 arms: p = 0.06


def test_the_floor_is_that_of_the_patients_with_pairs() -> None:
    spread = [-0.1, 0.1, -0.2, 0.2, -0.1, 0.1]
    rows = table(paired([0.7] * 6, a=[*spread[:3], None, None, None], b=[*spread]))
    noise = Noise(sd=0.01, degrees_of_freedom=50, exams=6)
    three, six = gather(by_arm(rows, "tumour", "dice"), design(6), noise)
    assert three.noise_floor == pytest.approx(noise.floor([1] * 3, repeats=1))
    assert six.noise_floor == pytest.approx(noise.floor([1] * 6, repeats=1))


def test_the_floor_is_no_more_than_all_that_the_differences_scatter_by() -> None:
    """Arms share their draws with the reference, two trainings of the reference do not."""
    spread = [-0.01, 0.01, -0.01, 0.01]
    rows = table(paired([0.7] * 4, a=[*spread], b=[*spread]))
    (arm, _) = gather(
        by_arm(rows, "tumour", "dice"), design(4), Noise(sd=0.5, degrees_of_freedom=50, exams=4)
    )
    assert arm.noise_floor == pytest.approx(3.182 * 0.01 * (4 / 3) ** 0.5 / 2, rel=1e-3)
