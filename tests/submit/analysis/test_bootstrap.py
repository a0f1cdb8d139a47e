"""The cluster bootstrap."""

import numpy as np
import pytest
from scipy import stats

from submit.analysis.bootstrap import DRAWS, Bootstrap, draws, draws_for, rank_shares
from submit.analysis.verdict import margin_level


def test_patients_are_drawn_with_replacement_and_the_same_for_the_same_seed() -> None:
    first, again, other = (np.concatenate(list(draws(7, seed))) for seed in (1, 1, 2))
    assert first.shape == (DRAWS, 7)
    assert (first.sum(axis=1) == 7).all()
    assert (first == again).all()
    assert (first != other).any()
    assert first.mean(axis=0) == pytest.approx(np.ones(7), abs=0.05)


def test_an_interval_is_near_the_t_interval_where_that_is_right() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, (60, 1))
    low, high = Bootstrap(values, 0).intervals()[:, 0]
    half = 2.001 * values.std(ddof=1) / np.sqrt(60)
    assert low == pytest.approx(values.mean() - half, abs=0.05)
    assert high == pytest.approx(values.mean() + half, abs=0.05)


def test_an_interval_is_longer_on_the_side_of_the_long_tail() -> None:
    values = -np.random.default_rng(0).lognormal(0, 1, (30, 1))
    low, high = Bootstrap(values, 0).intervals()[:, 0]
    assert values.mean() - low > 1.3 * (high - values.mean())


def test_a_column_is_no_other_for_what_stands_beside_it() -> None:
    values = np.random.default_rng(0).normal(size=(20, 2))
    gaps = values.copy()
    gaps[:6, 1] = np.nan
    assert Bootstrap(values[:, :1], 3).intervals()[:, 0] == pytest.approx(
        Bootstrap(gaps, 3).intervals()[:, 0]
    )


def test_of_a_rare_structure_only_those_who_have_it_are_drawn() -> None:
    """Of draws of 36 patients one in 50 holds fewer than two of these six, and has no spread; of six one in 7776."""
    draw = np.random.default_rng(0)
    everyone, few = draw.normal(0.0, 0.004, (36, 3)), draw.normal(0.0, 0.004, (6, 3))
    both = np.hstack([everyone, np.vstack([few, np.full((30, 3), np.nan)])])
    beside, alone = (Bootstrap(each, 0) for each in (both, few))
    assert beside.intervals()[:, 3:].tolist() == alone.intervals().tolist()
    for column in range(3):
        assert beside.p_at_or_above(3 + column, 0.01) == alone.p_at_or_above(column, 0.01)
        # At once with the other set of patients: at half of the tail, and so twice the p.
        p = alone.simultaneous_upper(column, 0.01)[1]
        assert p is not None
        assert beside.simultaneous_upper(3 + column, 0.02) == (
            alone.simultaneous_upper(column, 0.01)[0],
            min(2 * p, 1.0),
        )


def test_the_upper_end_is_below_0_where_p_is_below_the_tail() -> None:
    draw = np.random.default_rng(0)
    signs = set()
    for shift in np.linspace(0.3, 1.2, 40):
        values = draw.normal(-shift, 1, (12, 3))
        values[10:, 2] = np.nan
        means = Bootstrap(values, 0)
        for column in range(3):
            upper, p = means.simultaneous_upper(column, 0.025)
            assert upper is not None
            assert p is not None
            assert (upper < 0) == (p < 0.025)
            signs.add(upper < 0)
    assert signs == {True, False}


def test_too_few_patients_have_no_interval() -> None:
    values = np.array([[1.0], [2.0], [4.0], [3.0], [2.5], [2.7]])
    for few in (values[:0], values[:1], values[:5], np.full((6, 1), np.nan)):
        means = Bootstrap(few, 0)
        assert np.isnan(means.intervals()).all()
        assert means.p_at_or_above(0, 9.0) is None
        assert means.simultaneous_upper(0, 0.025) == (None, None)
    assert not np.isnan(Bootstrap(values, 0).intervals()).any()


def test_values_without_a_spread_have_an_interval_without_length() -> None:
    assert Bootstrap(np.full((6, 1), 0.25), 0).intervals()[:, 0] == pytest.approx([0.25, 0.25])


def test_p_of_a_limit_is_the_level_at_which_the_upper_bound_reaches_it() -> None:
    values = np.random.default_rng(0).lognormal(0, 1, (25, 2))
    means = Bootstrap(values, 0)
    for level in (0.9, 0.95, 0.99):
        for column, high in enumerate(means.intervals(level)[1]):
            p = means.p_at_or_above(column, high)
            assert p == pytest.approx((1 - level) / 2, abs=3e-4)
    assert means.p_at_or_above(0, 100.0) == pytest.approx(1 / (DRAWS + 1))
    assert (means.p_at_or_above(1, 0.0) or 0) > 0.99


def test_p_of_a_limit_asks_more_of_a_long_tail_than_the_t_test() -> None:
    values = np.random.default_rng(0).lognormal(0, 1, (25, 1))
    limit = values.mean() + 2 * values.std(ddof=1) / 5
    assert (Bootstrap(values, 0).p_at_or_above(0, limit) or 0) > 2 * stats.t.sf(2, 24)


def test_without_a_spread_there_is_no_p() -> None:
    for value in (0.25, 0.7):  # whose mean is not 0.7 to a computer
        assert Bootstrap(np.full((6, 1), value), 0).p_at_or_above(0, 1.0) is None


def test_equal_means_share_their_ranks() -> None:
    values = np.random.default_rng(0).normal(size=(20, 1)) @ np.ones((1, 4)) + [0, 5, 0, 0]
    third = 1 / 3
    assert rank_shares(values, 0) == pytest.approx(
        np.array([[0, third, third, third], [1, 0, 0, 0], [0, third, third, third], [0, third, third, third]])
    )


def test_ranks_are_sure_where_arms_are_far_apart_and_even_where_they_are_alike() -> None:
    generator = np.random.default_rng(0)
    alike = generator.normal(size=(400, 1))
    values = np.hstack([alike + 5, alike, alike + generator.normal(0, 1, (400, 1))])
    values[:, 2] += values[:, 1].mean() - values[:, 2].mean()
    shares = rank_shares(values, 0)
    assert shares[0] == pytest.approx([1, 0, 0])
    assert shares[1:, 1:] == pytest.approx(np.full((2, 2), 0.5), abs=0.05)
    assert shares.sum(axis=0) == pytest.approx(np.ones(3))


@pytest.mark.parametrize(("patients", "arms"), [(10, 7), (8, 20), (72, 50)])
def test_draws_are_enough_that_the_level_against_the_margin_can_be_reached(patients: int, arms: int) -> None:
    """Holm's first step multiplies the smallest p that draws can give, 1 / (draws + 1), by the arms."""
    number = draws_for(margin_level(patients) / arms)
    assert number % 500 == 0
    assert DRAWS <= number <= 200_000
    assert arms / (number + 1) < margin_level(patients)
