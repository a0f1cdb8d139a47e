"""The state of every fold of a run, from the run's files alone."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from job.contract.errors import Damaged
from job.contract.results import Failure, Heartbeat
from job.run import FoldFiles, Run
from job.storage.concurrency import map_files

FRESH_SECONDS = 60.0
"""A fold with a younger heartbeat is running."""

State = Literal["done", "running", "interrupted", "failed", "missing"]


@dataclass(frozen=True, kw_only=True)
class FoldStatus:
    """What the files of a fold say."""

    fold: int
    state: State
    heartbeat: Heartbeat | None = None
    failure: Failure | None = None
    damaged: str | None = None
    """The file of its last attempt that is no longer one, and what to do."""


def survey(run: Run, now: datetime, jobs: Mapping[int, str] | None = None) -> list[FoldStatus]:
    """The state of every fold.

    Args:
        run: The run.
        now: The time.
        jobs: By fold, the job of AWS Batch that it was submitted as last: failures of earlier ones are past.
    """
    there = run.folds_with_files()
    done, failed, begun = set(there.result), set(there.failure), set(there.heartbeat)

    def status(fold: int) -> FoldStatus:
        if fold in done:
            return FoldStatus(fold=fold, state="done")
        return _unfinished(run.fold(fold), fold in failed, fold in begun, now, (jobs or {}).get(fold))

    return list(map_files(status, range(run.manifest.folds)))


def _unfinished(fold: FoldFiles, failed: bool, begun: bool, now: datetime, job: str | None) -> FoldStatus:
    try:  # either may be gone since the listing
        heartbeat = fold.heartbeat.read() if begun else None
        failure = fold.failure.read() if failed else None
    except Damaged as error:
        return FoldStatus(fold=fold.index, state="interrupted", damaged=str(error))
    if failure is not None and job is not None and failure.job != job:
        failure = None
    state: State = "missing"
    if failure is not None and not (heartbeat and heartbeat.time > failure.time):
        state = "failed" if failure.final else "interrupted"
    elif heartbeat is not None:
        failure = None  # of an earlier attempt
        age = (now - datetime.fromisoformat(heartbeat.time)).total_seconds()
        lives = heartbeat.phase != "stopped" and age < FRESH_SECONDS and not _is_gone(heartbeat)
        state = "running" if lives else "interrupted"
    return FoldStatus(fold=fold.index, state=state, heartbeat=heartbeat, failure=failure)


def _is_gone(heartbeat: Heartbeat) -> bool:
    """Whether the worker was of this machine, and is no more."""
    return heartbeat.host == platform.node() and not Path(f"/proc/{heartbeat.pid}").exists()
