"""What the names of a cohort's files leave in doubt: files that no pattern matched, patients that may be visits."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import PurePosixPath

from job.contract.cohort import Cohort
from job.contract.errors import Problem
from job.data.cohort_files import ExamFiles, matched_keys, without_ignored
from job.data.patterns import composed, folded, is_utf8, printable
from job.storage import Storage, StoredObject

IMAGE_ENDINGS = (
    ".nii", ".nii.gz", ".hdr", ".img", ".mgz", ".mgh", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".mnc", ".ima",
)  # fmt: skip
"""Of files that may be meant, whatever reads them."""
SHOWN = 5
"""Names that a warning gives before it counts the rest."""
_VISIT = re.compile(
    r"(?:^|[_\-. ])(?:ses(?:sion)?[-_]?\w+|run[-_]?\d+|visit[-_ ]?\w*|v\d{1,2}|tp?\d{1,2}|time(?:point)?[-_ ]?\d+"
    r"|(?:scan|day|week|month)[-_ ]?\d+|m\d{2}|baseline|follow[-_]?up\d*|fu\d*|pre|post|(?:pre|mid|post)[a-z]*rt)"
    r"(?=$|[_\-. ])",
    re.IGNORECASE,
)
"""A part of a name that says which exam of a patient it is."""
_NUMBERED = re.compile(
    r"(?P<stem>.*\d.*?)[_\-. ]?(?:[a-z]{0,3}\d{1,3}|[a-z]|(?:19|20)\d{2}-?\d{2}-?\d{2})", re.IGNORECASE
)
"""A name with a digit that ends with a short number, a letter or a date of its own."""
MOST_VISITS = 6
"""Of a patient: names of which more share a stem are counted through, as `site1-01` to `site1-20`."""


def doubtful_names(source: Storage, cohort: Cohort, exams: Sequence[ExamFiles]) -> list[Problem]:
    """Warnings about the names below a cohort's root.

    Args:
        source: The cohort's root.
        cohort: Its patterns.
        exams: The exams that the patterns gave.
    """
    objects, dead = without_ignored(source.list(), source.dead_links(), cohort)
    return [*_unmatched(objects, dead, cohort, exams), *_unicode_forms(exams), *_maybe_visits(exams)]


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
    known = {folder for key in used for folder in _folders(key)}
    lost: dict[str, list[str]] = defaultdict(list)
    beside: dict[str, list[str]] = defaultdict(list)
    for key in left:
        own = [folder for folder in _folders(key) if folder not in known]
        if own:
            lost[own[0]].append(key)
        else:
            beside[_kind_of_name(key, exams)].append(key)
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


def _kind_of_name(key: str, exams: Sequence[ExamFiles]) -> str:
    """A file's name without what differs from exam to exam."""
    name = PurePosixPath(key).name
    return re.sub(r"\d+", "#", name) if len(exams) > 1 else name


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
    shown = [f"{printable(kind)} ({len(keys)})" for kind, keys in kinds[: 2 * SHOWN]]
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


def _maybe_visits(exams: Sequence[ExamFiles]) -> list[Problem]:
    """Patients whose names look like exams of one patient: two visits would train on each other."""
    patients = sorted({exam.patient for exam in exams})
    groups: dict[str, list[str]] = defaultdict(list)
    for patient in patients:
        if match := _VISIT.search(patient):
            groups[folded(patient[: match.start()])].append(patient)
        elif match := _NUMBERED.fullmatch(patient):
            groups[folded(match["stem"])].append(patient)
    several = [names for names in groups.values() if 1 < len(names) <= MOST_VISITS]
    if len(groups) == 1 and len(patients) > 2:
        several = [names for names in several if any(_VISIT.search(name) for name in names)]
    grouped = {name for names in several for name in names}
    named = [name for name in patients if _VISIT.search(name) and name not in grouped]
    doubtful = [*(name for names in several for name in names), *named]
    if not doubtful:
        return []
    groups_shown = [" and ".join(map(repr, names[:3])) for names in several]
    shown = "; ".join([*groups_shown, *map(repr, named)][:SHOWN])
    return [
        Problem(
            file=shown + (" ..." if len(groups_shown) + len(named) > SHOWN else ""),
            found=f"{len(doubtful)} patients whose names look like exams of {len(several) + len(named)} "
            "people, with a "
            "visit, session, run or number at their end",
            expected="one name for a person: an exam of a patient who is tested may not be trained on",
            remedy="if they are visits, write the patterns so that {patient} ends before that part and "
            "{exam} stands for "
            "it, e.g. {patient}_{exam}_ or sub-{patient}_ses-{exam}_; if they are different people, "
            "nothing needs to be "
            "done",
            cause="patients that look like visits",
        )
    ]
