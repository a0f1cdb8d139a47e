"""Which files make up a cohort: from the study's patterns to one list of files per exam."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from glob import escape
from pathlib import PurePosixPath

from job.contract.cohort import Cohort
from job.contract.errors import DataError, Problem, StudyError
from job.storage import StoredObject

_TOKEN = re.compile(r"(?<![^/])\*\*/|\*|\?|\[[^\]]+\]|\{(?:patient|exam|channel)\}|.", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class ExamFiles:
    """The files of one exam."""

    exam: str
    """`<patient>_<exam>`, or the patient where the pattern has no `{exam}`."""
    patient: str
    channels: tuple[StoredObject, ...]
    """In the order of the study's channels."""
    labels: StoredObject
    mask: StoredObject | None

    @property
    def all(self) -> tuple[StoredObject, ...]:
        """Every file: channels, labels, then mask."""
        return (*self.channels, self.labels, *((self.mask,) if self.mask else ()))


def find_exams(objects: Iterable[StoredObject], cohort: Cohort) -> tuple[ExamFiles, ...]:
    """The exams of a cohort, sorted by patient, then exam.

    Args:
        objects: Everything below the cohort's root.
        cohort: Patterns and channels.

    Raises:
        DataError: A file is missing or doubled, nothing matches, or an exclusion names no exam.
        StudyError: A pattern has brackets that make no sense.
    """
    objects = list(objects)
    roles = {f"channel {c.name}": (cohort.pattern, c.files or escape(c.name)) for c in cohort.channels}
    roles["labels"] = (cohort.labels, "")
    if cohort.mask is not None:
        roles["mask"] = (cohort.mask, "")
    found = _matches(objects, roles)
    if not found:
        raise _nothing_matches(cohort, objects)
    found, problems = _without_excluded(found, cohort)
    nowhere = [role for role in roles if found and not any(files[role] for files in found.values())]
    matched = {item.key for files in found.values() for items in files.values() for item in items}
    others = [item for item in objects if item.key not in matched]
    problems += [_nowhere(role, *roles[role], len(found), others) for role in nowhere]
    exams = []
    for (patient, exam), files in sorted(found.items()):
        wrong = [
            _not_one_file(role, _spelled(*roles[role], patient, exam), files[role])
            for role in roles
            if len(files[role]) != 1 and role not in nowhere
        ]
        problems += wrong
        if not wrong and not nowhere:
            exams.append(
                ExamFiles(
                    exam=f"{patient}_{exam}" if exam else patient,
                    patient=patient,
                    channels=tuple(files[f"channel {c.name}"][0] for c in cohort.channels),
                    labels=files["labels"][0],
                    mask=files["mask"][0] if cohort.mask is not None else None,
                )
            )
    problems += _same_names(exams) + _shared_files(exams)
    if problems:
        raise DataError(problems)
    return tuple(exams)


def _matches(
    objects: Sequence[StoredObject], roles: Mapping[str, tuple[str, str]]
) -> dict[tuple[str, str], dict[str, list[StoredObject]]]:
    """By (patient, exam), the files of each role; a role is a pattern and what stands for its `{channel}`."""
    found: dict[tuple[str, str], dict[str, list[StoredObject]]] = defaultdict(lambda: defaultdict(list))
    for role, (pattern, channel) in roles.items():
        expression = _expression(pattern, channel)
        for item in objects:
            if match := expression.fullmatch(item.key):
                found[match["patient"], match.groupdict().get("exam", "")][role].append(item)
    return found


def _expression(pattern: str, channel: str) -> re.Pattern[str]:
    """A pattern of the study file as a regular expression with groups `patient` and `exam`.

    As in a shell, no wildcard matches a `/`, nor the dot that a hidden file's name begins with.
    """
    text, seen, previous = "", set(), "/"
    for token in _TOKEN.findall(pattern.replace("{channel}", channel)):
        name = token[1:-1]
        if previous.endswith("/") and (len(token) > 1 or token in "*?"):
            text += r"(?!\.)"
        if token in ("{patient}", "{exam}"):
            text += f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+)"
            seen.add(name)
        elif token == "**/":
            text += r"(?:(?!\.)[^/]+/)*"
        elif token in ("*", "?"):
            text += "[^/]" + token.replace("?", "")
        elif len(token) > 1:
            negated = name[0] in "!^"
            members = re.escape(name[negated:]).replace(r"\-", "-")
            text += f"(?!/)[{'^' if negated else ''}{members}]"
        else:
            text += re.escape(token)
        previous = token
    try:
        return re.compile(text)
    except re.error as error:
        raise StudyError(f"{pattern!r} is no valid pattern ({error.msg}); correct its brackets") from None


