"""Tests of paired differences, against numbers computed by hand, by enumeration, and by SciPy."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from submit.analysis.paired_tests import EXACT_UP_TO, equivalence, friedman, signed_rank

# Of a textbook: Hollander & Wolfe, Nonparametric Statistical Methods (1973), depression scores of 9 patients.
HAMILTON = np.array([-0.952, 0.147, -1.022, -0.430, -0.620, -0.590, -0.490, 0.080, -0.010])


def enumerated(differences: np.ndarray) -> float:
    """Two-sided p over all assignments of signs to the ranks."""
    ranks = stats.rankdata(np.abs(differences))
    ranks[differences == 0] = 0
    total = ranks.sum()
    statistic = abs(ranks[differences > 0].sum() - total / 2)
    drawn = [abs((np.array(signs) * ranks).sum() - total / 2) for signs in product((0, 1), repeat=len(ranks))]
    return float(np.mean(np.array(drawn) >= statistic - 1e-9))


def test_a_textbook_s_example_has_the_textbook_s_p() -> None:
    assert signed_rank(HAMILTON).p == pytest.approx(0.0390625)  # W+ = 5, n = 9: one-sided 0.020
    assert signed_rank(HAMILTON).method == "exact"


def test_five_losses_of_five_have_a_sixteenth() -> None:
    found = signed_rank(np.array([-0.1, -0.2, -0.3, -0.4, -0.5]))
    assert found.p == pytest.approx(2 / 32)
    assert found.rank_biserial == -1


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_ties_and_zeros_have_the_p_of_all_assignments(values: list[int]) -> None:
    differences = np.array(values, dtype=float)
    assert signed_rank(differences).p == pytest.approx(enumerated(differences))


@pytest.mark.parametrize("n", [6, 25, 60])
def test_without_ties_it_is_scipys_exact_test(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.2, 1, n)
    assert signed_rank(differences).p == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue)


def test_zeros_are_ranked_and_dropped() -> None:
    """Pratt: after two zeros the others have ranks 3, 4 and 5; W+ is 3, and 3 or less has 2 of 8 assignments."""
    found = signed_rank(np.array([0.0, 0.0, 0.1, -0.2, -0.3]))
    assert found.p == pytest.approx(4 / 8)
    assert found.rank_biserial == pytest.approx((3 - 9) / 12)


def test_nothing_but_zeros_is_no_difference() -> None:
    assert signed_rank(np.zeros(7)).p == 1
    assert signed_rank(np.zeros(7)).rank_biserial == 0


def test_many_patients_have_the_normal_approximation_which_is_near() -> None:
    differences = np.random.default_rng(1).normal(0.2, 1, EXACT_UP_TO + 1)
    found = signed_rank(differences)
    assert found.method == "normal approximation"
    assert found.p == pytest.approx(signed_rank(differences[:-1]).p, rel=0.25)
    assert found.p == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue, rel=0.02)


def test_friedman_and_kendall_are_those_computed_by_hand() -> None:
    """4 patients who agree but for one: rank sums 4, 9 and 11 of 3 arms."""
    values = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.1, 0.3, 0.2], [0.1, 0.2, 0.3]])
    found = friedman(values)
    assert found is not None
    # 12 / (4 * 3 * 4) * (16 + 81 + 121) - 3 * 4 * 4
    assert found.chi_square == pytest.approx(6.5)
    assert found.kendalls_w == pytest.approx(6.5 / 8)
    assert found.p == pytest.approx(np.exp(-6.5 / 2))
    assert (found.degrees_of_freedom, found.patients) == (2, 4)


def test_friedman_needs_three_arms_and_two_patients() -> None:
    assert friedman(np.array([[0.1, 0.2], [0.3, 0.1]])) is None
    assert friedman(np.array([[0.1, 0.2, 0.3]])) is None


def test_arms_that_are_all_equal_agree_in_nothing() -> None:
    found = friedman(np.ones((3, 3)))
    assert found is not None
    assert (found.p, found.kendalls_w) == (1, 0)


def test_two_one_sided_tests_are_those_computed_by_hand() -> None:
    """Mean 0, SE 0.01 of 6 patients: 2 SE from the margin on both sides; P(t_5 > 2) = 0.05097."""
    differences = np.array([-1, -1, -1, 1, 1, 1]) * 0.01 * np.sqrt(5)
    found = equivalence(differences, 0.02)
    assert found is not None
    assert found.p_above_lower == pytest.approx(found.p_below_upper)
    assert found.p == pytest.approx(0.05097, rel=1e-4)


def test_a_loss_beyond_the_margin_is_on_one_side_only() -> None:
    differences = np.array([0.1, 0.11, 0.12, 0.13, 0.11, 0.12])
    found = equivalence(differences, 0.02)
    assert found is not None
    assert found.p_above_lower < 0.001
    assert found.p_below_upper > 0.99
    assert found.p == found.p_below_upper


def test_differences_without_a_spread_are_what_they_are() -> None:
    inside, outside = equivalence(np.full(6, 0.01), 0.02), equivalence(np.full(6, -0.02), 0.02)
    assert inside is not None
    assert outside is not None
    assert (inside.p, outside.p) == (1 / 64, 1)  # of six signs
    assert equivalence(np.full(5, 0.01), 0.02) is None
