"""Problems as a user reads them: one for each cause, whole, in any terminal."""

import io
import re

from rich.console import Console

from job.contract.errors import DataError, Problem
from submit.problems import by_cause, show_problems, show_warnings


def problem(file: str, found: str = "x", cause: str = "", expected: str = "y", remedy: str = "z") -> Problem:
    return Problem(file=file, found=found, expected=expected, remedy=remedy, cause=cause)


def shown(
    problems: list[Problem], *, terminal: bool = False, width: int = 200, warnings: bool = False
) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=width, color_system=None)
    if warnings:
        show_warnings(problems, console)
    else:
        show_problems(DataError(problems), console)
    return out.getvalue()


def test_problems_of_one_cause_are_one_with_the_files_and_what_was_found() -> None:
    problems = [problem(f"p{n}", f"{n} voxels", "cause") for n in range(1, 7)]
    (one,) = by_cause(problems)
    assert one.file == "p1, p2, p3, p4 and 2 more"
    assert one.found == "1 voxels; 2 voxels; 3 voxels; and 3 others"
    assert (one.expected, one.remedy, one.cause) == ("y", "z", "cause")


def test_problems_without_a_cause_are_one_if_they_say_the_same() -> None:
    problems = [problem("a"), problem("b", "other"), problem("c"), problem("a")]
    assert [(one.file, one.found) for one in by_cause(problems)] == [("a, c", "x"), ("b", "other")]
    assert by_cause([]) == []


def test_a_file_or_a_pipe_gets_a_list() -> None:
    text = shown([problem("p1", cause="c"), problem("p2", cause="c"), problem("p3", "other")])
    assert text.splitlines() == [
        "2 problems in 3 places:",
        *["p1, p2", "    found:    x", "    expected: y", "    remedy:   z"],
        *["p3", "    found:    other", "    expected: y", "    remedy:   z"],
    ]
    assert shown([problem("p1")], terminal=True, width=80).startswith("1 problem:\np1\n")
    assert shown([problem("p1")], warnings=True).startswith("1 warning:\nwarning: p1\n")
    assert shown([], warnings=True) == ""


def test_a_wide_terminal_gets_a_table_that_breaks_no_name_and_takes_nothing_for_markup() -> None:
    name = "patient[bold]/" + 40 * "x" + ".nii.gz"
    text = shown([problem(name, "[red]3[/red] voxels"), problem("q", "1")], terminal=True, width=200)
    assert name in text
    assert "[red]3[/red] voxels" in text


def test_what_a_terminal_would_obey_is_shown_as_text() -> None:
    """A file's name may hold anything but a slash."""
    odd = [problem("p\x1b[2J\x07/t1\n.nii", "bytes p\udce4 and \u202e")]
    for text in (shown(odd), shown(odd, terminal=True), shown(odd, warnings=True)):
        assert re.search(r"[\x00-\x09\x0b-\x1f\u202e\ud800-\udfff]", text) is None
        assert r"p\x1b[2J\x07/t1\n.nii" in text
        assert r"bytes p\xe4 and \u202e" in text
