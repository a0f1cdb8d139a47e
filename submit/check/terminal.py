"""Tables on a terminal; plain aligned text where there is none, as in a pipe or a log."""

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from submit.check.tables import Column, Table

GAP = 2
"""Between two columns."""
WIDEST = 40
"""Of a column of words on a terminal; longer ones are folded."""


def show_table(table: Table, console: Console) -> None:
    """Prints a table; one that is wider than the terminal in parts, each with the columns that say what a row is."""
    if not console.is_terminal:
        print("\n".join(plain_lines(table)), end="\n\n", file=console.file)
        return
    for number, columns in enumerate(fitting(table, console.width)):
        console.print(_drawn(columns, table.title if number == 0 else f"{table.title}, part {number + 1}"))
    for note in table.notes:
        console.print(Text(note, style="dim"))
    console.print()


def plain_lines(table: Table) -> Iterator[str]:
    """Title, head and rows with columns under each other, then the notes; no line is broken."""
    yield f"{table.title}:"
    padded = []
    for column in table.columns:
        texts, width = [column.name, *(cell.text for cell in column.cells)], _width(column)
        padded.append([_padded(text, width, right=column.kind == "numbers") for text in texts])
    for row in zip(*padded, strict=True):
        yield ("  " + (" " * GAP).join(row)).rstrip()
    for note in table.notes:
        yield f"  {note}"


def fitting(table: Table, width: int) -> Iterator[tuple[Column, ...]]:
    """The table's columns in parts that fit into a width, each beginning with the keys."""
    keys, others = table.columns[: table.keys], table.columns[table.keys :]
    part = keys
    for column in others:
        if len(part) > len(keys) and sum(_folded_width(each) + GAP for each in (*part, column)) > width:
            yield part
            part = keys
        part = (*part, column)
    yield part


def _width(column: Column) -> int:
    return max(cell_len(text) for text in (column.name, *(cell.text for cell in column.cells)))


def _folded_width(column: Column) -> int:
    return min(_width(column), WIDEST) if column.kind == "words" else _width(column)


def _padded(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - cell_len(text))
    return space + text if right else text + space


def _drawn(columns: Sequence[Column], title: str) -> RichTable:
    drawn = RichTable(
        title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for column in columns:
        numbers = column.kind == "numbers"
        drawn.add_column(
            Text(column.name), justify="right" if numbers else "left", overflow="fold", no_wrap=numbers
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        drawn.add_row(*(Text(cell.text, style="bold yellow" if cell.marked else "") for cell in row))
    return drawn
