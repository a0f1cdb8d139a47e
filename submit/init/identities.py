"""Which parts of the files' names may be the patient, and which the exam: candidates, the likeliest first.

A file of labels is of one exam. So what differs among label files of one kind, beside words that say what a file is,
names patients and exams; `reading` then looks for these names in the paths of all other files. Where no name says
"labels", the files of a channel tell, and else all files.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from job.data.visits import BRATS_2023, ENDS_WITH_VISIT, GROUP, VISIT
from submit.init.files import Image
from submit.init.words import (
    ENTITY,
    LABELS,
    WORD,
    WORD_OR_DATE,
    Kind,
    is_kind_word,
    kind_of,
    standing,
    words_of,
)

Unit = tuple[str, str]
"""A patient and an exam; the exam is empty where every patient has one."""
MANY_EXAMS = 6
"""Of a patient; folders with more on average are parts of a cohort rather than patients."""
Column = Sequence[str]
"""A part of each of some files' paths."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The patient and exam of some files."""

    units: Mapping[str, Unit]
    """By the file's key."""
    says_visits: bool = False
    """Whether the names themselves say that they are exams of a patient: `ses-1`, `visit2`."""


def candidates(images: Sequence[Image]) -> Iterator[Candidate]:
    """Ways to read patients and exams off the names; each set of names once."""
    shared = _shared_words(images)
    seen: set[frozenset[Unit]] = set()
    for files in _telling(images):
        for columns in _columns(files, shared):
            for names, says_visits in _named(columns):
                units = frozenset(names)
                if units not in seen and _may_be(units, len(images)):
                    seen.add(units)
                    yield Candidate(units=_with_files_beside(files, names, images), says_visits=says_visits)


def _may_be(units: frozenset[Unit], files: int) -> bool:
    """Whether exams may have so many files, a channel and labels at least, and patients such names."""
    words = [words_of(patient) for patient, _ in units]
    kinds = all(kind_of(own) is not None and not any(map(str.isdecimal, own)) for own in words)
    return 2 * len(units) <= files and not kinds


def kinds_by_name(images: Sequence[Image]) -> dict[str, Kind | None]:
    """What each file is by the words of its path, by its key; words that most files have say nothing."""
    shared = _shared_words(images)
    return {image.key: kind_of(words_of("/".join(image.components)) - shared) for image in images}


def _shared_words(images: Sequence[Image]) -> frozenset[str]:
    having = Counter(word for image in images for word in words_of("/".join(image.components)))
    return frozenset(word for word, count in having.items() if 2 * count > len(images))


def _telling(images: Sequence[Image]) -> Iterator[list[Image]]:
    """Groups of files of which each is of another exam: of one kind of labels; of one channel; of one depth."""
    named = kinds_by_name(images)
    by_depth: dict[int, list[Image]] = defaultdict(list)
    for image in images:
        by_depth[len(image.components)].append(image)
    for kinds in (LABELS, ("channel",)):
        alike: dict[tuple[str, ...], list[Image]] = defaultdict(list)
        for image in images:
            if named[image.key] in kinds:
                alike[_kind_words(image)].append(image)
        groups = sorted(alike.values(), key=len, reverse=True)
        yield from (own for own in groups if 2 * len(own) >= len(groups[0]))
    yield from sorted(by_depth.values(), key=len, reverse=True)


def _kind_words(image: Image) -> tuple[str, ...]:
    """What a path says of what the file is, folder by folder."""
    *folders, stem = (component.casefold() for component in image.components)
    entities = ENTITY.findall(stem)
    words = [word for word in WORD.findall(ENTITY.sub("", stem)) if is_kind_word(word)]
    return (
        *(name if all(map(is_kind_word, WORD.findall(name))) else "*" for name in folders),
        *words,
        *entities,
    )


# --- what differs among files


def _columns(files: Sequence[Image], shared: Collection[str]) -> Iterator[Sequence[Column]]:
    """The parts of paths that differ from exam to exam: folders, and what is left of the files' names."""
    folders = [[image.components[n] for image in files] for n in range(len(files[0].components) - 1)]
    folders = [names for names in folders if len(set(names)) > 1 or _are_visits(names)]
    stems = [_name_in(image.stem, shared) for image in files]
    rests = [_without([names[n] for names in folders], stem) for n, stem in enumerate(stems)]
    if any(rests) and not all(rests):  # `1/1_t1` is exam 1 of patient 1, beside `1/2_t1`
        rests = stems
    if all(rests) and rests not in folders:
        yield from _with_rests(folders, rests)
    if folders:
        yield folders


