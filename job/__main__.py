"""Entry point of a container: `python -m job prepare STUDY`, `… fold --index N`, `… report`.

Ends with one of `job.contract.exit_codes`; executors and `infra/` decide by it who tries again.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from filelock import FileLock, Timeout

from job import ec2
from job.contract import environment, layout
from job.contract.errors import Stopped, StudyError
from job.contract.exit_codes import ExitCode
from job.contract.fold_ranges import fold_at
from job.contract.grid import Grid
from job.endings import code_of, forget_end, log_end, record_end
from job.machine import available_cores
from job.run import FoldFiles
from job.storage import at_home, open_storage

ALONE_SECONDS = 600.0
"""For which a worker waits for the end of another one at its fold, which finishes its step first."""

INTERRUPTED = 130
"""Typer's exit code for Ctrl-C where a command has no use for it, as `prepare`, which goes on where it was."""
TYPERS_CODES: dict[int | str, ExitCode] = {0: ExitCode.DONE, 2: ExitCode.USAGE, INTERRUPTED: ExitCode.STOPPED}
"""Others, as that for output that cannot be written, are bugs."""

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
log = logging.getLogger("job")


@app.callback()
def job() -> None:
    """Prepare a cohort, train and test one fold of a leave-one-out run, make the run's report."""


