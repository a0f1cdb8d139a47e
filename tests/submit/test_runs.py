import json
import os
import platform
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from job.contract import layout
from job.contract.errors import StudyError
from job.contract.manifest import ExamEntry, Manifest
from job.contract.results import Failure, FoldResult, Heartbeat, Score
from job.data.prepare import StoreIndex
from job.project import Project
from job.runs import create_run
from job.storage.local import LocalStorage
from submit.runs import find_run, survey
from submit.submissions import Submission, read_submission

STUDY = """
name = "{name}"
preset = "smoke"
[cohort]
root = "cohort"
pattern = "{{patient}}/{{channel}}.nii.gz"
labels = "{{patient}}/label.nii.gz"
channels = ["t2", "t1"]
classes = {{ tumour = 1 }}
"""
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)

WriteStudy = Callable[..., Path]


@pytest.fixture
def write_study(tmp_path: Path) -> WriteStudy:
    """A study file of this name; the runs of all of them are in one folder."""

    def write(name: str = "small") -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(STUDY.format(name=name))
        return path

    return write


def index(*patients: str) -> StoreIndex:
    return StoreIndex(
        recipe="r",
        exams=tuple(
            ExamEntry(exam=patient, patient=patient, digest=f"{n:064x}") for n, patient in enumerate(patients)
        ),
    )


def start(study_file: Path, *patients: str, created: str = "2026-01-01T00:00:00+00:00") -> Path:
    """Makes a run as if at that time; its folder."""
    run, _ = create_run(Project.read(study_file), index(*patients))
    path = Path(run.url, layout.MANIFEST)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"created": created}))
    return path.parent


def test_a_run_is_made_beside_the_study_and_named_after_it(write_study: WriteStudy, tmp_path: Path) -> None:
    study_file = write_study()
    run, manifest = create_run(Project.read(study_file), index("a", "b"))
    assert manifest.run == f"small-{manifest.digest[:8]}"
    assert Path(run.url) == tmp_path / "runs" / manifest.run
    assert manifest.exams == index("a", "b").exams
    assert Manifest.model_validate_json(run.read(layout.MANIFEST)) == manifest


def test_the_same_experiment_goes_on_in_its_run(write_study: WriteStudy) -> None:
    folder = start(write_study(), "a", "b", created="2020-01-01T00:00:00+00:00")
    run, manifest = create_run(Project.read(write_study()), index("a", "b"))
    assert Path(run.url) == folder
    assert manifest.created == "2020-01-01T00:00:00+00:00"


def test_further_repeats_of_the_reference_extend_a_run_and_fewer_do_not_shrink_it(
    write_study: WriteStudy,
) -> None:
    """3 arms x 2 exams are 6 folds; each further repeat of the reference adds 2 at the end."""
    folder = start(write_study(), "a", "b", created="2020-01-01T00:00:00+00:00")

    def folds_with(reference_repeats: int) -> int:
        study_file = write_study()
        with study_file.open("a") as file:
            file.write(f"[sweep]\nreference_repeats = {reference_repeats}\n")
        run, manifest = create_run(Project.read(study_file), index("a", "b"))
        assert Path(run.url) == folder
        assert manifest.created == "2020-01-01T00:00:00+00:00"
        assert Manifest.model_validate_json(run.read(layout.MANIFEST)) == manifest
        return manifest.folds

    assert [folds_with(repeats) for repeats in (0, 2, 1, 0)] == [6, 10, 10, 10]


def test_another_experiment_is_another_run(write_study: WriteStudy) -> None:
    assert start(write_study(), "a", "b") != start(write_study(), "a", "b", "c")


def test_a_cohort_that_is_too_small_names_the_study_file(write_study: WriteStudy) -> None:
    study_file = write_study()
    with pytest.raises(StudyError, match=re.escape(f"{study_file}: the cohort has 1 patients; 2 are needed")):
        create_run(Project.read(study_file), index("a"))


