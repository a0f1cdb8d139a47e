"""Which files make up a cohort: from the study's patterns to one list of files per exam."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from glob import escape
from itertools import chain
from pathlib import PurePosixPath

from job.contract.cohort import Cohort
from job.contract.errors import DataError, Problem
from job.data.patterns import composed, expression_of, folded, is_utf8, printable, spelled
from job.storage import Storage, StoredObject

LABELS, MASK = "labels", "mask"
LONGEST_NAME_BYTES = 200
"""Of `<patient>_<exam>` in UTF-8: file systems allow 255 for a name, and the store adds a digest and an ending."""
NIFTI_ENDINGS = (".nii", ".nii.gz")


@dataclass(frozen=True, kw_only=True)
class ExamFiles:
    """The files of one exam."""

    exam: str
    """`<patient>_<exam>`, or the patient where the pattern has no `{exam}`."""
    patient: str
    visit: str = ""
    """What stands for `{exam}`, empty where the pattern has none."""
    channels: tuple[StoredObject, ...]
    """In the order of the study's channels; one file several times if its volumes are channels."""
    labels: tuple[StoredObject | None, ...]
    """The label map; or a file for each class, None where the class is absent."""
    mask: StoredObject | None

    @property
    def all(self) -> tuple[StoredObject, ...]:
        """Every file once: channels, labels, then mask."""
        files = (*self.channels, *self.labels, self.mask)
        return tuple({item.key: item for item in files if item is not None}.values())


@dataclass(frozen=True, kw_only=True)
class _Role:
    """What a file is in an exam."""

    name: str
    pattern: str
    text: str = ""
    """What stands for `{channel}` or `{class}` in the pattern."""
    optional: bool = False
    """Whether an exam may lack it: the file of a class that is absent."""


@dataclass(kw_only=True)
class _Found:
    """The files that the patterns give to one exam."""

    patients: set[str] = field(default_factory=set)
    """Names that are one without case."""
    visits: set[str] = field(default_factory=set)
    files: dict[str, list[StoredObject]] = field(default_factory=lambda: defaultdict(list))
    """By the name of their role."""
    dead: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Links that lead to nothing."""


def find_cohort(source: Storage, cohort: Cohort) -> tuple[ExamFiles, ...]:
    """The exams below a cohort's root, as `find_exams`."""
    return find_exams(source.list(), cohort, dead=source.dead_links())


def find_exams(
    objects: Iterable[StoredObject], cohort: Cohort, *, dead: Collection[str] = ()
) -> tuple[ExamFiles, ...]:
    """The exams of a cohort, sorted by patient, then exam.

    Args:
        objects: Everything below the cohort's root.
        cohort: Patterns and channels.
        dead: Links below it that lead to nothing.

    Raises:
        DataError: A file is missing or doubled, nothing matches, names cannot be kept apart or written, or an
            exclusion names no exam.
        StudyError: A pattern has brackets that make no sense.
    """
    objects, dead = without_ignored(objects, dead, cohort)
    roles = _roles(cohort)
    found = _matches(objects, dead, roles)
    if not found:
        raise _nothing_matches(cohort, objects, roles)
    found, problems = _without_excluded(found, cohort)
    nowhere = [role for role in roles if found and not any(_has(role, exam) for exam in found.values())]
    matched = {item.key for exam in found.values() for item in chain(*exam.files.values())}
    others = [item for item in objects if item.key not in matched]
    problems += [_nowhere(role, len(found), others) for role in nowhere if not role.optional]
    exams = []
    for _, files in sorted(found.items()):
        wrong = _wrong_with(files, [role for role in roles if role not in nowhere], cohort)
        problems += wrong
        if not wrong and not any(not role.optional for role in nowhere):
            exams.append(_exam(files, cohort))
    exams.sort(key=lambda exam: (exam.patient, exam.visit))
    problems += _same_names(exams) + _shared_files(exams, cohort)
    if problems:
        raise DataError(problems)
    return tuple(exams)


