import json
from math import sqrt

import pytest

from job.contract import layout
from job.contract.results import Failure
from job.run import Run
from submit.analysis.aggregate import Aggregate, aggregate, arms_table
from submit.analysis.analysis import analyse
from submit.analysis.design import Design
from submit.analysis.results_table import collect_results

# Folds of 3 arms x 3 exams: exam n has the folds 3n (reference), 3n + 1 (without t2), 3n + 2 (without t1).


def aggregated(storage, manifest):
    return aggregate(collect_results(Run(storage, manifest)), manifest)


def test_mean_sd_and_median_are_those_computed_by_hand(storage, make_manifest, write_dice):
    manifest = make_manifest()
    write_dice(manifest, {0: 0.5, 3: 0.6, 6: 0.9})

    reference = aggregated(storage, manifest).arms[0]
    dice = reference.metrics["tumour"]["dice"]

    assert (reference.arm, reference.n, dice.n) == ("reference", 3, 3)
    assert dice.mean == pytest.approx(2.0 / 3)
    assert dice.median == pytest.approx(0.6)
    # Deviations -1/6, -1/15, 7/30; squares sum to 78/900; divided by n - 1 = 2.
    assert dice.sd == pytest.approx(sqrt(78 / 900 / 2))


def test_differences_are_taken_over_pairs_and_relative_to_the_reference(storage, make_manifest, write_dice):
    manifest = make_manifest()
    write_dice(manifest, {0: 0.8, 3: 0.6, 6: 0.1, 1: 0.7, 4: 0.3})  # exam 2 has no partner

    arms = aggregated(storage, manifest).arms
    difference = arms[1].difference["tumour"]["dice"]

    assert difference.n == 2
    assert difference.mean == pytest.approx((-0.1 - 0.3) / 2)
    assert difference.relative == pytest.approx(-0.2 / 0.7)
    assert arms[0].difference == {}
    assert arms[2].difference["tumour"]["dice"].model_dump() == {"n": 0, "mean": None, "relative": None}


def test_a_pair_needs_a_defined_number_in_both_arms(storage, make_manifest, write_dice):
    manifest = make_manifest()
    write_dice(manifest, {0: None, 3: 0.6, 6: 0.4, 1: 0.7, 4: None, 7: 0.5})

    difference = aggregated(storage, manifest).arms[1].difference["tumour"]["dice"]

    assert (difference.n, difference.mean) == (1, pytest.approx(0.1))


def test_differences_are_those_of_the_comparisons(storage, make_manifest, write_dice):
    """Of patients, of whom the first has two visits."""
    manifest = make_manifest([("e0", "p0"), ("e1", "p0"), ("e2", "p1")])
    write_dice(manifest, {0: 0.8, 3: 0.6, 6: 0.5, 1: 0.7, 4: 0.3, 7: 0.5})
    results = collect_results(Run(storage, manifest))
    found = analyse(results.table, Design.of(manifest), run="r", manifest="m").comparisons

    told = aggregate(results, manifest).arms[1].difference["tumour"]["dice"]

    assert (told.n, told.mean) == (3, pytest.approx(-0.1))
    assert (told.n, told.mean, told.relative) == (found[0].pairs, found[0].mean, found[0].relative)


def test_a_lesion_that_both_miss_is_no_pair_as_in_the_comparisons(storage, make_manifest, make_result, score):
    manifest = make_manifest()
    miss = score(0.0, status="miss", hd95_mm=200.0, predicted_ml=0.0)
    dice = {0: score(0.8), 1: score(0.7), 3: miss, 4: miss, 6: score(0.6), 7: miss}
    for fold, own in dice.items():
        storage.write(layout.result(fold), make_result(manifest, fold, {"tumour": own}).to_json())
    results = collect_results(Run(storage, manifest))
    found = analyse(results.table, Design.of(manifest), run="r", manifest="m").comparisons

    told = aggregate(results, manifest).arms[1].difference["tumour"]

    assert (told["dice"].n, told["dice"].mean) == (2, pytest.approx((-0.1 - 0.6) / 2))
    assert (found[0].pairs, found[0].mean) == (told["dice"].n, told["dice"].mean)
    assert told["hd95_mm"].n == 2
    assert told["absolute_volume_error_ml"].n == 3  # a volume is off by so much, found or not


