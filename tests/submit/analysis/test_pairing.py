"""From tests to one number per patient."""

import pytest
from pandas import concat, isna

from job.contract.metrics import IN_SCORES, METRICS
from submit.analysis.pairing import (
    by_arm,
    differences,
    differences_by_test,
    exams_of_patients,
    metrics_in,
    paired_block,
    statuses,
)
from submit.analysis.results_table import FOLLOWING, TABLE_COLUMNS
from tests.submit.analysis.tables import REFERENCE, Test, design, measured, paired, table

VISITS: list[Test] = [
    ("p0", "e0", 0, REFERENCE, 0.8),
    ("p0", "e0", 1, REFERENCE, 0.9),
    ("p0", "e1", 0, REFERENCE, 0.5),
    ("p1", "e2", 0, REFERENCE, 0.7),
    ("p0", "e0", 0, "without a", 0.7),
    ("p0", "e0", 1, "without a", 0.6),
    ("p0", "e1", 0, "without a", 0.4),
    ("p1", "e2", 0, "without a", 0.9),
]


def test_repeats_are_averaged_within_exams_and_exams_within_patients() -> None:
    found = differences(by_arm(table(VISITS), "tumour", "dice"))
    # p0: ((-0.1 - 0.3) / 2 - 0.1) / 2; by tests it would be -0.5 / 3.
    assert found["without a"].to_dict() == {"p0": pytest.approx(-0.15), "p1": pytest.approx(0.2)}


def test_a_test_without_a_partner_counts_for_nothing() -> None:
    lonely: list[Test] = [*VISITS, ("p2", "e3", 0, "without a", 0.1), ("p3", "e4", 0, REFERENCE, 0.1)]
    assert list(differences(by_arm(table(lonely), "tumour", "dice")).index) == ["p0", "p1"]


def test_an_undefined_number_makes_no_pair() -> None:
    undefined: list[Test] = [*VISITS, ("p2", "e3", 0, "without a", None), ("p2", "e3", 0, REFERENCE, 0.9)]
    found = differences(by_arm(table(undefined), "tumour", "dice"))
    assert "p2" not in found.index


def test_arms_may_have_pairs_in_different_patients() -> None:
    more: list[Test] = [*VISITS, ("p1", "e2", 0, "without b", 0.6)]
    found = differences(by_arm(table(more), "tumour", "dice"))
    assert isna(found.loc["p0", "without b"])
    assert found.loc["p1", "without b"] == pytest.approx(-0.1)


def test_without_a_reference_there_is_no_difference() -> None:
    alone = [test for test in VISITS if test[3] != REFERENCE]
    assert differences(by_arm(table(alone), "tumour", "dice")).empty
    assert differences(by_arm(table([]), "tumour", "dice")).empty


def test_only_exams_with_a_pair_are_counted() -> None:
    tests = by_arm(table([*VISITS, ("p1", "e5", 0, REFERENCE, 0.3)]), "tumour", "dice")
    assert exams_of_patients(differences_by_test(tests)).to_dict() == {"without a": {"p0": 2, "p1": 1}}
    assert exams_of_patients(differences_by_test(tests.drop(columns=REFERENCE))).empty


def test_a_lesion_that_both_miss_is_no_pair_and_one_that_either_finds_is() -> None:
    of = design(4)
    rows = measured(of, {REFERENCE: [0.8, 0.0, 0.7, 0.0], "without a": [0.0, 0.6, 0.7, 0.0]})
    tests, ended = by_arm(rows, "tumour", "dice"), statuses(rows, "tumour")
    found = differences(tests, ended)["without a"].to_dict()
    assert found == {"p00": pytest.approx(-0.8), "p01": pytest.approx(0.6), "p02": 0.0}
    distances = differences(by_arm(rows, "tumour", "hd95_mm"), ended)["without a"].to_dict()
    assert distances == {"p00": 298.0, "p01": -296.0, "p02": 0.0}  # 300 mm where nothing is found
    assert len(differences(tests)) == 4  # of a metric that compares no two lesions


def test_a_double_miss_in_one_repeat_leaves_the_others() -> None:
    of = design(1, repeats=2)
    rows = [
        measured(of, {REFERENCE: [0.0], "without a": [0.0]}),
        measured(of, {REFERENCE: [0.8], "without a": [0.7]}, repeat=1),
    ]
    both = concat(rows, ignore_index=True)
    found = differences(by_arm(both, "tumour", "dice"), statuses(both, "tumour"))
    assert found["without a"].to_dict() == {"p00": pytest.approx(-0.1)}


def test_false_alarms_are_counted_and_no_pair() -> None:
    of = design(3)
    rows = measured(of, {REFERENCE: [0.0, 1.0, 0.8], "without a": [0.0, 0.0, 0.7]}, without=(0, 1))
    assert list(statuses(rows, "tumour")["without a"]) == ["false-alarm", "false-alarm", "ok"]
    assert list(differences(by_arm(rows, "tumour", "dice"), statuses(rows, "tumour")).index) == ["p02"]


def test_a_metric_that_was_thought_of_later_is_left_out_where_no_result_has_it() -> None:
    old = paired_block(measured(design(2), {REFERENCE: [0.8, 0.7]}), 1)
    assert metrics_in(old) == ("dice", "hd95_mm", "absolute_volume_error_ml")
    unknown = old.assign(hd95_voxels_mm=None).astype({"hd95_voxels_mm": "Float64"})
    assert metrics_in(unknown) == metrics_in(old)
    some = unknown.assign(hd95_voxels_mm=[3.0, None]).astype({"hd95_voxels_mm": "Float64"})
    assert metrics_in(some) == ("dice", "hd95_mm", "hd95_voxels_mm", "absolute_volume_error_ml")


def test_every_metric_is_a_column_or_follows_from_some() -> None:
    assert {*TABLE_COLUMNS, *FOLLOWING} >= set(METRICS)
    assert set(FOLLOWING) == set(METRICS) - set(IN_SCORES)
    rows = table(paired([0.8, 0.7])).assign(volume_error_ml=[-2.0, 3.0])
    assert list(paired_block(rows, 1)["absolute_volume_error_ml"]) == [2.0, 3.0]
