"""The rules of the verdict, at their boundaries."""

from typing import Any

import numpy as np
import pytest
from pandas import DataFrame

from submit.analysis.bootstrap import DRAWS
from submit.analysis.design import Design
from submit.analysis.noise import Noise
from submit.analysis.paired_tests import signed_rank
from submit.analysis.pairing import by_arm, statuses
from submit.analysis.verdict import ArmEvidence, Evidence, decide, gather
from tests.submit.analysis.tables import ARMS, Test, design, paired, table

JUST, NOT = 0.05 - 1e-9, 0.05


def evidence(**changes: Any) -> Evidence:
    """A loss of 0.05 that is not certain; a loss of the margin, 0.1, is not ruled out."""
    values = {"loss": 0.05, "p": NOT, "p_not_worse": NOT, "noise_floor": None, "rank_sign": 1}
    return Evidence(**{**values, "low": 0.01, "high": 0.09, **changes})


def test_a_certain_loss_makes_a_channel_needed() -> None:
    assert decide(evidence(p=JUST)) == "needed"
    assert decide(evidence(p=NOT)) == "undecided"


def test_ranks_and_mean_must_agree() -> None:
    assert decide(evidence(p=JUST, rank_sign=-1)) == "undecided"
    assert decide(evidence(p=JUST, low=-0.001)) == "undecided"
    assert decide(evidence(p=JUST, low=None, high=None)) == "needed"
    assert decide(evidence(loss=-0.05, low=-0.09, high=-0.01, p=JUST, rank_sign=1)) == "undecided"


def test_a_loss_that_retraining_explains_is_not_distinguishable_however_certain() -> None:
    assert decide(evidence(p=JUST, noise_floor=0.05)) == "not distinguishable"
    assert decide(evidence(p=JUST, noise_floor=0.05 - 1e-9)) == "needed"
    assert decide(evidence(p=NOT, noise_floor=0.05)) == "not distinguishable"
    assert decide(evidence(p=NOT, noise_floor=0.04)) == "undecided"


HALF = 0.025 - 1e-9
"""One-sided, so that it goes with an interval of 95 %."""


def test_a_loss_below_the_margin_is_droppable_even_if_it_is_certain() -> None:
    assert decide(evidence(p=JUST, p_not_worse=HALF)) == "droppable"
    assert decide(evidence(p=JUST, p_not_worse=HALF, noise_floor=0.1)) == "droppable"
    assert decide(evidence(p_not_worse=0.025)) == "undecided"


def test_nothing_is_droppable_beside_a_reference_that_sees_nothing_or_with_more_false_alarms() -> None:
    assert decide(evidence(p_not_worse=HALF, sensitive=False)) == "undecided"
    assert decide(evidence(p_not_worse=HALF, more_false_alarms=1)) == "undecided"
    assert decide(evidence(p_not_worse=HALF, more_false_alarms=-1)) == "droppable"


def test_what_is_better_left_out_is_droppable_with_and_without_a_margin() -> None:
    better = {
        "loss": -0.05,
        "low": -0.09,
        "high": -0.01,
        "rank_sign": -1,
        "p_not_worse": None,
    }
    assert decide(evidence(**better, p=JUST)) == "droppable"
    assert decide(evidence(**better, p=NOT)) == "undecided"
    assert decide(evidence(**better, p=JUST, noise_floor=0.06)) == "not distinguishable"
    assert decide(evidence(**better, p=JUST, sensitive=False)) == "droppable"
    assert decide(evidence(**better, p=JUST, more_false_alarms=1)) == "undecided"


def test_a_loss_that_is_not_significant_is_never_droppable_for_that() -> None:
    assert decide(evidence(loss=0.0, p=1.0, p_not_worse=None)) == "undecided"
    assert decide(evidence(loss=0.0, p=1.0, p_not_worse=NOT)) == "undecided"


def test_without_a_pair_nothing_is_decided() -> None:
    assert decide(evidence(loss=None, p=None, p_not_worse=None, noise_floor=0.1)) == "undecided"


def gathered(rows: DataFrame, of: Design, noise: Noise | None = None) -> tuple[ArmEvidence, ...]:
    tests, dice = (by_arm(rows, "tumour", metric) for metric in (of.metric, "dice"))
    return gather(tests, dice, statuses(rows, "tumour"), of, noise)


def test_a_reference_that_segments_nothing_lets_nothing_be_dropped() -> None:
    rows = table(paired([0.01, 0.02, 0.0, 0.01, 0.02, 0.01], a=[0.001, -0.001] * 3, b=[0.001, -0.001] * 3))
    assert [each.sensitive for each in gathered(rows, design(6))] == [False, False]
    assert {decide(each) for each in gathered(rows, design(6))} == {"undecided"}


def ended(tests: list[Test], **statuses: str) -> DataFrame:
    """A table in which tests of these exams ended in a way of their own, where they have a Dice of 0."""
    rows = table(tests)
    for exam, status in statuses.items():
        rows.loc[(rows["exam"] == exam) & (rows["dice"] == 0), "status"] = status
    return rows


