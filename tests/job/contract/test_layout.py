import pytest

from job.contract import layout


def test_the_keys_of_a_fold_are_those_that_the_module_draws() -> None:
    assert layout.heartbeat(12) == "folds/12/heartbeat.json"
    assert layout.history(12) == "folds/12/history.jsonl"
    assert layout.checkpoints(12) == "folds/12/checkpoint"
    assert layout.checkpoint_pointer(12) == "folds/12/checkpoint/latest.json"
    assert layout.checkpoint(12, 300, "0123456789abcdef") == "folds/12/checkpoint/300-0123456789ab.pt"
    assert layout.is_checkpoint(layout.checkpoint(12, 300, "0123456789abcdef"))
    assert layout.weights(12) == "folds/12/weights.safetensors"
    assert layout.result(12) == "folds/12/result.json"
    assert layout.failure(12) == "folds/12/failure.json"
    assert layout.log(12) == "folds/12/log.txt"


def test_predictions_are_numbered_only_where_there_are_several() -> None:
    assert layout.predictions(3, 1) == ("folds/3/prediction.nii.gz",)
    assert layout.predictions(3, 2) == ("folds/3/prediction-1.nii.gz", "folds/3/prediction-2.nii.gz")


@pytest.mark.parametrize(
    ("location", "folder", "name"),
    [
        ("/project/runs/small-1", "/project/runs", "small-1"),
        ("runs/small-1", "runs", "small-1"),
        ("small-1", ".", "small-1"),
        ("/small-1", "/", "small-1"),
        ("s3://bucket/runs/small-1", "s3://bucket/runs", "small-1"),
    ],
)
def test_a_location_is_a_name_in_a_folder(location: str, folder: str, name: str) -> None:
    assert (layout.folder_of(location), layout.name_of(location)) == (folder, name)


def test_a_request_lies_beside_the_runs_and_is_named_in_the_one_that_it_became() -> None:
    for runs in ("/project/runs", "s3://bucket/runs", "runs"):
        assert layout.runs_of_request(f"{runs}/{layout.request('0123456789ab')}") == runs
    assert layout.id_of_request(layout.request_of_run("0123456789ab")) == "0123456789ab"


def test_the_keys_of_an_exam_lie_side_by_side_in_its_recipe() -> None:
    digest = "0123456789abcdef"
    assert layout.store_index("r") == "r/store.json"
    assert layout.exam_record("r", "p1_e1", digest) == "r/exams/p1_e1.0123456789ab.json"
    assert layout.exam_arrays("r", "p1_e1", digest) == "r/exams/p1_e1.0123456789ab.zarr"
    assert layout.exam_record("r", "p1_e1", digest).startswith(f"{layout.exams('r')}/p1_e1.")


def test_folds_are_found_by_the_files_they_hold_in_numerical_order() -> None:
    keys = [layout.result(10), layout.result(9), layout.heartbeat(8), "folds/7/checkpoint/result.json"]
    keys += [
        "analysis/result.json",
        "folds/x/result.json",
        "folds/6/resultXjson",
        "other/folds/5/result.json",
    ]
    assert layout.folds_with("result.json", keys) == [9, 10]
    assert layout.folds_with("heartbeat.json", keys) == [8]
    assert layout.folds_with("failure.json", keys) == []
