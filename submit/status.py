"""`submit status`, `logs` and `cancel`: a run as its files show it."""

import json
import os
import platform
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from rich.console import Console
from rich.table import Table

from job.contract.errors import StudyError
from job.contract.fold_ranges import format_folds
from job.contract.manifest import Manifest
from job.request import Request
from job.run import Run
from submit.find import find_run
from submit.submissions import BatchSubmission, batch_submissions, read_submission
from submit.survey import FoldStatus, State, survey
from submit.sweep_lock import holder
from submit.wording import counted, duration

if TYPE_CHECKING:
    from submit.aws.jobs import BatchJobs
    from submit.aws.status import BatchStatus

TABLE_COLUMNS = 90
"""Of a terminal; less cuts the table's cells."""
FILE_COLUMNS = 200
"""Of a table in a file or a pipe."""
WORDS: dict[State, str] = {"missing": "not begun"}
"""States as people are told of them, where that is another word."""
STUCK_SECONDS = 300.0
"""A running fold that has been at one step for longer is shown as such."""


def show_status(name: str | None, study_file: Path, *, as_json: bool) -> None:
    """Prints the state of every fold, in short or as JSON.

    Raises:
        StudyError: There is no such run.
    """
    match find_run(name, study_file):
        case Request() as request:
            _show_request(request, as_json=as_json)
        case Run() as run:
            _show_run(run, as_json=as_json)


def _show_run(run: Run, *, as_json: bool) -> None:
    manifest = run.manifest
    folds = survey(run, datetime.now(UTC), _jobs_by_fold(run))
    batch = _batch_status(run)
    if as_json:
        whole = {"run": manifest.run, "folds": [_as_json(fold) for fold in folds]}
        print(json.dumps(whole | ({"batch": batch.as_json()} if batch else {}), indent=1))
        return
    console = Console()
    counts = Counter(fold.state for fold in folds)
    summary = ", ".join(f"{counts[state]} {WORDS.get(state, state)}" for state in get_args(State))
    console.print(f"run {manifest.run}: {summary} of {manifest.folds} folds", highlight=False, soft_wrap=True)
    if batch is not None:
        console.print("\n".join(batch.lines(run.url)), highlight=False, markup=False, soft_wrap=True)
    _show_folds(
        [fold for fold in folds if fold.state in ("running", "interrupted", "failed")], manifest, console
    )
    causes: dict[str, list[int]] = {}
    for status in folds:
        if status.damaged is not None:
            causes.setdefault(status.damaged, []).append(status.fold)
        if status.failure is not None:
            causes.setdefault(status.failure.message, []).append(status.fold)
    for message, failed in causes.items():
        which = f"{'fold' if len(failed) == 1 else 'folds'} {format_folds(failed)}"
        console.print(f"{which}: {message}", markup=False, soft_wrap=True)
    missing = [fold.fold for fold in folds if fold.state == "missing"]
    if missing:
        console.print(f"not begun: {format_folds(missing)}", highlight=False, soft_wrap=True)
    if run.report.exists():
        console.print(f"report: {run.report.url}", highlight=False, markup=False, soft_wrap=True)


def _show_folds(folds: Sequence[FoldStatus], manifest: Manifest, console: Console) -> None:
    """A table; a line for each where the terminal is too narrow for one."""
    rows = []
    for status in folds:
        fold = manifest.grid.fold(status.fold)
        exams = ", ".join(manifest.exams[exam].exam for exam in fold.test_exams)
        rows.append((str(status.fold), fold.arm.name, exams, _state(status), *_cells(status)))
    columns = ("fold", "arm", "exam", "state", "step", "attempt", "elapsed", "left")
    if console.is_terminal and console.width < TABLE_COLUMNS:
        for row in rows:
            told = ", ".join(f"{name} {cell}" for name, cell in zip(columns, row, strict=True) if cell)
            console.print(told, highlight=False, markup=False, soft_wrap=True)
    elif rows:
        table = Table(*columns)
        for row in rows:
            table.add_row(*row)
        # What is not a terminal has no width that a cell would have to be cut to.
        wide = console if console.is_terminal else Console(width=FILE_COLUMNS)
        wide.print(table, markup=False)


