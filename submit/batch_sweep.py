"""A sweep on AWS Batch: everything is checked, then prepared, then submitted; nothing waits for it here."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from job.contract import layout
from job.contract.errors import StudyError
from job.contract.fold_ranges import format_folds
from job.contract.results import utc_now
from job.contract.study import Study
from job.data.prepare import prepare_cohort
from job.machine import available_cores
from job.places import cohort_root
from job.storage import Storage, open_storage
from submit.deployment import Deployment
from submit.executors.batch import BatchJobs, FoldTask, connect
from submit.progress import ExamProgress
from submit.results import missing_of
from submit.runs import Submission, create_run, read_submission
from submit.wording import counted


def run_batch_sweep(
    study_file: Path, study: Study, folds: Sequence[int], *, dry_run: bool, console: Console
) -> list[str]:
    """Submits the folds of a study that are not done yet; what to tell the user.

    Args:
        study_file: The cohort's root is relative to it.
        study: The study.
        folds: Numbers of the folds.
        dry_run: Only says what would be submitted.
        console: Where progress of the preparation is shown.

    Raises:
        StudyError: The stack, the study's place in it, or AWS's consent is missing; or its jobs still run.
        DataError: Everything that is wrong with the cohort.
    """
    deployment, jobs = connect(study.compute.stack)
    study = placed(study_file, study, deployment)
    if dry_run:
        return [
            f"would submit {counted(len(folds), 'fold')} less those that are done to {deployment.gpu_queue} "
            f"(stack {deployment.stack}, {deployment.region}): {format_folds(folds)}",
            f"image {deployment.image}; runs below {study.compute.runs}",
        ]
    store = open_storage(study.store.folder)
    with ExamProgress(console) as progress:
        index, _ = prepare_cohort(
            cohort_root(study_file, study), store, study, workers=available_cores(), progress=progress
        )
    run, manifest = create_run(study_file, study, index)
    _require_idle(run, jobs)
    todo, done = missing_of(run, manifest, folds)
    if not todo:
        return [f"run {run.url}: nothing to do, {done} of {manifest.folds} folds are done"]
    task = FoldTask(
        study=study.name,
        run=run.url,
        store=store.url,
        gpus=study.compute.gpus_per_fold,
        checkpoint_minutes=study.compute.checkpoint_minutes,
        device="cpu" if study.compute.device == "cpu" else None,
    )
    submitted = jobs.submit_folds(task, todo)
    submission = Submission(
        backend="batch",
        host=platform.node(),
        pid=os.getpid(),
        started=utc_now(),
        store=store.url,
        stack=deployment.stack,
        region=deployment.region,
        jobs=tuple(submitted),
    )
    # Written before the report is asked for: jobs that nobody remembers could not be cancelled.
    run.write(layout.SUBMISSION, submission.model_dump_json(indent=1).encode())
    report = jobs.submit_report(task, submitted)
    submission = submission.model_copy(update={"report_job": report})
    run.write(layout.SUBMISSION, submission.model_dump_json(indent=1).encode())
    return [
        f"run {run.url}: {counted(len(todo), 'fold')} submitted to {deployment.gpu_queue} as "
        f"{', '.join(job.job for job in submitted)}; {done} of {manifest.folds} were done",
        f"follow with: submit status {run.url}",
    ]


def placed(study_file: Path, study: Study, deployment: Deployment) -> Study:
    """The study with store and runs where the deployment's roles may write.

    Raises:
        StudyError: It names other places, or is not deployed.
    """
    deployment.require_study(study.name)
    store, runs = deployment.store_of(study.name), deployment.runs_of(study.name)
    for key, named, own in (
        ("store.folder", study.store.folder, store),
        ("compute.runs", study.compute.runs, runs),
    ):
        if "://" in named and named.rstrip("/") != own:
            raise StudyError(
                f"{study_file}: {key} is {named}, but folds on AWS Batch may only use {own}; leave the key out"
            )
    return study.model_copy(
        update={
            "store": study.store.model_copy(update={"folder": store}),
            "compute": study.compute.model_copy(update={"runs": runs, "backend": "batch"}),
        }
    )


def _require_idle(run: Storage, jobs: BatchJobs) -> None:
    """Refuses a run whose jobs have not ended: its folds would be trained twice."""
    if not run.exists(layout.SUBMISSION):
        return
    counts = jobs.counts(read_submission(run).jobs)
    if counts.waiting or counts.running:
        raise StudyError(
            f"{run.url}: {counts.running} folds of an earlier submission run and {counts.waiting} wait; let them "
            f"end, or end them with `submit cancel {run.url}`"
        )
