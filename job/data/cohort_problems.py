"""What is wrong with the names of a cohort's files, in words; `cohort_files` finds them."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import PurePosixPath

from job.contract.cohort import Cohort
from job.contract.errors import DataError, Problem
from job.contract.wording import first_of
from job.data.look_alikes import LookAlikes, without_ending
from job.data.patterns import expression_of, folded, is_utf8, printable, spelled
from job.storage import StoredObject

LONGEST_NAME_BYTES = 200
"""Of `<patient>_<exam>` in UTF-8: file systems allow 255 for a name, and the store adds a digest and an ending."""
NIFTI_ENDINGS = (".nii", ".nii.gz")


@dataclass(frozen=True, kw_only=True)
class Role:
    """What a file is in an exam."""

    name: str
    pattern: str
    texts: tuple[str, ...] = ("",)
    """What stands for `{channel}` or `{class}` in the pattern."""
    of_class: bool = False
    """Whether it is that of a class: an exam may lack it, if the class is absent, or have several, its parts."""

    said_by: str
    """The part of the study file that says which files they are, as an error names it."""

    @cached_property
    def expressions(self) -> tuple[re.Pattern[str], ...]:
        """For names in form NFC, one for each text.

        Raises:
            StudyError: The pattern has brackets that make no sense.
        """
        return tuple(expression_of(self.pattern, text) for text in self.texts)

    def match(self, name: str) -> re.Match[str] | None:
        """The match of a name in form NFC."""
        matches = (expression.fullmatch(name) for expression in self.expressions)
        return next((match for match in matches if match), None)

    def path(self, patient: str, visit: str) -> str:
        """Where the file of an exam is expected."""
        return spelled(self.pattern, self.texts[0], patient, visit)


@dataclass(kw_only=True)
class Found:
    """The files that the patterns give to one exam."""

    patients: set[str] = field(default_factory=set)
    """Names that are one without case."""
    visits: set[str] = field(default_factory=set)
    files: dict[str, list[StoredObject]] = field(default_factory=lambda: defaultdict(list))
    """By the name of their role."""
    dead: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Links that lead to nothing."""
    begins_as: str = ""
    """Another exam with whose name this one's begins, so that it may be a file of that one."""

    def has(self, role: Role) -> bool:
        """Whether there is a file or a dead link for a role."""
        return bool(self.files[role.name] or self.dead[role.name])


def wrong_with(found: Found, roles: Sequence[Role], cohort: Cohort, beside: LookAlikes) -> list[Problem]:
    """All that is wrong with the names of an exam's files; and files beside that may be meant."""
    if problem := _unwritable(found):
        return [problem]
    if problem := _two_spellings(found):
        return [problem]
    (patient,), (visit,) = found.patients, found.visits
    several = [role for role in roles if len(found.files[role.name]) > 1]
    problems = [
        _doubled(role, role.path(patient, visit), found.files[role.name])
        for role in several
        if not role.of_class or _alike(found.files[role.name])
    ]
    linked = [
        role for role in roles if found.dead[role.name] and (role.of_class or not found.files[role.name])
    ]
    problems += [_dead(found.dead[role.name][0]) for role in linked]
    missing = [role for role in roles if not role.of_class and not found.has(role)]
    if cohort.class_files is not None and not any(found.has(role) for role in roles if role.of_class):
        missing.append(Role(name="any class", pattern=cohort.labels, texts=("*",), said_by="cohort.labels"))
    if missing:
        problem = _missing(missing, patient, visit, found, len(roles))
        alike = [beside.of(role.path(patient, visit)) for role in missing]
        problems.append(_with_look_alikes(problem, [key for key in alike if key is not None]))
    return problems


def _with_look_alikes(problem: Problem, keys: Sequence[str]) -> Problem:
    """The problem of missing files with what may be meant by them."""
    if not keys:
        return problem
    shown = first_of(list(map(printable, keys)), 3)
    return replace(
        problem,
        found=f"{problem.found}; beside is {shown}, whose name differs by case, blanks, a number or its ending only",
        remedy=f"if that is meant, rename it; else {problem.remedy}",
        cause=f"{problem.cause}, but one of a name alike",
    )


