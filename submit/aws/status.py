"""What AWS Batch says of a run: where its jobs are, what they cost, why they failed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from job.contract.fold_ranges import format_folds
from job.storage import Storage
from submit.aws.account import Spent, connect_account
from submit.aws.children import Child, JobCounts
from submit.aws.jobs import connect
from submit.submissions import BatchSubmission
from submit.wording import counted, duration, money


@dataclass(frozen=True, kw_only=True)
class BatchStatus:
    """The jobs of a run's newest submission, and what all of the run took."""

    stack: str
    prepare: str | None
    """State of the job that prepares the cohort; None without one, or when AWS Batch has forgotten it."""
    report: str | None
    """State of the job that makes the report."""
    folds: JobCounts
    elapsed_seconds: float
    """From the submission until the last fold ended, or until now."""
    spent: Spent
    """By all submissions of the run."""
    failed: dict[str, tuple[int, ...]]
    """Folds whose job failed, by AWS Batch's reason."""

    def as_json(self) -> dict[str, object]:
        """For scripts."""
        return asdict(self)

    def lines(self, place: Storage) -> list[str]:
        """For people."""
        folds, spent = self.folds, self.spent
        cost = "cost not known" if spent.dollars is None else f"about {money(spent.dollars)}"
        lines = [
            f"AWS Batch (stack {self.stack}), last submission: {folds.waiting} waiting, {folds.running} running, "
            f"{folds.succeeded} ended well, {folds.failed} failed",
            f"{counted(spent.attempts, 'attempt')}, {counted(spent.interruptions, 'interruption')}, "
            f"{counted(spent.lost_steps, 'lost step')}; {duration(self.elapsed_seconds)} from the submission; "
            f"{cost}",
        ]
        if self.prepare is not None and self.prepare != "SUCCEEDED":
            lines.append(
                f"preparation of the cohort: {self.prepare.lower()}; `submit logs {place.url}` shows it"
            )
        lines += [
            f"{'fold' if len(numbers) == 1 else 'folds'} {format_folds(numbers)}: {reason}"
            for reason, numbers in self.failed.items()
        ]
        if self.report == "FAILED" and folds.succeeded:
            lines.append(
                "the report waits for folds that failed; `submit report` makes it from those that are done"
            )
        return lines


def batch_status(place: Storage, submissions: Sequence[BatchSubmission]) -> BatchStatus:
    """What AWS Batch says of a run or a request.

    Args:
        place: The run or the request.
        submissions: All of them, oldest first.
    """
    newest = submissions[-1]
    deployment, jobs = connect(newest.stack, newest.region)
    account = connect_account(jobs, deployment.region, gpus=newest.gpus_per_fold)
    children = account.children(submissions)
    own = {job.job for job in newest.jobs}
    of_newest = [child for child in children if child.job.partition(":")[0] in own]
    states = jobs.states([job for job in (newest.prepare_job, newest.report_job) if job is not None])
    return BatchStatus(
        stack=newest.stack,
        prepare=states.get(newest.prepare_job or ""),
        report=states.get(newest.report_job or ""),
        folds=jobs.counts(newest.jobs),
        elapsed_seconds=_elapsed_seconds(newest, of_newest),
        spent=account.spent(place, submissions, children),
        failed=_reasons(of_newest),
    )


def _elapsed_seconds(submission: BatchSubmission, children: Sequence[Child]) -> float:
    """Until now, or until the last fold ended."""
    stops = [
        attempt.stopped for child in children for attempt in child.attempts if attempt.stopped is not None
    ]
    if not stops or not all(child.ended for child in children):
        return submission.age_seconds
    return max(max(stops) - datetime.fromisoformat(submission.started).timestamp(), 0.0)


def _reasons(children: Sequence[Child]) -> dict[str, tuple[int, ...]]:
    """Folds by the reason for which AWS Batch calls their job failed."""
    folds: dict[str, list[int]] = {}
    for child in children:
        if child.state == "FAILED" and not child.reason.startswith("Dependent Job"):
            last = child.attempts[-1] if child.attempts else None
            reason = last.reason if last is not None else child.reason
            if last is not None and last.exit_code is not None:
                reason = f"ended with exit code {last.exit_code} ({reason})"
            folds.setdefault(reason or "failed without a reason", []).append(child.fold)
    return {reason: tuple(sorted(numbers)) for reason, numbers in folds.items()}