def test_a_run_that_holds_another_experiment_is_not_overwritten(write_study: WriteStudy) -> None:
    folder, other = start(write_study(), "a", "b"), start(write_study(), "a", "b", "c")
    (folder / layout.MANIFEST).write_bytes((other / layout.MANIFEST).read_bytes())
    with pytest.raises(StudyError, match=re.escape(f"{folder} holds another experiment (digest ")):
        start(write_study(), "a", "b")


def test_a_run_whose_manifest_was_changed_is_not_used(write_study: WriteStudy) -> None:
    folder = start(write_study(), "a", "b")
    text = (folder / layout.MANIFEST).read_text()
    (folder / layout.MANIFEST).write_text(text.replace('"steps": 150', '"steps": 151'))
    message = f"{folder}/manifest.json: the manifest was changed after it was written; delete it"
    with pytest.raises(StudyError, match=re.escape(message)):
        create_run(Project.read(write_study()), index("a", "b"))


def test_a_run_is_found_by_its_folder_without_a_study_file(write_study: WriteStudy, tmp_path: Path) -> None:
    folder = start(write_study(), "a", "b")
    assert find_run(str(folder), tmp_path / "nothing.toml").url == str(folder)


def test_a_study_file_stands_for_its_newest_run(write_study: WriteStudy, tmp_path: Path) -> None:
    folder = start(write_study(), "a", "b")
    assert find_run(str(write_study()), tmp_path / "nothing.toml").url == str(folder)


def test_a_run_is_found_by_its_name(write_study: WriteStudy) -> None:
    study_file = write_study()
    folder = start(study_file, "a", "b")
    start(study_file, "a", "b", "c")
    assert find_run(folder.name, study_file).url == str(folder)


def test_a_run_of_another_name_is_not_found_and_the_others_are_named(write_study: WriteStudy) -> None:
    study_file = write_study()
    with pytest.raises(StudyError, match="has no run 'x'; its runs: none"):
        find_run("x", study_file)
    names = sorted([start(study_file, "a", "b").name, start(study_file, "a", "b", "c").name])
    with pytest.raises(StudyError, match=f"has no run 'x'; its runs: {', '.join(names)}"):
        find_run("x", study_file)


def test_a_name_needs_a_study_file_to_be_looked_up(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"x: no folder of a run, and .*study\.toml is not there"):
        find_run("x", tmp_path / "study.toml")


def test_without_a_name_the_newest_run_of_the_study_is_found(write_study: WriteStudy) -> None:
    study_file = write_study()
    start(study_file, "a", "b", created="2026-01-02T00:00:00+00:00")
    newest = start(study_file, "a", "b", "c", created="2026-01-03T00:00:00+00:00")
    start(study_file, "a", "b", "c", "d", created="2025-12-31T00:00:00+00:00")
    start(write_study("other"), "a", "b", created="2026-01-09T00:00:00+00:00")
    assert find_run(None, study_file).url == str(newest)


def begin(folder: Path, started: str) -> None:
    submission = Submission(backend="local", host="node", pid=1, started=started, store="/store")
    (folder / layout.SUBMISSION).write_text(submission.model_dump_json())


def test_a_run_that_goes_on_is_the_newest_again(write_study: WriteStudy) -> None:
    study_file = write_study()
    first = start(study_file, "a", "b", created="2026-01-01T00:00:00+00:00")
    second = start(study_file, "a", "b", "c", created="2026-01-02T00:00:00+00:00")
    begin(first, "2026-01-01T00:00:01+00:00")
    begin(second, "2026-01-02T00:00:01+00:00")
    assert find_run(None, study_file).url == str(second)
    begin(first, "2026-01-03T00:00:00+00:00")
    assert find_run(None, study_file).url == str(first)


