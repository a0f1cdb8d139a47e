"""What the names of a cohort's files leave in doubt: files that no pattern matched, or a greedy one; visits."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import PurePosixPath

from job.contract.cohort import Cohort
from job.contract.errors import Problem
from job.data.cohort_files import ExamFiles, matched_keys, without_ignored
from job.data.name_forms import odd_forms
from job.data.patterns import composed, is_utf8, printable
from job.data.visits import alike_but_for_zeros, maybe_visits
from job.storage import Storage, StoredObject

IMAGE_ENDINGS = (
    ".nii", ".nii.gz", ".hdr", ".img", ".mgz", ".mgh", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".mnc", ".ima",
)  # fmt: skip
"""Of files that may be meant, whatever reads them."""
SHOWN = 5
"""Names that a warning gives before it counts the rest."""
MAYBE_VISITS = "patients that look like visits"
"""Cause of the warning about such names."""
MAYBE_ONE = "patients that differ by zeros only"


def doubtful_names(source: Storage, cohort: Cohort, exams: Sequence[ExamFiles]) -> list[Problem]:
    """Warnings about the names below a cohort's root.

    Args:
        source: The cohort's root.
        cohort: Its patterns.
        exams: The exams that the patterns gave.
    """
    objects, dead = without_ignored(source.list(), source.dead_links(), cohort)
    people = {exam.patient for exam in exams}
    return [
        *_unmatched(objects, dead, cohort, exams),
        *odd_forms(exams, cohort),
        *_unicode_forms(exams),
        *doubtful_people(people),
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
    if beside:
        problems.append(_files_beside(beside))
    if links := [key for key in dead if not any(part.startswith(".") for part in PurePosixPath(key).parts)]:
        problems.append(
            Problem(
                file=_some(links),
                found=f"{len(links)} links to files that are not there",
                expected="files",
                remedy="fetch the contents (`git annex get`, `datalad get`), or correct the links",
                cause="dead links",
            )
        )
    return problems


def _is_image(key: str) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(key).parts)
    return not hidden and key.lower().endswith(IMAGE_ENDINGS)


def _folders(key: str) -> list[str]:
    """The folders that a file lies in, outermost first."""
    parts = PurePosixPath(key).parts[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def _folders_without_exam(lost: dict[str, list[str]], cohort: Cohort) -> Problem:
    files = sum(map(len, lost.values()))
    names = [f"{printable(folder)} ({len(keys)} files, e.g. {printable(PurePosixPath(keys[0]).name)})"
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
        + (f" and {len(names) - SHOWN} further folders" if len(names) > SHOWN else ""),
        found=f"{len(names)} folder{'s' if len(names) > 1 else ''} with {files} images of which no pattern "
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
    more = f" and {len(kinds) - 2 * SHOWN} further names" if len(kinds) > 2 * SHOWN else ""
    return Problem(
        file=_some([keys[0] for _, keys in kinds]),
        found=f"images in folders of exams that no pattern matched: {', '.join(shown)}{more}",
        expected="files that the study knows",
        remedy="if they are meant, correct the patterns or name the channel; else name them in cohort.ignore",
        cause="files that no pattern matched",
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
            found=f"{len(mixed)} exams whose names are written in two forms of Unicode (as macOS and as Linux do)",
            expected="one form",
            remedy="nothing needs to be done: they are taken for the same names",
            cause="two forms of Unicode",
        )
    ]


def doubtful_people(patients: Collection[str]) -> list[Problem]:
    """Patients that may be one person: of two visits one would be trained on while the other is tested."""
    problems = []
    found = maybe_visits(patients)
    if found.groups or found.alone:
        shown = [*(" and ".join(map(repr, names[:3])) for names in found.groups), *map(repr, found.alone)]
        count = sum(map(len, found.groups)) + len(found.alone)
        problems.append(
            Problem(
                file="; ".join(shown[:SHOWN]) + (" ..." if len(shown) > SHOWN else ""),
                found=f"{count} patients whose names look like exams of {len(shown)} people, with a visit, session, "
                "run or number at their end",
                expected="one name for a person: an exam of a patient who is tested may not be trained on",
                remedy="if they are visits, write the patterns so that {patient} ends before that part and {exam} "
                "stands for it, e.g. {patient}_{exam}_ or sub-{patient}_ses-{exam}_; if they are different people, "
                "nothing needs to be done",
                cause=MAYBE_VISITS,
            )
        )
    if alike := alike_but_for_zeros(patients):
        shown = [" and ".join(map(repr, names)) for names in alike]
        problems.append(
            Problem(
                file="; ".join(shown[:SHOWN]) + (" ..." if len(shown) > SHOWN else ""),
                found=f"{len(alike)} people, by their names, in several spellings: only zeros before a number differ",
                expected="one name for a person: an exam of a patient who is tested may not be trained on",
                remedy="if they are one person, rename the files so that {patient} is the same in all of them, with "
                "{exam} for what tells them apart; if they are different people, nothing needs to be done",
                cause=MAYBE_ONE,
            )
        )
    return problems
