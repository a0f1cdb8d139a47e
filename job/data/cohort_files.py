"""Which files make up a cohort: from the study's patterns to one list of files per exam."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from glob import escape
from itertools import chain

from job.contract.cohort import Cohort
from job.contract.errors import DataError, Problem
from job.data.cohort_problems import Found, Role, found_nowhere, nothing_matches, wrong_with
from job.data.look_alikes import LookAlikes
from job.data.patterns import composed, expression_of, folded, printable
from job.storage import Storage, StoredObject

LABELS, MASK = "labels", "mask"
ExamKey = tuple[str, str]
"""A patient and an exam as they are compared."""


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
    labels: tuple[tuple[StoredObject, ...], ...]
    """The label map alone; or for each class its files, none where it is absent."""
    mask: StoredObject | None

    @property
    def all(self) -> tuple[StoredObject, ...]:
        """Every file once: channels, labels, then mask."""
        files = (*self.channels, *chain(*self.labels), self.mask)
        return tuple({item.key: item for item in files if item is not None}.values())

    @property
    def first_label(self) -> StoredObject:
        """The label map, or the first of the classes' files."""
        return next(chain(*self.labels))


@dataclass(frozen=True, kw_only=True)
class FileUse:
    """What a file is for in an exam."""

    role: str
    """`channel <name>`, `labels`, `class <name>` or `mask`."""
    file: StoredObject
    index: int | None = None
    """Volume of a 4-D file."""


def uses_of(files: ExamFiles, cohort: Cohort) -> tuple[FileUse, ...]:
    """What each file of an exam is for: channels in the study's order, labels, then mask."""
    uses = [
        FileUse(role=f"channel {channel.name}", file=item, index=channel.index)
        for channel, item in zip(cohort.channels, files.channels, strict=True)
    ]
    for role, own in zip(_label_roles(cohort), files.labels, strict=True):
        uses += [FileUse(role=role, file=item) for item in own]
    if files.mask is not None:
        uses.append(FileUse(role=MASK, file=files.mask))
    return tuple(uses)


def role_names(cohort: Cohort) -> list[str]:
    """What a file may be for in an exam, in the order of `uses_of`."""
    return [role.name for role in _roles(cohort)]


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
    exams, problems = sound_exams(objects, cohort, dead=dead)
    if problems:
        raise DataError(problems)
    return exams


def sound_exams(
    objects: Iterable[StoredObject], cohort: Cohort, *, dead: Collection[str] = ()
) -> tuple[tuple[ExamFiles, ...], list[Problem]]:
    """As `find_exams`, but the exams whose names are in order, and what is wrong with the others.

    Raises:
        DataError: Nothing matches.
        StudyError: A pattern has brackets that make no sense.
    """
    everything = list(objects)
    objects, kept_dead = without_ignored(everything, dead, cohort)
    unused = _unused_patterns([*(item.key for item in everything), *dead], cohort)
    roles = _roles(cohort)
    found = _without_misread(_matches(objects, kept_dead, roles), roles)
    if not found:
        raise nothing_matches(cohort, objects, roles)
    found, problems = _without_excluded(found, cohort)
    problems = [*unused, *problems]
    nowhere = [role for role in roles if found and not any(exam.has(role) for exam in found.values())]
    matched = {item.key for exam in found.values() for item in chain(*exam.files.values())}
    others = [item for item in objects if item.key not in matched]
    problems += [found_nowhere(role, len(found), others) for role in nowhere if not role.of_class]
    _tell_beginnings(found)
    exams, beside = [], LookAlikes(item.key for item in others)
    for _, files in sorted(found.items()):
        wrong = wrong_with(files, [role for role in roles if role not in nowhere], cohort, beside)
        problems += wrong
        if not wrong and all(role.of_class for role in nowhere):
            exams.append(_exam(files, cohort))
    exams.sort(key=lambda exam: (exam.patient, exam.visit))
    clashes = _same_names(exams) + _shared_files(exams, cohort)
    return () if clashes else tuple(exams), problems + clashes


def _unused_patterns(keys: Sequence[str], cohort: Cohort) -> list[Problem]:
    """Entries of `cohort.ignore` that name no file, as a slip of the pen does."""
    return [
        Problem(
            file="cohort.ignore",
            found=f"{pattern!r}, which matches no file",
            expected="patterns of files below cohort.root",
            remedy="correct the pattern or remove it",
            cause=f"cohort.ignore: {pattern}",
        )
        for pattern in cohort.ignore
        if not any(map(expression_of(pattern).fullmatch, map(composed, keys)))
    ]


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
    roles = _roles(cohort)
    return {key for key in keys if any(role.match(composed(key)) for role in roles)}