@pytest.mark.parametrize("contents", ["", "{}", "3"])
def test_a_damaged_submission_leaves_the_time_when_the_run_was_made(
    write_study: WriteStudy, contents: str
) -> None:
    study_file = write_study()
    newest = start(study_file, "a", "b", created="2026-01-02T00:00:00+00:00")
    (newest / layout.SUBMISSION).write_text(contents)
    start(study_file, "a", "b", "c", created="2026-01-01T00:00:00+00:00")
    assert find_run(None, study_file).url == str(newest)


@pytest.mark.parametrize(
    ("change", "noted"),
    [
        ("", False),
        ("[compute]\ncores_per_fold = 2\n", False),
        ("[sweep]\nseed = 1\n", "sweep.seed is 1, in the run 0"),
        ("[training]\nvalidation_patients = 9\n", "training.validation_patients is 9, in the run 0"),
    ],
)
def test_a_run_of_an_earlier_text_of_the_study_is_noted(
    write_study: WriteStudy, capsys: pytest.CaptureFixture[str], change: str, noted: str | bool
) -> None:
    study_file = write_study()
    run = start(study_file, "a", "b")
    study_file.write_text(study_file.read_text() + change)
    assert find_run(None, study_file).url == str(run)
    shown = capsys.readouterr()
    note = f"note: {run.name} was started last, but {study_file} was changed since ({noted})\n"
    assert (shown.out, shown.err) == ("", note if noted else "")


def test_a_study_without_runs_says_how_to_start_one(write_study: WriteStudy) -> None:
    start(write_study("other"), "a", "b")
    study_file = write_study()
    message = f"has no run of study small yet; start one with `submit sweep {study_file}`"
    with pytest.raises(StudyError, match=re.escape(message)):
        find_run(None, study_file)


def test_a_run_of_another_version_does_not_hide_the_newest(write_study: WriteStudy) -> None:
    study_file = write_study()
    older = start(study_file, "a", "b", created="2025-01-01T00:00:00+00:00")
    manifest = older / layout.MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"key_of_an_older_version": 1}))
    newest = start(study_file, "a", "b", "c")
    assert find_run(None, study_file).url == str(newest)


@pytest.mark.parametrize("contents", ["", "{}", "[]", '{"created": "2026", "study": 3}'])
def test_a_damaged_manifest_is_named(write_study: WriteStudy, contents: str) -> None:
    study_file = write_study()
    manifest = start(study_file, "a", "b") / layout.MANIFEST
    manifest.write_text(contents)
    with pytest.raises(
        StudyError, match=re.escape(f"{manifest} is damaged; delete it and run the sweep again")
    ):
        find_run(None, study_file)


def test_a_submission_says_who_runs_a_run(storage: LocalStorage) -> None:
    submission = Submission(backend="local", host="node", pid=1, started="2026-01-01", store="/store")
    storage.write(layout.SUBMISSION, submission.model_dump_json().encode())
    assert read_submission(storage) == submission


def test_a_run_that_nobody_started_has_no_submission(storage: LocalStorage) -> None:
    with pytest.raises(StudyError, match=re.escape(f"{storage.url}: was never started; use `submit sweep`")):
        read_submission(storage)


def heartbeat(fold: int, *, age_seconds: float, phase: str = "train") -> Heartbeat:
    values: dict[str, Any] = {"loss": 0.5, "seconds_left": 10.0, "seconds": {"train": 5.0}, "lost_steps": 0}
    return Heartbeat(
        fold=fold,
        attempt=1,
        host="node",
        pid=42,
        time=(NOW - timedelta(seconds=age_seconds)).isoformat(),
        worked=NOW.isoformat(),
        started=NOW.isoformat(),
        phase=phase,
        step=10,
        steps=150,
        **values,
    )


