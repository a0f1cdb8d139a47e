"""A sweep on AWS Batch: everything is checked, then submitted; preparation, folds and report wait for one another.

A cohort in the stack's data bucket is prepared by a job. What the run will be called is not known before that, so
the jobs are told of a request (`job.request`), which becomes the run. Any other cohort is prepared here, and only its
block store goes to the bucket.
"""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from rich.console import Console

from job.adoption import take_over, trained_elsewhere
from job.contract import layout
from job.contract.errors import StudyError
from job.contract.fold_ranges import format_folds
from job.contract.grid import Grid
from job.contract.manifest import Manifest, experiment_text
from job.contract.results import utc_now
from job.contract.study import Study
from job.data.cohort_files import find_cohort
from job.data.exam_record import recipe_of
from job.data.prepare import StoreIndex, prepare_cohort
from job.machine import available_cores
from job.project import Project
from job.request import Request
from job.run import Run
from submit.analysis.results_table import collect_results
from submit.aws.account import Account, connect_account
from submit.aws.budget import Told, Watch, affordable, follow
from submit.aws.deployment import Deployment, image_digest
from submit.aws.jobs import BatchJobs, Task, connect, parts_of
from submit.aws.liveness import why_busy
from submit.progress import ExamProgress
from submit.results import missing_of
from submit.runs import expected_run
from submit.stores import exams_in
from submit.submissions import BatchSubmission, batch_submissions, claim, next_key, write_submission
from submit.wording import counted, duration, money


@dataclass(frozen=True, kw_only=True)
class BatchSweep:
    """A study, and the deployment that is to run it."""

    project: Project
    """With its places in the deployment's buckets."""
    grid: Grid
    image: str
    deployment: Deployment
    jobs: BatchJobs
    account: Account

    @property
    def study(self) -> Study:
        """The project's."""
        return self.project.study

    @property
    def queue(self) -> str:
        """Name of the queue for its folds."""
        return self.deployment.gpu_queue

    @property
    def prepared_by_job(self) -> bool:
        """Whether the cohort is where a job may read it."""
        return f"{self.study.cohort.root}/".startswith(f"{self.deployment.cohort_of(self.study.name)}/")


@dataclass(frozen=True, kw_only=True)
class Todo:
    """The folds of a run that are to be done, and what is known of those that are."""

    folds: list[int]
    done: int = 0
    hours_a_fold: float | None = None
    """Median of the folds that are done; None without any."""
    longest_hours: float | None = None
    """Of these folds."""


def run_batch_sweep(
    project: Project,
    grid: Grid,
    folds: Sequence[int],
    *,
    dry_run: bool,
    budget_usd: float | None,
    console: Console,
) -> Told:
    """Submits the folds of a study that are not done yet; what to tell the user.

    Args:
        project: The study.
        grid: All its folds.
        folds: Numbers of those to be done.
        dry_run: Only says what would be submitted, and what it would cost.
        budget_usd: What the run may cost; this process then stays, to end the jobs before they cost more.
        console: Where progress is shown.

    Raises:
        StudyError: The stack, its image, the study's place in it, or AWS's consent is missing; or its jobs run.
        DataError: Everything that is wrong with a cohort that is prepared here.
    """
    compute = project.study.compute
    deployment, jobs = connect(compute.stack, settled=True)
    sweep = BatchSweep(
        project=placed(project, deployment),
        grid=grid,
        image=image_digest(deployment.image),
        deployment=deployment,
        jobs=jobs,
        account=connect_account(jobs, deployment.region),
    )
    if budget_usd is not None and sweep.account.rates is None:
        raise StudyError(f"--budget cannot be kept: {sweep.account.unknown_prices}")
    if dry_run:
        return Told(lines=_plan(sweep, folds, budget_usd, console))
    run = _made(sweep, console)
    todo = _todo(run, folds)
    if not todo.folds:
        return Told(lines=[f"run {run.url}: nothing to do, {todo.done} of {len(grid)} folds are done"])
    key, submissions = next_key(run), batch_submissions(run)
    busy = why_busy(submissions, jobs)
    if busy is None:
        if budget_usd is not None:
            todo = _within(sweep, run, todo, submissions, budget_usd, console)
        lines = _told(sweep, run, todo, _submit(sweep, run, todo, key))
    elif budget_usd is not None:
        lines = [f"{run.url}: {busy}"]
    else:
        raise StudyError(f"{run.url}: {busy}; wait, or end its jobs with `submit cancel {run.url}`")
    if budget_usd is None:
        return Told(lines=lines)
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    return follow(Watch(run=run, jobs=jobs, account=sweep.account, limit_usd=budget_usd, console=console))


