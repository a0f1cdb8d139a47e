import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from filelock import FileLock

from job.__main__ import exit_code_of
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


def test_ctrl_c_while_a_cohort_is_prepared_is_a_stop_and_never_1(tmp_path: Path) -> None:
    """While the study file is read: opening a pipe for writing waits for a reader."""
    pipe = tmp_path / "study.toml"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "job", "prepare", str(pipe)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with pipe.open("w"):
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == ExitCode.STOPPED
    assert "interrupted; the same command goes on" in errors
    assert "Traceback" not in errors


def test_output_that_nobody_reads_does_not_end_with_1() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "job", "--help"]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert ended.returncode == ExitCode.BUG


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
    assert tiny.run.files.exists("folds/0/result.json")


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
    wait_for(tiny.run.files, layout.checkpoint_pointer(0))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_after_a_checkpoint_as_a_request_to_stop_does(
    long_fold: tuple[TinyRun, subprocess.Popen[str]], number: signal.Signals
) -> None:
    tiny, worker = long_fold
    wait_for(tiny.run.files, layout.heartbeat(0))
    worker.send_signal(number)
    _, errors = worker.communicate(timeout=60)
    assert worker.returncode == ExitCode.STOPPED, errors
    assert tiny.run.fold(0).checkpoint_pointer.exists()


@pytest.mark.parametrize(("stopped", "code"), [(False, ExitCode.DONE), (True, ExitCode.STOPPED)])
def test_a_second_worker_of_a_fold_waits_for_the_end_of_the_first(
    make_tiny_run: Any, stopped: bool, code: ExitCode
) -> None:
    tiny = make_tiny_run(training={"steps": 1})
    command = [sys.executable, "-m", "job", "fold", "--index", "0", "--run", tiny.run.url]
    command += ["--store", tiny.store.url, "--device", "cpu"]
    lock = tiny.folder / layout.worker_lock(0)
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        second = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert second.stderr is not None
        assert "waiting for the end of another worker at fold 0" in second.stderr.readline()
        assert not tiny.run.fold(0).heartbeat.exists()
        if stopped:
            second.terminate()
            second.wait(30)
    _, errors = second.communicate(timeout=60)
    assert second.returncode == code, errors
    assert tiny.run.fold(0).result.exists() == (not stopped)


def test_a_worker_whose_fold_stays_held_is_to_be_tried_again_later(
    make_tiny_run: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tiny = make_tiny_run(training={"steps": 1})
    monkeypatch.setattr("job.__main__.ALONE_SECONDS", 0.0)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    lock = tiny.folder / layout.worker_lock(0)
    lock.parent.mkdir(parents=True)
    try:
        with FileLock(lock, is_singleton=False):
            arguments = ["fold", "--index", "0", "--run", tiny.run.url, "--store", tiny.store.url]
            assert exit_code_of([*arguments, "--device", "cpu"]) == ExitCode.TEMPORARY
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), handlers, strict=True):
            signal.signal(number, handler)
    assert f"another worker is at this fold: it holds {lock}" in caplog.text