@app.command()
def fold(
    *,
    index: Annotated[int | None, typer.Option(help="Number of the fold.", min=0)] = None,
    folds: Annotated[
        str | None, typer.Option(envvar=environment.FOLDS, help="Folds of an array job, e.g. 0-7,12.")
    ] = None,
    position: Annotated[
        int, typer.Option(envvar=environment.ARRAY_INDEX, help="Which of them, from 0.", min=0)
    ] = 0,
    run: Annotated[str, typer.Option(envvar=environment.RUN, help="Folder or URL of the run.")],
    store: Annotated[str, typer.Option(envvar=environment.STORE, help="Folder or URL of the block store.")],
    device: Annotated[str, typer.Option(envvar=environment.DEVICE, help="cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[
        int, typer.Option(envvar=environment.THREADS, help="CPU threads; 0: all cores.", min=0)
    ] = 0,
    checkpoint_minutes: Annotated[float, typer.Option(help="Time between two checkpoints.", min=0)] = 5.0,
    stop_with: Annotated[int, typer.Option(help="Stop when this parent process is gone.", min=0)] = 0,
) -> None:
    """Train and test one fold, going on from its last checkpoint."""
    stop = StopRequest(parent=stop_with)
    machine, job = None, os.environ.get(environment.BATCH_JOB)
    if job is not None:
        endpoint = os.environ.get(environment.METADATA, ec2.ENDPOINT)
        ec2.watch(endpoint, stop.request)
        machine = ec2.machine(endpoint)
    from job.request import open_run

    found = open_run(run)
    number = _chosen(found.grid, index, folds, position)
    files = found.fold(number)
    with _alone(files, stop):
        forget_end(files, job)
        try:
            from job.device import torch_device
            from job.fold import Worker, run_fold

            chosen = torch_device(device)
            log.info("fold %d on %s", number, chosen)
            worker = Worker(
                run=found,
                store=open_storage(store),
                device=chosen,
                threads=threads or available_cores(),
                checkpoint_seconds=checkpoint_minutes * 60,
                stop_requested=stop,
                machine=machine,
                job=job,
            )
            run_fold(worker, number)
        except Exception as error:
            record_end(files, error, job)
            raise


@app.command()
def prepare(
    study: Annotated[Path | None, typer.Argument(help="Study file.")] = None,
    request: Annotated[
        str | None, typer.Option(envvar=environment.RUN, help="Request of a run, instead of a study file.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Exams at a time; 0: one per core.", min=0)] = 0,
) -> None:
    """Make the block store of a study's cohort; of a request, the run too."""
    from job.adoption import take_over
    from job.data.prepare import prepare_cohort
    from job.project import Project
    from job.request import Request

    if (study is None) == (request is None):
        raise StudyError("name either a study file or, with --request, the URL of a request")
    asked = Request(open_storage(request)) if request is not None else None
    if asked is not None:
        project = Project(Path(layout.REQUESTED_STUDY), asked.study)
    else:
        project = Project.read(Path(at_home(str(study))))
    prepared = prepare_cohort(
        project.cohort,
        project.store,
        project.study,
        workers=workers or available_cores(),
        progress=lambda done, total: log.info("%d of %d exams are read", done, total),
    )
    log.info("%d exams were made, the others were there", prepared.made)
    for warning in prepared.warnings:
        log.warning("%s", warning)
    if asked is not None:
        run = project.freeze(prepared.index, image=os.environ.get(environment.IMAGE))
        adopted = take_over(run, range(run.manifest.folds), project.runs)
        log.info("%d folds are taken over from earlier runs", len(adopted))
        asked.fulfil(run)
        log.info("the run is %s", run.url)


@app.command()
def report(
    run: Annotated[str, typer.Option(envvar=environment.RUN, help="Folder or URL of the run.")],
    store: Annotated[str, typer.Option(envvar=environment.STORE, help="Folder or URL of the block store.")],
) -> None:
    """Make the report of a run, as `submit report` does."""
    os.execv(sys.executable, [sys.executable, "-m", "submit", "report", run, "--store", store])


def _chosen(grid: Grid, index: int | None, folds: str | None, position: int) -> int:
    """The fold to run; refused before anything is written.

    Raises:
        StudyError: None is named, or one outside the grid.
    """
    if index is None and folds is None:
        raise StudyError(f"name a fold: --index N, or in an array job {environment.FOLDS}")
    if index is None:
        try:
            index = fold_at(folds or "", position, size=len(grid))
        except ValueError as error:
            raise StudyError(f"{environment.FOLDS}: {error}") from None
    return grid.fold(index).index


@contextmanager
def _alone(fold: FoldFiles, stop_requested: Callable[[], bool]) -> Iterator[None]:
    """Keeps another worker of this machine off a fold; waits for one whose sweep was killed to end by itself."""
    path = fold.worker_lock.local_path
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, deadline = FileLock(path), time.monotonic() + ALONE_SECONDS
    while not lock.is_locked:
        try:
            lock.acquire(timeout=1)
        except Timeout:
            if stop_requested():
                raise Stopped(f"fold {fold.index} stopped before it began") from None
            if time.monotonic() >= deadline:
                raise
            log.info("waiting for the end of another worker at fold %d", fold.index)
    try:
        yield
    finally:
        lock.release()


class StopRequest:
    """True once SIGTERM or SIGINT (Ctrl-C, as in `docker run -it`) has come, or the parent process is gone."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._received = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    def _receive(self, *_: object) -> None:
        self.request()

    def request(self) -> None:
        """Asks the worker to stop."""
        self._received = True

    def __call__(self) -> bool:
        """Whether the worker is to stop."""
        return self._received or (self._parent > 0 and os.getppid() != self._parent)


def main() -> None:
    """Runs the command line and exits with a code of the contract."""
    logging.getLogger("botocore").setLevel(logging.WARNING)  # it tells of every place that it looked at
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    # CUDA's matrix products repeat bit for bit only with a fixed workspace, set before CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    sys.exit(exit_code_of(sys.argv[1:]))


def exit_code_of(arguments: list[str]) -> ExitCode:
    """Runs one command; every exception becomes a code and a line."""
    try:
        app(arguments, prog_name="python -m job")
    except SystemExit as end:  # typer shows a wrong command line itself, and ends with 2
        if end.code == INTERRUPTED:
            log.info("interrupted; the same command goes on")
        return TYPERS_CODES.get(end.code or 0, ExitCode.BUG)
    except Exception as error:
        log_end(error)
        return code_of(error)
    raise AssertionError("typer ends with SystemExit")


if __name__ == "__main__":
    main()
