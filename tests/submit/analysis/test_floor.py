"""The floor of retraining, as it decides."""

from math import sqrt

import pytest
from pandas import DataFrame

from submit.analysis.evidence import MIN_FREEDOM
from submit.analysis.noise import Noise
from submit.analysis.verdict import decide
from tests.submit.analysis.tables import ARMS, Test, design, gathered, paired, table


def noise(sd: float = 0.01, freedom: int = 20) -> Noise:
    return Noise(sd=sd, degrees_of_freedom=freedom, exams=freedom)


def scattered(patients: int) -> DataFrame:
    losses = [0.05 * (-1) ** n + 0.01 * n for n in range(patients)]
    return table(paired([0.7] * patients, a=[*losses], b=[*losses]))


def test_the_floor_is_the_one_that_was_measured_with_its_own_interval() -> None:
    """1.96 x 0.01 x sqrt(2 / 8); chi-square of 20 degrees: 9.5908 and 34.1696 have 2.5 % beyond them."""
    floor = gathered(scattered(8), design(8), noise())[0].floor
    assert floor is not None
    assert floor.value == pytest.approx(1.959964 * 0.01 * sqrt(2 / 8), rel=1e-6)
    assert floor.low == pytest.approx(floor.value * sqrt(20 / 34.1696), rel=1e-5)
    assert floor.high == pytest.approx(floor.value * sqrt(20 / 9.5908), rel=1e-5)


def test_the_share_of_retraining_is_of_what_the_mean_scatters_by() -> None:
    losses = [0.05 * (-1) ** n for n in range(8)]
    rows = table(paired([0.7] * 8, a=[*losses], b=[*losses]))
    variance = 0.05**2 * 8 / 7 / 8
    of_retraining = 2 * 0.03**2 / 8
    floor = gathered(rows, design(8), noise(0.03))[0].floor
    assert floor is not None
    assert floor.share == pytest.approx(of_retraining / variance)
    most = gathered(rows, design(8), noise(0.5))[0].floor
    assert most is not None
    assert most.share == pytest.approx(2 * 0.5**2 / 8 / variance)  # 175, as arms share their draws
    assert decide(gathered(rows, design(8), noise(0.5))[0]) == "not distinguishable"


def test_of_an_arm_that_does_not_scatter_the_share_of_retraining_is_all() -> None:
    floor = gathered(table(paired([0.7] * 8, a=[0.01] * 8, b=[0.0] * 8)), design(8), noise())[0].floor
    assert floor is not None
    assert floor.share == 1


def test_where_the_arm_s_own_scatter_decides_it_is_undecided() -> None:
    """A mean of 0 within a floor of 0.02; retraining is 72 % of the scatter in one case, 18 % in the other."""
    for spread, verdict in ((0.05, "not distinguishable"), (0.1, "undecided")):
        losses = [spread * (-1) ** n for n in range(8)]
        a, _ = gathered(table(paired([0.7] * 8, a=[*losses], b=[*losses])), design(8), noise(0.032))
        assert decide(a) == verdict


def test_too_few_further_trainings_give_no_floor() -> None:
    few, enough = (
        gathered(scattered(4), design(4), noise(freedom=n))[0].floor for n in (MIN_FREEDOM - 1, MIN_FREEDOM)
    )
    assert few is None
    assert enough is not None
    assert gathered(scattered(4), design(4))[0].floor is None


def test_visits_that_one_training_tests_have_its_noise_in_common() -> None:
    exams = [("p0", "e0"), ("p0", "e1"), ("p1", "e2"), ("p2", "e3"), ("p3", "e4")]
    tests = [
        (p, e, 0, arm, 0.5 + 0.1 * n * (arm != "reference")) for n, (p, e) in enumerate(exams) for arm in ARMS
    ]
    by_exam, by_unit = (
        gathered(table(tests), design(exams, test_unit=unit), noise())[0].floor
        for unit in ("exam", "patient")
    )
    assert by_exam is not None
    assert by_unit is not None
    # Variances of the patients' means: s^2 (1/2 + 1 + 1 + 1) x 2 / 16, and s^2 x 4 x 2 / 16.
    assert by_exam.value == pytest.approx(1.959964 * 0.01 * sqrt(3.5 * 2 / 16), rel=1e-6)
    assert by_unit.value == pytest.approx(1.959964 * 0.01 * sqrt(4 * 2 / 16), rel=1e-6)


def test_the_floor_counts_the_repeats_of_the_design_and_the_patients_with_pairs() -> None:
    tests: list[Test] = [
        (f"p{n}", f"e{n}", r, arm, 0.5 + 0.1 * n * (arm != "reference"))
        for n in range(4)
        for r in (0, 1)
        for arm in ARMS
        if arm != "without b" or n < 3
    ]
    of = design([(f"p{n}", f"e{n}") for n in range(4)], repeats=2)
    a, b = gathered(table(tests), of, noise())
    assert a.floor is not None
    assert b.floor is not None
    assert a.floor.value == pytest.approx(1.959964 * 0.01 * sqrt(2 / (4 * 2)), rel=1e-6)
    assert b.floor.value == pytest.approx(1.959964 * 0.01 * sqrt(2 / (3 * 2)), rel=1e-6)