def _with_rests(folders: Sequence[Column], rests: Column) -> Iterator[Sequence[Column]]:
    """Folders and the rests of the files' names; a folder `anna_nifti` of files `anna_t1` is the same as the rest."""
    if len(set(rests)) > 1:
        same = [
            n
            for n, names in enumerate(folders)
            if all(
                name != rest and standing(rest).search(name) for name, rest in zip(names, rests, strict=True)
            )
        ]
        yield [*(names for n, names in enumerate(folders) if n not in same[:1]), rests]


def _without(names: Collection[str], stem: str) -> str:
    for name in sorted(names, key=len, reverse=True):
        if VISIT.fullmatch(stem) and stem not in names:  # the 1 of `ses-1` is no patient
            return stem
        stem = re.sub(rf"{standing(name).pattern}[_\-. ]*", "", stem, count=1).strip("_-. ")
    return stem


def _name_in(stem: str, shared: Collection[str]) -> str:
    """A file's name without the words at its ends that say what the file is."""
    stem = ENTITY.sub("", stem)
    words = list(WORD_OR_DATE.finditer(stem))
    kinds = [is_kind_word(match[0]) and match[0].lower() not in shared for match in words]
    while kinds and kinds[-1]:
        del kinds[-1]
    first = next((n for n, kind in enumerate(kinds) if not kind), 0)
    return stem[words[first].start() : words[len(kinds) - 1].end()] if kinds else ""


# --- patients and exams


def _named(columns: Sequence[Column]) -> Iterator[tuple[list[Unit], bool]]:
    """Which of the parts are the patient and the exam, and whether they say so; the likeliest first."""
    if len(columns) == 1:
        yield from _patients(columns[0])
    else:
        yield from _two(*columns[-2:])


def _two(outer: Column, inner: Column) -> Iterator[tuple[list[Unit], bool]]:
    """Of two parts: patient and exam; a group and a patient; or one of them alone."""
    both = list(zip(outer, inner, strict=True))
    outers, units = set(outer), set(both)
    unique = len(set(inner)) == len(units)
    groups = 2 * sum(GROUP.fullmatch(name) is not None for name in outers) > len(outers)
    if _are_visits(inner):
        yield both, True
        yield from _patients(outer)
    elif unique and len(outers) == len(units):  # each says it all
        yield from _patients(outer)
        yield both, False
    elif unique and (groups or len(units) > MANY_EXAMS * len(outers)):
        yield from _patients(inner)
    else:
        yield both, False
        yield from _patients(inner) if unique else ()
        yield from _patients(outer)


def _patients(names: Column) -> Iterator[tuple[list[Unit], bool]]:
    """Names as those of patients; or of exams, where each says which exam of the patient it is."""
    matches = [BRATS_2023.fullmatch(name) or ENDS_WITH_VISIT.fullmatch(name) for name in names]
    split = [(match["patient"], match["exam"]) for match in matches if match is not None]
    if len(split) == len(names):
        yield split, True
    yield [(name, "") for name in names], False


def _are_visits(names: Column) -> bool:
    return all(VISIT.fullmatch(name) for name in names)


def _with_files_beside(
    files: Sequence[Image], names: Sequence[Unit], images: Sequence[Image]
) -> dict[str, Unit]:
    """The exams of the files, and of all that lie in a folder with files of one exam only."""
    by_folder: dict[tuple[str, ...], set[Unit]] = defaultdict(set)
    for image, unit in zip(files, names, strict=True):
        for depth in range(1, len(image.components)):
            by_folder[image.components[:depth]].add(unit)
    units = {image.key: unit for image, unit in zip(files, names, strict=True)}
    for image in images:
        for depth in range(len(image.components) - 1, 0, -1):
            own = by_folder.get(image.components[:depth], set())
            if len(own) == 1 and image.key not in units:
                units[image.key] = next(iter(own))
                break
            if len(own) > 1:
                break
    return units
