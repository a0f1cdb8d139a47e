import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from job.contract.exit_codes import ExitCode


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
