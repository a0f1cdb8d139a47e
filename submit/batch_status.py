"""What AWS Batch says of a run: where its jobs are, what they cost, why they failed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from job.contract.fold_ranges import format_folds
from job.storage import Storage
from submit.account import connect_account, heartbeats
from submit.executors.batch import BatchJobs, Child, JobCounts, connect
from submit.submissions import Submission
from submit.wording import counted, duration, money


@dataclass(frozen=True, kw_only=True)
class BatchStatus:
    """The jobs of a run's newest submission, and what all of the run have cost."""

    stack: str
    prepare: str | None
    """State of the job that prepares the cohort; None without one, or when AWS Batch has forgotten it."""
    report: str | None
    """State of the job that makes the report."""
    folds: JobCounts
    attempts: int
    interruptions: int
    """Attempts that ended because their machine was taken back or lost."""
    lost_steps: int
    """Training steps that were done again after an interruption."""
    elapsed_seconds: float
    """Since the submission."""
    dollars: float | None
    """Of the machines' time, as far as AWS Batch remembers: a week. None where AWS names no price."""
    failed: dict[str, tuple[int, ...]]
    """Folds whose job failed, by AWS Batch's reason."""

    def as_json(self) -> dict[str, object]:
        """For scripts."""
        return asdict(self)

    def lines(self, place: Storage) -> list[str]:
        """For people."""
        folds = self.folds
        cost = "cost not known" if self.dollars is None else f"about {money(self.dollars)}"
        lines = [
            f"AWS Batch (stack {self.stack}): {folds.waiting} waiting, {folds.running} running, "
            f"{folds.succeeded} ended well, {folds.failed} failed",
            f"{counted(self.attempts, 'attempt')}, {counted(self.interruptions, 'interruption')}, "
            f"{counted(self.lost_steps, 'lost step')}; {duration(self.elapsed_seconds)} since the submission; {cost}",
        ]
        if self.prepare is not None and self.prepare != "SUCCEEDED":
            lines.append(
                f"preparation of the cohort: {self.prepare.lower()}; `submit logs {place.url}` shows it"
            )
        lines += [
            f"{'fold' if len(numbers) == 1 else 'folds'} {format_folds(numbers)}: {reason}"
            for reason, numbers in self.failed.items()
        ]
        if self.report == "FAILED":
            lines.append(
                "the report waits for folds that failed; `submit report` makes it from those that are done"
            )
        return lines


def batch_status(place: Storage, submission: Submission, *, size: int) -> BatchStatus:
    """What AWS Batch says of a run or a request.

    Args:
        place: The run or the request.
        submission: Its newest.
        size: Of the grid.
    """
    assert submission.stack is not None
    deployment, jobs = connect(submission.stack, submission.region)
    children = list(jobs.children(submission.jobs, size=size))
    beats = heartbeats(place, [child.fold for child in children if child.attempts])
    account = connect_account(jobs, deployment.region, gpus=submission.gpus_per_fold)
    spent = account.spent(place, submission, size=size)
    begun = datetime.fromisoformat(submission.started)
    return BatchStatus(
        stack=submission.stack,
        prepare=_state(jobs, submission.prepare_job),
        report=_state(jobs, submission.report_job),
        folds=jobs.counts(submission.jobs),
        attempts=spent.attempts,
        interruptions=spent.interruptions,
        lost_steps=sum(beat.lost_steps for beat in beats.values()),
        elapsed_seconds=(datetime.now(UTC) - begun).total_seconds(),
        dollars=spent.dollars,
        failed=_reasons(children),
    )


def _state(jobs: BatchJobs, job: str | None) -> str | None:
    return next(iter(jobs.states([job])), None) if job is not None else None


def _reasons(children: Sequence[Child]) -> dict[str, tuple[int, ...]]:
    """Folds by the reason for which AWS Batch calls their job failed."""
    folds: dict[str, list[int]] = {}
    for child in children:
        if child.state == "FAILED":
            reason = child.attempts[-1].reason if child.attempts else child.reason
            folds.setdefault(reason or "failed without a reason", []).append(child.fold)
    return {reason: tuple(numbers) for reason, numbers in folds.items()}
