import os
import platform
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from job.contract import layout
from job.contract.errors import StudyError
from job.run import Run
from job.storage.local import LocalStorage
from submit import sweep_lock
from submit.sweep_lock import hold, holder


def test_a_held_run_names_its_holder(storage: LocalStorage, tmp_path: Path) -> None:
    with hold(Run(storage), LocalStorage(tmp_path / "store")):
        found = holder(Run(storage))
    assert found is not None
    assert (found.pid, found.host, found.store) == (os.getpid(), platform.node(), str(tmp_path / "store"))
    assert holder(Run(storage)) is None


def test_a_run_that_is_held_is_refused_to_others(
    storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_lock, "SWEEP_WAITS_SECONDS", 0.1)
    message = (
        f"run run is being worked on by process {os.getpid()} on {platform.node()}; wait for it, or end it"
    )
    with hold(Run(storage), storage), pytest.raises(StudyError, match=message), hold(Run(storage), storage):
        pass


def test_a_look_at_the_lock_does_not_keep_a_sweep_from_starting(storage: LocalStorage) -> None:
    storage.root.mkdir()
    look = FileLock(storage.root / layout.SWEEP_LOCK, thread_local=False)
    look.acquire()
    threading.Timer(0.5, look.release).start()
    with hold(Run(storage), storage):
        assert storage.exists(layout.SUBMISSION)


def test_a_run_that_nobody_started_has_no_holder(storage: LocalStorage) -> None:
    with pytest.raises(StudyError, match="was never started; use `submit sweep`"):
        holder(Run(storage))
