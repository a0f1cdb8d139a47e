"""Whether the cohort is still what a run was made of: what was corrected since is in no fold of it."""

from pathlib import Path

from job.contract.errors import DataError, StudyError
from job.contract.manifest import Manifest
from job.data.cohort_files import find_cohort
from job.data.exam_record import read_record
from job.data.prepare import made_from
from job.project import Project
from job.storage import Storage
from submit.wording import counted

NAMED = 3
"""Exams of a kind that are named."""


def changes_since(manifest: Manifest, store: Storage, study_file: Path) -> list[str]:
    """In what a cohort's files differ from those that a run's exams were made of, in words.

    Nothing where the study file is of another study or is not there, or the cohort's folder is gone: a run is
    reported without them.

    Args:
        manifest: What the run is.
        store: Where its exams are.
        study_file: The study whose runs are meant; it need not be there.

    Raises:
        StudyError: The study file is wrong, or credentials for the cohort are missing.
        OSError: The cohort cannot be read.
    """
    if not study_file.is_file():
        return []
    project = Project.read(study_file)
    study = project.study
    if study.name != manifest.study.name:
        return []
    try:
        source = project.cohort
    except StudyError:
        return []
    try:
        exams = {files.exam: files for files in find_cohort(source, study.cohort)}
    except DataError as error:
        return [f"the cohort can no longer be read as the study says ({error.problems[0].found})"]
    own = {entry.exam: entry.digest for entry in manifest.exams}
    other: list[str] = []
    for exam, digest in own.items():
        if exam in exams:
            try:
                record = read_record(store, manifest.recipe, exam, digest)
            except DataError:  # gone from the store; what else is known of it is reported elsewhere
                continue
            if not made_from(record, source, study.cohort, exams[exam]):
                other.append(exam)
    kinds = (
        (other, "made from files that are others now"),
        ([exam for exam in exams if exam not in own], "in the cohort and not in the run"),
        ([exam for exam in own if exam not in exams], "in the run and no longer in the cohort"),
    )
    return [f"{counted(len(each), 'exam')} {words} ({_some(each)})" for each, words in kinds if each]


def _some(exams: list[str]) -> str:
    return ", ".join(exams[:NAMED]) + (", …" if len(exams) > NAMED else "")
