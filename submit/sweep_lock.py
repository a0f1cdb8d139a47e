"""One sweep at a time works on a run: who holds it."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from job.contract.errors import StudyError
from job.contract.results import utc_now
from job.run import Run
from job.storage import Storage
from submit.submissions import Submission, read_submission, write_submission

SWEEP_WAITS_SECONDS = 5.0
"""Longer than a look at the lock takes, so that `holder` does not keep a sweep from starting."""
LOOK_SECONDS = 1.0
"""Longer than a sweep that has got the lock needs to say who it is."""


@contextmanager
def hold(run: Run, store: Storage) -> Iterator[None]:
    """Holds a run; `submission.json` says by whom.

    Raises:
        StudyError: Another process holds it.
    """
    try:
        held = _lock(run).acquire(timeout=SWEEP_WAITS_SECONDS)
    except Timeout:
        other = read_submission(run)
        raise StudyError(
            f"run {run.name} is being worked on by process {other.pid} on {other.host}; wait for it, or end it "
            f"with `submit cancel {run.url}`"
        ) from None
    with held:
        submission = Submission(
            backend="local", host=platform.node(), pid=os.getpid(), started=utc_now(), store=store.url
        )
        write_submission(run, submission)
        yield


def holder(run: Run) -> Submission | None:
    """Who holds a run at the moment.

    Raises:
        StudyError: The run was never started.
    """
    try:
        with _lock(run).acquire(timeout=LOOK_SECONDS):
            read_submission(run)
            return None
    except Timeout:
        # Read only now: what was there before the lock was tried may name a process that ended long ago.
        return read_submission(run)


def _lock(run: Run) -> FileLock:
    path = run.sweep_lock.working_path
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)
