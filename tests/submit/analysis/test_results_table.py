import json

import pytest
from pandas import NA

from job.contract import layout
from job.contract.results import Failure
from job.run import Run
from submit.analysis.results_table import FOLD_COLUMNS, TABLE_COLUMNS, collect_results


def failure_of(fold):
    return Failure(fold=fold, attempts=2, exit_code=70, message="ValueError: no", time="2026-01-01T00:00:00Z")


def problems_of(storage, manifest):
    return collect_results(Run(storage, manifest)).problems


def test_each_structure_of_each_exam_of_a_done_fold_has_a_row(storage, make_manifest, make_result, score):
    manifest = make_manifest(cohort={"classes": {"GTV-T": 1, "GTV-Ln": 2}})
    scores = {"GTV-T": score(0.8), "GTV-Ln": score(None), "union": score(0.7, predicted_ml=7.5)}
    storage.write(layout.result(4), make_result(manifest, 4, scores).to_json())

    table = collect_results(Run(storage, manifest)).table

    assert dict(table.dtypes.astype(str)) == TABLE_COLUMNS
    assert table["structure"].tolist() == ["GTV-T", "GTV-Ln", "union"]
    expected = {
        "fold": 4,
        "arm": "without t2",
        "left_out": "t2",
        "repeat": 0,
        "exam": "exam1",
        "patient": "patient1",
        "structure": "union",
        "status": "ok",
        "dice": 0.7,
        "hd95_mm": 5.0,
        "reference_ml": 10.0,
        "predicted_ml": 7.5,
        "volume_error_ml": -2.5,
        "seconds": 60.0,
        "hd95_voxels_mm": None,
    }
    row = table.iloc[2].to_dict()
    assert {key: row[key] for key in expected} == expected


def test_a_result_has_hd95_by_voxels_if_it_was_computed(storage, make_manifest, make_result, score):
    """Those of before have none, and load all the same."""
    manifest = make_manifest()
    new, old = score(0.8, hd95_voxels_mm=4.5), score(0.7)
    for fold, own in ((0, new), (1, old)):
        storage.write(layout.result(fold), make_result(manifest, fold, {"tumour": own}).to_json())
    text = storage.read(layout.result(1)).decode()
    assert '"hd95_voxels_mm": null' in text
    before = "".join(line for line in text.splitlines(keepends=True) if "hd95_voxels_mm" not in line)
    storage.write(layout.result(1), before.encode())

    results = collect_results(Run(storage, manifest))

    assert results.problems == ()
    assert results.table["hd95_voxels_mm"].tolist() == [4.5, NA]


def test_an_undefined_number_is_missing_in_the_table(storage, make_manifest, write_dice):
    manifest = make_manifest()
    write_dice(manifest, {0: None})

    row = collect_results(Run(storage, manifest)).table.iloc[0]

    assert row["dice"] is NA
    assert row["hd95_mm"] is NA
    assert row["status"] == "both-empty"
    assert row["volume_error_ml"] == 0


def test_every_fold_is_done_missing_or_failed(storage, make_manifest, write_dice):
    manifest = make_manifest()  # 3 arms x 3 exams
    write_dice(manifest, {0: 0.5, 1: 0.5, 8: 0.5})
    for fold in (1, 4):
        storage.write(layout.failure(fold), failure_of(fold).to_json())
    storage.write(layout.heartbeat(5), b"{}")

    results = collect_results(Run(storage, manifest))

    assert results.done == (0, 1, 8)
    assert results.failed == (failure_of(4),)
    assert results.missing == (2, 3, 5, 6, 7)


def test_a_run_without_results_gives_empty_tables_with_all_columns(storage, make_manifest):
    results = collect_results(Run(storage, make_manifest()))

    assert results.missing == tuple(range(9))
    assert dict(results.table.dtypes.astype(str)) == TABLE_COLUMNS
    assert dict(results.folds.dtypes.astype(str)) == FOLD_COLUMNS
    assert results.table.empty


