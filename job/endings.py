"""How an attempt ends: the exit code of an exception, what is logged of it, and when a fold is given up.

Executors of this machine count attempts themselves. AWS Batch only knows the exit code of the last one, and would
try a bug ten times, so there the worker counts.
"""

import errno
import logging
import os
from contextlib import suppress

from filelock import Timeout

from job.contract import environment, layout
from job.contract.errors import DataError, Stopped, StudyError, TakenOver
from job.contract.exit_codes import ATTEMPTS_AFTER_KILL, ExitCode, attempts_allowed
from job.contract.results import Failure, utc_now
from job.storage import Storage

log = logging.getLogger("job")


class GivenUp(Exception):
    """The same failure came as often as is allowed."""


def code_of(error: Exception) -> ExitCode:
    """The exit code that an exception stands for."""
    match error:
        case StudyError():
            return ExitCode.USAGE
        case DataError():
            return ExitCode.DATA
        case Stopped():
            return ExitCode.STOPPED
        case GivenUp():
            return ExitCode.GIVEN_UP
        case Timeout():
            return ExitCode.TEMPORARY
        case OSError():
            return ExitCode.BUG if error.errno in (errno.EACCES, errno.EROFS) else ExitCode.TEMPORARY
    match type(error).__name__:  # torch's, which need not be imported for their names
        case "OutOfMemoryError":
            return ExitCode.USAGE
        case "AcceleratorError":  # a GPU fell off the bus or reset; another machine's may do
            return ExitCode.TEMPORARY
    return ExitCode.BUG


def log_end(error: Exception) -> None:
    """Logs an exception as the last line of an attempt; with its traceback where that helps."""
    match error:
        case Stopped():
            log.info("%s", error)
        case StudyError() | DataError() | GivenUp():
            log.error("%s", error)
        case Timeout():
            log.error(
                "another worker is at this fold: it holds %s; wait for its end, or end it", error.lock_file
            )
        case _ if type(error).__name__ == "OutOfMemoryError":
            log.error(
                "the GPU's memory does not suffice (%s); use a smaller training.batch_size or patch", error
            )
        case OSError():
            log.exception("storage failed")
        case _:
            log.exception("unexpected")


def record_end(run: Storage, fold: int, error: Exception) -> None:
    """Writes how an attempt on AWS Batch failed; elsewhere, and for an attempt that may just go on, nothing.

    Raises:
        GivenUp: It failed so before, as often as is allowed.
    """
    job, code = os.environ.get(environment.BATCH_JOB), code_of(error)
    if job is None or code == ExitCode.STOPPED or isinstance(error, TakenOver):
        return
    before = _failure(run, fold)
    ends = before.ends if before is not None and before.job == job else {}
    attempts = ends.get(code, 0) + 1
    final = attempts >= attempts_allowed(code)
    failure = Failure(
        fold=fold,
        attempts=sum(ends.values()) + 1,
        exit_code=code,
        message=str(error) or type(error).__name__,
        time=utc_now(),
        job=job,
        ends=ends | {int(code): attempts},
        final=final,
    )
    with suppress(OSError):  # the storage may be what failed
        run.write(layout.failure(fold), failure.to_json())
    if final and attempts > 1:
        raise GivenUp(f"fold {fold} is given up after {attempts} such attempts: {failure.message}") from error


def forget_end(run: Storage, fold: int) -> None:
    """Takes the failure of an earlier job for past, on AWS Batch, where nobody else does before an attempt."""
    before = _failure(run, fold)
    if (
        before is not None
        and before.final
        and before.job != os.environ.get(environment.BATCH_JOB, before.job)
    ):
        with suppress(OSError):
            run.write(layout.failure(fold), before.model_copy(update={"final": False}).to_json())


def require_headway(begun: int, step: int) -> None:
    """Refuses to begin once more where attempts were killed, one after the other, before they got any further.

    Args:
        begun: Attempts that began at this step, this one among them.
        step: Of the checkpoint that they began at.

    Raises:
        GivenUp: There were as many as are allowed after a kill.
    """
    if environment.BATCH_JOB in os.environ and begun > ATTEMPTS_AFTER_KILL:
        raise GivenUp(
            f"{begun - 1} attempts were killed before they got beyond step {step}; if memory is the cause, use a "
            "smaller training.batch_size or patch, or a machine with more"
        )


def _failure(run: Storage, fold: int) -> Failure | None:
    try:
        return Failure.model_validate_json(run.read(layout.failure(fold)))
    except (OSError, ValueError):
        return None
