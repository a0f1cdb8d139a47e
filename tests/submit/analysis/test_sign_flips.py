"""Sign flips with the largest t, against all flips in exact fractions, against SciPy, and by what must not matter."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from submit.analysis.sign_flips import ENUMERATED_UP_TO, FEWEST, FLIPS, SignFlips

Matrix = NDArray[np.float64]
Column = list[int | None]


def squared_t(values: Sequence[Fraction]) -> Fraction | float:
    """Of a mean against 0; infinite without a spread, 0 of nothing but zeros."""
    n, total = len(values), sum(values)
    scatter = n * sum(value**2 for value in values) - total**2
    return total**2 * (n - 1) / scatter if scatter else inf if total else 0


def enumerated(columns: Sequence[Column], number: int, family: Sequence[int], value: Fraction) -> float:
    """P by all 2^n flips of whole patients, in fractions: no number is rounded."""
    centred: dict[int, Column | list[Fraction | None]] = {}
    for each in {*family, number}:
        known = [Fraction(x) for x in columns[each] if x is not None]
        centre = value if each == number else sum(known, Fraction(0)) / max(len(known), 1)
        centred[each] = [None if x is None else x - centre for x in columns[each]]

    def largest(signs: Sequence[int], among: Sequence[int]) -> Fraction | float:
        ts = [
            squared_t([s * x for s, x in zip(signs, centred[each], strict=True) if x is not None])
            for each in among
        ]
        return max(ts)

    flips = list(product((1, -1), repeat=len(columns[0])))
    found = largest(flips[0], [number])
    family = [
        each for each in centred if each == number or sum(x is not None for x in columns[each]) >= FEWEST
    ]
    return float(np.mean([largest(signs, family) >= found for signs in flips]))


def matrix(columns: Sequence[Column]) -> Matrix:
    return np.array([[nan if x is None else x for x in column] for column in columns], dtype=float).T


def columns_of(smallest: int, largest: int, most: int = 3) -> st.SearchStrategy[list[Column]]:
    """Small whole numbers, so that there are ties, zeros and columns without a spread; some are missing."""
    number = st.one_of(st.integers(-4, 9), st.integers(-4, 9), st.none())
    return st.integers(smallest, largest).flatmap(
        lambda n: st.lists(st.lists(number, min_size=n, max_size=n), min_size=1, max_size=most)
    )


@settings(max_examples=60, deadline=None)
@given(columns_of(2, 7), st.fractions(-3, 6, max_denominator=4))
def test_p_is_that_of_all_flips(columns: list[Column], value: Fraction) -> None:
    flips = SignFlips(matrix(columns), 0)
    family = range(len(columns))
    for number, column in enumerate(columns):
        if sum(x is not None for x in column) < 2:
            assert flips.p(number, family) is None
            assert flips.interval(number, family) is None
            continue
        for tested in (Fraction(0), value):
            p = flips.p(number, family, float(tested))
            assert p == pytest.approx(enumerated(columns, number, family, tested))


def test_p_is_that_of_all_flips_of_ten_patients() -> None:
    columns: list[Column] = [
        [3, 5, 1, 4, None, 2, 6, 3, 4, 2],
        [1, 0, -1, 2, 1, None, 0, 3, -2, 1],
        [0, 0, 0, 0, 5, 0, 0, 0, 0, 0],
    ]
    flips = SignFlips(matrix(columns), 0)
    for number in range(3):
        assert flips.p(number, range(3)) == pytest.approx(enumerated(columns, number, range(3), Fraction(0)))


@pytest.mark.parametrize("patients", [4, 7, 10])
def test_p_of_one_column_is_scipys_permutation_test_of_t(patients: int) -> None:
    values = np.random.default_rng(patients).normal(0.5, 1, patients)
    found = stats.permutation_test(
        (values,),
        lambda x, axis: stats.ttest_1samp(x, 0, axis=axis).statistic,
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    assert SignFlips(values[:, None], 0).p(0) == pytest.approx(found.pvalue)


def test_eight_patients_who_all_lose_have_two_of_256() -> None:
    """However the other arms scatter: no flip but none and all is as extreme."""
    losses = np.array([0.55, 0.6, 0.58, 0.63, 0.61, 0.57, 0.6, 0.66])
    others = np.random.default_rng(0).normal(0, 0.1, (8, 6))
    alone, among = (SignFlips(each, 0) for each in (losses[:, None], np.column_stack([losses, others])))
    assert alone.p(0) == among.p(0, range(7)) == 2 / 256
    interval = among.interval(0, range(7))
    assert interval is not None
    assert 0.5 < interval[0] < losses.mean() < interval[1] < 0.7


@pytest.mark.parametrize(("few", "in_family"), [(2, False), (3, False), (5, False), (6, True), (20, True)])
def test_columns_of_too_few_patients_to_show_anything_are_in_nobody_s_family(
    few: int, in_family: bool
) -> None:
    """With two patients, t about their mean is infinite in half of all flips, and would be the largest."""
    draw = np.random.default_rng(1)
    values = draw.normal(0.0, 1.0, (36, 8))
    values[:, 0] += 0.6
    values[few:, 1:] = nan
    flips = SignFlips(values, 0)
    p, alone = flips.p(0, range(8)), flips.p(0)
    assert p is not None
    assert alone is not None
    assert alone < 0.01
    assert (p > alone) == in_family
    assert (flips.interval(0, range(8)) == flips.interval(0)) != in_family
    # The few themselves are adjusted for all that could be shown, and show nothing.
    assert (flips.p(1, range(8)) or 0) >= 2 ** (1 - few)


def test_a_column_belongs_to_its_family_in_any_case() -> None:
    values = np.random.default_rng(1).normal(0.4, 1, (9, 3))
    flips = SignFlips(values, 0)
    assert flips.p(0) == flips.p(0, [0])
    assert flips.p(0, [1, 2]) == flips.p(0, range(3))
    assert flips.interval(0, [1, 2]) == flips.interval(0, range(3))
    assert (flips.p(0, range(3)) or 0) >= (flips.p(0, [1]) or 1) >= (flips.p(0) or 1)


@settings(max_examples=50, deadline=None)
@given(columns_of(6, 9), st.randoms(use_true_random=False))
def test_order_sign_and_scale_of_arms_and_the_order_of_patients_do_not_matter(
    columns: list[Column], chance: object
) -> None:
    values = matrix(columns)
    family = range(values.shape[1])
    draw = np.random.default_rng(chance.randrange(2**32))  # type: ignore[attr-defined]
    arms, patients = draw.permutation(values.shape[1]), draw.permutation(len(values))
    factors = draw.choice([0.25, 1.0, 8.0], values.shape[1])
    flips, ordered, turned, scaled = (
        SignFlips(each, 0) for each in (values, values[patients][:, arms], -values, values * factors)
    )
    for place, number in enumerate(arms):
        p = flips.p(number, family)
        assert ordered.p(place, family) == turned.p(number, family) == scaled.p(number, family) == p
        found, mirrored = flips.interval(number, family), turned.interval(number, family)
        if found is None:
            assert mirrored is ordered.interval(place, family) is None
            continue
        assert ordered.interval(place, family) == pytest.approx(found, abs=1e-7)
        assert mirrored == pytest.approx((-found[1], -found[0]), abs=1e-7)
        of_scaled = scaled.interval(number, family)
        assert of_scaled == pytest.approx([end * factors[number] for end in found], abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(columns_of(6, 9), st.floats(-6, 12))
def test_interval_and_p_never_contradict_each_other(columns: list[Column], value: float) -> None:
    flips = SignFlips(matrix(columns), 0)
    family = range(len(columns))
    for number in family:
        interval = flips.interval(number, family)
        if interval is None:
            continue
        assert interval[0] <= flips.means[number] <= interval[1]
        for tested in (0.0, value):
            p = flips.p(number, family, tested)
            assert p is not None
            if min(abs(tested - end) for end in interval) > 1e-6:
                assert (interval[0] < tested < interval[1]) == (p >= 0.05)
        p = flips.p(number, family)
        assert p is not None
        assert (interval[0] <= 0 <= interval[1]) == (p >= 0.05)  # also where 0 is an end


@settings(max_examples=40, deadline=None)
@given(columns_of(6, 9), st.floats(-5, 5))
def test_an_interval_moves_with_its_column(columns: list[Column], shift: float) -> None:
    values = matrix(columns)
    moved = values.copy()
    moved[:, 0] += shift
    here, there = (SignFlips(each, 0).interval(0, range(len(columns))) for each in (values, moved))
    assert (here is None) == (there is None)
    if here is not None and there is not None:
        assert there == pytest.approx([end + shift for end in here], abs=1e-6)


@pytest.mark.parametrize("patients", [8, 20])
def test_the_interval_has_all_values_whose_t_others_reach_by_chance(patients: int) -> None:
    """c is what the largest |t| of the other arms reaches in 5 % of flips: no |t| up to c is ever rejected."""
    values = np.random.default_rng(patients).normal(0.3, 1, (patients, 7))
    flips = SignFlips(values, 0)
    for number in range(7):
        others = np.delete(values - values.mean(axis=0), number, axis=1)
        draw = np.random.default_rng(1)
        signs = (
            np.array(list(product((1, -1), repeat=8))) if patients == 8 else draw.choice((1, -1), (4000, 20))
        )
        t = np.abs(stats.ttest_1samp(signs[:, :, None] * others, 0, axis=1).statistic).max(axis=1)
        c = np.quantile(t, 0.945, method="inverted_cdf")
        error = values[:, number].std(ddof=1) / patients**0.5
        interval = flips.interval(number, range(7))
        assert interval is not None
        mean = values[:, number].mean()
        assert interval[0] <= mean - c * error < mean + c * error <= interval[1]
        alone = flips.interval(number)
        assert alone is not None
        assert interval[0] <= alone[0] < alone[1] <= interval[1]


def test_fewer_than_six_patients_have_no_interval() -> None:
    """Of five, 2 of 32 flips are as extreme as all of one sign: nothing has p below 0.0625."""
    values = np.array([[0.5], [0.6], [0.55], [0.61], [0.58], [0.57]])
    assert SignFlips(values[:5], 0).p(0) == 2 / 32
    assert SignFlips(values[:5], 0).interval(0) is None
    assert SignFlips(values, 0).p(0) == 2 / 64
    interval = SignFlips(values, 0).interval(0)
    # 2 of 64 flips are all of one sign: each value between the smallest and the largest difference is kept by
    # two flips more.
    assert interval == pytest.approx((0.5, 0.61), abs=1e-6)
    assert SignFlips(values, 0).interval(0, level=0.99) is None


@pytest.mark.parametrize("patients", [0, 1])
def test_fewer_than_two_patients_have_nothing(patients: int) -> None:
    flips = SignFlips(np.full((patients, 2), 0.3), 0)
    assert flips.p(0, (0, 1)) is flips.interval(0, (0, 1)) is None


def test_patients_without_an_arm_do_not_count_in_it() -> None:
    values = np.random.default_rng(2).normal(0.5, 1, (7, 1))
    gaps = np.vstack([values, np.full((3, 1), nan)])
    assert SignFlips(gaps, 0).p(0) == SignFlips(values, 0).p(0)
    assert SignFlips(gaps, 0).interval(0) == pytest.approx(SignFlips(values, 0).interval(0))
    assert list(SignFlips(gaps, 0).count) == [7]


def test_nothing_but_zeros_is_no_difference() -> None:
    flips = SignFlips(np.zeros((8, 1)), 0)
    assert flips.p(0) == 1
    assert flips.interval(0) == (0, 0)
    assert flips.p(0, value=0.1) == 2 / 256


@pytest.mark.parametrize("loss", [0.1, 0.7, 1 / 3, -0.0123, 7.3])
@pytest.mark.parametrize("patients", [7, 30])
def test_differences_without_a_spread_are_what_they_are_and_no_arm_to_others(
    loss: float, patients: int
) -> None:
    """The mean of 0.7 seven times is not 0.7 to a computer; what is rounding must not pass for a t."""
    draw = np.random.default_rng(0).normal(0.01, 1, patients)
    flips = SignFlips(np.column_stack([np.full(patients, loss), draw]), 0)
    least = 2 / 2**7 if patients == 7 else 1 / FLIPS
    assert flips.p(0) == pytest.approx(least)
    assert flips.interval(0) == pytest.approx((loss, loss))
    assert flips.p(0, value=loss) == 1
    assert flips.p(1, (0, 1)) == flips.p(1)
    assert flips.interval(1, (0, 1)) == flips.interval(1)


def test_many_patients_have_flips_that_are_drawn_with_what_was_found_among_them() -> None:
    patients = ENUMERATED_UP_TO + 1
    certain = np.linspace(0.9, 1.1, patients)[:, None]
    assert SignFlips(certain, 0).p(0) == pytest.approx(1 / FLIPS, abs=4 / FLIPS)  # 2 of 16,384
    values = np.random.default_rng(5).normal(0.35, 1, (40, 1))
    first, again, other = (SignFlips(values, seed).p(0) for seed in (1, 1, 2))
    assert first == again != other
    assert first == pytest.approx(stats.ttest_1samp(values[:, 0], 0).pvalue, abs=0.01)
    interval, expected = (
        SignFlips(values, 1).interval(0),
        stats.ttest_1samp(values[:, 0], 0).confidence_interval(),
    )
    assert interval == pytest.approx((expected.low, expected.high), abs=0.02)


def test_the_largest_t_holds_the_error_of_all_arms_together() -> None:
    """300 studies of ten patients and seven arms that share their reference, none of them different."""
    draw, wrong = np.random.default_rng(0), 0
    for _ in range(300):
        values = draw.normal(size=(10, 7)) - draw.normal(size=(10, 1))
        flips = SignFlips(values, 0)
        wrong += min(flips.p(arm, range(7)) or 1 for arm in range(7)) < 0.05
    assert 0.02 <= wrong / 300 <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


def test_an_arm_with_a_large_effect_does_not_hide_another_one() -> None:
    values = np.random.default_rng(3).normal((0.0, 0.0), 1, (12, 2))
    values[:, 0] += 1.0 - values[:, 0].mean()
    beside_nothing, beside_much = values.copy(), values + np.array([0.0, 50.0])
    assert SignFlips(beside_nothing, 0).p(0, (0, 1)) == SignFlips(beside_much, 0).p(0, (0, 1))
