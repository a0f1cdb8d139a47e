"""Files whose names have another form than those of the same channel, class or mask in the other exams.

A pattern like `*{channel}*` takes what it finds: `t1_post.nii.gz` for `t1`, in the one exam that has no other.
"""

import re
from collections import Counter
from collections.abc import Sequence

from job.contract.cohort import Cohort
from job.contract.errors import Problem
from job.data.cohort_files import ExamFiles, uses_of
from job.data.patterns import folded, printable
from job.storage import StoredObject

FEW_SHARE = 0.2
"""Of the exams; a form that more of them have is one of several usual ones. A single exam is always few."""
FEWEST_EXAMS = 3
"""Of which one may differ from the others."""
SHOWN = 5
"""Files that a warning names."""
Form = tuple[str, ...]
"""The words of a file's path, without what belongs to the exam."""


def odd_forms(exams: Sequence[ExamFiles], cohort: Cohort) -> list[Problem]:
    """A warning for each channel, class and mask that some exams take from files of another form."""
    form_of = {key: form for exam in exams for key, form in _forms(exam, cohort.pattern).items()}
    texts = zip(cohort.class_names, cohort.class_files or (), strict=cohort.class_files is not None)
    stated = {f"class {name}" for name, own in texts if len(own) > 1}  # in the study, one by one
    problems: dict[tuple[str, ...], Problem] = {}  # by files: the channels of a 4-D file are one cause
    for role, files in _by_role(exams, cohort).items():
        if cohort.class_files is not None and role.startswith(
            "class "
        ):  # GTVn1 and GTVn2 are parts of one class
            form_of |= {
                item.key: tuple(re.sub(r"\d+", "#", word) for word in form_of[item.key]) for item in files
            }
        counts = Counter(form_of[item.key] for item in files)
        if len(counts) < 2 or len(files) < FEWEST_EXAMS or role in stated:
            continue
        usual, count = counts.most_common(1)[0]
        odd = [item for item in files if form_of[item.key] != usual]
        if len(odd) <= max(1, FEW_SHARE * len(files)):
            example = next(item for item in files if form_of[item.key] == usual)
            problems.setdefault(tuple(item.key for item in odd), _problem(role, odd, example, count))
    return list(problems.values())


def _by_role(exams: Sequence[ExamFiles], cohort: Cohort) -> dict[str, list[StoredObject]]:
    """The files of each channel, of the labels or each class, and of the mask."""
    files: dict[str, list[StoredObject]] = {}
    for exam in exams:
        for use in uses_of(exam, cohort):
            files.setdefault(use.role, []).append(use.file)
    return files


def _forms(exam: ExamFiles, pattern: str) -> dict[str, Form]:
    """The form of each file of an exam, by its key.

    Words that all channels have are the exam's, its date, scanner or folder, and say nothing of a channel.
    """
    words = {item.key: _words(item, exam, pattern) for item in exam.all}
    channels = [frozenset(words[key]) for key in {item.key for item in exam.channels}]
    own = frozenset.intersection(*channels) if len(channels) > 1 else frozenset()
    return {key: tuple(word for word in each if word not in own) for key, each in words.items()}


def _words(item: StoredObject, exam: ExamFiles, pattern: str) -> list[str]:
    """The words of a path without the names of patient and exam, as they are compared."""
    name = folded(item.key).replace("ization", "isation").replace("ized", "ised")
    for own, placeholder in ((exam.patient, "{patient}"), (exam.visit, "{exam}")):
        if own:  # only as often as the pattern has it: patient 4 may have a channel 4
            standing = rf"(?<![^_\-. /]){re.escape(folded(own))}(?![^_\-. /])"
            name = re.sub(standing, " ", name, count=pattern.count(placeholder))
    name = re.sub(r"\.nii(?:\.gz)?$", "", name)
    return [_without_number(word) for word in re.split(r"[_\-. /()]+", name) if word]


def _without_number(word: str) -> str:
    """`#` for numbers, unless they are what a single letter means: `b1000`, `t1`."""
    return word if re.fullmatch(r"[a-z]\d+[a-z]*", word) else re.sub(r"\d+", "#", word)


def _problem(role: str, odd: Sequence[StoredObject], example: StoredObject, count: int) -> Problem:
    exams = "1 exam" if len(odd) == 1 else f"{len(odd)} exams"
    return Problem(
        file=", ".join(printable(item.key) for item in odd[:SHOWN])
        + (f" and {len(odd) - SHOWN} more" if len(odd) > SHOWN else ""),
        found=f"{role} of {exams} under a name of another form than in the {count} others ({printable(example.key)}, "
        "say)",
        expected="one form of name for one kind of image, beside names, dates and numbers",
        remedy="see whether these files show the same as the others'; if not, make the pattern or `files` more "
        "specific; if they do, nothing needs to be done",
        cause=f"{role} under a name of another form",
    )