def test_false_alarms_beside_correct_absences_are_counted() -> None:
    little = [0.001 * (-1) ** n for n in range(8)]
    tests = paired([0.7] * 8, a=little, b=little)
    tests += [("q", "q", 0, arm, dice) for arm, dice in zip(ARMS, (None, 0.0, None), strict=True)]
    tests += [("r", "r", 0, "reference", None)]  # not tested without a
    of = design([*((f"p{n:02}", f"e{n:02}") for n in range(8)), ("q", "q"), ("r", "r")])
    a, b = gathered(ended(tests, q="false-alarm"), of)
    assert (a.more_false_alarms, b.more_false_alarms) == (1, 0)
    assert (decide(a), decide(b)) == ("undecided", "droppable")


def test_false_alarms_of_the_reference_count_for_the_arm() -> None:
    little = [0.001 * (-1) ** n for n in range(8)]
    tests = paired([0.7] * 8, a=little, b=little)
    tests += [("q", "q", 0, arm, dice) for arm, dice in zip(ARMS, (0.0, 0.0, None), strict=True)]
    tests += [("r", "r", 0, arm, dice) for arm, dice in zip(ARMS, (None, 0.0, None), strict=True)]
    of = design([*((f"p{n:02}", f"e{n:02}") for n in range(8)), ("q", "q"), ("r", "r")])
    a, b = gathered(ended(tests, q="false-alarm", r="false-alarm"), of)
    assert (a.more_false_alarms, b.more_false_alarms) == (1, -1)


def test_false_alarms_of_both_are_no_equal_results() -> None:
    """Ten patients lose 0.03; fifteen without a lesion, in whom every arm has a false alarm, do not dilute that."""
    loss = [-0.03 - 0.001 * n for n in range(10)]
    tests = paired([0.7] * 10, a=loss, b=loss)
    exams = [f"q{n}" for n in range(15)]
    tests += [(exam, exam, 0, arm, 0.0) for exam in exams for arm in ARMS]
    of = design([*((f"p{n:02}", f"e{n:02}") for n in range(10)), *((exam, exam) for exam in exams)])
    a, _ = gathered(ended(tests, **dict.fromkeys(exams, "false-alarm")), of)
    assert len(a.exams) == 10
    assert a.loss == pytest.approx(0.0345)
    assert decide(a) == "needed"


def test_a_distance_is_not_within_the_margin_of_a_reference_that_misses_everything() -> None:
    rows = table(paired([0.0] * 12, a=[0.0] * 12, b=[0.0] * 12)).assign(hd95_mm=300.0)
    seen = table(paired([0.7] * 12, a=[0.0] * 12, b=[0.0] * 12)).assign(hd95_mm=4.0)
    of = design(12, metric="hd95_mm", margin=2.0)
    assert {decide(each) for each in gathered(rows, of)} == {"undecided"}
    assert {decide(each) for each in gathered(seen, of)} == {"droppable"}


def test_numbers_that_differ_by_rounding_are_ties() -> None:
    """Differences of 1.2 mm and 2.4 mm, as subtraction gives them."""
    steps = [1, -1, 1, 1, 2, 1, -1, 1, 1, 1, 1, 2]
    rows = table(paired([0.7] * 12, a=[0.0] * 12, b=[0.0] * 12))
    for n, step in enumerate(steps):
        own = rows["exam"] == f"e{n:02}"
        rows.loc[own & (rows["arm"] == "reference"), "hd95_mm"] = 1.2 * (n + 3)
        rows.loc[own & (rows["arm"] != "reference"), "hd95_mm"] = 1.2 * (n + 3 + step)
    a, _ = gathered(rows, design(12, metric="hd95_mm", margin=None))
    assert a.p == pytest.approx(2 * signed_rank(np.array(steps, dtype=float)).p)


def test_the_bound_of_the_reference_counts_and_not_its_mean() -> None:
    """Mean 0.045 above the margin of 0.02, with a bound below it."""
    reference = [0.0, 0.09] * 3
    rows = table(paired(reference, a=[0.0] * 6, b=[0.0] * 6))
    assert [each.sensitive for each in gathered(rows, design(6))] == [False, False]
    assert [each.sensitive for each in gathered(rows, design(6, margin=0.001))] == [False, False]
    assert [each.sensitive for each in gathered(rows, design(6, margin=None))] == [True, True]


def test_few_large_losses_against_many_small_gains_are_not_a_finding() -> None:
    rows = table(paired([0.7] * 36, a=[0.01 + 0.001 * n for n in range(32)] + [-0.6] * 4, b=[0.0] * 36))
    a, _ = gathered(rows, design(36))
    assert a.p is not None
    assert a.p < 0.05
    assert a.loss is not None
    assert a.loss > 0 > a.rank_sign
    assert decide(a) == "undecided"


def test_too_few_further_trainings_give_no_floor() -> None:
    rows = table(paired([0.7] * 4, a=[-0.1, 0.1, -0.1, 0.2], b=[-0.1, 0.1, -0.1, 0.2]))
    few, enough = (Noise(sd=0.01, degrees_of_freedom=n, exams=4) for n in (4, 5))
    assert gathered(rows, design(4), few)[0].noise_floor is None
    assert gathered(rows, design(4), enough)[0].noise_floor is not None


