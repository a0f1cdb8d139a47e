"""Exams whose channels and labels do not go together as in the other exams: exchanged, flipped or another patient's.

A warning each, since an exam may be unusual. The limits were chosen so that fewer than 1 in 10 sound cohorts has one:
docs/cohort.md has them, what they were measured on, what is found and what is not.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import median

import numpy as np

from job.data.likeness import Likeness, pair_names

FEWEST = 5
"""Exams; in fewer, any may be the odd one."""
CUTOFF = 4.5
"""Robust SDs of the other exams' numbers in a large cohort, as `submit check` marks amounts by."""
SMALL_COHORT = 10.0
"""The cutoff of n exams is CUTOFF x (1 + SMALL_COHORT / n): the spread of a few exams is known badly."""
SD_PER_MAD = 1.4826
"""Of a normal distribution."""
MOST_SHARE = 0.2
"""Of the exams, and two: where more are alike odd they are a group of their own, such as those of another scanner."""
ONE_BODY = 0.8
"""Dice of two channels' bodies in the usual exam, from which they are meant to be one; maps may be of a part."""
LEAST_OVERLAP = 0.05
"""By which the overlap of two bodies must be less; two heads on one grid have 0.06 to 0.16 less than one."""
LEAST_CORRELATION = 0.5
"""By which a correlation must be another. Over real exams it varies by 0.4 with lesions, bias fields and scanners."""
LEAST_CONTRAST = 0.25
"""Of the other exams' contrast of the classes, below which labels show nothing, if the others have twice as much.
Labels that are flipped or another patient's have 0 to 0.35, sound exams 0.3 to 1.5."""
CLEAR_CONTRAST = 0.7
"""SDs in the usual exam, in some channel; a structure with less cannot be told from what is around it."""
MOST_SHOWN = 1.5
"""Of one class, and 0 is the least: none makes up for another, or spoils it."""
CORRELATION_UNIT, CONTRAST_UNIT = 0.25, 1.0
"""What counts as much as each other where numbers are held against exchanged ones: twice their usual SD."""
BETTER = 6.0
"""Squared units by which an exam must be more like the others with two channels or classes exchanged."""
LEFT_OVER = 0.25
"""Of the squared distance to the others, that may then be left."""


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """What may be wrong with an exam, in words."""

    channels: tuple[int, ...]
    """Whose files it may be, the likeliest first; none: the labels."""
    found: str
    expected: str
    guess: str


Key = tuple[str, int, int]
"""What a number is of: `r` and two channels, the lower first; or `c`, a class and a channel."""
Numbers = Mapping[Key, float]
Rename = Callable[[Key], Key]


def suspects(
    exams: Sequence[Likeness], channels: Sequence[str], classes: Sequence[str]
) -> list[Suspect | None]:
    """For each exam, what is unlike the other exams.

    Args:
        exams: Their numbers.
        channels: Names.
        classes: Names.
    """
    if len(exams) < FEWEST:
        return [None] * len(exams)
    found: list[Suspect | None] = [None] * len(exams)
    for each in (
        _exchanged(exams, channels, classes),
        _elsewhere(exams, channels),
        _nothing_labelled(exams),
    ):
        if sum(own is not None for own in each) <= max(MOST_SHARE * len(exams), 2):
            found = [earlier or own for earlier, own in zip(found, each, strict=True)]
    return found


