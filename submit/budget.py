"""A limit in dollars: submit what it allows, watch what is spent, end the jobs when it is reached."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from job.contract.errors import StudyError
from job.runs import is_request, run_of_request
from job.storage import Storage
from submit.account import Account
from submit.executors.batch import ENDED, BatchJobs
from submit.submissions import Submission
from submit.wording import counted, money

POLL_SECONDS = 60.0
"""Between two looks at the jobs: what they cost in that time may be spent above the limit."""


def affordable(folds: Sequence[int], *, arms: int, usd_a_fold: float, usd: float) -> list[int]:
    """As many of the folds, from the first, as so many dollars pay for; whole comparisons, if it pays for one.

    Args:
        folds: Ascending.
        arms: Folds of a comparison: neighbours in the grid.
        usd_a_fold: What a fold costs, above 0.
        usd: What may be spent.
    """
    count = min(int(max(usd, 0.0) / usd_a_fold), len(folds))
    if count == len(folds):
        return list(folds)
    whole = count
    while whole and folds[whole - 1] // arms == folds[whole] // arms:
        whole -= 1
    return list(folds[: whole or count])


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What is watched, and by what."""

    place: Storage
    """The run, or the request for it."""
    submission: Submission
    jobs: BatchJobs
    account: Account
    size: int
    """Of the grid."""


def follow(watched: Watched, limit_usd: float, console: Console) -> list[str]:
    """Waits until all jobs have ended, and ends them when the limit is reached; what to tell the user.

    Raises:
        StudyError: AWS names no price.
    """
    try:
        return _follow(watched, limit_usd, console)
    except KeyboardInterrupt:
        return [
            f"the budget is no longer watched, and the jobs go on; the same command watches again, "
            f"`submit cancel {watched.place.url}` ends them"
        ]


def _follow(watched: Watched, limit_usd: float, console: Console) -> list[str]:
    jobs, submission, place = watched.jobs, watched.submission, watched.place
    told = ""
    while True:
        if is_request(place):
            place = run_of_request(place) or place
        states = jobs.states(submission.all_jobs)
        counts = jobs.counts(submission.jobs)
        usd = watched.account.spent(place, submission, size=watched.size).dollars
        if usd is None:
            raise StudyError("AWS names no price of the machines, so that a budget cannot be watched")
        text = (
            f"{counts.succeeded} of {counted(counts.total, 'fold')} ended well, {counts.running} running, "
            f"{counts.failed} failed; about {money(usd)} of {money(limit_usd)}"
        )
        if text != told:
            console.print(text, highlight=False, soft_wrap=True)
            told = text
        if all(state in ENDED for state in states):
            return [f"all jobs have ended; about {money(usd)} spent"]
        if usd >= limit_usd:
            jobs.cancel(submission.all_jobs, "the budget is spent")
            return [
                f"the budget of {money(limit_usd)} is spent (about {money(usd)}): "
                f"{counted(counts.waiting + counts.running, 'fold')} ended before their time, with a checkpoint "
                "where they ran; a sweep with a higher --budget goes on"
            ]
        time.sleep(POLL_SECONDS)