def test_costs_and_versions_are_told_by_fold(storage, make_manifest, make_result, score):
    manifest = make_manifest()
    for index in (0, 1, 2):
        result = make_result(manifest, index, {"tumour": score(0.5)})
        cost = result.cost.model_copy(
            update={
                "versions": {"torch": "2.10.0" if index < 2 else "2.11.0"},
                "seconds": {"total": 10.0 * index} | ({"train": 4.0} if index else {}),
            }
        )
        storage.write(layout.result(index), result.model_copy(update={"cost": cost}).to_json())

    results = collect_results(Run(storage, manifest))

    assert results.versions == {"torch": {"2.10.0": (0, 1), "2.11.0": (2,)}}
    assert results.folds["total_seconds"].tolist() == [0, 10, 20]
    assert results.folds["train_seconds"].tolist() == [NA, 4, 4]
    assert results.folds["peak_device_memory_gib"].isna().all()


def test_a_patient_wise_fold_gives_rows_for_each_of_its_exams(storage, make_manifest, make_result, score):
    exams = [("exam0", "patient0"), ("exam1", "patient0"), ("exam2", "patient2")]
    manifest = make_manifest(exams, sweep={"test_unit": "patient"})
    result = make_result(manifest, 0, {"tumour": score(0.5)}, {"tumour": score(0.6)})
    storage.write(layout.result(0), result.to_json())

    table = collect_results(Run(storage, manifest)).table

    assert table["exam"].tolist() == ["exam0", "exam1"]
    assert table["patient"].tolist() == ["patient0", "patient0"]


VISITS = [("p0_a", "p0"), ("p0_b", "p0"), ("p1_a", "p1"), ("p2_a", "p2")]
"""The first fold of a patient-wise run tests two exams."""


def test_exams_in_another_order_keep_their_own_scores(storage, make_manifest, make_result, score):
    manifest = make_manifest(VISITS, sweep={"test_unit": "patient"})
    result = make_result(manifest, 0, {"tumour": score(0.5)}, {"tumour": score(0.9)})
    turned = result.model_copy(update={"exams": tuple(reversed(result.exams))})
    storage.write(layout.result(0), turned.to_json())

    results = collect_results(Run(storage, manifest))

    assert results.problems == ()
    assert dict(zip(results.table["exam"], results.table["dice"], strict=True)) == {"p0_a": 0.5, "p0_b": 0.9}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["p0_a", "p1_a"], "p0_a, p1_a"),
        (["p1_a", "p0_b"], "p0_b, p1_a"),
        (["p0_a", "p0_a"], "p0_a, p0_a"),
        (["p0_a"], "p0_a"),
        (["p0_a", "p0_b", "p1_a"], "p0_a, p0_b, p1_a"),
    ],
)
def test_exams_that_are_not_those_of_the_fold_are_refused(
    storage, make_manifest, make_result, score, names, told
):
    manifest = make_manifest(VISITS, sweep={"test_unit": "patient"})
    result = make_result(manifest, 0, {"tumour": score(0.5)}, {"tumour": score(0.9)})
    of = {entry.exam: entry.model_dump() for entry in manifest.exams}
    exams = tuple(result.exams[0].model_copy(update=of[name]) for name in names)
    storage.write(layout.result(0), result.model_copy(update={"exams": exams}).to_json())

    (problem,) = problems_of(storage, manifest)

    assert (problem.found, problem.expected) == (
        f"test exams {told}",
        "test exams p0_a, p0_b, as in manifest.json",
    )
    assert collect_results(Run(storage, manifest)).done == ()


