"""Sets of fold numbers as short text: `0-7,12`."""

import re
from collections.abc import Iterable


def parse_folds(text: str, *, size: int) -> tuple[int, ...]:
    """The fold numbers of a text such as `0-7,12`, ascending, each once.

    Args:
        text: Numbers and ranges.
        size: Of the grid.

    Raises:
        ValueError: The text is not of this form, or names a fold outside the grid.
    """
    folds: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if match is None:
            raise ValueError(f"folds {text!r}: {part!r} is neither a number nor a range; write e.g. 0-7,12")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"folds {text!r}: the range {part.strip()} runs backwards; write {last}-{first}")
        if last >= size:
            raise ValueError(f"folds {text!r}: fold {last} is outside 0..{size - 1}")
        folds.update(range(first, last + 1))
    return tuple(sorted(folds))


def fold_at(text: str, position: int, *, size: int) -> int:
    """The fold at a position of a text such as `0-7,12`, counted from 0: the work of an array job's child.

    Raises:
        ValueError: As for `parse_folds`; or the text names fewer folds.
    """
    folds = parse_folds(text, size=size)
    if position >= len(folds):
        raise ValueError(f"folds {text!r} are {len(folds)}; there is none at position {position}")
    return folds[position]


def format_folds(folds: Iterable[int]) -> str:
    """The shortest text of fold numbers that `parse_folds` reads back; empty for none."""
    runs: list[list[int]] = []
    for fold in sorted(set(folds)):
        if runs and fold == runs[-1][1] + 1:
            runs[-1][1] = fold
        else:
            runs.append([fold, fold])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