def test_visits_that_one_training_tests_have_its_noise_in_common() -> None:
    exams = [("p0", "e0"), ("p0", "e1"), ("p1", "e2"), ("p2", "e3"), ("p3", "e4")]
    tests = [
        (p, e, 0, arm, 0.7 + 0.1 * n * (arm != "reference")) for n, (p, e) in enumerate(exams) for arm in ARMS
    ]
    noise = Noise(sd=0.01, degrees_of_freedom=9, exams=4)
    by_exam, by_unit = (
        gathered(table(tests), design(exams, test_unit=unit), noise)[0].noise_floor
        for unit in ("exam", "patient")
    )
    assert by_exam == pytest.approx(noise.floor([2, 1, 1, 1], repeats=1))
    assert by_unit == pytest.approx(noise.floor([1, 1, 1, 1], repeats=1))


def test_the_floor_counts_the_repeats_of_the_design() -> None:
    rows = table(
        [
            (f"p{n}", f"e{n}", r, arm, 0.7 + 0.1 * n * (arm != "reference"))
            for n in range(4)
            for r in (0, 1)
            for arm in ARMS
        ]
    )
    noise = Noise(sd=0.01, degrees_of_freedom=9, exams=4)
    of = design([(f"p{n}", f"e{n}") for n in range(4)], repeats=2)
    assert gathered(rows, of, noise)[0].noise_floor == pytest.approx(noise.floor([1] * 4, repeats=2))


def test_a_loss_is_worse_whichever_way_the_metric_goes() -> None:
    rows = table(paired([0.7, 0.8, 0.6], a=[-0.1, -0.2, -0.1], b=[0.1, 0.1, 0.1]))
    dice = gathered(rows, design(3), None)
    of = design(3, metric="hd95_mm", margin=None)
    distance = gathered(rows, of, None)
    assert [each.loss for each in dice] == [pytest.approx(0.4 / 3), pytest.approx(-0.1)]
    assert [each.loss for each in distance] == [pytest.approx(4 / 3), pytest.approx(-1)]
    assert [each.p_not_worse for each in distance] == [None, None]


def test_both_families_are_corrected_over_all_arms() -> None:
    tiny = [0.001, -0.001, 0.002, -0.002, 0.0015, -0.0015]
    rows = table(paired([0.7] * 6, a=tiny, b=[-0.2, -0.21, -0.22, -0.23, -0.24, -0.25]))
    without_a, without_b = gathered(rows, design(6), None)
    assert without_a.p_not_worse == pytest.approx(2 / (DRAWS + 1))  # no draw is as far below the margin
    assert without_b.p == pytest.approx(2 * 2 / 64)
    assert (decide(without_a), decide(without_b)) == (
        "droppable",
        "undecided",
    )  # 6 patients of 2 arms: p = 0.06


def test_a_long_tail_of_losses_is_not_ruled_out_by_the_t_test_alone() -> None:
    """Of 30 patients two lose a lesion; the mean is 0.014, but two more such patients would not surprise."""
    losses = [0.002 * (n % 3 - 1) for n in range(28)] + [-0.2, -0.22]
    (arm, _) = gathered(table(paired([0.7] * 30, a=losses, b=losses)), design(30, margin=0.04))
    assert arm.equivalence is not None
    assert 2 * arm.equivalence.p_below_upper < 0.025 < 0.05 < (arm.p_not_worse or 0)
    assert decide(arm) == "undecided"


def test_the_same_difference_in_all_patients_is_within_the_margin() -> None:
    """Without a spread the bootstrap says nothing; signs alone do."""
    (arm, _) = gathered(table(paired([0.7] * 8, a=[-0.01] * 8, b=[-0.01] * 8)), design(8))
    assert arm.p_not_worse == pytest.approx(2 / 2**8)
    assert decide(arm) == "droppable"


def test_the_floor_is_that_of_the_patients_with_pairs() -> None:
    spread = [-0.1, 0.1, -0.2, 0.2, -0.1, 0.1]
    rows = table(paired([0.7] * 6, a=[*spread[:3], None, None, None], b=[*spread]))
    noise = Noise(sd=0.01, degrees_of_freedom=50, exams=6)
    three, six = gathered(rows, design(6), noise)
    assert three.noise_floor == pytest.approx(noise.floor([1] * 3, repeats=1))
    assert six.noise_floor == pytest.approx(noise.floor([1] * 6, repeats=1))


def test_the_floor_is_no_more_than_all_that_the_differences_scatter_by() -> None:
    """Arms share their draws with the reference, two trainings of the reference do not."""
    spread = [-0.01, 0.01, -0.01, 0.01]
    rows = table(paired([0.7] * 4, a=[*spread], b=[*spread]))
    (arm, _) = gathered(rows, design(4), Noise(sd=0.5, degrees_of_freedom=50, exams=4))
    assert arm.noise_floor == pytest.approx(3.182 * 0.01 * (4 / 3) ** 0.5 / 2, rel=1e-3)
