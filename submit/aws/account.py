"""What a run on AWS Batch has cost so far, and what its folds cost an hour."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from job.contract.results import Heartbeat
from job.request import Request
from job.run import Run
from job.storage.concurrency import map_files
from submit.aws.children import Child
from submit.aws.jobs import BatchJobs, children_of
from submit.aws.prices import Prices, Rates, connect_prices, rate_of, rates_of
from submit.submissions import BatchSubmission


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What the folds of a run took."""

    dollars: float | None
    """Of the machines' time; None where AWS names no price."""
    attempts: int = 0
    interruptions: int = 0
    """Attempts that ended because their machine was taken back or lost."""
    lost_steps: int = 0
    """Training steps that were done again after an interruption."""


class Account:
    """The costs of a run's folds; remembers what will not change any more."""

    def __init__(self, jobs: BatchJobs, prices: Prices) -> None:
        self._jobs = jobs
        self._prices = prices
        self._ended: dict[str, Child] = {}
        self._beats: dict[int, Heartbeat] = {}

    @cached_property
    def rates(self) -> Rates | None:
        """USD an hour of a fold; None if AWS does not name all prices."""
        return rates_of(self._jobs.machines(), self._prices)

    @property
    def unknown_prices(self) -> str:
        """The machines whose prices AWS did not say, and why."""
        machines: dict[str, list[str]] = {}
        for machine, reason in sorted(self._prices.unknown.items()):
            machines.setdefault(reason, []).append(machine)
        told = "; ".join(f"no price of {', '.join(names)}: {reason}" for reason, names in machines.items())
        return told or "the queue has no machines"

    def children(self, submissions: Sequence[BatchSubmission]) -> list[Child]:
        """The job of every fold of these submissions that AWS Batch knows."""
        jobs = [job for submission in submissions for job in submission.jobs]
        fresh = list(self._jobs.children(jobs, but=self._ended))
        children = [*self._ended.values(), *fresh]
        self._ended |= {child.job: child for child in fresh if child.ended}
        return children

    def spent(
        self, run: Run | Request, submissions: Sequence[BatchSubmission], children: Sequence[Child]
    ) -> Spent:
        """What the folds took until now.

        Of folds with jobs that AWS Batch has forgotten, a week after their end, their own heartbeats tell: those
        count all attempts of a fold.

        Args:
            run: The run, or the request for it, of which no fold has begun.
            submissions: Of the run.
            children: What `children` gave of them.
        """
        known = {child.job for child in children}
        forgotten = {
            fold
            for submission in submissions
            if submission.age_seconds > DAY_SECONDS
            for job in submission.jobs
            for child, fold in children_of(job).items()
            if child not in known
        }
        begun = {child.fold for child in children if child.attempts}
        live = {child.fold for child in children if child.attempts and not child.ended}
        if isinstance(run, Run):
            self._beats |= heartbeats(run, sorted((begun | forgotten) - (self._beats.keys() - live)))
        sums: dict[int, Spent] = {}
        for child in children:
            sums[child.fold] = _total((sums.get(child.fold, Spent(dollars=0.0)), self._of_child(child)))
        for fold in forgotten & self._beats.keys():
            own = self._of_heartbeat(self._beats[fold])
            sums[fold] = _larger(sums.get(fold, Spent(dollars=0.0)), own)
        lost = sum(beat.lost_steps for beat in self._beats.values())
        return replace(_total(sums.values()), lost_steps=lost)

    def _of_child(self, child: Child) -> Spent:
        seconds = sum(
            max((attempt.stopped if attempt.stopped is not None else time.time()) - attempt.started, 0.0)
            for attempt in child.attempts
            if attempt.started is not None
        )
        return Spent(
            dollars=self._dollars(seconds, self._beats.get(child.fold)),
            attempts=len(child.attempts),
            interruptions=child.interruptions,
        )

    def _of_heartbeat(self, beat: Heartbeat) -> Spent:
        return Spent(dollars=self._dollars(beat.seconds.get("total", 0.0), beat), attempts=beat.attempt)

    def _dollars(self, seconds: float, beat: Heartbeat | None) -> float | None:
        """By the machine of the last attempt; where that is not known, by the dearest of the queue."""
        if not seconds:
            return 0.0
        rate = None
        if beat is not None and beat.machine is not None:
            rate = rate_of(beat.machine, self._prices)
        if rate is None and self.rates is not None:
            rate = self.rates.highest
        return None if rate is None else seconds * rate / 3600


DAY_SECONDS = 24 * 3600.0
"""A younger job that AWS Batch does not describe is not there yet, rather than forgotten."""


def connect_account(jobs: BatchJobs, region: str) -> Account:
    """The account of a deployment in a region."""
    return Account(jobs, connect_prices(region))


def heartbeats(run: Run, folds: Sequence[int]) -> dict[int, Heartbeat]:
    """The last heartbeats of folds; without those that have none.

    Raises:
        Damaged: One says nothing, so that what its fold took is not known.
        StudyError: The storage's credentials are missing, or have ended.
        OSError: The storage fails for now.
    """

    def read(fold: int) -> Heartbeat | None:
        return run.fold(fold).heartbeat.read()

    found = zip(folds, map_files(read, folds), strict=True)
    return {fold: beat for fold, beat in found if beat is not None}


def _total(sums: Iterable[Spent]) -> Spent:
    parts = list(sums)
    known = [part.dollars for part in parts if part.dollars is not None]
    return Spent(
        dollars=sum(known) if len(known) == len(parts) else None,
        attempts=sum(part.attempts for part in parts),
        interruptions=sum(part.interruptions for part in parts),
    )


def _larger(jobs: Spent, heartbeat: Spent) -> Spent:
    """Of what is left of a fold's jobs, and what its heartbeat says of all."""
    unknown = jobs.dollars is None or heartbeat.dollars is None
    return Spent(
        dollars=None if unknown else max(jobs.dollars or 0.0, heartbeat.dollars or 0.0),
        attempts=max(jobs.attempts, heartbeat.attempts),
        interruptions=jobs.interruptions,
    )