def test_hd95_by_voxels_is_told_where_results_have_it(storage, make_manifest, make_result, score):
    manifest = make_manifest()
    storage.write(layout.result(0), make_result(manifest, 0, {"tumour": score(0.8)}).to_json())
    old = aggregated(storage, manifest)
    assert list(old.arms[0].metrics["tumour"]) == ["dice", "hd95_mm", "absolute_volume_error_ml"]
    assert "hd95_voxels_mm" not in set(arms_table(old)["metric"])

    own = {"tumour": score(0.7, hd95_voxels_mm=4.5)}
    storage.write(layout.result(3), make_result(manifest, 3, own).to_json())
    new = aggregated(storage, manifest).arms[0].metrics["tumour"]["hd95_voxels_mm"]
    assert (new.n, new.mean) == (1, 4.5)


def test_statuses_are_counted_and_only_correct_absences_leave_the_mean(
    storage, make_manifest, make_result, score
):
    manifest = make_manifest(exams=4)
    scores = [
        score(0.9),
        score(None),
        score(0.0, status="miss", hd95_mm=200.0, predicted_ml=0.0),
        score(0.0, status="false-alarm", hd95_mm=300.0, reference_ml=0.0, predicted_ml=2.0),
    ]
    for exam, own in enumerate(scores):
        storage.write(layout.result(3 * exam), make_result(manifest, 3 * exam, {"tumour": own}).to_json())

    reference = aggregated(storage, manifest).arms[0]
    metrics = reference.metrics["tumour"]

    assert reference.n == 4
    assert metrics["dice"].status == {"ok": 1, "both-empty": 1, "false-alarm": 1, "miss": 1}
    assert (metrics["dice"].n, metrics["dice"].mean) == (3, pytest.approx(0.3))
    assert metrics["hd95_mm"].mean == pytest.approx(505 / 3)
    # The volume error is defined in all four: +2, 0, -10, +2.
    assert (metrics["absolute_volume_error_ml"].n, metrics["absolute_volume_error_ml"].mean) == (4, 3.5)


def test_a_structure_that_is_absent_everywhere_has_no_mean_but_counts(storage, make_manifest, write_dice):
    manifest = make_manifest()
    write_dice(manifest, dict.fromkeys(range(9)))

    arm = aggregated(storage, manifest).arms[1]
    dice = arm.metrics["tumour"]["dice"]

    assert arm.n == 3
    assert (dice.n, dice.mean, dice.sd, dice.median) == (0, None, None, None)
    assert dice.status["both-empty"] == 3
    assert arm.difference["tumour"]["dice"].n == 0


def test_one_test_has_a_mean_but_no_standard_deviation(storage, make_manifest, write_dice):
    manifest = make_manifest()
    write_dice(manifest, {0: 0.5})

    dice = aggregated(storage, manifest).arms[0].metrics["tumour"]["dice"]

    assert (dice.mean, dice.sd, dice.median) == (0.5, None, 0.5)


def test_a_reference_of_zero_has_no_relative_difference(storage, make_manifest, write_dice):
    manifest = make_manifest()
    write_dice(manifest, {0: 0.0, 1: 0.5})

    difference = aggregated(storage, manifest).arms[1].difference["tumour"]["dice"]

    assert (difference.mean, difference.relative) == (0.5, None)


def test_further_repeats_of_the_reference_do_not_count(storage, make_manifest, write_dice):
    manifest = make_manifest(sweep={"reference_repeats": 2})  # folds 9..14
    write_dice(manifest, {0: 0.5, 1: 0.4, 9: 0.9, 12: 0.9})

    reference, without_t2, _ = aggregated(storage, manifest).arms

    assert (reference.n, reference.metrics["tumour"]["dice"].mean) == (1, 0.5)
    assert without_t2.difference["tumour"]["dice"].n == 1


