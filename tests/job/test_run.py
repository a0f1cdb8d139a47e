"""Runs as values, in a folder and in a bucket."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from job.artifacts import fold_result
from job.contract import layout
from job.contract.errors import Damaged, DataError, StudyError
from job.contract.manifest import ExamEntry, Manifest
from job.contract.results import ExamResult, Failure, FoldResult, Heartbeat, Score
from job.contract.study import Study
from job.run import FoldFiles, FoldsWithFiles, Run
from job.storage import LocalStorage, Storage, open_storage
from tests.made_up import COST

TIME = "2026-01-01T00:00:00+00:00"


def frozen(study: Study, *exams: tuple[str, str]) -> Manifest:
    """The manifest of a study over exams, (exam, patient)."""
    entries = (
        ExamEntry(exam=exam, patient=patient, digest=f"{n:064x}") for n, (exam, patient) in enumerate(exams)
    )
    return Manifest.freeze(study, exams=tuple(entries), recipe="r", created=TIME, code_version="0.1.0")


@pytest.fixture
def manifest(make_study: Callable[..., Study]) -> Manifest:
    """Two exams of one patient and one of another, tested by patient; 4 arms."""
    study = make_study(sweep={"test_unit": "patient"})
    return frozen(study, ("a_1", "a"), ("a_2", "a"), ("b_1", "b"))


@pytest.fixture
def run(location: str, manifest: Manifest) -> Run:
    """A run as it was frozen, in a folder and in a bucket."""
    made = Run(open_storage(f"{location}/{manifest.run}"), manifest)
    assert made.create()
    return made


def test_a_run_is_what_its_folder_says(run: Run, manifest: Manifest, location: str) -> None:
    found = Run(open_storage(run.url))
    assert found.exists()
    assert (found.url, found.name) == (f"{location}/{manifest.run}", manifest.run)
    assert found.manifest == manifest
    assert len(found.grid) == manifest.folds == 8


def test_a_manifest_is_read_once(run: Run) -> None:
    found = Run(open_storage(run.url))
    first = found.manifest
    found.files.delete(layout.MANIFEST)
    assert found.manifest is first
    assert not found.exists()


def test_a_manifest_is_written_once(run: Run, manifest: Manifest) -> None:
    other = Run(run.files, manifest.model_copy(update={"created": "2030-01-01T00:00:00+00:00"}))
    assert not other.create()
    assert Run(run.files).manifest == manifest


def test_a_run_that_is_extended_keeps_the_time_when_it_was_made(
    run: Run, manifest: Manifest, make_study: Callable[..., Study]
) -> None:
    """One more repeat of the reference arm is 2 more folds."""
    study = make_study(sweep={"test_unit": "patient", "reference_repeats": 1})
    longer = frozen(study, *((each.exam, each.patient) for each in manifest.exams))
    longer = longer.model_copy(update={"created": "2030-01-01T00:00:00+00:00"})
    extended = run.extended(longer)
    assert extended.manifest.created == TIME
    assert Run(run.files).manifest == extended.manifest
    assert extended.manifest.folds == manifest.folds + 2


def test_a_folder_without_a_manifest_is_no_run(location: str) -> None:
    with pytest.raises(StudyError, match=r"root: no manifest\.json; name the folder of a run"):
        _ = Run(open_storage(location)).manifest


def test_a_manifest_that_was_changed_is_named_with_what_to_do(run: Run) -> None:
    words = json.loads(run.files.read(layout.MANIFEST))
    run.files.write(layout.MANIFEST, json.dumps(words | {"digest": "0" * 64}).encode())
    with pytest.raises(
        Damaged, match=r"manifest\.json: the manifest was changed after it was written; delete"
    ):
        _ = Run(run.files).manifest


def test_every_file_of_a_fold_is_where_the_layout_draws_it(storage: Storage) -> None:
    fold = FoldFiles(storage, 3)
    named = {
        "folds/3/result.json": fold.result,
        "folds/3/heartbeat.json": fold.heartbeat,
        "folds/3/failure.json": fold.failure,
        "folds/3/history.jsonl": fold.history,
        "folds/3/log.txt": fold.log,
        "folds/3/weights.safetensors": fold.weights,
        "folds/3/worker.lock": fold.worker_lock,
        "folds/3/checkpoint/latest.json": fold.checkpoint_pointer,
        "folds/3/checkpoint/70-0123456789ab.pt": fold.checkpoint(70, "0123456789abcdef"),
        "folds/3/prediction.nii.gz": fold.predictions(1)[0],
        "folds/3/prediction-2.nii.gz": fold.predictions(2)[1],
    }
    assert {key: file.key for key, file in named.items()} == {key: key for key in named}


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "run")


def heartbeat(fold: int) -> Heartbeat:
    values: dict[str, Any] = {
        "loss": 0.5,
        "seconds_left": None,
        "seconds": {},
        "lost_steps": 0,
        "phase": "train",
    }
    times = dict.fromkeys(("time", "worked", "started"), TIME)
    return Heartbeat(fold=fold, attempt=1, host="node", pid=1, step=1, steps=9, **values, **times)


def result(manifest: Manifest, index: int) -> FoldResult:
    fold = manifest.grid.fold(index)
    score = Score(status="both-empty", dice=None, hd95_mm=None, reference_ml=0.0, predicted_ml=0.0)
    tested = [
        ExamResult(scores={"GTV-T": score}, prediction_sha256="0" * 64, **manifest.exams[exam].model_dump())
        for exam in fold.test_exams
    ]
    return fold_result(manifest, fold, "float32", b"", tested, COST)


def test_what_a_fold_leaves_is_read_back_and_found_among_the_others(run: Run, manifest: Manifest) -> None:
    failure = Failure(fold=2, attempts=1, exit_code=70, message="odd", time=TIME)
    assert run.fold(5).result.create(result(manifest, 5))
    run.fold(5).heartbeat.write(heartbeat(5))
    run.fold(2).failure.write(failure)
    assert run.fold(5).result.read() == result(manifest, 5)
    assert run.fold(5).heartbeat.read() == heartbeat(5)
    assert (run.fold(2).failure.read(), run.fold(2).result.read()) == (failure, None)
    run.fold(10).heartbeat.write(heartbeat(10))
    run.files.write("folds/7/checkpoint/result.json", b"{}")
    assert run.folds_with_files() == FoldsWithFiles(result=(5,), failure=(2,), heartbeat=(5, 10))


def test_the_predictions_of_a_fold_are_found_by_the_exam_s_name(run: Run, manifest: Manifest) -> None:
    for index in range(manifest.folds):
        exams = [manifest.exams[exam].exam for exam in manifest.grid.fold(index).test_exams]
        assert exams in (["a_1", "a_2"], ["b_1"])
        keys = [file.key for file in run.predictions(index).values()]
        assert list(run.predictions(index)) == exams
        assert keys == list(layout.predictions(index, len(exams)))


def test_checkpoints_are_the_state_files_of_one_fold(run: Run) -> None:
    fold = run.fold(3)
    for step in (1, 2):
        fold.checkpoint(step, f"{step}" * 64).write(b"state")
    fold.checkpoint_pointer.write(b"[]")
    run.fold(31).checkpoint(1, "1" * 64).write(b"state")
    assert [file.key for file in fold.checkpoints()] == [
        "folds/3/checkpoint/1-111111111111.pt",
        "folds/3/checkpoint/2-222222222222.pt",
    ]
    assert fold.checkpoint_at(fold.checkpoints()[0].key).read() == b"state"
    fold.delete_checkpoints()
    assert (fold.checkpoints(), fold.checkpoint_pointer.exists()) == ([], False)
    assert len(run.fold(31).checkpoints()) == 1


def test_an_artifact_is_found_by_the_digest_that_its_result_names(run: Run) -> None:
    """Weights that were written by two workers: in a bucket neither overwrites the other's."""
    one, two = (sha256(data).hexdigest() for data in (b"one", b"two"))
    weights = run.fold(0).weights
    with pytest.raises(FileNotFoundError):
        weights.read(one)
    weights.write(b"one")
    weights.write(b"one")
    assert weights.read(one) == b"one"
    weights.write(b"two")
    assert weights.read(two) == b"two"
    if run.files.local_path() is None:
        assert weights.read(one) == b"one"
    with pytest.raises(DataError, match="another file than the one that the fold's result is about"):
        weights.read("0" * 64)


def test_the_report_s_files_are_named_below_their_folder(run: Run) -> None:
    assert (run.analysis(), run.report.exists()) == ({}, False)
    run.report.write(b"page")
    run.files.write("analysis/figures/map.svg", b"figure")
    assert {name: file.read() for name, file in run.analysis().items()} == {
        "figures/map.svg": b"figure",
        "report.html": b"page",
    }
    assert run.report.url == f"{run.analysis_url}/report.html"