@pytest.mark.parametrize(
    ("final", "age_seconds", "state"),
    [
        (True, 0, "failed"),  # the heartbeat is not younger
        (False, 0, "interrupted"),  # another attempt follows
        (True, -1, "running"),  # a later attempt has begun
        (False, -1, "running"),
    ],
)
def test_a_failure_counts_unless_an_attempt_follows_or_has_begun(
    storage: LocalStorage,
    make_manifest: Callable[..., Manifest],
    final: bool,
    age_seconds: float,
    state: str,
) -> None:
    failure = Failure(fold=0, attempts=1, exit_code=70, message="odd", time=NOW.isoformat(), final=final)
    storage.write(layout.failure(0), failure.to_json())
    storage.write(layout.heartbeat(0), heartbeat(0, age_seconds=age_seconds).to_json())
    status = survey(storage, make_manifest(2), NOW)[0]
    assert status.state == state
    assert status.failure == (None if state == "running" else failure)


def test_a_worker_of_this_machine_that_is_gone_does_not_run(
    storage: LocalStorage, make_manifest: Callable[..., Manifest]
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    for fold, pid in ((0, ended.pid), (1, os.getpid())):
        beat = heartbeat(fold, age_seconds=1).model_copy(update={"host": platform.node(), "pid": pid})
        storage.write(layout.heartbeat(fold), beat.to_json())
    states = [status.state for status in survey(storage, make_manifest(2), NOW)][:3]
    assert states == ["interrupted", "running", "missing"]


def test_a_damaged_submission_is_named(storage: LocalStorage) -> None:
    storage.write(layout.SUBMISSION, b"{")
    with pytest.raises(StudyError, match=r"submission\.json is damaged; delete it and run the sweep again"):
        read_submission(storage)


def test_the_state_of_a_fold_follows_from_its_files(
    storage: LocalStorage,
    make_manifest: Callable[..., Manifest],
    make_result: Callable[..., FoldResult],
    score: Callable[..., Score],
) -> None:
    manifest = make_manifest(4)
    failure = Failure(fold=0, attempts=3, exit_code=-9, message="killed", time=NOW.isoformat())

    def beat(fold: int, **settings: Any) -> None:
        storage.write(layout.heartbeat(fold), heartbeat(fold, **settings).to_json())

    for fold in (0, 1):
        storage.write(layout.result(fold), make_result(manifest, fold, {"tumour": score(0.5)}).to_json())
    beat(1, age_seconds=1, phase="done")
    storage.write(layout.failure(1), failure.to_json())
    beat(2, age_seconds=59)
    beat(3, age_seconds=61)
    beat(4, age_seconds=1, phase="stopped")
    storage.write(layout.failure(5), failure.to_json())
    beat(6, age_seconds=1)  # of the attempt that failed
    storage.write(layout.failure(6), failure.to_json())
    storage.write(layout.log(7), b"starting")
    storage.write(f"{layout.checkpoints(8)}/result.json", b"{}")
    beat(9, age_seconds=-5)  # a host whose clock is ahead

    statuses = survey(storage, manifest, NOW)
    assert [status.fold for status in statuses] == list(range(12))
    assert [status.state for status in statuses] == [
        *("done", "done"),
        *("running", "interrupted", "interrupted"),
        *("failed", "failed"),
        *("missing", "missing"),
        *("running", "missing", "missing"),
    ]
    assert statuses[2].heartbeat == heartbeat(2, age_seconds=59)
    assert statuses[6].failure == failure
    assert statuses[6].heartbeat is not None


@pytest.mark.parametrize("contents", [b"", b"{}", b"half of a rec"])
def test_a_damaged_record_of_one_fold_is_named_and_does_not_hide_the_others(
    storage: LocalStorage, make_manifest: Callable[..., Manifest], contents: bytes
) -> None:
    for key in (layout.heartbeat(0), layout.failure(1)):
        storage.write(key, contents)
    storage.write(layout.heartbeat(2), heartbeat(2, age_seconds=1).to_json())
    statuses = survey(storage, make_manifest(2), NOW)
    assert [status.state for status in statuses] == ["interrupted"] * 2 + ["running"] + ["missing"] * 3
    named = [(status.damaged or "").partition(" is damaged; delete it")[0] for status in statuses]
    assert named == [f"{storage.url}/{layout.heartbeat(0)}", f"{storage.url}/{layout.failure(1)}", *[""] * 4]