def without_ignored(
    objects: Iterable[StoredObject], dead: Collection[str], cohort: Cohort
) -> tuple[list[StoredObject], list[str]]:
    """Files and dead links that `cohort.ignore` does not name."""
    ignored = [expression_of(pattern) for pattern in cohort.ignore]

    def kept(key: str) -> bool:
        return not any(expression.fullmatch(composed(key)) for expression in ignored)

    return [item for item in objects if kept(item.key)], [key for key in dead if kept(key)]


def matched_keys(keys: Iterable[str], cohort: Cohort) -> set[str]:
    """Those that a pattern of the study finds."""
    expressions = [expression_of(role.pattern, role.text) for role in _roles(cohort)]
    return {key for key in keys if any(each.fullmatch(composed(key)) for each in expressions)}


def _roles(cohort: Cohort) -> list[_Role]:
    roles = [
        _Role(name=f"channel {c.name}", pattern=cohort.pattern, text=c.files or escape(c.name))
        for c in cohort.channels
    ]
    if cohort.class_files is None:
        roles.append(_Role(name=LABELS, pattern=cohort.labels))
    else:
        roles += [
            _Role(name=f"class {name}", pattern=cohort.labels, text=text, optional=True)
            for name, text in zip(cohort.class_names, cohort.class_files, strict=True)
        ]
    return [*roles, _Role(name=MASK, pattern=cohort.mask)] if cohort.mask is not None else roles


def _matches(
    objects: Sequence[StoredObject], dead: Sequence[str], roles: Sequence[_Role]
) -> dict[tuple[str, str], _Found]:
    """By (patient, exam) as they are compared, the files of each role."""
    found: dict[tuple[str, str], _Found] = defaultdict(_Found)
    named = [(composed(item.key), item) for item in objects]
    named_dead = [(composed(key), key) for key in dead]

    def exam_of(match: re.Match[str]) -> _Found:
        patient, visit = match["patient"], match.groupdict().get("exam", "")
        exam = found[folded(patient), folded(visit)]
        exam.patients.add(patient)
        exam.visits.add(visit)
        return exam

    for role in roles:
        expression = expression_of(role.pattern, role.text)
        for name, item in named:
            if match := expression.fullmatch(name):
                exam_of(match).files[role.name].append(item)
        for name, key in named_dead:
            if match := expression.fullmatch(name):
                exam_of(match).dead[role.name].append(key)
    return found


def _has(role: _Role, exam: _Found) -> bool:
    return bool(exam.files[role.name] or exam.dead[role.name])


def _exam(found: _Found, cohort: Cohort) -> ExamFiles:
    (patient,), (visit,) = found.patients, found.visits
    first = {role: files[0] for role, files in found.files.items() if files}
    classes = [LABELS] if cohort.class_files is None else [f"class {name}" for name in cohort.class_names]
    return ExamFiles(
        exam=f"{patient}_{visit}" if visit else patient,
        patient=patient,
        visit=visit,
        channels=tuple(first[f"channel {c.name}"] for c in cohort.channels),
        labels=tuple(first.get(name) for name in classes),
        mask=first[MASK] if cohort.mask is not None else None,
    )


def _wrong_with(found: _Found, roles: Sequence[_Role], cohort: Cohort) -> list[Problem]:
    """All that is wrong with the names of an exam's files."""
    if problem := _unwritable(found):
        return [problem]
    if problem := _two_spellings(found):
        return [problem]
    (patient,), (visit,) = found.patients, found.visits
    problems = [
        _doubled(role.name, spelled(role.pattern, role.text, patient, visit), found.files[role.name])
        for role in roles
        if len(found.files[role.name]) > 1
    ]
    missing = [role for role in roles if not role.optional and not found.files[role.name]]
    linked = [role for role in roles if found.dead[role.name] and not found.files[role.name]]
    problems += [_dead(found.dead[role.name][0]) for role in linked]
    missing = [role for role in missing if role not in linked]
    if cohort.class_files is not None and not any(_has(role, found) for role in roles if role.optional):
        missing.append(_Role(name="any class", pattern=cohort.labels, text="*"))
    if missing:
        problems.append(_missing(missing, patient, visit, found, len(roles)))
    return problems


