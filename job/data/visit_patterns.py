"""How the names of a cohort's patients become those of patients and their exams, if a pattern can do that."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from string import ascii_letters

from job.contract.cohort import Cohort
from job.contract.errors import DataError
from job.data.cohort_files import ExamFiles, sound_exams
from job.data.visits import MaybeVisits
from job.storage import StoredObject

PATIENT, EXAM = "{patient}", "{exam}"
_WORD_BEFORE = re.compile(r"(?:[_\-. ]+[A-Za-z]*)?[_\-. ]+[A-Za-z]*$|(?<=\d)[A-Za-z]+$")
"""What stands between a patient and an exam's number: `_`, `_v`, `_ses-`; or the `v` of `P01v1`."""


@dataclass(frozen=True, kw_only=True)
class Respelled:
    """The patterns with `{exam}`."""

    between: str
    """What stands between `{patient}` and `{exam}`."""
    pattern: str
    labels: str
    mask: str | None


def with_exams(
    objects: Sequence[StoredObject], cohort: Cohort, exams: Sequence[ExamFiles], found: MaybeVisits
) -> Respelled | None:
    """Patterns that give the same exams, those of one person to one patient; None if there are none.

    Args:
        objects: Everything below the cohort's root that is not ignored.
        cohort: Its patterns, without `{exam}`.
        exams: What these give.
        found: Names that may be visits.
    """
    if EXAM in cohort.pattern:
        return None
    for between in separators(found):
        pattern, labels, mask = (
            text and text.replace(PATIENT, f"{PATIENT}{between}{EXAM}")
            for text in (cohort.pattern, cohort.labels, cohort.mask)
        )
        respelled = Respelled(between=between, pattern=pattern or "", labels=labels or "", mask=mask)
        if _gives_the_people(respelled, objects, cohort, exams, found):
            return respelled
    return None


def separators(found: MaybeVisits) -> list[str]:
    """What may stand between patient and exam, the longest first: `_ses-`, then `_`."""
    names = list(found.groups) or [(name,) for name in found.alone]
    return list(dict.fromkeys(each for own in names for each in _between(own)))


def _between(names: Sequence[str]) -> Iterator[str]:
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    stem = "".join(letters[0] for letters in alike).rstrip("0123456789")
    if not all(name[len(stem) :][:1].isdecimal() for name in names):  # of `pre` and `post` the p is no word
        stem = stem.rstrip(ascii_letters)
    if (match := _WORD_BEFORE.search(stem)) is not None:
        yield match[0]
        for part in re.finditer(r"[_\-. ]+", match[0]):
            if match[0][part.start() :] != match[0]:
                yield match[0][part.start() :]
        if (first := re.match(r"[_\-. ]+", match[0])) is not None and first[0] != match[0]:
            yield first[0]


def _gives_the_people(
    respelled: Respelled,
    objects: Sequence[StoredObject],
    cohort: Cohort,
    exams: Sequence[ExamFiles],
    found: MaybeVisits,
) -> bool:
    """Whether patterns give each exam its name in two parts, and one patient to each person."""
    changed = {"pattern": respelled.pattern, "labels": respelled.labels, "mask": respelled.mask}
    try:
        new, _ = sound_exams(objects, cohort.model_copy(update=changed | {"exclude": ()}))
    except DataError:
        return False
    by_file = {exam.first_label.key: exam for exam in new}
    patient_of: dict[str, str] = {}
    for exam in exams:
        own = by_file.get(exam.first_label.key)
        if own is None or f"{own.patient}{respelled.between}{own.visit}" != exam.patient:
            return False
        patient_of[exam.patient] = own.patient
    joined = sum(len(names) - 1 for names in found.groups)
    one_each = all(len({patient_of[name] for name in names}) == 1 for names in found.groups)
    return one_each and len(set(patient_of.values())) == len(patient_of) - joined
