"""Every exam's value of an amount as a dot on a line, so that the odd ones are seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from submit.check.amounts import Amount, amount_text, middle

PLACES = 200
"""Along a line that dots are told apart by; of several at one place and height one is drawn."""
GOLDEN_RATIO = 0.618034
HEIGHTS = 7


@dataclass(frozen=True, kw_only=True)
class Dot:
    """An exam on a line."""

    exam: int
    x: float
    """From 0, the smallest value, to 1, the largest."""
    y: float
    """From 0 to 1, without a meaning: neighbours stand apart."""
    text: str
    marked: bool


@dataclass(frozen=True, kw_only=True)
class Strip:
    """The exams of a cohort along one amount; distances are of logarithms where all are above 0."""

    dots: tuple[Dot, ...]
    low: str
    typical: str
    high: str
    typical_x: float

    @property
    def marked(self) -> tuple[Dot, ...]:
        """The odd ones, from the smallest to the largest."""
        return tuple(sorted((dot for dot in self.dots if dot.marked), key=lambda dot: dot.x))


def strip_of(amount: Amount, names: Sequence[str]) -> Strip | None:
    """The strip of an amount; None where no exam has a value.

    Args:
        amount: The values.
        names: Of the exams.
    """
    some = [value for value in amount.values if value is not None]
    if not some:
        return None
    low, high, logarithmic = min(some), max(some), min(some) > 0

    def place(value: float) -> float:
        if low == high:
            return 0.5
        if logarithmic:
            return log(value / low) / log(high / low)
        return (value - low) / (high - low)

    dots = {}
    for exam, value in enumerate(amount.values):
        if value is not None:
            height = int(HEIGHTS * (exam * GOLDEN_RATIO % 1))
            dot = Dot(
                exam=exam,
                x=place(value),
                y=height / (HEIGHTS - 1),
                text=f"{names[exam]}: {amount_text(value, amount.unit)}",
                marked=amount.marks[exam],
            )
            dots[(exam,) if dot.marked else (round(dot.x * PLACES), height)] = dot
    typical = middle(some)
    assert typical is not None
    return Strip(
        dots=tuple(dots.values()),
        low=amount_text(low, amount.unit),
        typical=amount_text(typical, amount.unit),
        high=amount_text(high, amount.unit),
        typical_x=place(typical),
    )
