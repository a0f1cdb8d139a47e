"""Which exams are worth a look: the one rule by which `submit check` marks a value."""

from collections import Counter
from collections.abc import Sequence
from math import inf, log
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
    1993). Amounts are compared by their logarithms, so that half as much is as far as twice as much, and 0 is far
    from any other. Where more than a fifth of the exams are far they are a group of their own, and none is marked.

    Args:
        values: By exam; None where there is none.
        unit: Of values that can be negative, whose differences it measures; None: amounts, of 0 and above.
    """
    scaled = [None if value is None else value if unit is not None else _log(value) for value in values]
    some = [value for value in scaled if value is not None]
    middle = median(some) if len(some) >= FEWEST else -inf
    if middle == -inf:  # too few, or most are 0
        return (False,) * len(values)
    sd = SD_PER_MAD * median(abs(value - middle) for value in some)
    least = log(1 + LEAST) if unit is None else LEAST * unit
    limit = max(CUTOFF * (1 + SMALL_COHORT / len(some)) * sd, least)
    return _if_few([value is not None and abs(value - middle) > limit for value in scaled], len(some))


def rare(kinds: Sequence[object]) -> tuple[bool, ...]:
    """For each exam, whether hardly any exam has what it has: one exam, or one in twenty; never of fewer than 5.

    Args:
        kinds: By exam; None where there is none.
    """
    counts = Counter(kind for kind in kinds if kind is not None)
    exams = counts.total()
    most = max(RARE_SHARE * exams, 1)
    return _if_few([exams >= FEWEST and 0 < counts[kind] <= most for kind in kinds], exams)


def _if_few(marks: Sequence[bool], exams: int) -> tuple[bool, ...]:
    few = sum(marks) <= max(MOST_SHARE * exams, 1)
    return tuple(few and mark for mark in marks)


def _log(amount: float) -> float:
    return log(amount) if amount > 0 else -inf