def _exchanged(
    exams: Sequence[Likeness], channels: Sequence[str], classes: Sequence[str]
) -> list[Suspect | None]:
    """Two channels or classes of an exam that are like those of the other exams if they are exchanged."""
    exchanges: list[tuple[Rename, Suspect]] = []
    for one, other in combinations(range(len(channels)), 2):
        names = f"{channels[one]} and {channels[other]}"
        exchanges.append((_channels_exchanged(one, other), _as_exchanged(names, "channels", (one, other))))
    for one, other in combinations(range(len(classes)), 2):
        names = f"the classes {classes[one]} and {classes[other]}"
        exchanges.append(
            (_classes_exchanged(one, other), _as_exchanged(names, "labels, or another coding", ()))
        )
    numbers = [_numbers(exam, len(channels)) for exam in exams]
    usual = [_medians(numbers[:exam] + numbers[exam + 1 :]) for exam in range(len(exams))]
    found: list[Suspect | None] = []
    for own, others in zip(numbers, usual, strict=True):
        gains = [(_gain(own, others, rename), suspect) for rename, suspect in exchanges]
        best, suspect = max(gains, key=lambda gain: gain[0], default=(0.0, None))
        found.append(suspect if best >= BETTER else None)
    return found


def _as_exchanged(names: str, what: str, channels: tuple[int, ...]) -> Suspect:
    return Suspect(
        channels=channels,
        found=f"{names}, each of which looks as the other does in the other exams",
        expected="contrasts of the classes and correlations of the channels as in the other exams",
        guess=f"exchanged {what}?",
    )


def _channels_exchanged(one: int, other: int) -> Rename:
    swap = {one: other, other: one}

    def rename(key: Key) -> Key:
        kind, first, second = key
        if kind == "c":
            return (kind, first, swap.get(second, second))
        low, high = sorted((swap.get(first, first), swap.get(second, second)))
        return (kind, low, high)

    return rename


def _classes_exchanged(one: int, other: int) -> Rename:
    swap = {one: other, other: one}
    return lambda key: (key[0], swap.get(key[1], key[1]), key[2]) if key[0] == "c" else key


def _numbers(exam: Likeness, channels: int) -> dict[Key, float]:
    """The numbers of an exam that are defined, in units that count alike."""
    pairs = combinations(range(channels), 2)
    numbers: dict[Key, float] = {
        ("r", one, other): value / CORRELATION_UNIT
        for (one, other), value in zip(pairs, exam.correlations, strict=True)
        if value is not None
    }
    for label, contrasts in enumerate(exam.contrasts):
        for channel, value in enumerate(contrasts):
            if value is not None:
                numbers["c", label, channel] = value / CONTRAST_UNIT
    return numbers


def _medians(exams: Sequence[Numbers]) -> dict[Key, float]:
    keys = {key for exam in exams for key in exam}
    return {key: median(exam[key] for exam in exams if key in exam) for key in keys}


def _gain(own: Numbers, usual: Numbers, rename: Rename) -> float:
    """By how much an exam is more like the others if numbers are exchanged; 0 if it is still unlike them."""
    keys = [key for key in own if rename(key) != key and rename(key) in own and key in usual]
    as_it_is = sum((own[key] - usual[key]) ** 2 for key in keys)
    exchanged = sum((own[rename(key)] - usual[key]) ** 2 for key in keys)
    return as_it_is - exchanged if exchanged <= LEFT_OVER * as_it_is else 0.0


def _elsewhere(exams: Sequence[Likeness], channels: Sequence[str]) -> list[Suspect | None]:
    """A channel of an exam that does not lie where the others do, or goes with them in another way."""
    odd: list[dict[int, Suspect]] = [{} for _ in exams]
    for pair, (one, other) in enumerate(pair_names(channels)):
        overlaps = [exam.overlaps[pair] for exam in exams]
        known = [value for value in overlaps if value is not None]
        if not known or median(known) < ONE_BODY:
            continue  # one of them is a map of a part
        correlations = [exam.correlations[pair] for exam in exams]
        for exam in range(len(exams)):
            lies = _far(overlaps, exam, LEAST_OVERLAP, below=True)
            if lies or _far(correlations, exam, LEAST_CORRELATION):
                words = (
                    ("whose bodies overlap by", "(Dice)", overlaps)
                    if lies
                    else ("that correlate by", "", correlations)
                )
                odd[exam][pair] = _as_pair(f"{one} and {other}", exam, *words)
    return [_blamed(own, len(channels)) for own in odd]


