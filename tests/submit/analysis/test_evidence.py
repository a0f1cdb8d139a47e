"""What verdicts are decided by, from tables of results."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from submit.analysis.bootstrap import Bootstrap, draws_for
from submit.analysis.sign_flips import SignFlips
from submit.analysis.verdict import decide, margin_level
from tests.submit.analysis.tables import ARMS, REFERENCE, design, gathered, measured, paired, table

LITTLE = [0.001 * (-1) ** n for n in range(40)]
"""Differences of a channel that says nothing."""


# Losses.


def test_a_loss_is_worse_whichever_way_the_metric_goes() -> None:
    rows = table(paired([0.7, 0.8, 0.6], a=[-0.1, -0.2, -0.1], b=[0.1, 0.1, 0.1]))
    dice = gathered(rows, design(3))
    distance = gathered(rows, design(3, metric="hd95_mm", margin=None))
    assert [each.loss for each in dice] == [pytest.approx(0.4 / 3), pytest.approx(-0.1)]
    assert [each.loss for each in distance] == [pytest.approx(4 / 3), pytest.approx(-1)]
    assert [each.p_not_worse for each in distance] == [None, None]


def test_p_and_interval_are_those_of_sign_flips_over_all_arms() -> None:
    """For a loss; the bootstrap can only lengthen the upper end."""
    draw = np.random.default_rng(0)
    a, b = (list(draw.normal(-0.03, 0.02, 9).round(6)) for _ in range(2))
    one, other = gathered(table(paired([0.7] * 9, a=[*a], b=[*b])), design(9))
    flips = SignFlips(-np.array([a, b]).T, 0)
    for number, own in enumerate((one, other)):
        assert own.p == flips.p(number, (0, 1))
        interval = flips.interval(number, (0, 1))
        assert interval is not None
        assert own.low == pytest.approx(interval[0], abs=1e-8)
        assert own.high is not None
        assert own.high >= interval[1] - 1e-8


def test_eight_patients_who_all_lose_are_needed() -> None:
    draw = np.random.default_rng(7)
    losses = [-0.6 + 0.01 * n for n in range(-4, 4)]
    arms = (REFERENCE, *(f"without {name}" for name in "abcdefg"))
    others = {name: [*draw.normal(0, 0.01, 8)] for name in "bcdefg"}
    rows = table(paired([0.85] * 8, a=[*losses], **others))
    needed, *_ = gathered(rows, design(8, arms=arms))
    assert needed.p == 2 / 256
    assert decide(needed) == "needed"
    assert needed.beyond_margin == 8


LOSSES = np.random.default_rng(2).normal(0.013, 0.02, (200, 36))
"""Of 200 studies of 36 patients: a true loss of 0.013, where the margin is 0.02."""


def test_a_loss_below_the_margin_is_never_needed() -> None:
    """Not even where nothing could be droppable, and of an arm alone, which is adjusted for no other."""
    verdicts = []
    rows = table(paired([0.8] * 36, a=[0.0] * 36))
    (arm,) = gathered(rows, design(36, arms=ARMS[:2]))
    for losses in LOSSES:
        interval = SignFlips(losses[:, None], 0).interval(0)
        assert interval is not None
        own = replace(arm, loss=losses.mean(), p=None, p_not_worse=None)
        verdicts.append(decide(replace(own, low=interval[0], high=interval[1])))
    assert set(verdicts) == {"worse", "undecided"}
    assert verdicts.count("worse") > 180  # it is a loss by 3.9 standard errors


def test_a_loss_below_the_margin_is_worse_or_droppable() -> None:
    of = design(36, arms=ARMS[:2])
    verdicts = [decide(gathered(table(paired([0.8] * 36, a=[*-own])), of)[0]) for own in LOSSES[:25]]
    assert set(verdicts) == {"worse", "droppable"}


def test_rare_large_losses_do_not_make_a_channel_needed_or_droppable() -> None:
    """Of 36 patients 32 gain 0.01 to 0.04, four lose the lesion: a mean loss of 0.04 that may be chance."""
    rows = table(paired([0.7] * 36, a=[0.01 + 0.001 * n for n in range(32)] + [-0.6] * 4, b=[0.0] * 36))
    a, _ = gathered(rows, design(36))
    assert a.loss is not None
    assert a.loss > 0.02
    assert decide(a) == "undecided"
    assert a.beyond_margin == 4


def test_numbers_that_differ_by_rounding_are_ties() -> None:
    """Distances in steps of 1.2 mm, as subtraction gives them: as those of whole numbers."""
    steps = [1, -1, 1, 1, 2, 1, -1, 1, 1, 1, 1, 2]
    of = design(12, metric="hd95_mm", margin=None)
    distances = {
        REFERENCE: [1.2 * (n + 3) for n in range(12)],
        "without a": [1.2 * (n + 3 + step) for n, step in enumerate(steps)],
    }
    a, _ = gathered(measured(of, dict.fromkeys(distances, [0.7] * 12), hd95_mm=distances), of)
    assert a.p == SignFlips(np.array(steps, dtype=float)[:, None], 0).p(0)


def test_the_same_loss_in_all_patients_is_shown_by_signs_alone() -> None:
    (arm, _) = gathered(table(paired([0.7] * 8, a=[-0.05] * 8, b=[-0.05] * 8)), design(8))
    assert (arm.p, arm.low, arm.high) == (2 / 256, pytest.approx(0.05), pytest.approx(0.05))
    assert decide(arm) == "needed"


# Gains.


def test_a_gain_is_shown_by_the_bootstrap_too() -> None:
    """Of twelve patients eleven gain 0.03 and one loses a little: sign flips are sure, the long tail is not."""
    gains = [0.03 + 0.001 * n for n in range(11)] + [-0.1]
    of = design(12, margin=None)
    a, _ = gathered(table(paired([0.7] * 12, a=[*gains], b=[*LITTLE[:12]])), of)
    flips = SignFlips(-np.array([gains, LITTLE[:12]]).T, 0)
    by_flips = flips.interval(0, (0, 1))
    assert by_flips is not None
    assert a.high is not None
    assert a.p is not None
    assert a.high > by_flips[1]
    assert a.p >= (flips.p(0, (0, 1)) or 1)
    assert (a.high < 0) == (a.p < 0.05)


def test_where_many_draws_have_no_spread_there_is_no_upper_end_and_no_gain() -> None:
    """Of six patients five gain 0.05 and one 0.01: 33 % of draws are of the five alone, and have no spread."""
    a, b = gathered(
        table(paired([0.7] * 6, a=[0.05] * 5 + [0.01], b=[0.04, 0.05, 0.06] * 2)), design(6, margin=None)
    )
    assert (a.high, a.is_better, decide(a)) == (None, False, "undecided")
    assert a.low is not None
    assert a.low < -0.04
    assert a.p is not None
    assert a.p > 0.3
    # That arm does not take the interval from others.
    assert b.high is not None
    assert b.high < 0


@pytest.mark.parametrize("seed", range(12))
def test_interval_and_p_never_contradict_each_other(seed: int) -> None:
    draw = np.random.default_rng(seed)
    patients = int(draw.integers(6, 15))
    steps = draw.integers(-2, 5, (2, patients)) * 0.01 * draw.choice((-1, 1))
    steps += draw.normal(0, 0.003, (2, patients)) * draw.integers(0, 2)
    a, b = ([*(0.01 * (x // 0.01) if seed % 2 else x for x in row)] for row in steps)
    for own in gathered(table(paired([0.5] * patients, a=a, b=b)), design(patients)):
        assert own.p is not None
        if own.low is not None:
            outside = own.low > 0 or (own.high is not None and own.high < 0)
            assert outside == (own.p < 0.05)


# The margin.


def test_both_families_are_adjusted_over_all_arms() -> None:
    tiny = [0.001, -0.001, 0.002, -0.002, 0.0015, -0.0015]
    rows = table(paired([0.7] * 6, a=[*tiny], b=[-0.2, -0.21, -0.22, -0.23, -0.24, -0.25]))
    a, b = gathered(rows, design(6))
    means = Bootstrap(np.array([tiny]).T, 0, lambda patients: draws_for(margin_level(patients) / 2))
    assert a.p_not_worse == pytest.approx(2 * (means.p_at_or_above(0, 0.02) or 0))  # Holm's first step
    assert a.p_not_worse < margin_level(6)
    assert b.p_not_worse == pytest.approx(1)
    assert b.p == 2 / 2**6


def test_a_long_tail_of_losses_is_not_ruled_out_by_the_t_test_alone() -> None:
    """Of 36 patients two lose a lesion; the mean is 0.012, but two more such patients would not surprise."""
    losses = [0.002 * (n % 3 - 1) for n in range(34)] + [-0.2, -0.22]
    a, _ = gathered(table(paired([0.7] * 36, a=[*losses], b=[*losses])), design(36, margin=0.04))
    by_t = stats.ttest_1samp(losses, -0.04, alternative="greater").pvalue
    assert 2 * by_t < 0.025 < (a.p_not_worse or 0)
    assert decide(a) == "undecided"


def test_the_same_small_loss_in_all_patients_is_within_the_margin_by_signs_alone() -> None:
    """Without a spread neither t nor draws say anything: of n signs alone, Holm over two arms."""
    a, _ = gathered(table(paired([0.7] * 8, a=[-0.01] * 8, b=[-0.01] * 8)), design(8))
    assert a.p_not_worse == pytest.approx(2 / 2**8)
    assert decide(a) == "worse"  # of eight patients 0.0015 is asked for
    a, _ = gathered(table(paired([0.7] * 12, a=[-0.01] * 12, b=[-0.01] * 12)), design(12))
    assert decide(a) == "droppable"


@pytest.mark.parametrize(
    ("reference", "margin"),
    [(0.8, 0.02), (0.92, 0.02), (0.96, 0.01), (0.996, 0.001), (0.04, 0.01), (1.0, 0.0)],
)
def test_the_margin_is_at_most_a_quarter_of_what_the_reference_has_or_lacks(
    reference: float, margin: float
) -> None:
    assert design(1).margin_beside(reference) == pytest.approx(margin)
    rows = table(paired([reference] * 6, a=[0.0] * 6, b=[0.0] * 6))
    assert gathered(rows, design(6))[0].margin == pytest.approx(margin)


def test_a_margin_of_a_distance_is_what_was_stated() -> None:
    assert design(1, metric="hd95_mm", margin=2.0).margin_beside(0.9) == 2.0
    assert design(1, metric="hd95_mm", margin=None).margin_beside(0.9) is None
    assert design(1, relative_margin=1.0).margin_beside(0.99) == pytest.approx(0.01)


def test_the_margin_is_beside_the_reference_of_the_arm_s_own_pairs() -> None:
    """Of six patients with 0.8 and six with 0.98, without a has the latter alone."""
    rows = table(paired([0.8] * 6 + [0.98] * 6, a=[None] * 6 + [0.0] * 6, b=[0.0] * 12))
    a, b = gathered(rows, design(12))
    assert (a.reference, a.margin) == (pytest.approx(0.98), pytest.approx(0.005))
    assert (b.reference, b.margin) == (pytest.approx(0.89), pytest.approx(0.02))


def test_a_loss_of_most_of_the_error_is_needed_where_the_reference_is_nearly_perfect() -> None:
    """0.996 to 0.984 is four times the error, and below the margin of 0.02."""
    reference = [0.996 + 0.0002 * (n % 5 - 2) for n in range(12)]
    losses = [-0.012 + 0.0005 * (n % 7 - 3) for n in range(12)]
    rows = table(paired(reference, a=[*losses], b=[0.0001 * x for x in (1, -1) * 6]))
    a, _ = gathered(rows, design(12))
    assert a.margin == pytest.approx(0.001, abs=1e-4)
    assert decide(a) == "needed"
    assert decide(gathered(rows, design(12, relative_margin=1.0))[0]) == "needed"  # all of the error
    assert design(12, relative_margin=1.0).margin_beside(0.8) == 0.02
