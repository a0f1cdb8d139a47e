"""How `python -m job` ends, and who tries again.

The retry rules of every executor and of `infra/` are derived from this table; change it only here.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of `python -m job` (numbers of sysexits.h where one fits)."""

    DONE = 0
    """The work is done, or was done before."""
    USAGE = 64
    """Wrong command line or study; trying again cannot help."""
    DATA = 65
    """Bad or missing data; trying again cannot help."""
    GIVEN_UP = 69
    """A bug or a temporary failure came as often as `ATTEMPTS` allows; only where nobody else counts (AWS Batch)."""
    BUG = 70
    """An unexpected exception."""
    TEMPORARY = 75
    """Storage or a device failed for now."""
    STOPPED = 143
    """Stopped by SIGTERM after a checkpoint (128 + 15)."""


FINAL = "6"
"""Codes that begin so are never tried again: a rule of AWS Batch has room for a beginning, not for a list."""

ATTEMPTS: dict[ExitCode, int] = {
    ExitCode.DONE: 1,
    ExitCode.USAGE: 1,
    ExitCode.DATA: 1,
    ExitCode.GIVEN_UP: 1,
    ExitCode.BUG: 2,
    ExitCode.TEMPORARY: 5,
    ExitCode.STOPPED: 10,
}
"""After how many ends with this code a fold is given up."""

ATTEMPTS_AFTER_KILL = 3
"""The same for a worker that ends without a code of its own: killed (memory, `kill -9`) or crashed."""


def attempts_allowed(exit_code: int) -> int:
    """After how many ends with `exit_code` a fold is given up.

    Negative codes (killed by a signal, as `subprocess` reports them), 137 and any code that the table
    does not know count as a kill.
    """
    if str(exit_code).startswith(FINAL):
        return 1
    try:
        return ATTEMPTS[ExitCode(exit_code)]
    except ValueError:
        return ATTEMPTS_AFTER_KILL
