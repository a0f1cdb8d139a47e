"""AWS Batch's retry rules, derived from the exit codes of `python -m job`."""

from dataclasses import dataclass
from typing import Literal

from job.contract.exit_codes import ATTEMPTS, ATTEMPTS_AFTER_KILL, FINAL, ExitCode, attempts_allowed

MAX_ATTEMPTS = 10
"""Of retryStrategy; shared by all rules."""


@dataclass(frozen=True, kw_only=True)
class RetryRule:
    """One condition of evaluateOnExit; the first that matches decides. A trailing * matches anything."""

    action: Literal["RETRY", "EXIT"]
    exit_code: str | None = None
    reason: str | None = None
    status_reason: str | None = None


HOST_LOST = RetryRule(action="RETRY", status_reason="Host EC2*")
"""A spot machine was reclaimed, or a machine vanished: no matter how the container ended."""
PULL_FAILED = RetryRule(action="RETRY", reason="CannotPullContainerError*")
"""A registry or a network that fails for now, when many machines start at once: `submit` has looked that the image
is there."""
OTHERWISE = RetryRule(action="EXIT", reason="*")
"""A job that ended without an exit code: its container never ran (no GPU, no log group). Without
this rule AWS Batch retries what no rule matches."""


def retry_rules(*, counts: bool) -> tuple[RetryRule, ...]:
    """The rules by which a job is tried again.

    Of a container that counts its own ends (a fold), whenever its exit code allows more than one attempt: a code that
    the table does not know (137 after a kill for memory, 139 after a crash) is retried too, so the rules name the
    codes that are not. Of any other, only what passes by itself: a bug or a kill would come ten times.

    Args:
        counts: Whether the container counts its own ends, and gives up with a final code.

    Raises:
        ValueError: The table of exit codes says what these rules do not.
    """
    final = {code for code in ExitCode if attempts_allowed(code) == 1 and code != ExitCode.DONE}
    if ATTEMPTS_AFTER_KILL == 1 or final != {code for code in ExitCode if str(int(code)).startswith(FINAL)}:
        raise ValueError(f"the rules are made for exit codes that are retried unless they begin with {FINAL}")
    if not counts:
        passing = (ExitCode.TEMPORARY, ExitCode.STOPPED)
        again = tuple(RetryRule(action="RETRY", exit_code=str(int(code))) for code in passing)
        return (HOST_LOST, PULL_FAILED, *again, OTHERWISE)
    return (
        HOST_LOST,
        PULL_FAILED,
        RetryRule(action="EXIT", exit_code=f"{FINAL}*"),
        RetryRule(action="RETRY", exit_code="*"),
        OTHERWISE,
    )


def attempts() -> int:
    """Attempts of a job: those of the code that allows most.

    AWS Batch counts attempts, not ends by code: that a bug is not tried ten times is the container's business,
    which knows how its fold ended before.
    """
    return min(max(*ATTEMPTS.values(), ATTEMPTS_AFTER_KILL), MAX_ATTEMPTS)
