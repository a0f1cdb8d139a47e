"""Names that may be exams of one person: the words that say so, and the rule for names without such a word.

A visit that is taken for a patient of its own is trained on while another visit of the same person is tested.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from job.data.patterns import folded

_THERAPY = r"(?:op\w*|[a-z]*rt|tx|treat\w*|chemo\w*|surg\w*|therapy|nac)"
_WORDS = (
    r"ses(?:sion)?[-_ ]?[a-z0-9]+|visite?[-_ ]?[a-z0-9]*|time(?:point)?[-_ ]?\d+"
    r"|(?:scan|exam|day|week|month|year)[-_ ]?(?:\d+(?:-\d+)?|[a-d])"
    r"|\d{1,3}(?:days?|wks?|weeks?|mo|mths?|months?|y|yrs?)"
    rf"|(?:pre|mid|post|intra|peri)(?:-?{_THERAPY})?\d{{0,2}}|baseline|bl|follow[-_ ]?up[-_ ]?\d*|fu[-_ ]?\d*"
    r"|screening|initial|init|first|second|third|final|last|before|after|early|late"
    r"|nadir|recurrence|relapse|progression"
)
"""Whole parts of a name that say which exam of a patient it is."""
_SHORT = r"v\d{1,2}|tp[-_]?\d{1,2}|m\d{2}|mr\d{1,2}"
"""Parts that say so where all names have one."""
_DATE = r"(?:19|20)\d{2}[-._]?[01]\d[-._]?[0-3]\d"
VISIT = re.compile(rf"(?:{_WORDS}|{_SHORT}|{_DATE})", re.IGNORECASE)
"""A name of an exam that says so."""
ENDS_WITH_VISIT = re.compile(
    rf"(?P<patient>.*[^_\-. ])(?P<between>[_\-. ]+)(?P<exam>{VISIT.pattern})", re.IGNORECASE
)
"""A name of a patient's exam: the patient, then what says which exam it is."""
BRATS_2023 = re.compile(r"(?P<patient>BraTS-[A-Za-z]+-\d{5})(?P<between>-)(?P<exam>\d{3})", re.IGNORECASE)
"""The challenges' names of exams since 2023: the last number is the time point."""
_SITE = (
    r"(?:site|cent(?:er|re)|hospital|clinic|scanner|vendor|batch|group|cohort|institution)s?[-_ ]?\w{0,12}"
)
_SPLIT = (
    r"(?:part|arm|set|fold)s?[-_ ]?(?:\d{1,3}|[a-z])?|train(?:ing)?|val(?:id(?:ation)?)?|test(?:ing)?|[hl]gg"
)
GROUP = re.compile(
    rf"{_SITE}|{_SPLIT}|(?:train|val|data)[a-z]*[-_ ]?\w{{0,4}}|nifti|raw|derivatives", re.IGNORECASE
)
"""A name of a part of the cohort, a site or a split, rather than of a patient."""
MOST_VISITS = 6
"""Of a patient: names of which more share a stem are counted through, as `site1-01` to `site1-20`."""
LARGEST_VISIT = 99
"""Number of an exam; a larger one is a patient's, as in `002_S_0413`."""
LONGEST_CODE = 5
"""Letters of a site's code in capitals, as in `CHUM-1`."""

_PART = re.compile(rf"[_\-. ](?:{_WORDS})(?=$|[_\-. ])", re.IGNORECASE)
_SWALLOWED = re.compile(
    r"[_\-. ](?:ses|session|visit|run)[-_]?\d+|(?<=\d)[_\-. ]v\d{1,2}(?=$|[_\-. ])", re.IGNORECASE
)
"""A part that leaves no doubt, also where every patient has one exam."""
_DATED = re.compile(rf"(?P<stem>.*[^_\-. (])[_\-. (]+(?P<end>{_DATE})\)?")
_APART = re.compile(r"(?P<stem>.*[^_\-. (])[_\-. (]+(?P<end>[^_\-. ()]+)\)?")
"""A name whose end is set apart: `anna_1`, `P01-before`, `Patient 1 (2)`."""
_JOINED = re.compile(
    r"(?P<stem>.*\d)(?P<end>[a-z]{1,3}\d{1,3}|[a-z])|(?P<word>.*[^\W\d_])(?P<number>\d+)", re.IGNORECASE
)
"""A name whose end is not set apart: `anna1`, `P01b`, `P01v2`."""
_NUMBER = re.compile(r"(?P<word>[a-z]{0,4})[-_]?(?P<number>\d{1,4})", re.IGNORECASE)
_TIME = re.compile(rf"{_DATE}|(?:19|20)\d{{2}}|d\d{{3,4}}", re.IGNORECASE)
_PEOPLE = re.compile(
    r"p|pts?|pat(?:ient)?s?|sub(?:j(?:ect)?)?s?|cases?|con(?:trol)?s?|ctrl|healthy|hc|volunteers?|probands?|id|nr|no|s|c|n"
)
"""Words that count people."""
_COUNTED = re.compile(
    rf"(?:.*[_\-. ])?(?:{_SITE}|{_SPLIT}|{_PEOPLE.pattern}|(?:19|20)\d{{2}})", re.IGNORECASE
)
"""A stem behind which people are counted: `site1`, `control`, `2019`."""


@dataclass(frozen=True, kw_only=True)
class MaybeVisits:
    """Patients that may be exams."""

    groups: tuple[tuple[str, ...], ...] = ()
    """Of one person each."""
    alone: tuple[str, ...] = ()
    """Names of an exam of which the person has no other."""


