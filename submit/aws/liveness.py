"""Whether jobs of AWS Batch still run, as far as that can be known."""

from collections.abc import Sequence

from submit.aws.children import ENDED
from submit.aws.jobs import BatchJobs
from submit.submissions import BatchSubmission

SUBMITTING_SECONDS = 600.0
"""For which a submission that is not whole is taken for one that is being made."""
APPEARING_SECONDS = 600.0
"""For which a job that AWS Batch does not describe is taken for one that it does not show yet."""


def lives(submissions: Sequence[BatchSubmission], jobs: BatchJobs) -> bool:
    """Whether a job that prepares or trains waits or runs, or is about to: its folds must not be submitted again."""
    states = jobs.states([job for submission in submissions for job in submission.working_jobs])
    return any(
        (not submission.whole and submission.age_seconds < SUBMITTING_SECONDS)
        or any(
            states[job] not in ENDED if job in states else submission.age_seconds < APPEARING_SECONDS
            for job in submission.working_jobs
        )
        for submission in submissions
    )
