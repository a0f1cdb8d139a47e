import json
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from job.contract import layout
from job.contract.errors import StudyError
from job.contract.manifest import Manifest
from job.contract.results import Failure, Heartbeat
from job.storage.local import LocalStorage
from submit.status import cancel_run, read_log, show_status
from submit.submissions import Submission

NO_STUDY = Path("no-study.toml")
HOLD_LOCK = """
import signal, sys
from filelock import FileLock
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
with FileLock(sys.argv[1]):
    print("locked", flush=True)
    signal.pause()
"""


@pytest.fixture
def run(storage: LocalStorage, make_manifest: Callable[..., Manifest]) -> LocalStorage:
    """A run of three arms and three exams; a channel has a name that rich could take for markup."""
    manifest = make_manifest(3, cohort={"channels": ["t2[b]", "t1"]})
    storage.write(layout.MANIFEST, manifest.to_json())
    return storage


@pytest.fixture
def sweeping(run: LocalStorage) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the run's lock, as a sweep does."""
    command = [sys.executable, "-c", HOLD_LOCK, str(run.root / layout.SWEEP_LOCK)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def submit_by(run: LocalStorage, pid: int, host: str = platform.node()) -> None:
    submission = Submission(backend="local", host=host, pid=pid, started="2026-01-01", store="/store")
    run.write(layout.SUBMISSION, submission.model_dump_json().encode())


def begin(run: LocalStorage, fold: int) -> None:
    now = datetime.now(UTC).isoformat()
    heartbeat = Heartbeat(
        fold=fold,
        attempt=2,
        host="node",
        pid=42,
        time=now,
        worked=now,
        phase="train",
        step=75,
        steps=150,
        loss=0.5,
        seconds_left=3661.0,
        started=now,
        lost_steps=0,
        seconds={"train": 50.0, "total": 62.0},
    )
    run.write(layout.heartbeat(fold), heartbeat.to_json())


def fail(run: LocalStorage, fold: int) -> None:
    failure = Failure(fold=fold, attempts=3, exit_code=70, message="KeyError: [/x]", time="2026-01-01")
    run.write(layout.failure(fold), failure.to_json())


def test_a_fold_that_failed_before_its_first_heartbeat_shows_its_attempts(
    run: LocalStorage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    fail(run, 2)
    show_status(run.url, NO_STUDY, as_json=False)
    row = next(
        line for line in capsys.readouterr().out.splitlines() if "failed" in line and "without" in line
    )
    assert [cell.strip() for cell in row.split("│")[4:7]] == ["failed", "", "3"]


def test_the_status_names_every_fold_that_is_not_done(
    run: LocalStorage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")  # no matter for what is no terminal
    run.write(layout.result(0), b"{}")
    begin(run, 1)
    fail(run, 2)
    show_status(run.url, NO_STUDY, as_json=False)
    shown = capsys.readouterr().out
    assert "1 done, 1 running, 0 interrupted, 1 failed, 6 not begun of 9 folds" in shown
    row = next(line for line in shown.splitlines() if "running" in line and "without" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        *("1", "without t2[b]", "exam0", "running"),
        *("75/150", "2", "0:01:02", "1:01:01"),
    ]
    assert "fold 2: KeyError: [/x]" in shown
    assert "not begun: 3-8" in shown


def test_the_status_names_the_report(run: LocalStorage, capsys: pytest.CaptureFixture[str]) -> None:
    show_status(run.url, NO_STUDY, as_json=False)
    assert "report" not in capsys.readouterr().out
    run.write("analysis/report.html", b"")
    show_status(run.url, NO_STUDY, as_json=False)
    assert f"report: {run.url}/analysis/report.html" in capsys.readouterr().out


def test_the_status_is_json_for_scripts(run: LocalStorage, capsys: pytest.CaptureFixture[str]) -> None:
    run.write(layout.result(0), b"{}")
    begin(run, 1)
    fail(run, 2)
    show_status(run.url, NO_STUDY, as_json=True)
    status = json.loads(capsys.readouterr().out)
    assert status["run"].startswith("small-")
    assert [fold["state"] for fold in status["folds"]] == ["done", "running", "failed", *["missing"] * 6]
    assert status["folds"][1]["heartbeat"]["step"] == 75
    assert status["folds"][2]["failure"]["exit_code"] == 70
    nothing = dict.fromkeys(("heartbeat", "failure", "damaged"))
    assert status["folds"][3] == {"fold": 3, "state": "missing"} | nothing


def test_a_fold_whose_heartbeat_is_damaged_has_begun_and_is_told_with_a_remedy(
    run: LocalStorage, capsys: pytest.CaptureFixture[str]
) -> None:
    run.write(layout.heartbeat(1), b"{")
    show_status(run.url, NO_STUDY, as_json=False)
    shown = capsys.readouterr().out
    assert "0 done, 0 running, 1 interrupted, 0 failed, 8 not begun of 9 folds" in shown
    assert f"fold 1: {run.url}/folds/1/heartbeat.json is damaged; delete it and run the sweep again" in shown


def test_a_log_is_read_as_it_was_printed(run: LocalStorage) -> None:
    run.write(layout.log(3), b"one\ntwo \xff\n")
    assert read_log(run.url, NO_STUDY, 3) == "one\ntwo \N{REPLACEMENT CHARACTER}\n"


def test_a_fold_that_was_not_begun_has_no_log(run: LocalStorage) -> None:
    with pytest.raises(StudyError, match=r"fold 3 of .* has no log: it was not begun"):
        read_log(run.url, NO_STUDY, 3)
    with pytest.raises(StudyError, match=r"fold 9 is outside 0\.\.8 \(3 arms x 3 exams x 1 repeat"):
        read_log(run.url, NO_STUDY, 9)


def test_a_running_sweep_is_asked_to_stop(run: LocalStorage, sweeping: subprocess.Popen[str]) -> None:
    submit_by(run, sweeping.pid)
    done = cancel_run(run.url, NO_STUDY)
    assert done == f"{run.url}: process {sweeping.pid} was asked to stop; its folds write checkpoints first"
    assert sweeping.wait(10) == 7


def test_a_sweep_that_has_just_begun_is_asked_and_not_the_one_before_it(
    run: LocalStorage, sweeping: subprocess.Popen[str]
) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:  # has got the number of the sweep before
        submit_by(run, stranger.pid)
        says_who_it_is = threading.Timer(0.3, submit_by, (run, sweeping.pid))
        says_who_it_is.start()
        assert f"process {sweeping.pid} was asked to stop" in cancel_run(run.url, NO_STUDY)
        says_who_it_is.join()
        assert sweeping.wait(10) == 7
        assert stranger.poll() is None
        stranger.kill()


def test_a_process_that_does_not_hold_the_lock_is_left_alone(run: LocalStorage) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:  # has got the number of a sweep that ended
        submit_by(run, stranger.pid)
        assert cancel_run(run.url, NO_STUDY) == f"{run.url}: nothing is running"
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.usefixtures("sweeping")
def test_a_sweep_that_ends_before_the_signal_is_not_running(run: LocalStorage) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    with pytest.raises(ProcessLookupError):
        os.kill(ended.pid, signal.SIGTERM)
    submit_by(run, ended.pid)
    assert cancel_run(run.url, NO_STUDY) == f"{run.url}: nothing is running"


def test_a_sweep_on_another_host_is_refused(run: LocalStorage, sweeping: subprocess.Popen[str]) -> None:
    submit_by(run, sweeping.pid, host="elsewhere")
    with pytest.raises(StudyError, match=f"is run by process {sweeping.pid} on elsewhere; cancel it there"):
        cancel_run(run.url, NO_STUDY)
    assert sweeping.poll() is None


def test_a_run_that_was_never_started_cannot_be_cancelled(run: LocalStorage) -> None:
    with pytest.raises(StudyError, match="was never started; use `submit sweep`"):
        cancel_run(run.url, NO_STUDY)


def test_a_narrow_terminal_gets_a_line_for_each_fold_and_cuts_nothing(
    run: LocalStorage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(run, 1)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.setenv("COLUMNS", "40")
    show_status(run.url, NO_STUDY, as_json=False)
    narrow = capsys.readouterr().out
    assert "fold 1, arm without t2[b], exam " in narrow
    assert "│" not in narrow
    monkeypatch.setenv("COLUMNS", "120")
    show_status(run.url, NO_STUDY, as_json=False)
    assert "│" in capsys.readouterr().out


def test_failures_with_the_same_cause_are_told_together(
    run: LocalStorage, capsys: pytest.CaptureFixture[str]
) -> None:
    for fold in (0, 1, 2, 5):
        message = "no GPU" if fold < 5 else "no disk"
        failure = Failure(
            fold=fold, attempts=1, exit_code=64, message=message, time="2026-01-01T00:00:00+00:00"
        )
        run.write(layout.failure(fold), failure.to_json())
    show_status(run.url, NO_STUDY, as_json=False)
    told = capsys.readouterr().out
    assert "folds 0-2: no GPU" in told
    assert "fold 5: no disk" in told
