"""Every arm against the reference."""

import numpy as np
import pytest

from submit.analysis.bootstrap import bootstrap_means
from submit.analysis.comparisons import Comparison, Differences, adjusted, compare
from submit.analysis.pairing import by_arm, differences
from submit.analysis.verdict import gather
from tests.submit.analysis.tables import ARMS, Test, design, paired, table

REFERENCE_DICE = [0.7, 0.8, 0.6, 0.9, 0.75, 0.65]
A = [-0.1, -0.12, -0.08, -0.2, -0.09, -0.11]
B = [0.01, -0.02, 0.03, -0.01, 0.0, 0.02]


def compared(
    *, structures: tuple[str, ...] = ("tumour",), **arms: list[float | None]
) -> dict[str, Comparison]:
    rows = table(paired(REFERENCE_DICE, **arms)).assign(absolute_volume_error_ml=2.0)
    of = design(len(REFERENCE_DICE), structures=structures)
    return {f"{each.arm} {each.metric}": each for each in compare(Differences(rows, of), of)}


def test_a_comparison_is_that_computed_by_hand() -> None:
    found = compared(a=A, b=B)["without a dice"]
    assert (found.patients, found.exams, found.pairs) == (6, 6, 6)
    assert found.mean == pytest.approx(-0.7 / 6)
    assert found.relative == pytest.approx(-0.7 / 4.4)
    # Squares of the deviations from -0.1167: sum 0.00933, divided by 5.
    assert found.sd == pytest.approx(0.0432, abs=1e-4)
    assert found.d_z == pytest.approx(-0.7 / 6 / found.sd)
    assert found.rank_biserial == -1
    assert found.p == pytest.approx(2 / 64)
    assert found.test == "exact"
    assert found.low is not None
    assert found.high is not None
    assert found.low < -0.7 / 6 < found.high < 0


def test_the_primary_endpoint_has_holm_over_its_arms_and_comes_first() -> None:
    of = design(6)
    found = compare(
        Differences(table(paired(REFERENCE_DICE, a=A, b=B)).assign(absolute_volume_error_ml=2.0), of), of
    )
    assert [(each.arm, each.metric, each.adjustment) for each in found[:3]] == [
        ("without a", "dice", "Holm"),
        ("without b", "dice", "Holm"),
        ("without a", "hd95_mm", "Benjamini-Hochberg"),
    ]
    assert found[0].p_adjusted == pytest.approx(2 * 2 / 64)
    assert found[1].p_adjusted == pytest.approx(found[1].p)


def test_holm_and_benjamini_hochberg_are_those_computed_by_hand() -> None:
    p = {"a": 0.01, "b": 0.04, "c": 0.03, "d": None}
    # Holm: 4 x 0.01, 3 x 0.03, 2 x 0.04 (not below the one before). BH: 4/1 x 0.01, 4/3 x 0.04, the same, -.
    holm = {"a": pytest.approx(0.04), "b": pytest.approx(0.09), "c": pytest.approx(0.09), "d": None}
    assert adjusted(p, "holm") == holm
    assert adjusted(dict(reversed(p.items())), "holm") == holm
    third = pytest.approx(0.16 / 3)
    assert adjusted(p, "fdr_bh") == {"a": pytest.approx(0.04), "b": third, "c": third, "d": None}
    assert adjusted({}, "holm") == {}


def test_an_arm_without_pairs_counts_in_the_family_and_has_no_numbers() -> None:
    found = compared(a=A)
    assert found["without a dice"].p_adjusted == pytest.approx(2 * 2 / 64)
    empty = found["without b dice"]
    assert (empty.patients, empty.mean, empty.p, empty.p_adjusted, empty.low) == (0, None, None, None, None)


def test_one_patient_has_a_mean_and_no_spread() -> None:
    found = compared(a=[-0.1, None, None, None, None, None])["without a dice"]
    assert (found.mean, found.sd, found.d_z, found.low) == (pytest.approx(-0.1), None, None, None)
    assert found.p == 1


def test_an_interval_of_dice_ends_where_dice_ends() -> None:
    found = compared(a=[-0.7, 0.2, -0.6, -0.9, 0.25])["without a dice"]
    assert found.low is not None
    assert found.low >= -1


def test_nothing_at_all_is_compared_without_an_error() -> None:
    of = design(6)
    rows = table([]).assign(absolute_volume_error_ml=0.0)
    found = compare(Differences(rows, of), of)
    assert len(found) == 3 * (len(ARMS) - 1)
    assert {each.mean for each in found} == {None}


def test_an_interval_ends_where_the_mean_cannot_be() -> None:
    """The reference has 0.1 to lose and 0.9 to gain; one patient of six does, and the bootstrap goes beyond."""
    near = [0.0, -0.001, 0.001, 0.002, -0.002]
    rows = table(paired([0.1] * 6, a=[-0.1, *near], b=[0.9, *near]))
    a, b = compare(Differences(rows.assign(absolute_volume_error_ml=2.0), design(6)), design(6))[:2]
    (a_low, _), (_, b_high) = (
        bootstrap_means(differences(by_arm(rows, "tumour", "dice")).to_numpy(), 0).intervals().T
    )
    assert a_low < -0.1
    assert b_high > 0.9
    assert (a.low, b.high) == (pytest.approx(-0.1), pytest.approx(0.9))


def test_the_interval_that_is_shown_is_the_one_that_decides() -> None:
    """Also where other endpoints have more patients: two have no lesion, and a volume all the same."""
    draw = np.random.default_rng(0)
    tests = paired([0.7] * 9, a=list(draw.normal(-0.03, 0.05, 9)), b=list(draw.normal(0, 0.05, 9)))
    tests += [(p, p, 0, arm, None) for p in ("q", "r") for arm in ARMS]
    rows = table(tests).assign(absolute_volume_error_ml=2.0)
    of = design([*((f"p{n:02}", f"e{n:02}") for n in range(9)), ("q", "q"), ("r", "r")])
    found = Differences(rows, of)
    shown = compare(found, of)[:2]
    decided = gather(found.tests[of.endpoint], found.tests[of.endpoint], found.statuses["tumour"], of, None)
    for one, other in zip(shown, decided, strict=True):
        assert one.low == pytest.approx(-(other.high or 0), abs=1e-12)
        assert one.high == pytest.approx(-(other.low or 0), abs=1e-12)


def test_false_alarms_count_in_tests_that_both_did() -> None:
    tests: list[Test] = [(p, p, 0, arm, 0.0) for p in "xy" for arm in ARMS]
    tests = [test for test in tests if test[:2] + test[3:4] != ("y", "y", "without a")]
    rows = table(tests).assign(status="false-alarm", absolute_volume_error_ml=2.0)
    of = design([("x", "x"), ("y", "y")])
    a, b = compare(Differences(rows, of), of)[:2]
    assert (a.false_alarms, b.false_alarms) == ((1, 1), (2, 2))
    assert (a.pairs, b.pairs) == (0, 0)
