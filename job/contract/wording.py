"""How names and sizes are written in errors and tables."""

from collections.abc import Iterable, Sequence


def first_of(names: Sequence[str], most: int) -> str:
    """Names, of many the first and how many more there are: `a, b and 3 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural unless it is 1."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def dimensions(sizes: Iterable[object]) -> str:
    """Sizes along several axes: `64 x 64 x 8`."""
    return " x ".join(map(str, sizes))
