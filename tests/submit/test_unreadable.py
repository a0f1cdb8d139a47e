"""A storage that cannot be read is told as it is: no run counts as never started, no fold as not begun."""

import errno
import io
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pandas import DataFrame
from rich.console import Console

from job.contract import layout
from job.contract.errors import StudyError
from job.contract.manifest import ExamEntry, Manifest
from job.contract.results import Failure, Heartbeat
from job.data.prepare import StoreIndex
from job.project import Project
from job.run import Run
from job.storage.local import LocalStorage
from submit.analysis.results_table import collect_results
from submit.aws.account import heartbeats
from submit.executors.protocol import Snapshot
from submit.find import find_run
from submit.power_plan import show_plan
from submit.progress import SweepProgress
from submit.report.material import read_curves
from submit.submissions import Submission, batch_submissions, find_submission
from submit.survey import survey
from tests.unreadable import CAUSES, Unreadable

Cause = Callable[[], Exception]
TIME = "2026-01-01T12:00:00+00:00"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BEAT = Heartbeat(
    **{"fold": 0, "attempt": 1, "host": "node", "pid": 42, "time": TIME, "worked": TIME, "started": TIME},
    **{"phase": "train", "step": 75, "steps": 150, "loss": 0.5, "seconds_left": None, "lost_steps": 0},
    seconds={"total": 60.0},
)
STUDY = """
name = "small"
preset = "smoke"
[cohort]
root = "cohort"
pattern = "{patient}/{channel}.nii.gz"
labels = "{patient}/label.nii.gz"
channels = ["t2", "t1"]
classes = { tumour = 1 }
"""


@pytest.fixture(params=CAUSES, ids=lambda cause: cause.__name__)
def cause(request: pytest.FixtureRequest) -> Cause:
    """Why the storage cannot be read."""
    made: Cause = request.param
    return made


def raises_as_it_is(cause: Cause) -> Any:
    """The very error of the storage."""
    return pytest.raises(type(cause()), match=f"^{re.escape(str(cause()))}$")


def test_a_submission_is_neither_damaged_nor_missing(storage: LocalStorage, cause: Cause) -> None:
    submission = Submission(host="node", pid=1, started=TIME, store="/store")
    storage.write(layout.SUBMISSION, submission.model_dump_json().encode())
    storage.write(layout.batch_submission(0), b"{}")
    for read in (find_submission, batch_submissions):
        with raises_as_it_is(cause):
            read(Run(Unreadable(storage, cause)))


@pytest.mark.parametrize("ending", ["heartbeat.json", "failure.json"])
def test_a_fold_is_not_called_not_begun(
    storage: LocalStorage, make_manifest: Callable[..., Manifest], cause: Cause, ending: str
) -> None:
    storage.write(layout.heartbeat(0), BEAT.to_json())
    failure = Failure(fold=0, attempts=1, exit_code=70, message="odd", time=TIME)
    storage.write(layout.failure(0), failure.to_json())
    with raises_as_it_is(cause):
        survey(Run(Unreadable(storage, cause, ending), make_manifest(2)), NOW)


def test_a_fold_that_is_done_is_not_called_missing(
    storage: LocalStorage,
    make_manifest: Callable[..., Manifest],
    write_dice: Callable[..., None],
    cause: Cause,
) -> None:
    write_dice(make_manifest(2), {0: 0.5})
    with raises_as_it_is(cause):
        collect_results(Run(Unreadable(storage, cause, "result.json"), make_manifest(2)))


def test_what_a_fold_took_does_not_count_as_nothing(storage: LocalStorage, cause: Cause) -> None:
    """A budget would be kept by less than was spent."""
    storage.write(layout.heartbeat(0), BEAT.to_json())
    assert heartbeats(Run(storage), [0, 1]) == {0: BEAT}
    with raises_as_it_is(cause):
        heartbeats(Run(Unreadable(storage, cause)), [0])
    storage.write(layout.heartbeat(0), b"{")
    with pytest.raises(StudyError, match="is damaged; delete it"):
        heartbeats(Run(storage), [0])


def test_a_history_does_not_count_as_gone(storage: LocalStorage, cause: Cause) -> None:
    folds = DataFrame({"fold": [0, 1, 2], "arm": ["reference"] * 3})
    storage.write(layout.history(0), b'{"step": 10, "loss": 1.5, "lr": 0.1}\n{"step": 20, "loss": NaN}\n')
    storage.write(layout.history(1), b"{")
    curves, count = read_curves(Run(storage), folds, ["reference"])
    assert (list(curves), count) == (["reference"], 1)
    with raises_as_it_is(cause):
        read_curves(Run(Unreadable(storage, cause)), folds, ["reference"])


def test_a_guess_at_the_time_left_ends_no_sweep(storage: LocalStorage, cause: Cause) -> None:
    storage.write(layout.heartbeat(0), BEAT.to_json())
    shown = io.StringIO()
    with SweepProgress(Console(file=shown), Run(Unreadable(storage, cause)), 2) as progress:
        progress.show(Snapshot(waiting=(), running=(0,), done=(), failed=(), stopped=()))
    assert "0 of 2 done, 1 running" in shown.getvalue()


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    """A study with a run over two exams."""
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    exams = tuple(ExamEntry(exam=name, patient=name, digest="0" * 64) for name in "ab")
    Project.read(path).freeze(StoreIndex(recipe="r", exams=exams))
    return path


@pytest.mark.parametrize("name", [layout.MANIFEST, layout.SUBMISSION])
def test_a_run_on_a_failing_disk_is_not_another_study_or_never_started(study_file: Path, name: str) -> None:
    """The first page of a process's memory is a real file whose read fails with EIO."""
    (run,) = (study_file.parent / "runs").iterdir()
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to("/proc/self/mem")
    with pytest.raises(OSError, match="Input/output error") as raised:
        find_run(None, study_file)
    assert raised.value.errno == errno.EIO


def test_a_plan_says_that_it_could_not_see_whether_there_is_a_run(
    study_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(study_file.parent / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    for patient in "ab":
        for name in ("t2", "t1", "label"):
            path = study_file.parent / "cohort" / patient / f"{name}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    study_file.write_text(STUDY + '[compute]\nruns = "s3://bucket/runs"\n')
    show_plan(study_file, sd=None, noise_sd=None, icc=0.5, as_json=True)
    note = capsys.readouterr().err
    assert note.startswith(
        "note: whether a run has measured this study's spread is not known: s3://bucket/runs: no AWS credentials"
    )
