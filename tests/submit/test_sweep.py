"""The loop of a sweep, with shell commands for workers and real signals."""

import errno
import io
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from job.contract import layout
from job.contract.errors import DataError
from job.contract.manifest import Manifest
from job.project import Project
from job.run import Run
from job.storage.local import LocalStorage
from submit.executors.local import LocalExecutor, Slot
from submit.sweep import Outcome, describe_outcome, missing_of, sweep, work

SUCCEED = 'echo > "$0/result.json"'
UNTIL_TERMINATED = 'trap "exit 143" TERM; echo > "$0/ready"; for i in $(seq 1500); do sleep 0.02; done'
"""At the latest after half a minute, so that a test whose signal goes nowhere fails and does not hang."""


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO())


def executor_of(run: LocalStorage, scripts: dict[int, str]) -> LocalExecutor:
    def command(fold: int, _: Slot) -> list[str]:
        return ["sh", "-c", scripts.get(fold, SUCCEED), str(run.root / layout.fold(fold))]

    return LocalExecutor(Run(run), [Slot(device="cpu", threads=1)], command, pause_seconds=0.0)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_sweep_ends_when_every_fold_has(storage: LocalStorage, console: Console) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    snapshot, interrupted = work(executor_of(storage, {1: "exit 64"}), Run(storage), range(3), console)
    assert (snapshot.done, snapshot.failed, interrupted) == ((0, 2), (1,), False)
    assert "fold 1 failed; log:" in printed(console)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_nothing_to_do_ends_at_once(storage: LocalStorage, console: Console) -> None:
    snapshot, interrupted = work(executor_of(storage, {}), Run(storage), [], console)
    assert (snapshot.finished, interrupted) == (True, False)
    assert printed(console) == ""


def test_a_retry_is_told_once(storage: LocalStorage, console: Console) -> None:
    work(executor_of(storage, {0: "echo KeyError: [x]; exit 70"}), Run(storage), range(2), console)
    assert printed(console).count("fold 0: attempt 1 ended (KeyError: [x]); attempt 2 follows\n") == 1


@pytest.mark.parametrize(
    ("script", "signals"),
    [
        (UNTIL_TERMINATED, [signal.SIGINT]),
        (UNTIL_TERMINATED, [signal.SIGTERM]),
        (UNTIL_TERMINATED.replace("exit 143", ""), [signal.SIGINT, signal.SIGINT]),
    ],
)
def test_a_signal_stops_the_workers_and_a_second_one_ends_them_at_once(
    storage: LocalStorage, console: Console, script: str, signals: list[signal.Signals]
) -> None:
    def interrupt() -> None:
        deadline = time.monotonic() + 30
        while not storage.exists("folds/0/ready") and time.monotonic() < deadline:
            time.sleep(0.01)
        for number in signals:
            os.kill(os.getpid(), number)
            time.sleep(0.5)  # the loop looks at signals five times a second

    thread = threading.Thread(target=interrupt)
    thread.start()
    snapshot, interrupted = work(executor_of(storage, {0: script}), Run(storage), range(3), console)
    thread.join()
    assert interrupted
    assert (snapshot.done, sorted(snapshot.stopped)) == ((), [0, 1, 2])
    assert "stopping: running folds write their checkpoints" in printed(console)


@pytest.mark.parametrize("signals", [0, 1])
def test_no_worker_outlives_a_sweep_that_ends_in_an_error(
    storage: LocalStorage, console: Console, monkeypatch: pytest.MonkeyPatch, signals: int
) -> None:
    """The other fold's failure cannot be written; a signal ends a worker that does not heed the request."""
    deaf = UNTIL_TERMINATED.replace("exit 143", "")
    script = 'echo $$ > "$0/pid"; ' + (deaf if signals else UNTIL_TERMINATED)
    slots = [Slot(device="cpu", threads=1)] * 2
    fails = 'while [ ! -e "$0/../0/ready" ]; do sleep 0.02; done; exit 64'

    def command(fold: int, _: Slot) -> list[str]:
        return ["sh", "-c", [script, fails][fold], str(storage.root / layout.fold(fold))]

    def full(key: str, data: bytes) -> None:
        for delay in range(signals):
            threading.Timer(1 + delay, os.kill, (os.getpid(), signal.SIGINT)).start()
        raise OSError(errno.ENOSPC, "No space left on device", key)

    monkeypatch.setattr(storage, "write", full)
    with pytest.raises(OSError, match="No space left on device"):
        work(LocalExecutor(Run(storage), slots, command), Run(storage), range(2), console)
    with pytest.raises(ProcessLookupError):
        os.kill(int(storage.read("folds/0/pid")), 0)