def _missing(missing: Sequence[_Role], patient: str, visit: str, found: _Found, roles: int) -> Problem:
    paths = [spelled(role.pattern, role.text, patient, visit) for role in missing]
    names = ", ".join(role.name for role in missing)
    there = [item.key for files in found.files.values() for item in files]
    if 2 * len(there) <= roles and roles > 2:
        return Problem(
            file=", ".join(map(printable, there[:2])) + (" ..." if len(there) > 2 else ""),
            found=f"{len(there)} of {roles} files of an exam {'/'.join(filter(None, (patient, visit)))}: no file for "
            f"{names}",
            expected=f"all {roles}",
            remedy="if this is no exam, make the patterns more specific or name the files in cohort.ignore; else add "
            "the files, or leave the exam out with cohort.exclude",
            cause=f"hardly any file of an exam: no {names}",
        )
    return Problem(
        file=", ".join(paths[:3]) + (" ..." if len(paths) > 3 else ""),
        found=f"no file for {names}",
        expected="one file" if len(missing) == 1 else "one file for each",
        remedy=f"add the {'file' if len(missing) == 1 else 'files'}, or leave the exam out with cohort.exclude",
        cause=f"no file for {names}",
    )


def _doubled(role: str, path: str, files: Sequence[StoredObject]) -> Problem:
    keys = ", ".join(sorted(printable(item.key) for item in files))
    alike = len({folded(item.key) for item in files}) < len(files)
    part = "the class's `files`" if role.startswith("class ") else "the channel's `files`"
    return Problem(
        file=path,
        found=f"{len(files)} files for {role}: {keys}"
        + (", whose names differ only by case or Unicode's form" if alike else ""),
        expected="one file",
        remedy="rename one of them, or move it elsewhere"
        if alike
        else f"make the pattern or {part} more specific, or name the files that are not meant in cohort.ignore",
        cause=f"several files for {role}",
    )


def _dead(key: str) -> Problem:
    return Problem(
        file=printable(key),
        found="a link to a file that is not there",
        expected="the file",
        remedy="fetch the contents (`git annex get`, `datalad get`), or correct the link",
        cause="dead links",
    )


def _unwritable(found: _Found) -> Problem | None:
    """A name that the store could not be given."""
    for key in [item.key for files in found.files.values() for item in files]:
        if not is_utf8(key):
            return Problem(
                file=printable(key),
                found="a name that is not UTF-8",
                expected="names in UTF-8",
                remedy="rename it, e.g. with `convmv -f latin1 -t utf-8 -r --notest FOLDER`",
                cause="names that are not UTF-8",
            )
    for patient in found.patients:
        name = "_".join(filter(None, (patient, *sorted(found.visits))))
        if not name.isprintable() or name != name.strip():
            return Problem(
                file=printable(name),
                found=f"the name {name!r}, with characters that cannot be seen",
                expected="letters, digits, spaces inside and signs",
                remedy="rename the folder or the files",
                cause="names with characters that cannot be seen",
            )
        if len(name.encode()) > LONGEST_NAME_BYTES:
            return Problem(
                file=name,
                found=f"a name of {len(name.encode())} bytes",
                expected=f"at most {LONGEST_NAME_BYTES} for patient and exam together, so that the store "
                "can be written",
                remedy="shorten the names",
                cause="names that are too long",
            )
    return None


def _two_spellings(found: _Found) -> Problem | None:
    """Names that differ only by case: one patient written in two ways, or two that a Mac or Windows would merge."""
    for kind, names in (("patient", found.patients), ("exam", found.visits)):
        if len(names) > 1:
            shown = sorted(names)
            return Problem(
                file=", ".join(printable(f[0].key) for f in list(found.files.values())[:2] if f),
                found=f"{kind}s {' and '.join(map(repr, shown))}, which differ only by case",
                expected="one spelling of a name in all files",
                remedy="rename the files or folders",
                cause=f"{kind}s that differ only by case",
            )
    return None


