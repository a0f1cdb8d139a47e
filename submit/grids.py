"""The grid of a study over the exams that its cohort has."""

from collections.abc import Sequence
from pathlib import Path

from job.contract.errors import StudyError
from job.contract.grid import Grid
from job.contract.manifest import grid_of
from job.contract.study import Study
from job.data.cohort_files import ExamFiles, find_cohort
from job.places import cohort_root


def expected_grid(study_file: Path, study: Study) -> Grid:
    """The grid of a study, from the names of its files alone.

    Raises:
        StudyError: The cohort is too small.
        DataError: Files are missing or doubled.
    """
    return grid_over(find_cohort(cohort_root(study_file, study), study.cohort), study_file, study)


def grid_over(exams: Sequence[ExamFiles], study_file: Path, study: Study) -> Grid:
    """The grid of a study over the exams of its cohort.

    Raises:
        StudyError: The cohort is too small.
    """
    try:
        return grid_of(study, [exam.patient for exam in exams])
    except ValueError as error:
        raise StudyError(f"{study_file}: {error}") from None
