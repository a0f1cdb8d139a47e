"""Who runs a run: a sweep of a machine (`submission.json`), or jobs of AWS Batch (`submissions/<number>.json`)."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from job.contract import layout
from job.contract.errors import StudyError
from job.request import Request, requests_of
from job.run import Run
from job.storage.records import read_record_file


class Submission(BaseModel):
    """A sweep of a machine, or what every submission says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Literal["local", "batch"] = "local"
    host: str
    """Where it was submitted; `local` folds run there."""
    pid: int
    started: str
    store: str
    """Folder or URL."""

    @property
    def age_seconds(self) -> float:
        """Since it was started."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.started)).total_seconds()


class FoldJob(BaseModel):
    """A job of AWS Batch, with one child a fold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str
    """Its id."""
    folds: str
    """The folds of its children, in order, e.g. `0-287`."""


class BatchSubmission(Submission):
    """Jobs that were submitted together."""

    backend: Literal["local", "batch"] = "batch"
    stack: str
    region: str
    study: str
    token: str
    """Names of the jobs bear both."""
    prepare_job: str | None = None
    """Which the folds wait for."""
    jobs: tuple[FoldJob, ...] = ()
    report_job: str | None = None
    """Which waits for the folds."""
    whole: bool = False
    """Whether all jobs were submitted; otherwise `submit` is at it, or did not get so far."""

    @property
    def working_jobs(self) -> tuple[str, ...]:
        """Ids of the jobs that prepare and train."""
        first = (self.prepare_job,) if self.prepare_job is not None else ()
        return (*first, *(job.job for job in self.jobs))

    @property
    def report_jobs(self) -> tuple[str, ...]:
        """Id of the job that makes the report, if there is one."""
        return (self.report_job,) if self.report_job is not None else ()

    @property
    def all_jobs(self) -> tuple[str, ...]:
        """Ids of all jobs."""
        return (*self.working_jobs, *self.report_jobs)


def find_submission(run: Run | Request) -> Submission | None:
    """Who runs a run or a request, or did last; None if nobody did.

    Raises:
        Damaged: What says so cannot be made sense of.
    """
    local = read_record_file(run.files, layout.SUBMISSION, Submission)
    found = [*([local] if local is not None else []), *batch_submissions(run)]
    return max(found, key=lambda submission: submission.started, default=None)


def read_submission(run: Run | Request) -> Submission:
    """Who runs a run or a request, or did last.

    Raises:
        StudyError: Nobody did.
    """
    submission = find_submission(run)
    if submission is None:
        raise StudyError(f"{run.url}: was never started; use `submit sweep`")
    return submission


def batch_submissions(run: Run | Request) -> list[BatchSubmission]:
    """What was submitted to AWS Batch for a run or a request, oldest first; for a run, by way of requests too."""
    sources: list[Run | Request] = [*requests_of(run), run] if isinstance(run, Run) else [run]
    found = [
        submission
        for source in sources
        for key in _keys(source)
        if (submission := read_record_file(source.files, key, BatchSubmission)) is not None
    ]
    return sorted(found, key=lambda submission: submission.started)


def next_key(run: Run | Request) -> str:
    """The key of a submission yet to be made; to be asked for before looking whether there is one that lives."""
    numbers = [layout.number_of_submission(key) for key in _keys(run)]
    return layout.batch_submission(max(numbers, default=-1) + 1)


def claim(run: Run | Request, key: str, submission: BatchSubmission) -> None:
    """Writes a new submission; from then on `write_submission` goes on with it.

    Raises:
        StudyError: Another process did so since the key was asked for.
    """
    if not run.files.create(key, submission.model_dump_json(indent=1).encode()):
        raise StudyError(f"{run.url}: another `submit` submits it at this moment")


def write_submission(run: Run | Request, submission: Submission, key: str = layout.SUBMISSION) -> None:
    """Says who runs a run or a request from now on."""
    run.files.write(key, submission.model_dump_json(indent=1).encode())


def _keys(run: Run | Request) -> list[str]:
    return [item.key for item in run.files.list(layout.below(layout.BATCH_SUBMISSIONS))]
