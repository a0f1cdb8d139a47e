"""What runs folds: local processes now, AWS Batch later."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Where the folds of a submission are."""

    waiting: tuple[int, ...]
    running: tuple[int, ...]
    done: tuple[int, ...]
    failed: tuple[int, ...]
    """Given up: failed as often as the exit code allows."""
    stopped: tuple[int, ...]
    """Cancelled; their checkpoints are written."""
    retries: tuple[str, ...] = ()
    """A line for each attempt that ended in vain and is followed by another, in the order of their ends."""

    @property
    def finished(self) -> bool:
        """Whether nothing will change any more."""
        return not self.waiting and not self.running


class Executor(Protocol):
    """Runs folds of one run."""

    def submit(self, folds: Sequence[int]) -> None:
        """Queues folds, in this order."""
        ...

    def poll(self) -> Snapshot:
        """Lets things move on, and says where they are."""
        ...

    def cancel(self, *, now: bool) -> None:
        """Asks running folds to checkpoint and stop, and forgets waiting ones; `now`: without a checkpoint."""
        ...
