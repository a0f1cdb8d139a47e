"""Problems and warnings about a cohort, as a user reads them: one for each cause, with the files that it is in."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from job.contract.errors import DataError, Problem
from job.contract.wording import first_of
from job.data.patterns import printable
from submit.wording import counted

TABLE_COLUMNS = 110
"""Of a terminal; less breaks four columns into too many lines."""
FILES_SHOWN = 4
"""Of one cause."""
FOUND_SHOWN = 3
"""What was found in files of one cause, where it differs."""


def show_problems(error: DataError, console: Console) -> None:
    """Every problem, the file first: a table where there is a terminal wide enough for it, else a list."""
    causes = by_cause(error.problems)
    files = f" in {len(error.problems)} places" if len(error.problems) > len(causes) else ""
    _show(causes, f"{counted(len(causes), 'problem')}{files}", "", console)


def show_warnings(warnings: Sequence[Problem], console: Console) -> None:
    """What is odd and may be right, in the same form; nothing where there is nothing."""
    if warnings:
        causes = by_cause(warnings)
        _show(causes, counted(len(causes), "warning"), "warning: ", console)


def by_cause(problems: Sequence[Problem]) -> list[Problem]:
    """Problems of one cause as one, in the order in which they come."""
    groups: dict[str, list[Problem]] = {}
    for problem in problems:
        cause = problem.cause or f"{problem.found}\n{problem.expected}\n{problem.remedy}"
        groups.setdefault(cause, []).append(problem)
    return [_merged(group) for group in groups.values()]


def _merged(group: Sequence[Problem]) -> Problem:
    first = group[0]
    files = list(dict.fromkeys(problem.file for problem in group))
    return Problem(
        file=printable(first_of(files, FILES_SHOWN)),
        found=_either([problem.found for problem in group]),
        expected=_either([problem.expected for problem in group]),
        remedy=_either([problem.remedy for problem in group]),
        cause=first.cause,
    )


def _either(texts: Sequence[str]) -> str:
    """Texts that differ, a few of them."""
    distinct = list(dict.fromkeys(texts))
    shown = printable("; ".join(distinct[:FOUND_SHOWN]))
    return shown + (f"; and {len(distinct) - FOUND_SHOWN} others" if len(distinct) > FOUND_SHOWN else "")


def _show(problems: Sequence[Problem], title: str, prefix: str, console: Console) -> None:
    if not console.is_terminal or console.width < TABLE_COLUMNS:
        print(f"{title}:", file=console.file)
        for problem in problems:
            print(
                f"{prefix}{problem.file}\n    found:    {problem.found}\n    expected: {problem.expected}\n"
                f"    remedy:   {problem.remedy}",
                file=console.file,
            )
        return
    table = Table(title=title, title_justify="left", show_lines=True)
    longest = max(len(problem.file) for problem in problems)
    # A name that is broken in the middle cannot be copied.
    table.add_column("file", overflow="fold", min_width=min(longest, console.width // 3))
    for column in ("found", "expected", "remedy"):
        table.add_column(column, overflow="fold")
    for problem in problems:
        table.add_row(prefix + problem.file, problem.found, problem.expected, problem.remedy)
    console.print(table, markup=False)