def placed(project: Project, deployment: Deployment) -> Project:
    """The project with store and runs where the deployment's roles may write.

    Raises:
        StudyError: It names other places, or is not deployed.
    """
    study = project.study
    deployment.require_study(study.name)
    store, runs = deployment.store_of(study.name), deployment.runs_of(study.name)
    for key, named, own in (
        ("store.folder", study.store.folder, store),
        ("compute.runs", study.compute.runs, runs),
    ):
        if "://" in named and named.rstrip("/") != own:
            raise StudyError(
                f"{project.file}: {key} is {named}, but folds on AWS Batch may only use {own}; leave the key out"
            )
    placed_study = study.model_copy(
        update={
            "cohort": study.cohort.model_copy(update={"root": study.cohort.root.rstrip("/")}),
            "store": study.store.model_copy(update={"folder": store}),
            "compute": study.compute.model_copy(update={"runs": runs, "backend": "batch"}),
        }
    )
    return replace(project, study=placed_study)


def _plan(sweep: BatchSweep, folds: Sequence[int], budget_usd: float | None, console: Console) -> list[str]:
    """What would be submitted, as far as it is known without preparing anything."""
    run = _known(sweep)
    if run is None:
        return describe(sweep, Todo(folds=list(folds)), prepares=False)
    todo, submissions = _todo(run, folds), batch_submissions(run)
    if isinstance(run, Run):
        found = trained_elsewhere(run, todo.folds, sweep.project.runs)
        todo = replace(todo, folds=[fold for fold in todo.folds if fold not in found])
    busy = why_busy(submissions, sweep.jobs)
    if busy is None and budget_usd is not None:
        todo = _within(sweep, run, todo, submissions, budget_usd, console)
    not_now = [] if busy is None else [f"not now: {run.url}: {busy}"]
    return [*describe(sweep, todo, prepares=isinstance(run, Request)), *not_now]


def _known(sweep: BatchSweep) -> Run | Request | None:
    """The run or the request that there is; None if neither can be told without preparing the cohort."""
    if not sweep.prepared_by_job:
        expected = expected_run(sweep.project, sweep.grid)
        return expected if expected is not None and expected.exists() else None
    request = _request(sweep)
    return _made_of(request) or request


def _made(sweep: BatchSweep, console: Console) -> Run | Request:
    """The run, which is made; or the request for it."""
    if not sweep.prepared_by_job:
        source, store = sweep.project.cohort, sweep.project.store
        with ExamProgress(console) as progress:
            prepared = prepare_cohort(
                source, store, sweep.study, workers=available_cores(), progress=progress
            )
        return _frozen(sweep, prepared.index, console)
    request = _request(sweep)
    known = _made_of(request)
    if known is None:
        return request
    # Not by the store's index, which may be of another study by now; with all repeats that are asked for.
    return _frozen(sweep, _exams_of(sweep, known.manifest, request), console)


def _frozen(sweep: BatchSweep, index: StoreIndex, console: Console) -> Run:
    """The run over prepared exams, with what earlier runs have trained of it."""
    run = sweep.project.freeze(index, image=sweep.image)
    if adopted := take_over(run, range(run.manifest.folds), sweep.project.runs):
        console.print(f"{counted(len(adopted), 'fold')} taken over from earlier runs", highlight=False)
    return run