def maybe_visits(patients: Collection[str]) -> MaybeVisits:
    """Patients whose names look like exams of one person."""
    names = sorted(set(patients))
    said = [name for name in names if _PART.search(name)]
    groups = _by_stem(names, lambda name: _stem_before(_PART, name))
    if len(groups) == 1 and len(next(iter(groups.values()))) > MOST_VISITS:
        groups, said = {}, []  # one stem and many of them: a series
    several = [tuple(own) for own in groups.values() if len(own) > 1]
    several += _alike([name for name in names if name not in said], _apart)
    grouped = {name for own in several for name in own}
    several += _alike([name for name in names if name not in said and name not in grouped], _joined)
    grouped = {name for own in several for name in own}
    telling = _PART if several else _SWALLOWED
    alone = [name for name in names if telling.search(name) and name not in grouped]
    return MaybeVisits(groups=tuple(several), alone=tuple(alone))


def alike_but_for_zeros(patients: Collection[str]) -> list[tuple[str, ...]]:
    """Patients whose names are one but for zeros before a number: `P1` and `P01`."""
    groups = defaultdict(list)
    for name in sorted(set(patients)):
        groups[_plain(name)].append(name)
    return [tuple(own) for own in groups.values() if len(own) > 1]


def begin_others(patients: Collection[str]) -> list[tuple[str, str]]:
    """Names that are the beginning of another's, up to what sets its parts apart: `HN` of `HN_003`."""
    names = {_plain(name): name for name in sorted(set(patients), reverse=True)}
    begun: dict[str, str] = {}
    for plain, name in names.items():
        for part in re.finditer(r"[_\-. ]+", plain):
            if (short := names.get(plain[: part.start()])) is not None:
                begun[short] = name
    return sorted(begun.items())


def _plain(name: str) -> str:
    """A name as stems are compared: without case, and without zeros before numbers."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", folded(name))


def _stem_before(part: re.Pattern[str], name: str) -> str | None:
    match = part.search(name)
    return None if match is None else name[: match.start()]


def _by_stem(names: Sequence[str], stem_of: Callable[[str], str | None]) -> dict[str, list[str]]:
    """Names by their stems; a name without one may be another's stem."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        if (stem := stem_of(name)) is not None:
            groups[_plain(stem)].append(name)
    for name in names:
        if stem_of(name) is None and _plain(name) in groups:
            groups[_plain(name)].insert(0, name)
    return groups


# --- names without a word

Parts = tuple[str, str]
"""A name's stem, and its end in lower case."""


def _apart(name: str) -> Parts | None:
    """What is before and behind the last separator."""
    match = _DATED.fullmatch(name) or _APART.fullmatch(name)
    return None if match is None else (match["stem"], match["end"].lower())


def _joined(name: str) -> Parts | None:
    """What is before and behind the last change between letters and digits."""
    match = _JOINED.fullmatch(name)
    return (
        None if match is None else (match["stem"] or match["word"], (match["end"] or match["number"]).lower())
    )


def _alike(names: Sequence[str], split: Callable[[str], Parts | None]) -> list[tuple[str, ...]]:
    """Names that differ by their ends only, where these cannot be what counts the patients."""
    parts = {name: split(name) or (name, "") for name in names}
    groups = _by_stem(names, lambda name: parts[name][0] if parts[name][1] else None)
    people = len({_plain(stem) for stem, _ in parts.values()})
    counted = sum(len(own) for own in groups.values() if len(own) > MOST_VISITS)
    if people < 2 or counted > sum(map(len, groups.values())) / 2:
        return []
    stems = Counter(end for _, end in {(_plain(stem), end) for stem, end in parts.values()})
    several = [own for own in groups.values() if 1 < len(own) <= MOST_VISITS]
    few = max(map(len, several), default=0) <= people
    return [
        tuple(own)
        for own in several
        if _is_one_person(
            parts[own[-1]][0],
            ends := {parts[name][1] for name in own},
            recurs=any(stems[end] > 1 for end in ends - {""}),
            few=few,
        )
    ]


def _is_one_person(stem: str, ends: set[str], *, recurs: bool, few: bool) -> bool:
    """Whether a stem may be a person's name, and its ends what tells the exams apart.

    Args:
        stem: Of a group of names.
        ends: Their ends; one may be empty.
        recurs: Whether other stems have one of these ends too.
        few: Whether there are no more names with a stem than there are stems.
    """
    if _COUNTED.fullmatch(stem):
        return False
    told = ends - {""}
    if all(_TIME.fullmatch(end) for end in told):
        return True
    has_number = any(letter.isdecimal() for letter in stem)
    numbers = [_NUMBER.fullmatch(end) for end in told]
    if not all(numbers) and not all(len(end) == 1 for end in told):
        return has_number and recurs and not any(_COUNTED.fullmatch(end) for end in told)
    if not recurs and not _is_run(told, first_is_missing="" in ends):
        return False
    if any(
        match and (int(match["number"]) > LARGEST_VISIT or _PEOPLE.fullmatch(match["word"]))
        for match in numbers
    ):
        return False
    if has_number:  # `01-001` is the first patient of a site, `001-01` the first exam of a patient
        last = re.split(r"\D", stem)[-1]
        return not stem.isdecimal() or all(len(end) <= len(last) for end in told)
    padded = any(match and match["number"].startswith("0") for match in numbers)
    code = stem.isupper() and len(stem) <= LONGEST_CODE
    return recurs and few and not padded and not code and sum(map(str.isalpha, stem)) > 2


def _is_run(ends: Collection[str], *, first_is_missing: bool) -> bool:
    """Whether ends are counted through from the first: 1, 2, 3 or a, b."""
    numbers = sorted(
        int(match["number"]) if (match := _NUMBER.fullmatch(end)) else ord(end) - ord("a") + 1 for end in ends
    )
    firsts = (0, 1, 2) if first_is_missing else (0, 1)
    return numbers[0] in firsts and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
