"""Every arm against the reference."""

import numpy as np
import pytest
from pandas import DataFrame, concat
from scipy import stats

from submit.analysis.adjustment import adjusted
from submit.analysis.analysis import analyse
from submit.analysis.comparisons import Comparison, compare
from submit.analysis.design import Design
from submit.analysis.differences import Differences
from submit.analysis.evidence import gather
from submit.analysis.paired_tests import signed_rank
from submit.analysis.pairing import paired_block
from submit.analysis.sign_flips import SignFlips
from submit.analysis.verdict import Evidence, decide
from submit.analysis.wording import METRIC_STYLES
from tests.submit.analysis.tables import ARMS, REFERENCE, Test, design, measured, paired, table

REFERENCE_DICE = [0.7, 0.8, 0.6, 0.9, 0.75, 0.65]
A = [-0.1, -0.12, -0.08, -0.2, -0.09, -0.11]
B = [0.01, -0.02, 0.03, -0.01, 0.0, 0.02]


Every = dict[str, tuple[Evidence, ...]]


def both(rows: DataFrame, of: Design) -> tuple[tuple[Comparison, ...], Every]:
    """Comparisons, and the evidence of their verdicts."""
    found = Differences(paired_block(rows, of.repeats), of)
    evidence = gather(found, of, dict.fromkeys(of.endpoint_structures))
    return compare(found, of, evidence), evidence


def compared(**arms: list[float | None]) -> dict[str, Comparison]:
    found, _ = both(table(paired(REFERENCE_DICE, **arms)), design(len(REFERENCE_DICE)))
    return {f"{each.arm} {each.metric}": each for each in found}


def test_a_comparison_is_that_computed_by_hand() -> None:
    found = compared(a=A, b=B)["without a dice"]
    assert (found.patients, found.exams, found.pairs) == (6, 6, 6)
    assert found.mean == pytest.approx(-0.7 / 6)
    assert found.relative == pytest.approx(-0.7 / 4.4)
    # Squares of the deviations from -0.1167: sum 0.00933, divided by 5.
    assert found.sd == pytest.approx(0.0432, abs=1e-4)
    assert found.d_z == pytest.approx(-0.7 / 6 / found.sd)
    assert found.rank_biserial == -1
    assert found.p == found.p_wilcoxon == pytest.approx(2 / 64)  # six losses of six
    assert found.low is not None
    assert found.high is not None
    assert found.low < -0.7 / 6 < found.high < 0
    assert not found.cut


def test_the_primary_endpoint_is_tested_with_the_largest_t_and_comes_first() -> None:
    found, evidence = both(table(paired(REFERENCE_DICE, a=A, b=B)), design(6))
    assert [(each.arm, each.metric, each.adjustment) for each in found[:3]] == [
        ("without a", "dice", "max-t"),
        ("without b", "dice", "max-t"),
        ("without a", "hd95_mm", "Benjamini-Hochberg"),
    ]
    flips = SignFlips(np.array([A, B]).round(9).T, 0)
    for number, (each, (own,)) in enumerate(zip(found, evidence.values(), strict=False)):
        assert each.p == pytest.approx(flips.p(number))
        assert each.p_adjusted == own.p == pytest.approx(flips.p(number, (0, 1)))


def test_secondary_comparisons_are_alone_in_their_intervals_and_one_family_in_their_p() -> None:
    found, _ = both(table(paired(REFERENCE_DICE, a=A, b=B)), design(6))
    secondary = [each for each in found if each.metric != "dice"]
    assert len(secondary) == 2 * 2  # HD95 and volume of two arms
    flips = SignFlips(-10 * np.array([A, B]).T, 0)
    for number, each in enumerate(secondary[:2]):
        assert (each.low, each.high) == pytest.approx(flips.interval(number), abs=1e-7)
        assert each.p == pytest.approx(flips.p(number))
    expected = adjusted({n: each.p for n, each in enumerate(secondary)}, "fdr_bh")
    assert [each.p_adjusted for each in secondary] == list(expected.values())


