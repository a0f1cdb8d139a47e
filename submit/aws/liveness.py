"""Whether jobs of AWS Batch still run, as far as that can be known."""

from collections.abc import Sequence

from submit.aws.jobs import BatchJobs
from submit.submissions import BatchSubmission

SUBMITTING_SECONDS = 600.0
"""For which a submission that is not whole is taken for one that is being made."""
APPEARING_SECONDS = 600.0
"""For which a job that AWS Batch does not describe is taken for one that it does not show yet; later, for one that it
has forgotten, a week after its end."""


def living_jobs(submissions: Sequence[BatchSubmission], jobs: BatchJobs) -> list[str]:
    """Ids of the jobs, that of the report included, which wait or run, or do so for all that is known."""
    young = {
        job: submission.age_seconds < APPEARING_SECONDS
        for submission in submissions
        for job in (*jobs.working_jobs(submission), *submission.report_jobs)
    }
    states = jobs.states(list(young))
    return [job for job, is_young in young.items() if (not states[job].ended if job in states else is_young)]


def why_busy(submissions: Sequence[BatchSubmission], jobs: BatchJobs) -> str | None:
    """Why the folds of a run must not be submitted (again) now; None if they may.

    A report that waits or runs is no reason.
    """
    reports = {job for submission in submissions for job in submission.report_jobs}
    if not reports.issuperset(living_jobs(submissions, jobs)):
        return "jobs of an earlier submission still run or wait"
    for submission in submissions:
        if not submission.whole and submission.age_seconds < SUBMITTING_SECONDS:
            minutes = (SUBMITTING_SECONDS - submission.age_seconds) / 60
            return (
                f"process {submission.pid} on {submission.host} submits it at this moment, or broke off and left it "
                f"for {minutes:.0f} minutes"
            )
    return None


def lives(submissions: Sequence[BatchSubmission], jobs: BatchJobs) -> bool:
    """Whether a job that prepares or trains waits or runs, or is about to."""
    return why_busy(submissions, jobs) is not None