def test_the_end_of_a_sweep_names_failed_folds_their_logs_and_what_is_left(
    storage: LocalStorage, console: Console, make_manifest: Callable[..., Manifest]
) -> None:
    executor = executor_of(storage, {1: "echo KeyError; exit 70"})
    snapshot, _ = work(executor, Run(storage), range(2), console)
    stopped = LocalExecutor(Run(storage), [], lambda fold, slot: [])
    stopped.submit([4, 5, 7])
    stopped.cancel(now=False)
    outcomes = [
        Outcome(run=Run(storage), snapshot=shown, interrupted=False) for shown in (snapshot, stopped.poll())
    ]
    assert describe_outcome(outcomes[0]) == [
        "1 fold done in this sweep",
        f"fold 1 failed (2 attempts, exit code 70): KeyError\n    log: {storage.url}/folds/1/log.txt",
    ]
    assert describe_outcome(outcomes[1]) == [
        "0 folds done in this sweep",
        "stopped; 3 folds to do (4-5,7); run the same sweep to go on",
    ]


def test_only_folds_without_a_result_are_to_do(
    storage: LocalStorage, make_manifest: Callable[..., Manifest], write_dice: Callable[..., None]
) -> None:
    manifest = make_manifest(3)
    write_dice(manifest, {0: 0.5, 4: 0.5, 5: None})
    assert missing_of(Run(storage, manifest), [0, 1, 4, 6]) == ([1, 6], 3)


def test_a_damaged_result_stops_a_sweep_before_anything_is_run(
    storage: LocalStorage, make_manifest: Callable[..., Manifest]
) -> None:
    storage.write(layout.result(2), b"{")
    with pytest.raises(DataError, match=r"folds/2/result\.json"):
        missing_of(Run(storage, make_manifest(3)), [0, 1])


TINY_STUDY = """
name = "tiny"
preset = "smoke"
[cohort]
root = "cohort"
pattern = "{patient}/{exam}/{channel}.nii.gz"
labels = "{patient}/{exam}/label.nii.gz"
channels = ["t2", "t2star"]
classes = { GTV-T = 1 }
background = [0, 2]
[compute]
device = "cpu"
checkpoint_minutes = 7
"""


def test_a_sweep_starts_workers_as_the_study_and_the_machine_s_memory_say(
    tiny_cohort: Path, tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine of 16 cores with memory for one fold."""
    (tmp_path / "cohort").symlink_to(tiny_cohort / "cohort")
    (tmp_path / "study.toml").write_text(TINY_STUDY)
    monkeypatch.setattr("submit.machine.available_cores", lambda: 16)
    monkeypatch.setattr("submit.sweep.available_memory_gib", lambda: 0.01)
    commands: list[list[str]] = []
    start = subprocess.Popen

    def popen(command: list[str], **options: Any) -> Any:
        commands.append(command)
        return start(["false"], **options)

    monkeypatch.setattr("subprocess.Popen", popen)
    monkeypatch.setattr("submit.executors.local.attempts_allowed", lambda code: 1)
    outcome = sweep(Project.read(tmp_path / "study.toml"), [5, 2], console)
    assert "2 folds to do, 0 of 12 done, 1 at a time on cpu" in printed(console).replace("\n", " ")
    assert outcome.snapshot.failed == (5, 2)
    options = [dict(zip(command[4::2], command[5::2], strict=True)) for command in commands]
    assert [(o["--index"], o["--checkpoint-minutes"]) for o in options] == [("5", "7.0"), ("2", "7.0")]
    assert {(o["--run"], o["--store"]) for o in options} == {(outcome.run.url, str(tmp_path / "store"))}
