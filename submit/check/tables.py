"""A table as a value, which a terminal and a page show alike."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self

Kind = Literal["key", "words", "numbers"]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What stands in a table."""

    text: str
    number: float | None = None
    """By which it is sorted, where it is one."""
    marked: bool = False
    """Whether it is worth a look; the text has the mark."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table."""

    name: str
    kind: Kind
    """A key says what a row is about."""
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with what it needs to be read; keys come first."""

    title: str
    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, title: str, *columns: Column, notes: Iterable[str] = ()) -> Self:
        """A table of the columns that say anything."""
        some = tuple(column for column in columns if any(cell.text for cell in column.cells))
        return cls(title=title, columns=some, notes=tuple(note for note in notes if note))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def rows(self) -> tuple[tuple[Cell, ...], ...]:
        """The cells row by row."""
        return tuple(zip(*(column.cells for column in self.columns), strict=True))

    @property
    def keys(self) -> int:
        """Number of columns that say what a row is about."""
        return sum(column.kind == "key" for column in self.columns)


def column(name: str, kind: Kind, cells: Iterable[Cell | str | int]) -> Column:
    """A column of cells, texts or whole numbers."""
    return Column(name=name, kind=kind, cells=tuple(_cell(cell) for cell in cells))


def _cell(value: Cell | str | int) -> Cell:
    if isinstance(value, Cell):
        return value
    return Cell(text=value) if isinstance(value, str) else Cell(text=f"{value:,}", number=value)
