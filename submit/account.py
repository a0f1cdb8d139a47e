"""What a run on AWS Batch has cost so far, and what its folds cost an hour."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from job.contract import layout
from job.contract.results import Heartbeat
from job.storage import Storage
from submit.costs import Prices, Spent, connect_prices, dearest, spent
from submit.executors.batch import BatchJobs, Child
from submit.submissions import Submission

READERS = 16
"""Files read at a time."""


class Account:
    """The costs of a deployment's folds."""

    def __init__(self, jobs: BatchJobs, prices: Prices, *, gpus: int) -> None:
        self._jobs = jobs
        self._prices = prices
        self._gpus = gpus

    @cached_property
    def machines(self) -> tuple[tuple[str, ...], bool]:
        """The kinds of machines that folds run on, and whether they are bought on the spot market."""
        return self._jobs.machine_types()

    @cached_property
    def usd_an_hour(self) -> float | None:
        """Of a fold, on the dearest of the machines at today's price; None if AWS names no price."""
        types, spot = self.machines
        return dearest(self._prices, types, spot=spot, gpus=self._gpus)

    def spent(self, place: Storage, submission: Submission, *, size: int) -> Spent:
        """What the attempts of a run's folds took, as far as AWS Batch remembers them: for a week.

        Args:
            place: The run, or the request for it.
            submission: Of the run.
            size: Of the grid.
        """
        jobs = (*submission.earlier_jobs, *submission.jobs)
        children = list(self._jobs.children(jobs, size=size))
        begun = [child.fold for child in children if child.attempts]
        machines = {fold: beat.machine for fold, beat in heartbeats(place, begun).items() if beat.machine}
        return self._spent(children, machines)

    def _spent(self, children: Sequence[Child], machines: Mapping[int, str]) -> Spent:
        return spent(
            children,
            machines,
            self._prices,
            gpus=self._gpus,
            otherwise=self.usd_an_hour,
            now=time.time(),
        )


def connect_account(jobs: BatchJobs, region: str, *, gpus: int) -> Account:
    """The account of a deployment in a region."""
    return Account(jobs, connect_prices(region), gpus=gpus)


def heartbeats(run: Storage, folds: Sequence[int]) -> dict[int, Heartbeat]:
    """The last heartbeats of folds; without those that have none that can be read."""

    def read(fold: int) -> Heartbeat | None:
        try:
            return Heartbeat.model_validate_json(run.read(layout.heartbeat(fold)))
        except (OSError, ValueError):
            return None

    with ThreadPoolExecutor(READERS) as pool:
        return {
            fold: beat for fold, beat in zip(folds, pool.map(read, folds), strict=True) if beat is not None
        }