def _exams_of(sweep: BatchSweep, manifest: Manifest, request: Request) -> StoreIndex:
    """The exams of a run, if the store has them all as they would be prepared now."""
    held = exams_in(sweep.project.store, manifest)
    if manifest.recipe != recipe_of(sweep.study) or held < len(manifest.exams):
        raise StudyError(
            f"{sweep.study.store.folder} has {held} of the {counted(len(manifest.exams), 'exam')} of {manifest.run}, "
            f"or has them in an earlier format; delete {request.fulfilment.url} and run the sweep again, "
            "which prepares the cohort anew"
        )
    return StoreIndex(recipe=manifest.recipe, exams=manifest.exams)


def _request(sweep: BatchSweep) -> Request:
    """The request for this study over the cohort's files as they are now.

    What changes no fold's numbers, as further repeats of the reference arm, makes no other request: its jobs may run.
    """
    digest = sha256(experiment_text(sweep.study).encode())
    for exam in find_cohort(sweep.project.cohort, sweep.study.cohort):
        for item in exam.all:
            digest.update(f"{item.key}\n{item.fingerprint}\n".encode())
    return sweep.project.runs.request(digest.hexdigest()[: layout.REQUEST_ID_LENGTH])


def _made_of(request: Request) -> Run | None:
    """The run that a request has become, if it is still there."""
    run = request.run()
    return run if run is not None and run.exists() else None


def _todo(run: Run | Request, folds: Sequence[int]) -> Todo:
    if isinstance(run, Request):
        return Todo(folds=list(folds))
    missing, done = missing_of(run, folds)
    hours = longest = None
    if done:
        seconds = collect_results(run).folds["total_seconds"]
        hours = float(seconds.median()) / 3600
        longest = float(seconds.max()) / 3600
    return Todo(folds=missing, done=done, hours_a_fold=hours, longest_hours=longest)


def _within(
    sweep: BatchSweep,
    run: Run | Request,
    todo: Todo,
    submissions: Sequence[BatchSubmission],
    budget_usd: float,
    console: Console,
) -> Todo:
    """Those folds that the budget pays for, as far as it is known what a fold costs.

    Raises:
        StudyError: It pays for none.
    """
    account, rates = sweep.account, sweep.account.rates
    assert rates is not None
    spent = account.spent(run, submissions, account.children(submissions)).dollars or 0.0
    if spent >= budget_usd:
        raise StudyError(f"{run.url} has cost about {money(spent)}, and --budget is {money(budget_usd)}")
    if not todo.longest_hours:
        return todo
    left, usd_a_fold = budget_usd - spent, todo.longest_hours * rates.highest
    folds = affordable(todo.folds, arms=len(sweep.grid.arms), usd_a_fold=usd_a_fold, usd=left)
    if not folds:
        raise StudyError(f"{money(left)} may not pay for a fold, which costs up to {money(usd_a_fold)}")
    if cut := len(todo.folds) - len(folds):
        pay = f"{money(left)} pay for {len(folds)} as long as the longest so far"
        console.print(f"{counted(cut, 'fold')} left out: {pay}", highlight=False)
    return replace(todo, folds=folds)