def _nothing_matches(cohort: Cohort, objects: list[StoredObject], roles: Sequence[_Role]) -> DataError:
    expressions = [expression_of(folded(role.pattern), folded(role.text)) for role in roles]
    by_case = [item.key for item in objects if any(each.fullmatch(folded(item.key)) for each in expressions)]
    if by_case:
        return DataError.of(
            file=printable(by_case[0]),
            found=f"{len(by_case)} files that would match but for upper and lower case",
            expected=f"names as in cohort.pattern ({cohort.pattern})",
            remedy="write the patterns as the files are called (e.g. .NII.GZ), or rename the files",
            cause="upper and lower case",
        )
    examples = [item.key for item in objects if item.key.lower().endswith(NIFTI_ENDINGS)][:3]
    return DataError.of(
        file=cohort.pattern,
        found=f"no match among {len(objects)} files"
        + (f", e.g. {', '.join(map(printable, examples))}" if examples else _endings(objects)),
        expected="a file for every channel of every exam",
        remedy="correct cohort.root, cohort.pattern or the channels' `files`; `submit init FOLDER` proposes them",
    )


def _endings(objects: Sequence[StoredObject]) -> str:
    """What there is where there is no NIfTI file."""
    endings = [PurePosixPath(item.key).suffix.lower() for item in objects]
    counts = sorted({(endings.count(ending), ending) for ending in set(endings) if ending}, reverse=True)[:3]
    return (
        " (none of them .nii or .nii.gz; " + ", ".join(f"{n} {e}" for n, e in counts) + ")" if counts else ""
    )


def _nowhere(role: _Role, exams: int, others: Sequence[StoredObject]) -> Problem:
    """Not a file that is missing, but a pattern or a name that is wrong."""
    pattern = role.pattern.replace("{channel}", role.text)
    all_names = sorted(PurePosixPath(item.key).name for item in others)
    names = {re.sub(r"\d+", "0", name.lower()): name for name in all_names}  # one of those that are alike
    near = get_close_matches(PurePosixPath(pattern).name.lower(), sorted(names), n=1, cutoff=0.5)
    return Problem(
        file=pattern,
        found=f"no file for {role.name} in any of {exams} exams",
        expected="one file in each",
        remedy="correct the pattern, or the channel's name or `files`"
        + (f"; did you mean {printable(names[near[0]])!r}?" if near else ""),
    )


def _without_excluded(
    found: dict[tuple[str, str], _Found], cohort: Cohort
) -> tuple[dict[tuple[str, str], _Found], list[Problem]]:
    excluded, problems = set(), []
    named: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for patient, visit in found:
        for name in (patient, f"{patient}/{visit}"):
            named[name].add((patient, visit))
    for name in cohort.exclude:
        hits = named.get(folded(name), set())
        excluded |= hits
        if not hits:
            problems.append(
                Problem(
                    file="cohort.exclude",
                    found=f"{name!r}, which is no patient and no patient/exam",
                    expected="an exam of the cohort",
                    remedy="correct the name or remove it",
                    cause=f"cohort.exclude: {name}",
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
        by_name[folded(exam.exam)].append(exam)
    return [
        Problem(
            file=", ".join(exam.all[-1].key for exam in same),
            found=f"{len(same)} exams that are both called {name!r}",
            expected="names <patient>_<exam> that differ",
            remedy="rename one of the folders",
        )
        for name, same in by_name.items()
        if len(same) > 1
    ]


def _shared_files(exams: list[ExamFiles], cohort: Cohort) -> list[Problem]:
    """Files that serve twice: an exam that is its own training data would falsify the study."""
    users: dict[str, list[tuple[str, int | None]]] = defaultdict(list)
    for exam in exams:
        volumes = zip(exam.channels, (channel.index for channel in cohort.channels), strict=True)
        whole = ((item, None) for item in (*exam.labels, exam.mask) if item is not None)
        for item, index in chain(volumes, whole):
            users[item.key].append((exam.exam, index))
    return [
        Problem(
            file=printable(key),
            found=f"used {len(uses)} times (exams {', '.join(sorted({exam for exam, _ in uses}))})",
            expected="one use of each file, or of each volume of a 4-D file",
            remedy="make cohort.pattern or the channels' `files` more specific",
            cause="a file that is used twice",
        )
        for key, uses in users.items()
        if len(uses) > 1 and (len(set(uses)) < len(uses) or any(index is None for _, index in uses))
    ]
