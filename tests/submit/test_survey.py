"""The state of a fold follows from its files."""

import os
import platform
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from job.contract import layout
from job.contract.manifest import Manifest
from job.contract.results import Failure, FoldResult, Heartbeat, Score
from job.run import Run
from job.storage.local import LocalStorage
from submit.survey import survey

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


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
    status = survey(Run(storage, make_manifest(2)), NOW)[0]
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
    states = [status.state for status in survey(Run(storage, make_manifest(2)), NOW)][:3]
    assert states == ["interrupted", "running", "missing"]


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

    statuses = survey(Run(storage, manifest), NOW)
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
    statuses = survey(Run(storage, make_manifest(2)), NOW)
    assert [status.state for status in statuses] == ["interrupted"] * 2 + ["running"] + ["missing"] * 3
    named = [(status.damaged or "").partition(" is damaged; delete it")[0] for status in statuses]
    assert named == [f"{storage.url}/{layout.heartbeat(0)}", f"{storage.url}/{layout.failure(1)}", *[""] * 4]