def _submit(sweep: BatchSweep, run: Run | Request, todo: Todo, key: str) -> BatchSubmission:
    """Submits the jobs. Each is written down before the next: one that nobody remembers could not be ended."""
    study, jobs, compute = sweep.study, sweep.jobs, sweep.study.compute
    submission = BatchSubmission(
        host=platform.node(),
        pid=os.getpid(),
        started=utc_now(),
        store=study.store.folder,
        stack=sweep.deployment.stack,
        region=sweep.deployment.region,
        study=study.name,
        token=sha256(f"{run.url}/{key}".encode()).hexdigest()[:10],
    )
    claim(run, key, submission)
    task = Task(
        study=study.name,
        run=run.url,
        store=study.store.folder,
        image=sweep.image,
        token=submission.token,
        checkpoint_minutes=compute.checkpoint_minutes,
        device="cpu" if compute.device == "cpu" else None,
    )

    def noted(**news: object) -> BatchSubmission:
        changed = submission.model_copy(update=news)
        write_submission(run, changed, key)
        return changed

    try:
        if isinstance(run, Request):
            run.ask(study)
            submission = noted(prepare_job=jobs.submit_prepare(task))
        for job in jobs.submit_folds(task, todo.folds, after=submission.prepare_job):
            submission = noted(jobs=(*submission.jobs, job))
        return noted(report_job=jobs.submit_report(task, submission.jobs), whole=True)
    except StudyError:  # refused: unlike after an error that may pass, there is no other job
        noted(whole=True)
        raise


def _told(sweep: BatchSweep, run: Run | Request, todo: Todo, submission: BatchSubmission) -> list[str]:
    what = "request" if submission.prepare_job else "run"
    first = "the preparation of the cohort and " if submission.prepare_job else ""
    unreported = [] if submission.report_job else ["no job will make the report; `submit report` does"]
    return [
        f"{what} {run.url}: {first}{counted(len(todo.folds), 'fold')} submitted to "
        f"{sweep.queue} as {counted(len(submission.jobs), 'job')}; "
        f"{todo.done} of {len(sweep.grid)} were done",
        f"follow with: submit status {run.url}",
        *unreported,
    ]


def describe(sweep: BatchSweep, todo: Todo, *, prepares: bool) -> list[str]:
    """What would be submitted, and what it would cost.

    Args:
        sweep: The study and its deployment.
        todo: The folds.
        prepares: Whether a job prepares the cohort first.
    """
    parts = len(list(parts_of(todo.folds)))
    first = "the preparation of the cohort, then " if prepares else ""
    return [
        f"{len(sweep.grid)} folds = {sweep.grid.extent}; {todo.done} done",
        f"cohort {sweep.study.cohort.root}, prepared {_preparer(sweep)}",
        f"would submit {first}{counted(len(todo.folds), 'fold')} to {sweep.queue} as "
        f"{counted(parts, 'job')}: {format_folds(todo.folds) or 'none'}",
        f"stack {sweep.deployment.stack} in {sweep.deployment.region}, image {sweep.image}",
        f"store {sweep.study.store.folder}, runs below {sweep.study.compute.runs}",
        _cost(sweep, todo),
    ]


def _preparer(sweep: BatchSweep) -> str:
    if sweep.prepared_by_job:
        return "by a job"
    own = sweep.deployment.cohort_of(sweep.study.name)
    return f"on this machine, as it is not below {own}; its normalised images are uploaded to the store"


def _cost(sweep: BatchSweep, todo: Todo) -> str:
    rates = sweep.account.rates
    if rates is None:
        return f"cost not known: {sweep.account.unknown_prices}"
    which = "of the cheapest and the dearest machine" if rates.lowest < rates.highest else "of its machine"
    price = f"{_range(rates.lowest, rates.highest)} an hour, today's price {which}"
    if not todo.folds:
        return "nothing to do"
    if todo.hours_a_fold is None:
        arms = len(sweep.grid.arms)
        advice = f"; run one comparison first (--folds 0-{arms - 1})" if len(todo.folds) > arms else ""
        return (
            "cost not known: no fold of this study is done, so that its hours are not"
            f"{advice}. A fold costs {price}"
        )
    hours = todo.hours_a_fold * len(todo.folds)
    return (
        f"about {_range(hours * rates.lowest, hours * rates.highest)}: "
        f"{counted(len(todo.folds), 'fold')} of {duration(todo.hours_a_fold * 3600)} at {price}; "
        "starting machines comes on top"
    )


def _range(low: float, high: float) -> str:
    return money(low) if money(low) == money(high) else f"{money(low)} to {money(high)}"
