"""A limit in dollars: submit what it pays for, watch what is spent, end the jobs when it is reached."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from job.contract.errors import StudyError
from job.contract.exit_codes import ExitCode
from job.request import Request
from job.run import Run
from submit.aws.account import Account
from submit.aws.jobs import BatchJobs
from submit.aws.liveness import lives, living_jobs
from submit.exit_codes import FAILED, INTERRUPTED
from submit.submissions import batch_submissions
from submit.wording import counted, duration, money

UNANSWERED_SECONDS = 3600.0
"""After so long without an answer the watch ends, and says so: longer than AWS is ever away."""
POLL_SECONDS = 20.0
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
    end = count
    while end and folds[end - 1] // arms == folds[end] // arms:
        end -= 1
    return list(folds[: end or count])


@dataclass(frozen=True, kw_only=True)
class Told:
    """How a command ended."""

    lines: list[str]
    code: int = 0


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What is watched, and by what."""

    run: Run | Request
    """The run, or the request for it."""
    jobs: BatchJobs
    account: Account
    limit_usd: float
    console: Console


def follow(watch: Watch) -> Told:
    """Waits until all jobs have ended, and ends them when the limit is reached; what to tell the user.

    Raises:
        StudyError: AWS names no price, or knows the credentials no more.
    """
    told, answered = "", time.monotonic()
    try:
        while True:
            try:
                text, done = _look(watch)
                answered = time.monotonic()
            except (
                OSError
            ) as error:  # a network that fails, throttling: the jobs go on, and so must the watch
                text, done = _unanswered(watch, time.monotonic() - answered, error)
            if done is not None:
                return done
            if text != told:
                watch.console.print(text, highlight=False, markup=False, soft_wrap=True)
                told = text
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        line = (
            "the budget is no longer watched, and the jobs go on; the same command watches again, "
            f"`submit cancel {watch.run.url}` ends them"
        )
        return Told(lines=[line], code=INTERRUPTED)


def _unanswered(watch: Watch, seconds: float, error: OSError) -> tuple[str, Told | None]:
    """What to say of a look that failed; and the end, after an hour of them (a sign-in may have ended)."""
    if seconds < UNANSWERED_SECONDS:
        minutes = int(seconds // 60)
        return f"no answer for {minutes} minutes, looking again: {error}", None
    line = (
        f"the budget is no longer watched, and the jobs go on: no answer for {duration(seconds)} ({error}); the same "
        f"command watches again, `submit cancel {watch.run.url}` ends them"
    )
    return line, Told(lines=[line], code=ExitCode.TEMPORARY)


def _look(watch: Watch) -> tuple[str, Told | None]:
    """What is going on; and what to tell the user, if that is the end."""
    run = watch.run if isinstance(watch.run, Run) else watch.run.run() or watch.run
    submissions = batch_submissions(run)
    children = watch.account.children(submissions)
    usd = watch.account.spent(run, submissions, children).dollars
    if usd is None:
        raise StudyError(f"the budget cannot be watched: {watch.account.unknown_prices}; the jobs go on")
    counts = watch.jobs.counts(submissions[-1].jobs)
    text = (
        f"{counts.succeeded} of {counted(counts.total, 'fold')} ended well, {counts.waiting} waiting, "
        f"{counts.running} running, {counts.failed} failed or cancelled; about {money(usd)} of "
        f"{money(watch.limit_usd)}"
    )
    if not lives(submissions, watch.jobs):
        return text, Told(lines=[text, "all jobs have ended"], code=FAILED if counts.failed else 0)
    if usd < watch.limit_usd:
        return text, None
    watch.jobs.end(living_jobs(submissions, watch.jobs), "the budget is spent")
    left = counted(counts.waiting + counts.running, "job")
    line = (
        f"the budget of {money(watch.limit_usd)} is spent (about {money(usd)}): {left} ended early, with a "
        "checkpoint where a fold ran; a sweep with a higher --budget goes on"
    )
    return text, Told(lines=[line], code=FAILED)