def _missing(missing: Sequence[Role], patient: str, visit: str, found: Found, roles: int) -> Problem:
    paths = [role.path(patient, visit) for role in missing]
    names = ", ".join(role.name for role in missing)
    there = [files[0].key for files in found.files.values() if files]
    if 2 * len(there) <= roles and roles > 2:
        return Problem(
            file=first_of(list(map(printable, there)), 2),
            found=f"{len(there)} of {roles} files of an exam {'/'.join(filter(None, (patient, visit)))}: no file for "
            f"{names}",
            expected=f"all {roles}",
            remedy=_of_another(found.begins_as)
            if found.begins_as
            else "if this is no exam, make the patterns more specific or name the files in cohort.ignore; else add "
            "the files, or leave the exam out with cohort.exclude",
            cause=f"hardly any file of an exam: no {names}",
        )
    return Problem(
        file=first_of(paths, 3),
        found=f"no file for {names}",
        expected="one file" if len(missing) == 1 else "one file for each",
        remedy=f"add the {'file' if len(missing) == 1 else 'files'}, or leave the exam out with cohort.exclude",
        cause=f"no file for {names}",
    )


def _of_another(exam: str) -> str:
    """What to do about files that are read as an exam of their own and may be another's."""
    return (
        f"if these are files of exam {exam}, with whose name this one begins, write in the patterns in full what "
        "follows the name, which takes all that it can; if they are not meant, name them in cohort.ignore; if it "
        "is an exam, add the files, or leave it out with cohort.exclude"
    )


def _alike(files: Sequence[StoredObject]) -> bool:
    """Whether names of files differ only by case or Unicode's form."""
    return len({folded(item.key) for item in files}) < len(files)


def _doubled(role: Role, path: str, files: Sequence[StoredObject]) -> Problem:
    keys = ", ".join(sorted(printable(item.key) for item in files))
    alike = _alike(files)
    return Problem(
        file=path,
        found=f"{len(files)} files for {role.name}: {keys}"
        + (", whose names differ only by case or Unicode's form" if alike else ""),
        expected="one file",
        remedy="rename one of them, or move it elsewhere"
        if alike
        else f"make {role.said_by} more specific, or name the files that are not meant in cohort.ignore",
        cause=f"several files for {role.name}",
    )


def _dead(key: str) -> Problem:
    return Problem(
        file=printable(key),
        found="a link to a file that is not there",
        expected="the file",
        remedy="fetch the contents (`git annex get`, `datalad get`), or correct the link",
        cause="dead links",
    )


def _unwritable(found: Found) -> Problem | None:
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


def _two_spellings(found: Found) -> Problem | None:
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


def nothing_matches(cohort: Cohort, objects: Sequence[StoredObject], roles: Sequence[Role]) -> DataError:
    """The error of patterns that find no file at all."""
    expressions = [expression_of(folded(role.pattern), folded(text)) for role in roles for text in role.texts]
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


def found_nowhere(role: Role, exams: int, others: Sequence[StoredObject]) -> Problem:
    """Not a file that is missing, but a pattern or a name that is wrong."""
    pattern = role.pattern.replace("{channel}", role.texts[0])
    all_names = sorted(PurePosixPath(item.key).name for item in others)
    names = {re.sub(r"\d+", "0", name.lower()): name for name in all_names}  # one of those that are alike
    stem = re.sub(r"\{\w+\}", "*", without_ending(folded(PurePosixPath(pattern).name)))  # .nii for .nii.gz
    same = [name for name in all_names if fnmatchcase(without_ending(folded(name)), stem)]
    near = get_close_matches(PurePosixPath(pattern).name.lower(), sorted(names), n=1, cutoff=0.5)
    meant = next(iter(same), None) or next((names[name] for name in near), None)
    return Problem(
        file=pattern,
        found=f"no file for {role.name} in any of {exams} exams",
        expected="one file in each",
        remedy="correct the pattern, or the channel's name or `files`"
        + (f"; did you mean {printable(meant)!r}?" if meant else ""),
    )