def test_a_folder_that_is_no_run_is_left_as_it_is(tmp_path: Path) -> None:
    job("fold", "--index", "0", "--run", str(tmp_path), "--store", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_child_of_an_array_job_does_the_fold_at_its_position(make_tiny_run: Any) -> None:
    tiny = make_tiny_run(training={"steps": 1})
    settings = {"LOOSWEEP_RUN": tiny.run.url, "LOOSWEEP_STORE": tiny.store.url, "LOOSWEEP_DEVICE": "cpu"}
    array = settings | {"LOOSWEEP_FOLDS": "2,5-6", "AWS_BATCH_JOB_ARRAY_INDEX": "1"}
    ended = job("fold", "--threads", "1", **array)
    assert ended.returncode == ExitCode.DONE, ended.stderr
    assert [item.key for item in tiny.run.files.list("folds/") if item.key.endswith("result.json")] == [
        "folds/5/result.json"
    ]
    ended = job("fold", **array | {"AWS_BATCH_JOB_ARRAY_INDEX": "3"})
    assert ended.returncode == ExitCode.USAGE
    assert "LOOSWEEP_FOLDS: folds '2,5-6' are 3; there is none at position 3" in ended.stderr
    ended = job("fold", **settings)
    assert ended.returncode == ExitCode.USAGE
    assert "name a fold" in ended.stderr


class Metadata(BaseHTTPRequestHandler):
    """Instance metadata, version 2, of a machine that is taken back as soon as somebody looks."""

    items: ClassVar = {
        "spot/instance-action": b'{"action": "terminate"}',
        "instance-type": b"g4dn.xlarge",
        "instance-life-cycle": b"spot",
        "placement/availability-zone": b"eu-central-1a",
    }

    def do_PUT(self) -> None:
        assert self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self._answer(b"secret" if self.path == "/latest/api/token" else None)

    def do_GET(self) -> None:
        allowed = self.headers["X-aws-ec2-metadata-token"] == "secret"
        self._answer(self.items.get(self.path.removeprefix("/latest/meta-data/")) if allowed else None)

    def _answer(self, body: bytes | None) -> None:
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        """Not on the terminal."""


def test_the_notice_of_a_spot_machine_stops_the_fold_after_a_checkpoint(make_tiny_run: Any) -> None:
    tiny = make_tiny_run(training={"steps": 100_000})
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        ended = job(
            *("fold", "--index", "0", "--run", tiny.run.url, "--store", tiny.store.url, "--device", "cpu"),
            AWS_BATCH_JOB_ID="job",
            AWS_EC2_METADATA_SERVICE_ENDPOINT=f"http://127.0.0.1:{server.server_port}",
        )
    finally:
        server.shutdown()
        server.server_close()
    assert ended.returncode == ExitCode.STOPPED, ended.stderr
    assert tiny.run.files.exists("folds/0/checkpoint/latest.json")
    heartbeat = tiny.run.fold(0).heartbeat.read()
    assert heartbeat is not None
    assert heartbeat.machine == "g4dn.xlarge spot eu-central-1a"


def test_a_fold_that_cannot_succeed_says_so_beside_its_run_on_aws_batch(make_tiny_run: Any) -> None:
    """AWS Batch tries again by the exit code alone, and has no executor that would write how a fold failed."""
    tiny = make_tiny_run(training={"steps": 1})
    place = {"LOOSWEEP_RUN": tiny.run.url, "LOOSWEEP_STORE": tiny.store.url, "LOOSWEEP_DEVICE": "cpu"}
    (tiny.folder / "folds/2/history.jsonl").mkdir(
        parents=True
    )  # in the way: storage fails, for now or for ever
    codes = [
        job("fold", "--index", "2", "--threads", "1", AWS_BATCH_JOB_ID="job", **NOWHERE, **place).returncode
        for _ in range(5)
    ]
    assert codes == [ExitCode.TEMPORARY] * 4 + [ExitCode.GIVEN_UP]
    failure = tiny.run.fold(2).failure.read()
    assert failure is not None
    assert (failure.attempts, failure.exit_code, failure.final) == (5, ExitCode.TEMPORARY, True)


NOWHERE = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"}


def test_a_report_is_made_by_the_same_container(make_tiny_run: Any) -> None:
    tiny = make_tiny_run(training={"steps": 1})
    place = {"LOOSWEEP_RUN": tiny.run.url, "LOOSWEEP_STORE": tiny.store.url}
    assert job("fold", "--index", "0", "--device", "cpu", **place).returncode == ExitCode.DONE
    ended = job("report", **place)
    assert ended.returncode == ExitCode.DONE, ended.stderr
    assert tiny.run.files.exists("analysis/report.json")
    assert "no picture" not in ended.stderr


def test_a_prediction_that_is_not_the_one_that_was_scored_is_not_shown(make_tiny_run: Any) -> None:
    tiny = make_tiny_run(training={"steps": 1})
    place = {"LOOSWEEP_RUN": tiny.run.url, "LOOSWEEP_STORE": tiny.store.url}
    for index in ("0", "5"):
        assert job("fold", "--index", index, "--device", "cpu", **place).returncode == ExitCode.DONE
    tiny.run.files.write("folds/0/prediction.nii.gz", tiny.run.files.read("folds/5/prediction.nii.gz"))
    ended = job("report", **place)
    assert ended.returncode == ExitCode.DONE, ended.stderr
    assert "folds/0/prediction.nii.gz: found another file than the one that the fold" in ended.stderr


def test_pictures_find_their_predictions_by_the_exam_s_name(make_tiny_run: Any) -> None:
    """In whatever order a result names the two exams of its patient."""
    tiny = make_tiny_run(training={"steps": 1}, sweep={"test_unit": "patient"})
    grid = tiny.manifest.grid
    index = next(n for n in range(len(grid)) if len(grid.fold(n).test_exams) == 2)
    place = {"LOOSWEEP_RUN": tiny.run.url, "LOOSWEEP_STORE": tiny.store.url}
    assert job("fold", "--index", str(index), "--device", "cpu", **place).returncode == ExitCode.DONE
    result = tiny.run.fold(index).result.read()
    assert result is not None
    digests = [own.prediction_sha256 for own in result.exams]
    assert digests[0] != digests[1]
    turned = result.model_copy(update={"exams": tuple(reversed(result.exams))})
    tiny.run.files.write(layout.result(index), turned.to_json())
    ended = job("report", **place)
    assert ended.returncode == ExitCode.DONE, ended.stderr
    assert "no picture" not in ended.stderr
    assert tiny.run.files.read(layout.REPORT).count(b"data:image/png") == 2