def test_wilcoxon_s_test_stands_beside_as_a_sensitivity_analysis() -> None:
    skewed = [0.01, 0.02, 0.015, 0.03, 0.025, -0.3]
    found = compared(a=A, b=[*skewed])["without b dice"]
    assert found.p_wilcoxon == signed_rank(np.array(skewed)).p
    assert found.p is not None
    assert found.p > found.p_wilcoxon  # most patients are better, their mean is not


def test_an_arm_without_pairs_has_no_numbers_and_takes_nothing_from_others() -> None:
    found = compared(a=A)
    assert found["without a dice"].p_adjusted == pytest.approx(2 / 64)
    empty = found["without b dice"]
    assert (empty.patients, empty.mean, empty.p, empty.p_adjusted, empty.low) == (0, None, None, None, None)


def test_one_patient_has_a_mean_and_no_spread() -> None:
    found = compared(a=[-0.1, None, None, None, None, None])["without a dice"]
    assert (found.mean, found.sd, found.d_z, found.low) == (pytest.approx(-0.1), None, None, None)
    assert (found.p, found.p_adjusted) == (None, None)


@pytest.mark.parametrize("patients", [3, 4, 5])
def test_a_secondary_endpoint_of_too_few_patients_for_flips_has_the_interval_of_t(patients: int) -> None:
    """A safety screen that is silent below six patients would hide harm; the endpoint itself has none."""
    found = compared(a=[*A[:patients], *([None] * (6 - patients))])
    distance = found["without a hd95_mm"]
    expected = stats.ttest_1samp(-10 * np.array(A[:patients]), 0).confidence_interval(0.95)
    assert (distance.low, distance.high) == pytest.approx((expected.low, expected.high))
    assert found["without a dice"].low is None
    assert compared(a=[*A[:2], None, None, None, None])["without a hd95_mm"].low is None


def test_nothing_at_all_is_compared_without_an_error() -> None:
    found, _ = both(table([]), design(6))
    assert len(found) == 3 * (len(ARMS) - 1)
    assert {each.mean for each in found} == {None}


def test_an_interval_ends_where_the_mean_cannot_be() -> None:
    """The reference has 0.1 to lose and 0.9 to gain; one patient of six does, and the intervals go beyond."""
    near = [0.0, -0.001, 0.001, 0.002, -0.002]
    (a, b, *_), evidence = both(table(paired([0.1] * 6, a=[-0.1, *near], b=[0.9, *near])), design(6))
    (own_a,), (own_b,) = evidence.values()
    assert own_a.high is not None
    assert own_a.high > 0.1
    assert (a.low, a.cut) == (pytest.approx(-0.1), True)
    assert own_b.high is not None
    assert own_b.high > 0.1
    assert (b.low, b.cut, b.high) == (pytest.approx(-0.1), True, pytest.approx(0.9))


def test_where_an_interval_has_no_end_it_ends_where_the_metric_does_if_it_does() -> None:
    """Of six patients five lose nothing: 33 % of draws are of these alone. A distance can grow without end."""
    losses = [0.0] * 5 + [-0.05]
    (dice, *_), evidence = both(table(paired([0.7] * 6, a=[*losses])), design(6))
    assert evidence["without a"][0].high is None
    assert (dice.low, dice.cut) == (pytest.approx(-0.7), True)
    (distance, *_), evidence = both(table(paired([0.7] * 6, a=[*losses])), design(6, metric="hd95_mm"))
    assert evidence["without a"][0].low == pytest.approx(0, abs=1e-8)
    assert evidence["without a"][0].high is None
    assert (distance.low, distance.high, distance.cut) == (evidence["without a"][0].low, None, False)


