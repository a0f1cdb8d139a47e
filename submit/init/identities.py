"""Which parts of the files' names may be the patient, and which the exam: candidates, the plainest first.

A candidate places some of the files; `reading` looks for its patients and exams in the names of all others. So
`images/anna/t1.nii.gz` finds the patient of `labels/anna.nii.gz`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from job.data.visits import BRATS_2023, ENDS_WITH_VISIT, VISIT
from submit.init.files import Image
from submit.init.words import WORD, is_channel_word

Unit = tuple[str, str]
"""A patient and an exam; the exam is empty where every patient has one."""
MOST_WORDS = 8
"""Of a file's name, from either end, that are tried as the name of a patient."""
MOST_TREES = 12
"""Where there are more folders side by side, one is a patient's rather than a tree with a part of all."""
MOST_FILES = 200
"""Of an exam."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The patient and exam of some files."""

    units: Mapping[str, Unit]
    """By the file's key."""
    says_visits: bool = False
    """Whether the names themselves say that they are exams of a patient: `ses-1`, `visit2`."""


def candidates(images: Sequence[Image]) -> Iterator[Candidate]:
    """Ways to read patients and exams off the names; each set of names once."""
    seen: set[frozenset[Unit]] = set()
    for placed in _placements(images):
        for candidate in (_split_visits(placed), Candidate(units=placed, says_visits=_all_visits(placed))):
            if candidate is None:
                continue
            units = frozenset(candidate.units.values())
            # Every exam has a channel and labels, so at least two files.
            if 2 * len(units) <= len(images) <= MOST_FILES * len(units) and units not in seen:
                seen.add(units)
                yield candidate


def _placements(images: Sequence[Image]) -> Iterator[dict[str, Unit]]:
    groups = list(_groups(images))
    for group in groups:
        yield from _by_folders(group)
    for group in groups:
        yield from _by_names(group)
    for group in groups:
        yield from _by_folder_and_name(group)


def _groups(images: Sequence[Image]) -> Iterator[list[Image]]:
    """Files of one depth, all and by folder: trees of one cohort are built differently."""
    by_depth: dict[int, list[Image]] = defaultdict(list)
    for image in images:
        by_depth[len(image.components)].append(image)
    groups = sorted(by_depth.values(), key=len, reverse=True)
    yield from groups
    for group in groups:
        for position in range(len(group[0].components) - 1):
            by_folder: dict[tuple[str, ...], list[Image]] = defaultdict(list)
            for image in group:
                by_folder[image.components[: position + 1]].append(image)
            if 1 < len(by_folder) <= MOST_TREES:
                yield from by_folder.values()


def _by_folders(group: Sequence[Image]) -> Iterator[dict[str, Unit]]:
    """A folder is the patient's; or one is the patient's, and one below it the exam's."""
    depth = len(group[0].components) - 1
    for patient in range(depth):
        for exam in range(patient + 1, depth):
            units = {image.key: (image.components[patient], image.components[exam]) for image in group}
            if len({unit[1] for unit in units.values()}) > 1 or _all_visits(units):
                yield units
        yield {image.key: (image.components[patient], "") for image in group}


def _all_visits(units: Mapping[str, Unit]) -> bool:
    return all(VISIT.fullmatch(exam) for _, exam in units.values())


def _by_names(group: Sequence[Image]) -> Iterator[dict[str, Unit]]:
    """A part of the file's name is the patient's."""
    for part in _parts([image.stem for image in group]):
        yield {image.key: (text, "") for image in group if (text := part(image.stem))}


def _by_folder_and_name(group: Sequence[Image]) -> Iterator[dict[str, Unit]]:
    """A folder is the patient's, and a part of the file's name the exam's: `anna/2019_t1.nii.gz`."""
    for patient in range(len(group[0].components) - 1):
        names = {image.key: image.components[patient] for image in group}
        rests = {
            image.key: re.sub(rf"{re.escape(names[image.key])}[_\-. ]*", "", image.stem) for image in group
        }
        for part in _parts(list(rests.values())):
            yield {key: (names[key], exam) for key, rest in rests.items() if (exam := part(rest))}


def _parts(stems: Sequence[str]) -> Iterator[Callable[[str], str]]:
    """Ways to take a part of a name: words from its beginning, its end, its middle."""
    yield lambda stem: stem
    for count in range(1, MOST_WORDS):
        yield lambda stem, n=count: _words(stem, 0, n)  # type: ignore[misc]
    for count in range(1, 4):
        yield lambda stem, n=count: _words(stem, 0, -n)  # type: ignore[misc]
    for skipped in range(1, 4):
        yield lambda stem, n=skipped: _words(stem, n, None)  # type: ignore[misc]
        for count in range(1, MOST_WORDS - skipped):
            yield lambda stem, n=skipped, m=count: _words(stem, n, n + m)  # type: ignore[misc]
    frequent = _frequent_ends(stems)
    yield lambda stem: _without_end(stem, frequent)


def _words(stem: str, first: int, last: int | None) -> str:
    """Some of a name's words with what is between them; empty unless others are left."""
    spans = _spans(stem)
    chosen = spans[first:last]
    if not chosen or len(chosen) == len(spans) or (last is not None and last > len(spans)):
        return ""
    return stem[chosen[0][0] : chosen[-1][1]]


@lru_cache(maxsize=2**16)
def _spans(stem: str) -> tuple[tuple[int, int], ...]:
    return tuple(match.span() for match in WORD.finditer(stem))


def _frequent_ends(stems: Sequence[str]) -> frozenset[str]:
    """Ends of names that many of them have, such as `t1_post` of patients whose names have any number of words."""
    counts = Counter(stem[start:] for stem in stems for start, _ in _spans(stem)[1:])
    most = max(counts.values(), default=0)
    return frozenset(end for end, count in counts.items() if 2 * count > most)


def _without_end(stem: str, ends: frozenset[str]) -> str:
    for start, _ in _spans(stem)[1:]:
        if stem[start:] in ends:
            return stem[:start].rstrip("_-. ")
    return ""


def _split_visits(placed: Mapping[str, Unit]) -> Candidate | None:
    """The same files where each patient's name says which exam it is; None if not all do."""
    units = {}
    for key, (name, exam) in placed.items():
        match = BRATS_2023.fullmatch(name) or ENDS_WITH_VISIT.fullmatch(name)
        if exam or match is None or is_channel_word(match["patient"]):
            return None
        units[key] = (match["patient"], match["exam"])
    return Candidate(units=units, says_visits=True) if units else None
