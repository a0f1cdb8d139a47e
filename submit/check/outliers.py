"""Which exams are worth a look: the one rule by which `submit check` marks a value."""

from collections import Counter
from collections.abc import Sequence
from math import log
from statistics import median

MARK = "*"
FEWEST = 5
"""Exams that have a value; in fewer, any may be the odd one."""
CUTOFF = 4.5
"""Robust SDs in a large cohort. Of normally distributed values, 1 amount in 100 has a mark by chance in a cohort of 5
exams, and 1 in 1,000 in one of 36 (simulated)."""
SMALL_COHORT = 10.0
"""The cutoff of n exams is CUTOFF x (1 + SMALL_COHORT / n): the spread of a few exams is known badly."""
LEAST = 0.2
"""Of the median, or of the unit: nearer values are never marked, however alike the others are."""
MOST_SHARE = 0.2
"""Of the exams; where more stand out they are a group of their own, which the tables show as such."""
RARE_SHARE = 0.05
"""Of the exams; one exam is always rare."""
SD_PER_MAD = 1.4826
"""Of a normal distribution."""

RULE = (
    f"{MARK} far from the other exams: by more than {CUTOFF:g} robust SDs of the cohort (of a small one more) and a "
    "fifth of the median; or what hardly any exam has. Look at the exam: it may be right."
)
"""The rule in a footnote's words."""


def stands_out(values: Sequence[float | None], *, unit: float | None = None) -> tuple[bool, ...]:
    """For each exam, whether its value is marked: it is far from the median, measured by the others' distances to it.

    Robust SD: the median distance to the median, x 1.4826 (Iglewicz and Hoaglin, How to Detect and Handle Outliers,
    1993). Amounts are compared by their logarithms, so that half as much is as far as twice as much. An amount of 0
    among others has no logarithm; it is marked where it is rare, as for `rare`.

    Args:
        values: By exam; None where there is none.
        unit: Of values that can be negative, whose differences it measures; None: amounts, of 0 and above.
    """
    some = [value for value in values if value is not None and (unit is not None or value > 0)]
    marks = [False] * len(values)
    if unit is None:
        absent = rare([None if value is None else value == 0 for value in values])
        marks = [value == 0 and odd for value, odd in zip(values, absent, strict=True)]
    if len(some) < FEWEST:
        return tuple(marks)
    scaled = [log(value) for value in some] if unit is None else some
    middle = median(scaled)
    sd = SD_PER_MAD * median(abs(value - middle) for value in scaled)
    least = log(1 + LEAST) if unit is None else LEAST * unit
    limit = max(CUTOFF * (1 + SMALL_COHORT / len(some)) * sd, least)

    def far(value: float | None) -> bool:
        if value is None or (unit is None and value <= 0):
            return False
        return abs((log(value) if unit is None else value) - middle) > limit

    distant = [far(value) for value in values]
    if not _few(distant, len(some)):
        return tuple(marks)
    return tuple(zero or apart for zero, apart in zip(marks, distant, strict=True))


def rare(kinds: Sequence[object]) -> tuple[bool, ...]:
    """For each exam, whether hardly any exam has what it has: one exam, or one in twenty; never of fewer than 5.

    Args:
        kinds: By exam; None where there is none.
    """
    counts = Counter(kind for kind in kinds if kind is not None)
    most = max(RARE_SHARE * counts.total(), 1)
    odd = [counts.total() >= FEWEST and 0 < counts[kind] <= most for kind in kinds]
    return tuple(odd) if _few(odd, counts.total()) else (False,) * len(kinds)


def _few(marks: Sequence[bool], exams: int) -> bool:
    return sum(marks) <= max(MOST_SHARE * exams, 1)
