"""What AWS Batch says of a run: where its jobs are, what they cost, why they failed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from job.contract.fold_ranges import format_folds
from job.request import Request
from job.run import Run
from submit.aws.account import Spent, connect_account
from submit.aws.children import Child, JobCounts, JobState
from submit.aws.jobs import connect
from submit.submissions import BatchSubmission
from submit.wording import counted, duration, money


@dataclass(frozen=True, kw_only=True)
class BatchStatus:
    """The jobs of a run's newest submission, and what all of the run took."""

    stack: str
    prepare: JobState | None
    """Of the job that prepares the cohort; None without one, or when AWS Batch has forgotten it."""
    report: JobState | None
    """Of the job that makes the report."""
    folds: JobCounts
    elapsed_seconds: float
    """From the submission until the last fold ended, or until now."""
    spent: Spent
    """By all submissions of the run."""
    cancelled: tuple[int, ...]
    """Folds of the newest submission whose jobs `submit` ended; they may be done all the same."""
    failed: dict[str, tuple[int, ...]]
    """Others of it whose job failed, by AWS Batch's reason."""

    def as_json(self) -> dict[str, object]:
        """For scripts."""
        return asdict(self)

    def lines(self, url: str) -> list[str]:
        """For people, who may go on with the URL of the run or request."""
        folds, spent = self.folds, self.spent
        cost = "cost not known" if spent.dollars is None else f"about {money(spent.dollars)}"
        cancelled = f", {len(self.cancelled)} cancelled" if self.cancelled else ""
        lines = [
            f"AWS Batch (stack {self.stack}), last submission: {folds.waiting} waiting, {folds.running} running, "
            f"{folds.succeeded} ended well, {folds.failed - len(self.cancelled)} failed{cancelled}; "
            f"{duration(self.elapsed_seconds)} long",
            f"all submissions: {counted(spent.attempts, 'attempt')}, "
            f"{counted(spent.interruptions, 'machine')} taken back or lost, "
            f"{counted(spent.lost_steps, 'lost step')}; {cost}",
        ]
        if self.prepare is not None and self.prepare.cancelled:
            lines.append("preparation of the cohort: cancelled")
        elif self.prepare is not None and self.prepare.state != "SUCCEEDED":
            shown = f"; `submit logs {url}` shows why" if self.prepare.state == "FAILED" else ""
            lines.append(f"preparation of the cohort: {self.prepare.state.lower()}{shown}")
        lines += [
            f"{'fold' if len(numbers) == 1 else 'folds'} {format_folds(numbers)}: {reason}"
            for reason, numbers in self.failed.items()
        ]
        if self.report is not None and self.report.state == "FAILED" and folds.succeeded:
            lines.append(
                "no report was made, as not all jobs ended well; `submit report` makes it of what is done"
            )
        return lines


def batch_status(run: Run | Request, submissions: Sequence[BatchSubmission]) -> BatchStatus:
    """What AWS Batch says of a run or a request.

    Args:
        run: The run, or the request for it.
        submissions: All of them, oldest first.
    """
    newest = submissions[-1]
    deployment, jobs = connect(newest.stack, newest.region)
    account = connect_account(jobs, deployment.region)
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
        spent=account.spent(run, submissions, children),
        cancelled=tuple(child.fold for child in of_newest if child.cancelled),
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
        if child.state == "FAILED" and not (child.cancelled or child.reason.startswith("Dependent Job")):
            last = child.attempts[-1] if child.attempts else None
            reason = last.reason if last is not None else child.reason
            if last is not None and last.exit_code is not None:
                reason = f"ended with exit code {last.exit_code} ({reason})"
            folds.setdefault(reason or "failed without a reason", []).append(child.fold)
    return {reason: tuple(sorted(numbers)) for reason, numbers in folds.items()}