def read_log(name: str | None, study_file: Path, fold: int) -> str:
    """What the worker of a fold printed; of a request, what its preparation printed.

    Raises:
        StudyError: There is no such run or fold, or it was never begun.
    """
    run = find_run(name, study_file)
    submissions = batch_submissions(run)
    if isinstance(run, Request):
        log = _jobs_of(submissions[-1]).log_of_job(submissions[-1].working_jobs[0], "the preparation")
        return f"--- preparation of the cohort\n{log}"
    run.grid.fold(fold)  # refuses a number outside the grid
    if submissions:
        jobs = [job for submission in submissions for job in submission.jobs]
        return _jobs_of(submissions[-1]).log_of_fold(jobs, fold)
    try:
        return run.fold(fold).log.read().decode(errors="replace")
    except FileNotFoundError:
        raise StudyError(f"fold {fold} of {run.url} has no log: it was not begun") from None


def cancel_run(name: str | None, study_file: Path) -> str:
    """Asks the sweep that runs a run on this machine to stop; what was done.

    Raises:
        StudyError: There is no such run, or it runs on another machine.
    """
    run = find_run(name, study_file, exact=True)
    if submissions := batch_submissions(run):
        from submit.aws.liveness import living_jobs  # loads AWS's client

        jobs = _jobs_of(submissions[-1])
        living = living_jobs(submissions, jobs)
        jobs.end(living, "submit cancel")
        if not living:
            return f"{run.url}: nothing is running"
        return f"{run.url}: {counted(len(living), 'job')} ended; folds that ran write checkpoints first"
    submission = holder(run) if isinstance(run, Run) else read_submission(run)
    if submission is None:
        return f"{run.url}: nothing is running"
    if submission.host != platform.node():
        raise StudyError(
            f"{run.url} is run by process {submission.pid} on {submission.host}; cancel it there"
        )
    try:
        os.kill(submission.pid, signal.SIGTERM)
    except ProcessLookupError:  # it ended since the lock was tried
        return f"{run.url}: nothing is running"
    return f"{run.url}: process {submission.pid} was asked to stop; its folds write checkpoints first"


def _show_request(request: Request, *, as_json: bool) -> None:
    """Prints how far the preparation of a request's cohort is."""
    batch = _batch_status(request)
    if as_json:
        whole: dict[str, object] = {"request": request.url}
        print(json.dumps(whole | ({"batch": batch.as_json()} if batch else {}), indent=1))
        return
    print(f"request {request.url}: its cohort is not prepared yet, so that it has no run")
    if batch is not None:
        print("\n".join(batch.lines(request.url)))


def _jobs_by_fold(run: Run) -> dict[int, str]:
    """The job of AWS Batch that each fold was submitted as last."""
    submissions = batch_submissions(run)
    if not submissions:
        return {}
    from submit.aws.jobs import children_of

    return {
        fold: child
        for submission in submissions
        for job in submission.jobs
        for child, fold in children_of(job).items()
    }


def _batch_status(run: Run | Request) -> "BatchStatus | None":
    submissions = batch_submissions(run)
    if not submissions:
        return None
    from submit.aws.status import batch_status  # loads AWS's client

    try:
        return batch_status(run, submissions)
    except StudyError as error:  # the stack may be gone, and the files are there
        print(f"note: what AWS Batch says of the jobs is not known: {error}", file=sys.stderr)
        return None


def _jobs_of(submission: BatchSubmission) -> "BatchJobs":
    from submit.aws.jobs import connect  # loads AWS's client

    return connect(submission.stack, submission.region)[1]


def _state(status: FoldStatus) -> str:
    """The state; of a worker that lives but does not get on, since when."""
    if status.state != "running" or status.heartbeat is None:
        return status.state
    moments = (datetime.fromisoformat(text) for text in (status.heartbeat.time, status.heartbeat.worked))
    silent = (next(moments) - next(moments)).total_seconds()
    return f"running, same step for {duration(silent)}" if silent >= STUCK_SECONDS else status.state


def _cells(status: FoldStatus) -> tuple[str, str, str, str]:
    heartbeat = status.heartbeat
    if heartbeat is None:
        return ("", str(status.failure.attempts) if status.failure else "", "", "")
    left = "" if heartbeat.seconds_left is None else duration(heartbeat.seconds_left)
    elapsed = duration(heartbeat.seconds.get("total", 0.0))
    return (f"{heartbeat.step}/{heartbeat.steps}", str(heartbeat.attempt), elapsed, left)


def _as_json(status: FoldStatus) -> dict[str, object]:
    return {
        "fold": status.fold,
        "state": status.state,
        "heartbeat": status.heartbeat.model_dump() if status.heartbeat else None,
        "failure": status.failure.model_dump() if status.failure else None,
        "damaged": status.damaged,
    }
