"""What AWS Batch says of the jobs of folds: states, attempts, interruptions."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from job.contract.exit_codes import ExitCode

CANCELLED = "ended by submit: "
"""Begins the reason of jobs that are ended here."""
ENDED = ("SUCCEEDED", "FAILED")
WAITING = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING")


@dataclass(frozen=True, kw_only=True)
class JobCounts:
    """Children of jobs by where they are."""

    waiting: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.waiting + self.running + self.succeeded + self.failed


@dataclass(frozen=True, kw_only=True)
class JobState:
    """Where a job is."""

    state: str
    """AWS Batch's word."""
    reason: str

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ENDED

    @property
    def cancelled(self) -> bool:
        """Whether it was ended by `submit`."""
        return self.state == "FAILED" and self.reason.startswith(CANCELLED)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One start of a fold's container."""

    started: float | None
    """Seconds since 1970; None if it never ran."""
    stopped: float | None
    """None while it runs."""
    exit_code: int | None
    reason: str
    log_stream: str | None


@dataclass(frozen=True, kw_only=True)
class Child(JobState):
    """The job of one fold."""

    job: str
    """Its id."""
    fold: int
    attempts: tuple[Attempt, ...]

    @property
    def interruptions(self) -> int:
        """Attempts that ended because their machine was taken back or lost, and not because it was cancelled."""
        last = len(self.attempts) - 1
        return sum(
            attempt.reason.startswith("Host EC2")
            or (attempt.exit_code == ExitCode.STOPPED and not (self.cancelled and number == last))
            for number, attempt in enumerate(self.attempts)
        )


def attempts_of(detail: Any) -> Iterator[Attempt]:
    """The attempts of a job; AWS Batch lists the one that runs only when it has ended."""
    ended = [_attempt(attempt) for attempt in detail.get("attempts", ())]
    latest = detail.get("stoppedAt", 0) / 1000
    for attempt, after in zip(ended, [*ended[1:], None][: len(ended)], strict=True):
        if attempt.started is None or attempt.stopped is not None:
            yield attempt
        else:  # a lost machine tells no end: it was before the next attempt, or that of the job
            end = after.started if after is not None else latest
            yield replace(attempt, stopped=max(end or 0.0, attempt.started))
    if detail["status"] == "RUNNING":
        yield replace(_attempt(detail), reason="", stopped=None)  # the job's are those of the attempt before


def _attempt(detail: Any) -> Attempt:
    container = detail.get("container", {})

    def seconds(key: str) -> float | None:
        return detail[key] / 1000 if detail.get(key) is not None else None

    return Attempt(
        started=seconds("startedAt"),
        stopped=seconds("stoppedAt"),
        exit_code=container.get("exitCode"),
        reason=" ".join(
            text for text in (detail.get("statusReason", ""), container.get("reason", "")) if text
        ),
        log_stream=container.get("logStreamName"),
    )
