import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from job.contract import layout
from job.contract.exit_codes import ExitCode
from job.storage import Storage
from tests.conftest import TinyRun


def job(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """One container's worth of work, with the environment's variables that it reads."""
    command = [sys.executable, "-m", "job", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        env=dict(environment) | {"PATH": ""},
        check=False,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["fold", "--help"], ["prepare", "--help"]])
def test_help_is_no_failure(arguments: list[str]) -> None:
    assert job(*arguments).returncode == ExitCode.DONE


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["fold"],
        ["fold", "--index", "x", "--run", "r", "--store", "s"],
        ["prepare", "absent.toml"],
    ],
)
def test_a_wrong_command_line_is_never_retried(arguments: list[str]) -> None:
    ended = job(*arguments)
    assert ended.returncode == ExitCode.USAGE
    assert "Traceback" not in ended.stderr


def test_a_missing_run_is_wrong_usage(tmp_path: Path) -> None:
    ended = job("fold", "--index", "0", "--run", str(tmp_path), "--store", str(tmp_path))
    assert ended.returncode == ExitCode.USAGE
    assert "no manifest.json" in ended.stderr


def test_a_device_that_is_not_there_is_wrong_usage(make_tiny_run: Any) -> None:
    tiny = make_tiny_run()
    ended = job(
        "fold", "--index", "0", "--run", tiny.run.url, "--store", tiny.store.url, "--device", "cuda:99"
    )
    assert ended.returncode == ExitCode.USAGE
    assert "device 'cuda:99' is not there" in ended.stderr


def test_a_missing_store_is_bad_data(make_tiny_run: Any, tmp_path: Path) -> None:
    tiny = make_tiny_run()
    ended = job("fold", "--index", "0", "--run", tiny.run.url, "--store", str(tmp_path), "--device", "cpu")
    assert ended.returncode == ExitCode.DATA
    assert "submit prepare" in ended.stderr


def test_run_and_store_may_come_from_the_environment(make_tiny_run: Any) -> None:
    tiny = make_tiny_run(training={"steps": 1})
    settings = {"LOOSWEEP_RUN": tiny.run.url, "LOOSWEEP_STORE": tiny.store.url, "LOOSWEEP_DEVICE": "cpu"}
    ended = job("fold", "--index", "0", "--threads", "1", **settings)
    assert ended.returncode == ExitCode.DONE, ended.stderr
    assert tiny.run.exists("folds/0/result.json")


def test_a_run_folder_that_cannot_be_written_is_temporary_or_a_bug_but_not_lost(make_tiny_run: Any) -> None:
    """A file where the fold's folder should be: storage fails, and the code says that another attempt may help."""
    tiny = make_tiny_run(training={"steps": 1})
    (tiny.folder / "folds").write_text("in the way")
    ended = job("fold", "--index", "0", "--run", tiny.run.url, "--store", tiny.store.url, "--device", "cpu")
    assert ended.returncode == ExitCode.TEMPORARY


@pytest.fixture
def long_fold(make_tiny_run: Any) -> Iterator[tuple[TinyRun, subprocess.Popen[str]]]:
    """A worker that trains for hours, with checkpoints every few milliseconds."""
    tiny = make_tiny_run(training={"steps": 100_000})
    command = [sys.executable, "-m", "job", "fold", "--index", "0", "--device", "cpu", "--threads", "1"]
    command += ["--run", tiny.run.url, "--store", tiny.store.url, "--checkpoint-minutes", "0.0001"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as worker:
        yield tiny, worker
        worker.kill()


def wait_for(storage: Storage, key: str) -> None:
    deadline = time.monotonic() + 60
    while not storage.exists(key):
        assert time.monotonic() < deadline, f"no {key}"
        time.sleep(0.05)


def test_checkpoints_are_as_far_apart_as_the_command_line_says(
    long_fold: tuple[TinyRun, subprocess.Popen[str]],
) -> None:
    tiny, _ = long_fold
    wait_for(tiny.run, f"{layout.checkpoints(0)}/latest.json")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_after_a_checkpoint_as_a_request_to_stop_does(
    long_fold: tuple[TinyRun, subprocess.Popen[str]], number: signal.Signals
) -> None:
    tiny, worker = long_fold
    wait_for(tiny.run, layout.heartbeat(0))
    worker.send_signal(number)
    _, errors = worker.communicate(timeout=60)
    assert worker.returncode == ExitCode.STOPPED, errors
    assert tiny.run.exists(f"{layout.checkpoints(0)}/latest.json")


def test_a_second_worker_of_a_fold_is_told_to_try_again(make_tiny_run: Any) -> None:
    tiny = make_tiny_run(training={"steps": 1})
    arguments = ["fold", "--index", "0", "--run", tiny.run.url, "--store", tiny.store.url, "--device", "cpu"]
    lock = tiny.folder / layout.worker_lock(0)
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        ended = job(*arguments)
    assert ended.returncode == ExitCode.TEMPORARY
    assert f"another worker is at this fold: it holds {lock}" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not tiny.run.exists(layout.heartbeat(0))
    assert job(*arguments).returncode == ExitCode.DONE


def test_a_folder_that_is_no_run_is_left_as_it_is(tmp_path: Path) -> None:
    job("fold", "--index", "0", "--run", str(tmp_path), "--store", str(tmp_path))
    assert list(tmp_path.iterdir()) == []