def test_repeats_are_paired_with_the_same_repeat(storage, make_manifest, write_dice):
    manifest = make_manifest(sweep={"repeats": 2})  # the second repeat starts at fold 9
    write_dice(manifest, {0: 0.5, 1: 0.4, 9: 0.7, 10: 0.7})

    arms = aggregated(storage, manifest).arms

    assert arms[0].n == 2
    assert arms[1].difference["tumour"]["dice"].n == 2
    assert arms[1].difference["tumour"]["dice"].mean == pytest.approx(-0.05)


def test_exams_of_the_same_name_of_two_patients_are_not_confused(storage, make_manifest, write_dice):
    manifest = make_manifest([("visit1", f"patient{n}") for n in range(3)])
    write_dice(manifest, {0: 0.5, 3: 0.6, 1: 0.4, 4: 0.4})

    arms = aggregated(storage, manifest).arms

    assert arms[0].n == 2
    assert arms[1].difference["tumour"]["dice"].n == 2


def test_the_json_has_the_documented_shape_and_reads_back(storage, make_manifest, write_dice):
    manifest = make_manifest(exams=2)
    write_dice(manifest, {0: 0.8, 1: 0.6, 2: None, 3: 0.8})
    failure = Failure(fold=4, attempts=2, exit_code=70, message="no", time="2026-01-01T00:00:00Z")
    storage.write(layout.failure(4), failure.to_json())

    whole = aggregated(storage, manifest)
    text = whole.to_json()
    told = json.loads(text)

    assert told["run"] == manifest.run
    assert told["folds"] == {
        "total": 6,
        "done": 4,
        "missing": [5],
        "failed": [4],
        "failures": [failure.model_dump()],
        "left_out": [],
    }
    assert [arm["arm"] for arm in told["arms"]] == ["reference", "without t2", "without t1"]
    arm = told["arms"][1]
    assert arm["left_out"] == ["t2"]
    assert arm["n"] == 1
    assert arm["metrics"]["tumour"]["dice"] == {
        "n": 1,
        "mean": 0.6,
        "sd": None,
        "median": 0.6,
        "status": {"ok": 1, "both-empty": 0, "false-alarm": 0, "miss": 0},
    }
    assert arm["difference"]["tumour"]["dice"] == {
        "n": 1,
        "mean": pytest.approx(-0.2),
        "relative": pytest.approx(-0.25),
    }
    assert told["endpoint"] == {"class": "tumour", "metric": "dice"}
    assert b"NaN" not in text
    assert Aggregate.model_validate_json(text) == whole


def test_all_classes_and_their_union_are_summarised(storage, make_manifest, make_result, score):
    manifest = make_manifest(cohort={"classes": {"GTV-T": 1, "GTV-Ln": 2}})
    scores = {"GTV-T": score(0.8), "GTV-Ln": score(0.5), "union": score(0.7)}
    storage.write(layout.result(0), make_result(manifest, 0, scores).to_json())

    metrics = aggregated(storage, manifest).arms[0].metrics

    assert {name: of["dice"].mean for name, of in metrics.items()} == {
        "GTV-T": 0.8,
        "GTV-Ln": 0.5,
        "union": 0.7,
    }


def test_the_table_of_arms_says_what_the_aggregate_says(storage, make_manifest, write_dice):
    manifest = make_manifest()
    write_dice(manifest, {0: 0.8, 3: 0.6, 1: 0.7, 4: 0.3, 7: 0.8})  # exam 2 has no partner

    table = arms_table(aggregated(storage, manifest)).set_index(["arm", "structure", "metric"])
    row, reference = (table.loc[(arm, "tumour", "dice")] for arm in ("without t2", "reference"))

    assert row[["left_out", "tests", "n", "ok", "miss", "pairs"]].tolist() == ["t2", 3, 3, 3, 0, 2]
    assert row[["mean", "median", "difference", "relative_difference"]].tolist() == [
        pytest.approx(number) for number in (0.6, 0.7, -0.2, -0.2 / 0.7)
    ]
    assert reference[["left_out", "tests", "n", "pairs"]].tolist() == ["", 2, 2, 0]
    assert reference[["difference", "relative_difference"]].isna().all()
