"""Folds as whole processes, as executors start them: killed, stopped, left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import pytest

from job.contract import layout
from tests.conftest import TinyRun
from tests.job.folds import result, same_but_cost


def command(tiny: TinyRun, fold: int, *options: str) -> Sequence[str]:
    return (
        *(sys.executable, "-m", "job", "fold", "--index", str(fold), "--run", tiny.run.url),
        *("--store", tiny.store.url, "--device", "cpu", "--threads", "1", *options),
    )


def start(tiny: TinyRun, fold: int, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command(tiny, fold, *options), stderr=subprocess.DEVNULL)


LONG = {"steps": 300, "validation_patients": 1, "validate_every": 150}
OFTEN = ("--checkpoint-minutes", "0.002")
SMALL_TILES = {"segment_shape": [7, 7, 3], "tile_batch": 1}  # a test that lasts long enough to be killed in


@pytest.mark.slow
def test_a_fold_killed_at_ten_random_moments_ends_bit_for_bit_as_one_that_was_not(make_tiny_run: Any) -> None:
    longer = LONG | {"steps": 600}  # the seven waits end before half of it, on any machine
    whole = make_tiny_run("whole", training=longer, evaluation=SMALL_TILES)
    killed = make_tiny_run("killed", training=longer, evaluation=SMALL_TILES)
    assert subprocess.run(command(whole, 2, *OFTEN), stderr=subprocess.DEVNULL, check=False).returncode == 0
    seconds = result(whole, 2).cost.seconds["total"]
    chance = random.Random(time.time_ns())
    for phase in ["load", *["train"] * 7, "test", "test"]:
        process = start(killed, 2, *OFTEN)
        if phase == "load":
            time.sleep(chance.uniform(0.1, 1.5))
        else:
            wait_for_phase(killed, 2, process, phase)
            time.sleep(chance.uniform(0, 0.05 * seconds if phase == "train" else 0.05))
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert subprocess.run(command(killed, 2), stderr=subprocess.DEVNULL, check=False).returncode == 0
    same_but_cost(whole, killed, 2)
    assert result(killed, 2).cost.attempts >= 10


@pytest.mark.slow
def test_sigterm_writes_a_checkpoint_and_exits_143(make_tiny_run: Any) -> None:
    whole = make_tiny_run("whole", training=LONG)
    stopped = make_tiny_run("stopped", training=LONG)
    process = start(stopped, 0)
    wait_for_phase(stopped, 0, process, "train")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    heartbeat = stopped.run.fold(0).heartbeat.read()
    assert heartbeat is not None
    assert heartbeat.phase == "stopped"
    assert list(stopped.run.files.list(f"{layout.checkpoints(0)}/{heartbeat.step}-"))
    for tiny in (stopped, whole):
        assert subprocess.run(command(tiny, 0), stderr=subprocess.DEVNULL, check=False).returncode == 0
    same_but_cost(whole, stopped, 0)
    assert result(stopped, 0).cost.attempts == 2
    assert result(stopped, 0).cost.lost_steps == 0


@pytest.mark.slow
def test_a_worker_whose_sweep_is_gone_stops_by_itself(make_tiny_run: Any) -> None:
    tiny = make_tiny_run(training=LONG)
    process = start(tiny, 0, "--stop-with", str(os.getpid() + 1))
    assert process.wait(60) == 143


def wait_for_phase(tiny: TinyRun, fold: int, process: subprocess.Popen[bytes], phase: str) -> None:
    """Returns once this very process is at it."""
    for _ in range(12_000):
        assert process.poll() is None
        if tiny.run.fold(fold).heartbeat.exists():
            heartbeat = tiny.run.fold(fold).heartbeat.read()
            assert heartbeat is not None
            if heartbeat.pid == process.pid and heartbeat.phase == phase:
                return
        time.sleep(0.005)
    raise AssertionError(f"the worker did not reach {phase}")