def _roles(cohort: Cohort) -> list[Role]:
    roles = [
        Role(
            name=f"channel {channel.name}",
            pattern=cohort.pattern,
            texts=(channel.files or escape(channel.name),),
            said_by="the pattern or the channel's `files`",
        )
        for channel in cohort.channels
    ]
    if cohort.class_files is None:
        roles.append(Role(name=LABELS, pattern=cohort.labels, said_by="cohort.labels"))
    else:
        roles += [
            Role(
                name=f"class {name}",
                pattern=cohort.labels,
                texts=texts,
                of_class=True,
                said_by="cohort.labels or the class's texts",
            )
            for name, texts in zip(cohort.class_names, cohort.class_files, strict=True)
        ]
    if cohort.mask is not None:
        roles.append(Role(name=MASK, pattern=cohort.mask, said_by="cohort.mask"))
    return roles


def _label_roles(cohort: Cohort) -> list[str]:
    return [LABELS] if cohort.class_files is None else [f"class {name}" for name in cohort.class_names]


def _matches(
    objects: Sequence[StoredObject], dead: Sequence[str], roles: Sequence[Role]
) -> dict[ExamKey, Found]:
    """By (patient, exam) as they are compared, the files of each role."""
    found: dict[tuple[str, str], Found] = defaultdict(Found)
    named = [(composed(item.key), item) for item in objects]
    named_dead = [(composed(key), key) for key in dead]

    def exam_of(match: re.Match[str]) -> Found:
        patient, visit = match["patient"], match.groupdict().get("exam", "")
        exam = found[folded(patient), folded(visit)]
        exam.patients.add(patient)
        exam.visits.add(visit)
        return exam

    for role in roles:
        for name, item in named:
            if match := role.match(name):
                exam_of(match).files[role.name].append(item)
        for name, key in named_dead:
            if match := role.match(name):
                exam_of(match).dead[role.name].append(key)
    return found


def _without_misread(found: dict[ExamKey, Found], roles: Sequence[Role]) -> dict[ExamKey, Found]:
    """The exams but those that lack files, and of which all files are another's that has more.

    `{exam}_T1w` finds an exam `pre_ce-GD` in the file that is channel `ce-GD_T1w` of exam `pre`.
    """
    users: dict[str, set[ExamKey]] = defaultdict(set)
    keys = {exam: {item.key for item in chain(*own.files.values())} for exam, own in found.items()}
    for exam, own in keys.items():
        for key in own:
            users[key].add(exam)
    there = {exam: sum(own.has(role) for role in roles) for exam, own in found.items()}

    def is_misread(exam: ExamKey) -> bool:
        own = keys[exam]
        lacks = any(not found[exam].has(role) for role in roles if not role.of_class)
        others = set.intersection(*(users[key] for key in own)) if own and lacks else set()
        return any(there[other] > there[exam] for other in others)

    return {exam: own for exam, own in found.items() if not is_misread(exam)}


def _tell_beginnings(found: dict[ExamKey, Found]) -> None:
    """Notes whose name an exam's begins with: `pre` of `pre_space-T1w`, where a `*` was meant for the rest."""
    for patient, visit in found:
        name = visit or patient
        for part in re.finditer(r"[_\-. ]+", name):
            shorter = (patient, name[: part.start()]) if visit else (name[: part.start()], "")
            if shorter in found:
                found[patient, visit].begins_as = "/".join(filter(None, shorter))


def _exam(found: Found, cohort: Cohort) -> ExamFiles:
    (patient,), (visit,) = found.patients, found.visits
    files = found.files
    return ExamFiles(
        exam=f"{patient}_{visit}" if visit else patient,
        patient=patient,
        visit=visit,
        channels=tuple(files[f"channel {channel.name}"][0] for channel in cohort.channels),
        labels=tuple(tuple(sorted(files[role], key=lambda item: item.key)) for role in _label_roles(cohort)),
        mask=files[MASK][0] if cohort.mask is not None else None,
    )


def _without_excluded(
    found: dict[tuple[str, str], Found], cohort: Cohort
) -> tuple[dict[tuple[str, str], Found], list[Problem]]:
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
                found=f"every exam of the cohort ({len(found)})",
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
        for use in uses_of(exam, cohort):
            users[use.file.key].append((exam.exam, use.index))
    return [
        Problem(
            file=printable(key),
            found=f"used {len(uses)} times (exams {', '.join(sorted({exam for exam, _ in uses}))})",
            expected="one use of each file, or of each volume of a 4-D file",
            remedy="make cohort.pattern, the channels' `files` or the classes' texts more specific",
            cause="a file that is used twice",
        )
        for key, uses in users.items()
        if len(uses) > 1 and (len(set(uses)) < len(uses) or any(index is None for _, index in uses))
    ]