def _spelled(pattern: str, channel: str, patient: str, exam: str) -> str:
    return pattern.replace("{channel}", channel).replace("{patient}", patient).replace("{exam}", exam)


def _nothing_matches(cohort: Cohort, objects: list[StoredObject]) -> DataError:
    examples = [item.key for item in objects if item.key.endswith((".nii", ".nii.gz"))][:3]
    return DataError.of(
        file=cohort.pattern,
        found=f"no match among {len(objects)} files" + (f", e.g. {', '.join(examples)}" if examples else ""),
        expected="a file for every channel of every exam",
        remedy="correct cohort.root, cohort.pattern or the channels' `files`",
    )


def _nowhere(role: str, pattern: str, channel: str, exams: int, others: Sequence[StoredObject]) -> Problem:
    """Not a file that is missing, but a pattern or a name that is wrong."""
    spelled = pattern.replace("{channel}", channel)
    names = {PurePosixPath(item.key).name.lower(): PurePosixPath(item.key).name for item in others}
    near = get_close_matches(PurePosixPath(spelled).name.lower(), sorted(names), n=1, cutoff=0.5)
    return Problem(
        file=spelled,
        found=f"no file for {role} in any of {exams} exams",
        expected="one file in each",
        remedy="correct the pattern, or the channel's name or `files`"
        + (f"; did you mean {names[near[0]]!r}?" if near else ""),
    )


def _not_one_file(role: str, pattern: str, found: list[StoredObject]) -> Problem:
    if not found:
        return Problem(
            file=pattern,
            found=f"no file for {role}",
            expected="one file",
            remedy="add the file, or leave the exam out with cohort.exclude",
        )
    return Problem(
        file=pattern,
        found=f"{len(found)} files for {role}: {', '.join(sorted(item.key for item in found))}",
        expected="one file",
        remedy="remove the others, or make cohort.pattern or the channel's `files` more specific",
    )


def _without_excluded(
    found: dict[tuple[str, str], dict[str, list[StoredObject]]], cohort: Cohort
) -> tuple[dict[tuple[str, str], dict[str, list[StoredObject]]], list[Problem]]:
    excluded, problems = set(), []
    for name in cohort.exclude:
        hits = {key for key in found if name in (key[0], "/".join(key))}
        excluded |= hits
        if not hits:
            problems.append(
                Problem(
                    file="cohort.exclude",
                    found=f"{name!r}, which is no patient and no patient/exam",
                    expected="an exam of the cohort",
                    remedy="correct the name or remove it",
                )
            )
    kept = {key: files for key, files in found.items() if key not in excluded}
    if not kept:
        problems.append(
            Problem(
                file="cohort.exclude",
                found=f"all {len(found)} exams of the cohort",
                expected="some exams that stay",
                remedy="remove names from it",
            )
        )
    return kept, problems


def _same_names(exams: list[ExamFiles]) -> list[Problem]:
    by_name: dict[str, list[ExamFiles]] = defaultdict(list)
    for exam in exams:
        by_name[exam.exam].append(exam)
    return [
        Problem(
            file=", ".join(e.labels.key for e in same),
            found=f"{len(same)} exams that are both called {name!r}",
            expected="names <patient>_<exam> that differ",
            remedy="rename one of the folders",
        )
        for name, same in by_name.items()
        if len(same) > 1
    ]


def _shared_files(exams: list[ExamFiles]) -> list[Problem]:
    """Files that serve twice: an exam that is its own training data would falsify the study."""
    users: dict[str, list[str]] = defaultdict(list)
    for exam in exams:
        for item in exam.all:
            users[item.key].append(exam.exam)
    return [
        Problem(
            file=key,
            found=f"used {len(names)} times (exams {', '.join(sorted(set(names)))})",
            expected="one use of each file",
            remedy="make cohort.pattern or the channels' `files` more specific",
        )
        for key, names in users.items()
        if len(names) > 1
    ]