def test_the_low_end_of_a_distance_that_is_needed_is_kept_and_printed() -> None:
    """Five patients lose 8 mm and one 9: a third of draws are of the five alone, and say nothing of the upper end."""
    of = design(6, arms=ARMS[:2], metric="hd95_mm", margin=2.0)
    losses = [-0.8] * 5 + [-0.9]
    rows = table(paired([1.0] * 6, a=[*losses]))
    (distance, *_), evidence = both(rows, of)
    (own,) = evidence["without a"]
    assert (distance.low, distance.high, decide(own)) == (own.low, None, "needed")
    assert distance.low == pytest.approx(8)
    assert METRIC_STYLES["hd95_mm"].interval(6.84, None) == "+6.8 mm and more"
    assert METRIC_STYLES["hd95_mm"].interval(-0.5, 6.84) == "−0.5 to +6.8"
    assert METRIC_STYLES["hd95_mm"].interval(None, None) == "–"
    sentence = analyse(rows, of, run="r", manifest="m").verdicts[0].sentence
    assert f"(95 % interval +{distance.low:.1f} mm and more; " in sentence


def test_no_distance_shrinks_by_more_than_the_reference_has() -> None:
    of = design(6, metric="hd95_mm", margin=2.0)
    distances = {REFERENCE: [2.0] * 6, "without a": [0.5, 0.0, 9.0, 0.1, 0.0, 3.0]}
    dice = {arm: [0.7] * 6 for arm in distances}
    (found, *_), evidence = both(measured(of, dice, hd95_mm=distances), of)
    assert evidence["without a"][0].low is not None
    assert found.low == max(evidence["without a"][0].low, -2.0)


def test_the_interval_that_is_shown_is_the_one_that_decides() -> None:
    """Also where other endpoints have more patients: two have no lesion, and a volume all the same."""
    draw = np.random.default_rng(0)
    tests = paired([0.7] * 9, a=list(draw.normal(-0.03, 0.05, 9)), b=list(draw.normal(0, 0.05, 9)))
    tests += [(p, p, 0, arm, None) for p in ("q", "r") for arm in ARMS]
    of = design([*((f"p{n:02}", f"e{n:02}") for n in range(9)), ("q", "q"), ("r", "r")])
    found, evidence = both(table(tests), of)
    for one, (other,) in zip(found, evidence.values(), strict=False):
        assert one.low == pytest.approx(-(other.high or 0), abs=1e-12)
        assert one.high == pytest.approx(-(other.low or 0), abs=1e-12)


def test_false_alarms_and_misses_count_in_tests_that_both_did() -> None:
    tests: list[Test] = [(p, p, 0, arm, 0.0) for p in "xy" for arm in ARMS]
    tests = [test for test in tests if test[:2] + test[3:4] != ("y", "y", "without a")]
    of = design([("x", "x"), ("y", "y")])
    for status in ("false-alarm", "miss"):
        a, b = both(table(tests).assign(status=status), of)[0][:2]
        counts = (a.false_alarms, b.false_alarms) if status == "false-alarm" else (a.misses, b.misses)
        assert counts == ((1, 1), (2, 2))
        assert (a.pairs, b.pairs) == (0, 0)


def test_several_structures_of_the_endpoint_come_first_and_are_one_family() -> None:
    of = design(8, structures=("T", "N", "union"), further_structures=("N",))
    dice = {
        REFERENCE: [0.8] * 8,
        "without a": [0.7 + 0.01 * n for n in range(8)],
        "without b": [0.8] * 7 + [0.7],
    }
    rows = [measured(of, dice, structure=structure) for structure in of.structures]
    found, _ = both(concat(rows, ignore_index=True), of)
    primary = [(each.structure, each.arm) for each in found if each.adjustment == "max-t"]
    assert primary == [("T", "without a"), ("T", "without b"), ("N", "without a"), ("N", "without b")]
    assert [each.endpoint for each in found[:4]] == [("T", "dice")] * 2 + [("N", "dice")] * 2