def test_a_score_under_the_name_of_the_other_exam_is_known_by_its_digest(
    storage, make_manifest, make_result, score
):
    manifest = make_manifest(VISITS, sweep={"test_unit": "patient"})
    result = make_result(manifest, 0, {"tumour": score(0.5)}, {"tumour": score(0.9)})
    one, other = result.exams
    swapped = (one.model_copy(update={"exam": other.exam}), other.model_copy(update={"exam": one.exam}))
    storage.write(layout.result(0), result.model_copy(update={"exams": swapped}).to_json())

    (problem,) = problems_of(storage, manifest)

    assert problem.found == f"digest of exam p0_a {other.digest}"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"manifest": "f" * 64}, "manifest " + "f" * 64),
        ({"run": "other-00000000"}, "run other-00000000"),
        ({"fold": 2}, "fold 2"),
        ({"arm": "without t1"}, "arm without t1, t2"),
        ({"left_out": ("t1",)}, "arm without t2, t1"),
        ({"repeat": 1}, "repeat 1"),
        ({"unit": 2}, "unit 2"),
        ({"training_exams": (0, 1, 2)}, "training exams 0, 1, 2"),
        ({"validation_exams": (1,)}, "validation exams 1"),
        ({"exams": ()}, "test exams none"),
    ],
)
def test_a_result_that_contradicts_the_manifest_is_left_out_and_named(
    changes, named, storage, make_manifest, make_result, score
):
    manifest = make_manifest()
    result = make_result(manifest, 1, {"tumour": score(0.5)})
    storage.write(layout.result(1), result.model_copy(update=changes).to_json())

    (problem,) = problems_of(storage, manifest)

    assert problem.file == "folds/1/result.json"
    assert problem.found == named
    assert "manifest.json" in problem.expected
    assert "run the sweep again" in problem.remedy


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"exam": "exam2"}, "test exams exam2"),
        ({"patient": "patient2"}, "patient of exam exam0 patient2"),
        ({"digest": "e" * 64}, "digest of exam exam0 " + "e" * 64),
        ({"scores": {}}, "structures of exam exam0 none"),
    ],
)
def test_a_result_of_other_exam_contents_is_left_out_and_named(
    changes, named, storage, make_manifest, make_result, score
):
    manifest = make_manifest()
    result = make_result(manifest, 1, {"tumour": score(0.5)})
    exam = result.exams[0].model_copy(update=changes)
    storage.write(layout.result(1), result.model_copy(update={"exams": (exam,)}).to_json())

    (problem,) = problems_of(storage, manifest)

    assert problem.found == named


def test_every_damaged_file_is_named_and_not_only_the_first(storage, make_manifest, write_dice):
    manifest = make_manifest()
    write_dice(manifest, {0: 0.5, 1: 0.5})
    storage.write(layout.result(1), storage.read(layout.result(1))[:100])
    storage.write(layout.result(2), b'{"fold": "NaN"}')
    storage.write(layout.failure(3), b"")

    problems = problems_of(storage, manifest)
    results = collect_results(Run(storage, manifest))

    assert (results.done, results.failed) == ((0,), ())
    assert set(results.table["fold"]) == set(results.folds["fold"]) == {0}
    assert results.missing == tuple(range(1, manifest.folds))
    assert [problem.file for problem in problems] == [
        "folds/1/result.json",
        "folds/2/result.json",
        "folds/3/failure.json",
    ]
    assert "100 bytes that cannot be read" in problems[0].found
    assert {problem.remedy for problem in problems} == {"delete the file and run the sweep again"}


def test_a_fold_beyond_the_grid_is_left_out_and_named(storage, make_manifest, write_dice):
    manifest = make_manifest()
    storage.write(layout.result(9), b"{}")
    storage.write(layout.failure(10), b"{}")

    result, failure = problems_of(storage, manifest)

    assert (result.file, result.found) == ("folds/9/result.json", "fold 9")
    assert failure.file == "folds/10/failure.json"
    assert result.expected == "a fold within 0..8, as in manifest.json"


def test_the_failure_of_another_fold_is_left_out_and_named(storage, make_manifest):
    storage.write(layout.failure(3), failure_of(4).to_json())

    (problem,) = problems_of(storage, make_manifest())

    assert (problem.found, problem.expected) == ("fold 4", "fold 3, as in manifest.json")


def test_a_failure_beside_a_result_is_not_even_read(storage, make_manifest, write_dice):
    manifest = make_manifest()
    write_dice(manifest, {0: 0.5})
    storage.write(layout.failure(0), json.dumps({"damaged": True}).encode())

    assert collect_results(Run(storage, manifest)).failed == ()
