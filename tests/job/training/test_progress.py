import time
from pathlib import Path

import pytest
import torch

from job.contract.errors import StudyError
from job.contract.results import Heartbeat
from job.run import FoldFiles
from job.storage import LocalStorage
from job.training import progress
from job.training.clock import PhaseClock
from job.training.progress import FoldProgress


@pytest.fixture
def files(tmp_path: Path) -> FoldFiles:
    return FoldFiles(LocalStorage(tmp_path), 3)


def progress_of(files: FoldFiles) -> FoldProgress:
    return FoldProgress(files, 100, PhaseClock(torch.device("cpu")), lambda: False, "cpu, 1 thread")


def heartbeat(files: FoldFiles) -> Heartbeat:
    found = files.heartbeat.read()
    assert found is not None
    return found


def test_a_heartbeat_stays_young_while_a_step_takes_long(
    files: FoldFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PULSE_SECONDS", 0.05)
    with progress_of(files) as fold:
        fold.resume(0, 0)
        fold.beat("train", 7)
        first = heartbeat(files)
        deadline = time.monotonic() + 30
        while heartbeat(files).time == first.time:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        later = heartbeat(files)
        assert later.model_dump(exclude={"time"}) == first.model_dump(exclude={"time"})
        assert later.worked == first.time
        fold.stop()
    assert heartbeat(files).phase == "stopped"


def test_nothing_is_written_before_an_earlier_attempt_was_read(
    files: FoldFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its steps, its seconds and its history would be lost."""
    monkeypatch.setattr(progress, "PULSE_SECONDS", 0.01)
    files.history.write(b'{"step": 10, "loss": 1.0}\n{"step": 20, "loss": 0.5}\n')
    with progress_of(files) as fold:
        time.sleep(0.2)
        assert not files.heartbeat.exists()
        fold.resume(15, 10)
    assert files.history.read() == b'{"step": 10, "loss": 1.0}\n'
    assert heartbeat(files).step == 15


def test_attempts_and_lost_steps_add_up(files: FoldFiles) -> None:
    for attempt, (resumed, reached) in enumerate([(0, 40), (30, 60), (55, 100)], start=1):
        with progress_of(files) as fold:
            fold.resume(resumed, 0)
            fold.beat("train", reached)
            assert fold.attempt == attempt
    assert heartbeat(files).lost_steps == 10 + 5


def test_a_heartbeat_covers_all_attempts(files: FoldFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "utc_now", lambda: "2026-01-01T00:00:00+00:00")
    first = progress_of(files)
    first.clock.add_earlier({"forward": 70.0, "total": 100.0})
    first.resume(0, 0)
    monkeypatch.setattr(progress, "utc_now", lambda: "2026-01-02T00:00:00+00:00")
    clock = PhaseClock(torch.device("cpu"))
    FoldProgress(files, 100, clock, lambda: False, "another device").resume(0, 0)
    both = heartbeat(files)
    assert (both.attempt, both.started) == (2, "2026-01-01T00:00:00+00:00")
    assert both.conditions == ("cpu, 1 thread", "another device")
    assert both.seconds["forward"] == 70
    assert both.seconds["total"] >= 100


def test_the_time_left_follows_from_the_pace_of_this_attempt(
    files: FoldFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 steps in 10 s leave 35 s for the other 70; the 10 steps before count for nothing."""
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    fold = progress_of(files)
    fold.resume(10, 10)
    fold.beat("train", 10)
    assert heartbeat(files).seconds_left is None
    now = 1010.0
    fold.beat("train", 30)
    assert heartbeat(files).seconds_left == 35


def test_a_worker_stops_when_a_later_one_has_taken_over(
    files: FoldFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    with progress_of(files) as lost:
        lost.resume(0, 0)
        retry = progress_of(files)
        monkeypatch.setattr("platform.node", lambda: "elsewhere")
        with retry:
            retry.resume(0, 0)
            monkeypatch.undo()
            with pytest.raises(StudyError, match=r"fold 3 was taken over by process \d+ on elsewhere"):
                lost.beat("train", 50)
            assert heartbeat(files).step == 0
            monkeypatch.setattr("platform.node", lambda: "elsewhere")
            retry.beat("train", 60)
        assert heartbeat(files).attempt == 2


def test_a_lost_worker_does_not_overwrite_the_heartbeat_of_the_one_that_took_over(
    files: FoldFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PULSE_SECONDS", 0.05)
    with progress_of(files) as lost:
        lost.resume(0, 0)
        later = heartbeat(files).model_copy(update={"attempt": 2, "worker": "another", "time": "2030-01-01"})
        files.heartbeat.write(later)
        files.history.write(b"the other's")
        time.sleep(0.5)
        with pytest.raises(StudyError, match="taken over"):
            lost.beat("train", 50)
    assert heartbeat(files) == later
    assert files.history.read() == b"the other's"
