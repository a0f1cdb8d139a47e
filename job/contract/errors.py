"""The errors that an entry point turns into an exit code or a table; all others are bugs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self


class StudyError(Exception):
    """A study file, or a request about it, that cannot be carried out (exit code 64).

    It is no `ValueError`: nothing that looks for a damaged file may take one that cannot be read for one.
    """


class Damaged(StudyError):
    """A file is there, and is not what it should be; one that cannot be read is no such file."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong with a cohort's files, or that is odd and may be right."""

    file: str
    """Relative to the cohort's root; a pattern where a file is missing."""
    found: str
    expected: str
    remedy: str
    cause: str = ""
    """Problems of one cause are shown as one; empty: those that say the same of other files are."""

    def __str__(self) -> str:
        return f"{self.file}: found {self.found}; expected {self.expected}; {self.remedy}"


class TakenOver(StudyError):
    """Another worker has begun this fold since; it goes on there."""


class DataError(Exception):
    """Files or store contents that would stop or falsify a run (exit code 65)."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def of(cls, *, file: str, found: str, expected: str, remedy: str, cause: str = "") -> Self:
        """The error of a single problem."""
        return cls([Problem(file=file, found=found, expected=expected, remedy=remedy, cause=cause)])


@contextmanager
def collecting(problems: list[Problem]) -> Iterator[None]:
    """Adds the problems of a DataError to the list instead of raising it."""
    try:
        yield
    except DataError as error:
        problems.extend(error.problems)


class Stopped(Exception):
    """The worker was asked to stop and has saved its state (exit code 143)."""
