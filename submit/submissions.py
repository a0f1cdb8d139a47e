"""Who runs a run: `submission.json`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from job.contract import layout
from job.contract.errors import StudyError
from job.runs import is_request, request_of_run
from job.storage import Storage


class FoldJob(BaseModel):
    """A job of AWS Batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str
    """Its id."""
    folds: str
    """The folds of its children, in order, e.g. `0-287`."""


class Submission(BaseModel):
    """`submission.json`: who runs a run at the moment, and where its store is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Literal["local", "batch"]
    host: str
    """Where it was submitted; `local` folds run there."""
    pid: int
    started: str
    store: str
    """Folder or URL."""
    stack: str | None = None
    """Of `batch`, as the next ones."""
    region: str | None = None
    gpus_per_fold: int = 1
    prepare_job: str | None = None
    """Which the folds wait for."""
    jobs: tuple[FoldJob, ...] = ()
    """Of this submission."""
    report_job: str | None = None
    """Which waits for the folds."""
    earlier_jobs: tuple[FoldJob, ...] = ()
    """Of the submissions before it, which have ended."""

    @property
    def all_jobs(self) -> tuple[str, ...]:
        """The ids of this submission's jobs."""
        ids = (self.prepare_job, *(job.job for job in self.jobs), self.report_job)
        return tuple(job for job in ids if job is not None)


def read_submission(place: Storage) -> Submission:
    """Who runs a run or a request, or did last.

    Raises:
        StudyError: Nobody did.
    """
    submission = find_submission(place)
    if submission is None:
        raise StudyError(f"{place.url}: was never started; use `submit sweep`")
    return submission


def find_submission(place: Storage) -> Submission | None:
    """Who runs a run or a request, or did last; None if nobody did."""
    places = [place] if is_request(place) else [place, request_of_run(place)]
    found = [submission for p in places if p is not None and (submission := _read(p)) is not None]
    return max(found, key=lambda submission: submission.started, default=None)


def batch_submission(place: Storage) -> Submission | None:
    """Who submitted a run or a request to AWS Batch; None if nobody did, or it runs elsewhere by now."""
    submission = find_submission(place)
    return submission if submission is not None and submission.backend == "batch" else None


def write_submission(place: Storage, submission: Submission) -> None:
    """Says who runs a run or a request from now on."""
    place.write(layout.SUBMISSION, submission.model_dump_json(indent=1).encode())


def _read(place: Storage) -> Submission | None:
    try:
        return Submission.model_validate_json(place.read(layout.SUBMISSION))
    except FileNotFoundError:
        return None
    except ValueError:
        raise StudyError(
            f"{place.url}/{layout.SUBMISSION} is damaged; run the sweep again, which writes it"
        ) from None
