"""A fold whose store and run lie in a bucket: the same numbers as on a local disk."""

import subprocess
import sys
import time
from typing import Any

import pytest

from job.contract import layout
from job.contract.exit_codes import ExitCode
from job.fold import run_fold
from job.run import Run
from job.storage import Storage, open_storage
from tests.conftest import TinyRun
from tests.job.test_fold import CPU, Stopped, Worker, stop_after

pytestmark = pytest.mark.cloud


def copied(source: Storage, target: Storage) -> Storage:
    for item in source.list():
        target.write(item.key, source.read(item.key))
    return target


@pytest.fixture
def in_bucket(make_tiny_run: Any, s3_bucket: str, request: pytest.FixtureRequest) -> tuple[TinyRun, Worker]:
    """A run on the local disk, and a worker of its copy in a bucket."""
    tiny = make_tiny_run()
    place = f"{s3_bucket}/{request.node.name}"
    worker = Worker(
        run=Run(copied(tiny.run.files, open_storage(f"{place}/run"))),
        store=copied(tiny.store, open_storage(f"{place}/store")),
        device=CPU,
        threads=1,
        checkpoint_seconds=0,
        stop_requested=stop_after(10),
    )
    return tiny, worker


def test_a_fold_in_a_bucket_stopped_again_and_again_gives_the_bytes_of_a_local_one(
    in_bucket: tuple[TinyRun, Worker],
) -> None:
    tiny, worker = in_bucket
    local = Worker(**vars(worker) | {"run": tiny.run, "store": tiny.store, "stop_requested": lambda: False})
    run_fold(local, 1)
    stops = 0
    while not worker.run.fold(1).result.exists():
        try:
            run_fold(Worker(**vars(worker) | {"stop_requested": stop_after(10)}), 1)
        except Stopped:
            stops += 1
    assert stops >= 2
    for key in (layout.weights(1), *layout.predictions(1, 1)):
        assert worker.run.files.read(key) == tiny.run.files.read(key)
    there, here = (run.fold(1).result.read() for run in (worker.run, tiny.run))
    assert there is not None
    assert here is not None
    assert there.model_dump(exclude={"cost"}) == here.model_dump(exclude={"cost"})
    assert there.cost.attempts == stops + 1
    assert not worker.run.fold(1).checkpoints()


def test_a_retry_that_begins_while_the_first_worker_lives_takes_over_and_the_result_is_whole(
    make_tiny_run: Any, s3_bucket: str
) -> None:
    """As when a machine is thought lost that is not; the two have other numbers of threads, and so other bits."""
    tiny = make_tiny_run(training={"steps": 300})
    place = f"{s3_bucket}/two-workers"
    run = Run(copied(tiny.run.files, open_storage(f"{place}/run")))
    store = copied(tiny.store, open_storage(f"{place}/store"))
    command = [sys.executable, "-m", "job", "fold", "--index", "1", "--device", "cpu"]
    command += ["--run", run.url, "--store", store.url, "--checkpoint-minutes", "0"]

    def start(threads: int) -> "subprocess.Popen[str]":
        return subprocess.Popen([*command, "--threads", str(threads)], stderr=subprocess.PIPE, text=True)

    first = start(1)
    deadline = time.monotonic() + 60
    while not run.fold(1).checkpoint_pointer.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second = start(2)
    told, _ = (worker.communicate(timeout=120)[1] for worker in (first, second))
    assert (first.returncode, second.returncode) == (ExitCode.USAGE, ExitCode.DONE)
    assert "was taken over by process" in told
    result = run.fold(1).result.read()
    assert result is not None
    assert result.cost.attempts == 2
    assert run.fold(1).weights.read(result.weights_sha256)
    assert run.fold(1).predictions(1)[0].read(result.exams[0].prediction_sha256)
    assert not run.fold(1).checkpoints()
