"""How `submit` ends: a code and a line for each exception, and never a traceback."""

import errno
import io
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from traceback import TracebackException

import typer

from job.contract.errors import DataError, StudyError
from job.contract.exit_codes import ExitCode
from submit.exit_codes import INTERRUPTED, READER_GONE

TYPER_USAGE = 2
"""Typer's own exit code for a wrong command line."""

MISPLACED: dict[int | None, str] = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "name a place that you may write to"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "name a folder, not a file"),
}
"""Remedies by the system's reason why files cannot be read or written, where the command must be changed."""
REMEDIES = MISPLACED | dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make space")
"""All remedies."""

PACKAGES = ("loosweep", "numpy", "nibabel")
"""Whose versions are told of a bug; torch is not asked for, as it takes seconds to load."""
LONGEST_LINE = 500
"""Of the details; what an exception says of an array would be voxels."""
LONGEST_REASON = 300
"""Of what an exception says, on the terminal."""


def exit_code_of(run: Callable[[], object]) -> int:
    """Runs the command line; every exception becomes a code and a line.

    The code for folds that failed is one that a command gives itself: no accident ends with it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a name that the terminal cannot show must not end a command
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _code_of_command(run)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (Exception, KeyboardInterrupt) as error:
        code = _ended_by(error)
    _let_go()
    return code


def _code_of_command(run: Callable[[], object]) -> int:
    """Typer turns what it foresees into `SystemExit`, of which only the cause says what it was."""
    try:
        run()
    except SystemExit as end:
        match end.__context__:
            case typer.Exit(exit_code=code):
                return int(code)
            case BrokenPipeError() as gone:
                raise gone from None
            case typer.Abort():
                raise KeyboardInterrupt from None
        if end.code == TYPER_USAGE:
            return ExitCode.USAGE
        if not end.code:
            return ExitCode.DONE
        raise RuntimeError(f"the command ended itself with {end.code!r}") from end
    return ExitCode.DONE


def _ended_by(error: BaseException) -> int:
    """The code of an exception, after it was told of."""
    code: int = _code_of(error)
    try:
        if isinstance(error, DataError):
            from rich.console import Console

            from submit.problems import show_problems

            show_problems(error, Console(stderr=True))
        elif code not in (INTERRUPTED, READER_GONE):
            typer.echo(f"error: {_in_words(error)}", err=True)
    except (OSError, SystemExit):  # there is nobody left to tell
        return code
    except Exception as another:
        with suppress(OSError):
            typer.echo(f"error: {_unforeseen(another)}", err=True)
        return ExitCode.BUG
    return code


def _code_of(error: BaseException) -> int:
    match error:
        case KeyboardInterrupt():
            return INTERRUPTED
        case BrokenPipeError():
            return READER_GONE
        case StudyError():
            return ExitCode.USAGE
        case DataError():
            return ExitCode.DATA
        case MemoryError():
            return ExitCode.TEMPORARY
        case OSError():
            return ExitCode.USAGE if error.errno in MISPLACED else ExitCode.TEMPORARY
    return ExitCode.BUG


def _in_words(error: BaseException) -> str:
    match error:
        case StudyError():
            return f"{error}{_noted(error)}"
        case MemoryError():
            reason = f" ({error})" if str(error) else ""
            return (
                f"this machine has not enough memory{reason}{_noted(error)}; close other programs or use a machine "
                "with more, then run the command again"
            )
        case OSError():
            where = f"{error.filename}: " if error.filename is not None else ""
            remedy = REMEDIES.get(error.errno, "check the path and the device it is on")
            if str(error.filename).startswith("s3://") and error.errno == errno.EIO:
                remedy = "check the network and AWS_ENDPOINT_URL"
            # Errors of AWS have no number, and say themselves what to do.
            then = "" if error.errno is None else f"; {remedy}, then run the command again"
            reason = error.strerror or str(error) or type(error).__name__
            return f"{where}{reason}{_noted(error)}{then}"
    return _unforeseen(error)


def _unforeseen(error: BaseException) -> str:
    """What a bug was, and where the details are that a maintainer needs."""
    reason = str(error).strip().partition("\n")[0][:LONGEST_REASON]
    what = f"{type(error).__name__}{f': {reason}' if reason else ''}{_noted(error)}"
    try:
        path = _write_details(error)
    except OSError as unwritten:
        return f"a bug of loosweep, {what}; its details could not be written ({unwritten})"
    return (
        f"a bug of loosweep, {what}; its details are in {path}: send that file to the maintainers with the study "
        "file (it holds names of files, and no voxel data)"
    )


def _noted(error: BaseException) -> str:
    """What was noted on the way of an exception, as the file that was being read."""
    notes = [note.partition("\n")[0] for each in _chain(error) for note in getattr(each, "__notes__", ())]
    return f" ({'; '.join(dict.fromkeys(notes))})" if notes else ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, and those that it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _write_details(error: BaseException) -> Path:
    """Writes what a maintainer needs to a file that only this user can read.

    Raises:
        OSError: There is no room for it.
    """
    now = datetime.now(UTC)
    lines = "".join(TracebackException.from_exception(error).format()).splitlines()
    text = "\n".join(
        (
            f"{now:%Y-%m-%d %H:%M:%S} UTC",
            f"command: {shlex.join(sys.argv)}",
            f"versions: {', '.join(_versions())}",
            "",
            *(line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} …" for line in lines),
            "",
        )
    )
    path = Path(tempfile.gettempdir(), f"submit-error-{now:%Y%m%dT%H%M%SZ}.txt")
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # another command's
        path = path.with_stem(f"{path.stem}-{os.getpid()}")
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return path


def _versions() -> Iterator[str]:
    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            yield f"{package} not installed"
    if (torch := sys.modules.get("torch")) is not None:
        yield f"torch {getattr(torch, '__version__', 'broken')}"
    yield f"python {platform.python_version()}"
    yield platform.platform()


def _let_go() -> None:
    """Gives up what cannot be printed any more: Python would try again at its own end, and end with its own code."""
    for stream in filter(None, (sys.__stdout__, sys.__stderr__)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
