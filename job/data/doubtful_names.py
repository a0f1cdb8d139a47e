"""What the names of a cohort's files leave in doubt: files that no pattern matched, or a greedy one; visits."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from job.contract.cohort import Cohort
from job.contract.errors import Problem
from job.contract.wording import counted
from job.data.cohort_files import ExamFiles, matched_keys, without_ignored
from job.data.name_forms import odd_forms
from job.data.patterns import composed, folded, is_utf8, printable
from job.data.visit_patterns import separators, with_exams
from job.data.visits import MaybeVisits, alike_but_for_zeros, begin_others, maybe_visits
from job.storage import Storage, StoredObject

IMAGE_ENDINGS = (
    ".nii", ".nii.gz", ".hdr", ".img", ".mgz", ".mgh", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".mnc", ".ima",
)  # fmt: skip
"""Of files that may be meant, whatever reads them."""
SHOWN = 5
"""Names that a warning gives before it counts the rest."""
MAYBE_VISITS = "patients that look like visits"
"""Cause of the warning about such names."""
ONE_NAME = "one name for a person: an exam of a patient who is tested may not be trained on"
MAYBE_ONE = "patients that differ by zeros only"


def doubtful_names(source: Storage, cohort: Cohort, exams: Sequence[ExamFiles]) -> list[Problem]:
    """Warnings about the names below a cohort's root.

    Args:
        source: The cohort's root.
        cohort: Its patterns.
        exams: The exams that the patterns gave.
    """
    objects, dead = without_ignored(source.list(), source.dead_links(), cohort)
    return [
        *_unmatched(objects, dead, cohort, exams),
        *odd_forms(exams, cohort),
        *_unicode_forms(exams),
        *doubtful_people(exams, objects, cohort),
    ]


def _unmatched(
    objects: Sequence[StoredObject], dead: Collection[str], cohort: Cohort, exams: Sequence[ExamFiles]
) -> list[Problem]:
    """Image files that no pattern matched, by folder where a whole folder has no exam, else by kind of name."""
    used = {item.key for exam in exams for item in exam.all}
    left = [item.key for item in objects if item.key not in used and _is_image(item.key)]
    headers = {f"{key[:-4]}.hdr": key for key in left if key.endswith(".img")}
    matched = matched_keys([*left, *headers], cohort)  # and was left out on purpose
    matched |= {headers[key] for key in matched & headers.keys()}
    left = [key for key in left if key not in matched]
    known = {folder for key in used | matched for folder in _folders(key)}
    times = Counter(PurePosixPath(key).name for key in left)
    lost: dict[str, list[str]] = defaultdict(list)
    beside: dict[str, list[str]] = defaultdict(list)
    for key in left:
        own = [folder for folder in _folders(key) if folder not in known]
        if own:
            lost[own[0]].append(key)
        else:
            name = PurePosixPath(key).name
            beside[name if times[name] > 1 or len(exams) == 1 else re.sub(r"\d+", "#", name)].append(key)
    problems = []
    if lost:
        problems.append(_folders_without_exam(lost, cohort))
    parts = _maybe_parts([key for own in beside.values() for key in own], cohort, exams)
    for kind in list(beside):
        beside[kind] = [key for key in beside[kind] if key not in parts]
    if any(beside.values()):
        problems.append(_files_beside({kind: keys for kind, keys in beside.items() if keys}))
    if parts:
        problems.append(_further_parts(parts))
    return [*problems, *_dead_links(dead)]


def _dead_links(dead: Collection[str]) -> list[Problem]:
    links = [key for key in dead if not any(part.startswith(".") for part in PurePosixPath(key).parts)]
    if not links:
        return []
    return [
        Problem(
            file=_some(links),
            found=f"{counted(len(links), 'link')} to files that are not there",
            expected="files",
            remedy="fetch the contents (`git annex get`, `datalad get`), or correct the links",
            cause="dead links",
        )
    ]


def _is_image(key: str) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(key).parts)
    return not hidden and key.lower().endswith(IMAGE_ENDINGS)


def _folders(key: str) -> list[str]:
    """The folders that a file lies in, outermost first."""
    parts = PurePosixPath(key).parts[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def _folders_without_exam(lost: dict[str, list[str]], cohort: Cohort) -> Problem:
    files = sum(map(len, lost.values()))
    names = [f"{printable(folder)} ({counted(len(keys), 'file')}, e.g. {printable(PurePosixPath(keys[0]).name)})"
             for folder, keys in sorted(lost.items())]  # fmt: skip
    keys = [key for own in lost.values() for key in own]
    reasons = {
        "lie deeper than the pattern": [
            key for key in keys if "**" not in cohort.pattern and key.count("/") > cohort.pattern.count("/")
        ],
        "end with capitals (.NII.GZ)": [
            key for key in keys if key.lower().endswith(".nii.gz") and not key.endswith(".nii.gz")
        ],
        "have names that are not UTF-8": [key for key in keys if not is_utf8(key)],
    }
    why = [f"{len(own)} {reason}" for reason, own in reasons.items() if own]
    return Problem(
        file=", ".join(names[:SHOWN])
        + (f" and {counted(len(names) - SHOWN, 'further folder')}" if len(names) > SHOWN else ""),
        found=f"{counted(len(names), 'folder')} with {counted(files, 'image')} of which no pattern "
        "matched any" + (f": {', '.join(why)}" if why else ""),
        expected=f"exams as {cohort.pattern}",
        remedy="if these are exams, they are missing from the study: correct the patterns or the names; "
        "else name the "
        "folders in cohort.ignore",
        cause="folders without an exam",
    )


def _files_beside(beside: dict[str, list[str]]) -> Problem:
    kinds = sorted(beside.items(), key=lambda each: (-len(each[1]), each[0]))
    names = [(kind if len(keys) > 1 else PurePosixPath(keys[0]).name, len(keys)) for kind, keys in kinds]
    shown = [f"{printable(name)} ({count})" for name, count in names[: 2 * SHOWN]]
    more = f" and {counted(len(kinds) - 2 * SHOWN, 'further name')}" if len(kinds) > 2 * SHOWN else ""
    return Problem(
        file=_some([keys[0] for _, keys in kinds]),
        found=f"images in folders of exams that no pattern matched: {', '.join(shown)}{more}",
        expected="files that the study knows",
        remedy="if they are meant, correct the patterns or name the channel; else name them in cohort.ignore",
        cause="files that no pattern matched",
    )


def _maybe_parts(
    keys: Sequence[str], cohort: Cohort, exams: Sequence[ExamFiles]
) -> dict[str, tuple[str, str]]:
    """Of files that no pattern matched, those that differ by a number only from one of a class: it and the class."""
    if cohort.class_files is None:
        return {}
    known = {
        re.sub(r"\d+", "#", folded(item.key)): (item.key, name)
        for exam in exams
        for name, own in zip(cohort.class_names, exam.labels, strict=True)
        for item in own
        if re.search(r"\d", PurePosixPath(item.key).name)
    }
    folders = {str(PurePosixPath(key).parent) for key, _ in known.values()}
    forms = {
        key: re.sub(r"\d+", "#", folded(key)) for key in keys if str(PurePosixPath(key).parent) in folders
    }
    return {key: known[form] for key, form in forms.items() if form in known}


def _further_parts(parts: Mapping[str, tuple[str, str]]) -> Problem:
    shown = [f"{printable(key)} beside {printable(PurePosixPath(one).name)} of class {name}"
             for key, (one, name) in sorted(parts.items())]  # fmt: skip
    return Problem(
        file=_some(sorted(parts)),
        found=f"{counted(len(parts), 'image')} that no pattern matched, and that differ from a class's by a number "
        f"only: {'; '.join(shown[:SHOWN])}",
        expected="all parts of a class in it",
        remedy="if they are parts of the class, which count as background now, give it a text that finds them too, "
        'such as "GTVn*"; else name them in cohort.ignore',
        cause="files that may be parts of a class",
    )


def _some(keys: Sequence[str]) -> str:
    shown = ", ".join(map(printable, keys[:SHOWN]))
    return shown + (f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else "")


def _unicode_forms(exams: Iterable[ExamFiles]) -> list[Problem]:
    """Exams whose files write one name in two forms of Unicode; they are taken for one."""
    mixed = []
    for exam in exams:
        keys = [item.key for item in exam.all]
        if any(composed(key) != key for key in keys) and any(
            composed(key) == key and not key.isascii() for key in keys
        ):
            mixed.append(exam)
    if not mixed:
        return []
    return [
        Problem(
            file=_some([exam.all[0].key for exam in mixed]),
            found=f"{counted(len(mixed), 'exam')} whose names are written in two forms of Unicode (as macOS and as "
            "Linux do)",
            expected="one form",
            remedy="nothing needs to be done: they are taken for the same names",
            cause="two forms of Unicode",
        )
    ]


def doubtful_people(
    exams: Sequence[ExamFiles], objects: Sequence[StoredObject], cohort: Cohort
) -> list[Problem]:
    """Patients that may be one person: of two visits one would be trained on while the other is tested.

    Args:
        exams: Of the cohort.
        objects: Everything below its root that is not ignored, for the patterns that would tell visits apart.
        cohort: Its patterns.
    """
    patients = {exam.patient for exam in exams}
    found = _among(patients, maybe_visits({*patients, *cohort.exclude}))
    grouped = {name for names in found.groups for name in names}
    problems = []
    if found.groups or found.alone:
        problems.append(_maybe_exams(found, _remedy(found, exams, objects, cohort)))
    if begun := begin_others(patients - grouped):
        problems.append(_cut_short(begun))
    if alike := alike_but_for_zeros(patients):
        problems.append(_other_zeros(alike))
    return problems


def _maybe_exams(found: MaybeVisits, remedy: str) -> Problem:
    shown = [*(" and ".join(map(repr, names[:3])) for names in found.groups), *map(repr, found.alone)]
    count = sum(map(len, found.groups)) + len(found.alone)
    people = "1 person" if len(shown) == 1 else f"{len(shown)} people"
    look = "patient whose name looks" if count == 1 else "patients whose names look"
    return Problem(
        file=_first(shown),
        found=f"{count} {look} like exams of {people}, with a visit, session, run or number at their end",
        expected=ONE_NAME,
        remedy=f"if they are visits, {remedy}; if they are different people, nothing needs to be done",
        cause=MAYBE_VISITS,
    )


def _cut_short(begun: Sequence[tuple[str, str]]) -> Problem:
    return Problem(
        file=_first([f"{short!r} and {longer!r}" for short, longer in begun]),
        found=f"{counted(len(begun), 'patient')} with whose whole name another's begins",
        expected=ONE_NAME,
        remedy="if the patterns cut names short, so that several people are one patient, correct them; if these "
        "names are whole, nothing needs to be done",
        cause="patients whose name begins another's",
    )


def _other_zeros(alike: Sequence[Sequence[str]]) -> Problem:
    people = "1 person" if len(alike) == 1 else f"{len(alike)} people"
    return Problem(
        file=_first([" and ".join(map(repr, names)) for names in alike]),
        found=f"{people}, by their names, in several spellings: only zeros before a number differ",
        expected=ONE_NAME,
        remedy="if they are one person, rename the files so that {patient} is the same in all of them, with {exam} "
        "for what tells them apart; if they are different people, nothing needs to be done",
        cause=MAYBE_ONE,
    )


def _first(shown: Sequence[str]) -> str:
    return "; ".join(shown[:SHOWN]) + (" ..." if len(shown) > SHOWN else "")


def _among(patients: Collection[str], found: MaybeVisits) -> MaybeVisits:
    """What is left of it without exams that the study leaves out."""
    groups = [tuple(name for name in names if name in patients) for names in found.groups]
    return MaybeVisits(
        groups=tuple(own for own in groups if len(own) > 1),
        alone=tuple(name for name in found.alone if name in patients),
    )


def _remedy(
    found: MaybeVisits, exams: Sequence[ExamFiles], objects: Sequence[StoredObject], cohort: Cohort
) -> str:
    """What makes visits exams in this cohort: other patterns if there are any, else other names."""
    respelled = with_exams(objects, cohort, exams, found)
    if respelled is not None:
        mask = f", mask = {respelled.mask!r}" if respelled.mask is not None else ""
        return f"write pattern = {respelled.pattern!r}, labels = {respelled.labels!r}{mask}"
    later = [name for names in found.groups for name in names[1:]]
    if "{exam}" in cohort.pattern:
        return "rename the files so that {patient} is the same in all exams of a person, and {exam} tells them apart"
    between = next(iter(separators(found)), "_")
    patients = sorted({exam.patient for exam in exams})
    other = next((name for name in patients if name not in later and between not in name), patients[0])
    rename = (
        f"no pattern finds them as exams and the other patients too: rename all files in one way, such as {other!r} "
        f"to '{other}{between}1', and write {{patient}}{between}{{exam}} for {{patient}}"
    )
    return f"{rename}; or leave out all but one exam of each: exclude = {_listed(later)}" if later else rename


def _listed(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > SHOWN else ""
    return f"[{', '.join(map(repr, names[:SHOWN]))}{more}]"
