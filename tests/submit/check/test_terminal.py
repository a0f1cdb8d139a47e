from io import StringIO

import pytest
from rich.console import Console

from submit.check.tables import Cell, Table, column
from submit.check.terminal import fitting, plain_lines, show_table


@pytest.fixture
def table():
    """A key, a column of words and three of numbers."""
    return Table.of(
        "Exams",
        column("patient", "key", ["p1", "患者二"]),
        column("axes", "words", ["LPS", "a long word"]),
        column("nothing", "numbers", ["", ""]),
        column("ml", "numbers", [1234, 5]),
        column("t1", "numbers", [Cell(text="300*", number=300, marked=True), "[bold]"]),
        notes=("A note.", ""),
    )


def test_plain_text_is_aligned_also_under_wide_letters_and_leaves_out_what_says_nothing(table):
    assert list(plain_lines(table)) == [
        "Exams:",
        "  patient  axes            ml      t1",
        "  p1       LPS          1,234    300*",
        "  患者二   a long word      5  [bold]",
        "  A note.",
    ]


def test_where_there_is_no_terminal_nothing_is_broken_or_coloured(table):
    file = StringIO()
    show_table(table, Console(file=file, width=20))
    assert file.getvalue() == "\n".join([*plain_lines(table), "", ""])


def test_a_narrow_terminal_gets_parts_that_each_say_whose_row_it_is(table):
    # With gaps of 2: patient 9, axes 13, ml 7, t1 8.
    assert [[each.name for each in part] for part in fitting(table, 37)] == [["patient", "axes", "ml", "t1"]]
    assert [[each.name for each in part] for part in fitting(table, 36)] == [
        ["patient", "axes", "ml"],
        ["patient", "t1"],
    ]
    assert [[each.name for each in part] for part in fitting(table, 5)] == [
        ["patient", "axes"],
        ["patient", "ml"],
        ["patient", "t1"],
    ]


def test_a_terminal_shows_every_cell_and_takes_brackets_as_they_are(table):
    file = StringIO()
    show_table(table, Console(file=file, width=40, force_terminal=True, color_system=None))
    shown = file.getvalue()
    for text in ("Exams", "p1", "患者二", "a long word", "1,234", "300*", "[bold]", "A note."):
        assert text in shown
    assert max(map(len, shown.splitlines())) <= 40