def _as_pair(names: str, exam: int, verb: str, what: str, values: Sequence[float | None]) -> Suspect:
    others = [value for n, value in enumerate(values) if value is not None and n != exam]
    low, high = np.percentile(others, (10, 90)).tolist()
    return Suspect(
        channels=(),
        found=f"{names} {verb} {values[exam]:.2f} {what}".rstrip(),
        expected=f"{low:.2f} to {high:.2f}, as in the other exams",
        guess="exchanged channels, a flip, a file that is not registered, or another patient's?",
    )


def _blamed(odd: Mapping[int, Suspect], channels: int) -> Suspect | None:
    """The first of an exam's odd pairs that has the channel which is in most of them."""
    if not odd:
        return None
    pairs = list(combinations(range(channels), 2))
    counts = Counter(channel for pair in odd for channel in pairs[pair])
    worst = max(counts, key=lambda channel: counts[channel])
    first = next(pair for pair in odd if worst in pairs[pair])
    alone = counts[worst] > 1 or channels == 1
    return replace(odd[first], channels=(worst,) if alone else pairs[first])


def _nothing_labelled(exams: Sequence[Likeness]) -> list[Suspect | None]:
    """Exams whose labels are on nothing that looks as the classes do in the other exams."""
    shares = [
        _shown(exam, [*exams[:position], *exams[position + 1 :]]) for position, exam in enumerate(exams)
    ]
    found: list[Suspect | None] = []
    for exam, share in enumerate(shares):
        others = sorted(other for n, other in enumerate(shares) if other is not None and n != exam)
        enough = share is not None and len(others) >= FEWEST - 1
        # The least but one, of a large cohort the lowest tenth: another exam may be as wrong.
        limit = min(LEAST_CONTRAST, others[max(len(others) // 10, 1)] / 2) if enough else 0.0
        found.append(_as_labels(share) if share is not None and share < limit else None)
    return found


def _as_labels(share: float) -> Suspect:
    return Suspect(
        channels=(),
        found=f"labels with {share:.0%} of the contrast that the classes have in the other exams",
        expected="classes that are as bright or as dark, each in its channels",
        guess="flipped labels, or another exam's?",
    )


def _shown(exam: Likeness, others: Sequence[Likeness]) -> float | None:
    """How much of the classes' usual contrasts an exam has: 1 where they are the same, about 0 anywhere else.

    The projection of a class's contrasts onto the medians of the other exams', averaged over the classes that stand
    out at all.
    """
    shares = []
    for label, own in enumerate(exam.contrasts):
        usual = [
            _median_of(other.contrasts[label][channel] for other in others) for channel in range(len(own))
        ]
        both = [(x, y) for x, y in zip(own, usual, strict=True) if x is not None and y is not None]
        if both and max(abs(y) for _, y in both) >= CLEAR_CONTRAST:
            shares.append(sum(x * y for x, y in both) / sum(y * y for _, y in both))
    return sum(min(max(share, 0.0), MOST_SHOWN) for share in shares) / len(shares) if shares else None


def _median_of(values: Iterable[float | None]) -> float | None:
    """Of the values that there are, if they are of enough exams."""
    known = [value for value in values if value is not None]
    return median(known) if len(known) >= FEWEST - 1 else None


def _far(values: Sequence[float | None], exam: int, least: float, *, below: bool = False) -> bool:
    """Whether an exam's number is further from the other exams' than chance and the least have it."""
    own, others = values[exam], [v for n, v in enumerate(values) if v is not None and n != exam]
    if own is None or len(others) < FEWEST - 1:
        return False
    middle = median(others)
    sd = SD_PER_MAD * median(abs(value - middle) for value in others)
    limit = max(CUTOFF * (1 + SMALL_COHORT / (len(others) + 1)) * sd, least)
    return middle - own > limit if below else abs(own - middle) > limit
