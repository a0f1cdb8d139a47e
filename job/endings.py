"""How an attempt ends: the exit code of an exception, what is logged of it, and when a fold is given up.

Executors of this machine count attempts themselves. AWS Batch only knows the exit code of the last one, and would
try a bug ten times, so there the worker counts.
"""

import errno
import logging

from filelock import Timeout

from job.contract.errors import Damaged, DataError, Stopped, StudyError, TakenOver
from job.contract.exit_codes import ATTEMPTS_AFTER_KILL, ExitCode, attempts_allowed
from job.contract.results import Failure, utc_now
from job.run import FoldFiles

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
        case Timeout() | MemoryError():
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
        case MemoryError():
            reasons = [str(error) or "no reason given", *getattr(error, "__notes__", ())]
            log.error("the machine's memory does not suffice now (%s); use one with more", "; ".join(reasons))
        case OSError():
            log.exception("storage failed")
        case _:
            log.exception("unexpected")


def record_end(fold: FoldFiles, error: Exception, job: str | None) -> None:
    """Writes how an attempt of a job failed; of no job, and of an attempt that may just go on, nothing.

    The storage may be what failed: an attempt that cannot be counted is left out, and no count begins anew.

    Args:
        fold: Whose attempt it was.
        error: What ended it.
        job: As `Worker.job`.

    Raises:
        GivenUp: It failed so before, as often as is allowed.
    """
    code = code_of(error)
    if job is None or code == ExitCode.STOPPED or isinstance(error, TakenOver):
        return
    try:
        before = _failure(fold)
    except (OSError, StudyError) as unread:
        log.warning("this attempt at fold %d is not counted: %s", fold.index, unread)
        return
    ends = before.ends if before is not None and before.job == job else {}
    attempts = ends.get(code, 0) + 1
    final = attempts >= attempts_allowed(code)
    failure = Failure(
        fold=fold.index,
        attempts=sum(ends.values()) + 1,
        exit_code=code,
        message=str(error) or type(error).__name__,
        time=utc_now(),
        job=job,
        ends=ends | {int(code): attempts},
        final=final,
    )
    _write(fold, failure)
    if final and attempts > 1:
        raise GivenUp(
            f"fold {fold.index} is given up after {attempts} such attempts: {failure.message}"
        ) from error


def forget_end(fold: FoldFiles, job: str | None) -> None:
    """Takes the failure of an earlier job for past, where nobody else does before an attempt.

    Raises:
        StudyError: The storage's credentials are missing, or have ended.
        OSError: The storage fails for now.
    """
    before = _failure(fold)
    if before is not None and before.final and job is not None and before.job != job:
        _write(fold, before.model_copy(update={"final": False}))


def require_headway(begun: int, step: int) -> None:
    """Refuses to begin once more where attempts of a job were killed, one after the other, and got no further.

    Args:
        begun: Attempts that began at this step, this one among them.
        step: Of the checkpoint that they began at.

    Raises:
        GivenUp: There were as many as are allowed after a kill.
    """
    if begun > ATTEMPTS_AFTER_KILL:
        raise GivenUp(
            f"{begun - 1} attempts were killed before they got beyond step {step}; if memory is the cause, use a "
            "smaller training.batch_size or patch, or a machine with more"
        )


def _write(fold: FoldFiles, failure: Failure) -> None:
    """Writes a failure; where that fails, what ended the attempt is still what is told of it."""
    try:
        fold.failure.write(failure)
    except (OSError, StudyError) as error:
        log.warning("how fold %d failed cannot be written: %s", fold.index, error)


def _failure(fold: FoldFiles) -> Failure | None:
    """How the last attempt failed; None if none did, or the file is damaged: then the count begins anew."""
    try:
        return fold.failure.read()
    except Damaged as error:
        log.warning("earlier attempts at fold %d are not counted: %s", fold.index, error)
        return None
