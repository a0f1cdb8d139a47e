"""A sweep on this machine: prepare, freeze the run, run what is missing, say how it went."""

import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console

from job.adoption import Trained, take_over, trained_elsewhere
from job.contract.errors import Damaged, StudyError
from job.contract.fold_ranges import format_folds, parse_folds
from job.contract.grid import Grid
from job.data.exam_record import read_record
from job.data.prepare import prepare_cohort
from job.machine import available_cores, available_memory_gib
from job.project import Project
from job.run import Run
from submit.executors.local import LocalExecutor, fold_command
from submit.executors.protocol import Executor, Snapshot
from submit.exit_codes import FAILED, INTERRUPTED
from submit.machine import fold_memory_gib, machine_slots, within_memory
from submit.problems import by_cause
from submit.progress import ExamProgress, SweepProgress
from submit.results import missing_of
from submit.runs import differences_of, expected_run
from submit.sweep_lock import hold
from submit.wording import counted

POLL_SECONDS = 0.2
UNPREPARED = (
    "the cohort is not prepared as the study says now: what earlier runs have trained of it is not known before "
    "`submit prepare`"
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a sweep ended."""

    run: Run
    snapshot: Snapshot
    interrupted: bool


def require_array(grid: Grid, array: int | None) -> None:
    """Refuses an array size that is not the grid's.

    Raises:
        StudyError: Names both.
    """
    if array is not None and array != len(grid):
        raise StudyError(
            f"--array {array} is not the size of the study's grid, {len(grid)} ({grid.extent}); "
            f"use --array {len(grid)}"
        )


def sweep(project: Project, folds: Sequence[int], console: Console) -> Outcome:
    """Runs the folds of a study that are not done yet.

    Args:
        project: The study.
        folds: Numbers of the folds.
        console: Where progress is shown.

    Raises:
        StudyError: The study cannot be run, or is being run by another process.
        DataError: Everything that is wrong with the cohort.
    """
    study, store = project.study, project.store
    machine_slots(study)  # refuses what this machine cannot do, before anything is made
    run = frozen(project, console)
    exams, recipe = run.manifest.exams, run.manifest.recipe
    need_gib = fold_memory_gib(
        study, [read_record(store, recipe, each.exam, each.digest).shape_zyx for each in exams]
    )
    slots, limit = within_memory(machine_slots(study), need_gib, available_memory_gib())
    with hold(run, store):
        todo, done = to_do(run, folds, project, console)
        console.print(
            f"run [bold]{run.manifest.run}[/bold]: {counted(len(todo), 'fold')} to do, "
            f"{done} of {run.manifest.folds} done, "
            f"{len(slots)} at a time on {', '.join(sorted({slot.device for slot in slots}))}{limit}"
        )
        command = fold_command(run, store, checkpoint_minutes=study.compute.checkpoint_minutes)
        snapshot, interrupted = work(LocalExecutor(run, slots, command), run, todo, console)
    return Outcome(run=run, snapshot=snapshot, interrupted=interrupted)


def frozen(project: Project, console: Console) -> Run:
    """The run of a study, made over its cohort, which is prepared.

    Raises:
        StudyError: The cohort is too small for the study.
        DataError: Everything that is wrong with the cohort.
    """
    with ExamProgress(console) as progress:
        prepared = prepare_cohort(
            project.cohort, project.store, project.study, workers=available_cores(), progress=progress
        )
    if prepared.warnings:
        causes = counted(len(by_cause(prepared.warnings)), "warning")
        console.print(f"{causes} about the cohort; `submit check` shows them", highlight=False)
    return project.freeze(prepared.index)


def to_do(run: Run, folds: Sequence[int], project: Project, console: Console) -> tuple[list[int], int]:
    """Those of the folds that are still to be trained, and how many of the run are done.

    What earlier runs have trained, the run has taken over by then.
    """
    if adopted := take_over(run, folds, project.runs):
        console.print(f"{counted(len(adopted), 'fold')} taken over from earlier runs", highlight=False)
    return missing_of(run, folds)


def freeze_run(project: Project, folds: Sequence[int], console: Console) -> list[str]:
    """Makes a run whose folds are started by other means, such as a cluster's scheduler; what to do then.

    Raises:
        StudyError: The run is being worked on.
        DataError: Everything that is wrong with the cohort.
    """
    run = frozen(project, console)
    with hold(run, project.store):
        todo, done = to_do(run, folds, project, console)
    return [
        f"run {run.url}: {done} of {run.manifest.folds} folds done; to do: {format_folds(todo) or 'none'}",
        f"each by: python -m job fold --run {run.url} --store {project.store.url} --index N",
    ]


def work(executor: Executor, run: Run, folds: Sequence[int], console: Console) -> tuple[Snapshot, bool]:
    """Runs folds to their end, or until a signal asks to stop; whether one did.

    No worker outlives it, whatever is raised.
    """
    signals: list[int] = []
    obeyed = 0

    def on_signal(number: int, _: FrameType | None) -> None:
        signals.append(number)

    earlier = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with _ending(executor, signals), SweepProgress(console, run, len(folds)) as progress:
            executor.submit(folds)
            while not (snapshot := executor.poll()).finished:
                progress.show(snapshot)
                if len(signals) > obeyed:
                    obeyed = len(signals)
                    executor.cancel(now=obeyed > 1)
                    console.print("stopping: running folds write their checkpoints (again to stop at once)")
                time.sleep(POLL_SECONDS)
            if folds:
                progress.show(snapshot)
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
    return snapshot, bool(signals)


@contextmanager
def _ending(executor: Executor, signals: Sequence[int]) -> Iterator[None]:
    """Lets running folds write their checkpoints and end before an error goes on; a signal ends them at once."""
    try:
        yield
    except BaseException:
        executor.cancel(now=False)
        heard = len(signals)
        while not executor.poll().finished:
            if len(signals) > heard:
                executor.cancel(now=True)
            time.sleep(POLL_SECONDS)
        raise


def describe_outcome(outcome: Outcome) -> list[str]:
    """What to tell the user at the end, failed folds with their logs."""
    run, snapshot = outcome.run, outcome.snapshot
    if not (snapshot.done or snapshot.failed or snapshot.stopped):
        return ["nothing to do; `submit report` says what came out"]
    lines = [f"{counted(len(snapshot.done), 'fold')} done in this sweep"]
    causes: dict[tuple[int, int, str], list[int]] = {}
    for fold in sorted(snapshot.failed):
        failure = run.fold(fold).failure.read()
        assert failure is not None  # written before the executor says that the fold has failed
        causes.setdefault((failure.attempts, failure.exit_code, failure.message), []).append(fold)
    for (attempts, exit_code, message), folds in causes.items():
        which = f"{'fold' if len(folds) == 1 else 'folds'} {format_folds(folds)}"
        lines.append(
            f"{which} failed ({counted(attempts, 'attempt')}, exit code {exit_code}): {message}\n"
            f"    log: {run.fold(folds[0]).log.url}"
        )
    if snapshot.stopped:
        left = counted(len(snapshot.stopped), "fold")
        lines.append(f"stopped; {left} to do ({format_folds(snapshot.stopped)}); run the same sweep to go on")
    return lines


def run_sweep(
    study_file: Path,
    *,
    array: int | None,
    folds: str | None,
    backend: str | None,
    dry_run: bool,
    freeze: bool = False,
    budget_usd: float | None = None,
    console: Console,
) -> int:
    """`submit sweep`: checks the request, then runs it, or only says what would be run; the exit code.

    Raises:
        StudyError: The request does not fit the study.
        DataError: Everything that is wrong with the cohort.
    """
    project = Project.read(study_file)
    if backend not in (None, "local", "batch"):
        raise StudyError(f"--backend {backend} is not known; use local or batch")
    grid = project.grid()
    require_array(grid, array)
    wanted = requested_folds(grid, folds)
    on_batch = (backend or project.study.compute.backend) == "batch"
    if freeze and (dry_run or on_batch or budget_usd is not None):
        raise StudyError(
            "--freeze makes a run of this machine and starts nothing; leave out --dry-run, --budget and AWS Batch"
        )
    if freeze:
        print("\n".join(freeze_run(project, wanted, console)))
        return 0
    if on_batch:
        from submit.aws.sweep import run_batch_sweep

        told = run_batch_sweep(project, grid, wanted, dry_run=dry_run, budget_usd=budget_usd, console=console)
        print("\n".join(told.lines))
        return told.code
    if budget_usd is not None:
        raise StudyError("--budget is for AWS Batch; this machine sends no bill")
    if dry_run:
        print("\n".join(describe_plan(project, grid, wanted)))
        return 0
    outcome = sweep(project, wanted, console)
    console.print("\n".join(describe_outcome(outcome)), highlight=False, markup=False, soft_wrap=True)
    if outcome.interrupted:
        return INTERRUPTED
    return FAILED if outcome.snapshot.failed else 0


def requested_folds(grid: Grid, folds: str | None) -> Sequence[int]:
    """The folds that `--folds` names, or all.

    Raises:
        StudyError: The text is no set of folds of the grid.
    """
    if folds is None:
        return range(len(grid))
    try:
        return parse_folds(folds, size=len(grid))
    except ValueError as error:
        raise StudyError(f"--{error} ({grid.extent})") from None


def describe_plan(project: Project, grid: Grid, folds: Sequence[int]) -> list[str]:
    """What a sweep would run, by the same rules, given the cohort as it was last prepared."""
    study, slots = project.study, machine_slots(project.study)
    run = expected_run(project, grid)
    todo, done = missing_of(run, folds) if run is not None and run.exists() else (list(folds), 0)
    found = trained_elsewhere(run, todo, project.runs) if run is not None else {}
    left = [fold for fold in todo if fold not in found]
    taken = f"; {len(found)} to be taken over from earlier runs" if found else ""
    return [
        f"{len(grid)} folds = {grid.extent}; {done} done{taken}; would run {len(left)}: "
        f"{format_folds(left) or 'none'}",
        f"arms: {', '.join(arm.name for arm in grid.arms)}",
        f"each: {study.training.steps} steps of {study.training.batch_size} patches, then one test",
        f"{len(slots)} at a time, each with {counted(slots[0].threads, 'thread')} on "
        f"{slots[0].device.partition(':')[0]}",
        *([UNPREPARED] if run is None else _earlier_runs(project, run, found)),
    ]


def _earlier_runs(project: Project, run: Run, found: Mapping[int, Trained]) -> list[str]:
    """What other runs of the study are good for, and why not for more."""
    serving = Counter(trained.run.name for trained in found.values())
    lines = []
    for other in project.runs.runs():
        if other.name == run.name:
            continue
        try:
            manifest = other.manifest
        except Damaged:
            continue
        if serving[other.name]:
            lines.append(f"run {other.name}: {counted(serving[other.name], 'fold')} of it serve")
        elif manifest.study.name == project.study.name and other.folds_with_files().result:
            lines.append(f"run {other.name}: no fold of it serves ({differences_of(other, project.study)})")
    return lines
