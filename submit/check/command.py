"""`submit check`: reads every file of a cohort, and shows what was understood and what is wrong or odd."""

import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from job.contract.errors import DataError
from job.contract.study import Study
from job.contract.study_file import load_study
from job.data.cohort_summary import Findings
from job.data.prepare import check_cohort
from job.machine import available_cores
from job.places import cohort_root
from submit.check.amounts import measured
from submit.check.contents import (
    EXAMS_SHOWN,
    channels_table,
    classes_table,
    exams_table,
    files_table,
    grids_table,
    patients_table,
    unusual_table,
)
from submit.check.tables import Table
from submit.check.terminal import show_table
from submit.problems import by_cause, show_problems, show_warnings
from submit.progress import ExamProgress
from submit.sweep import grid_over
from submit.wording import counted


def check_study(study_file: Path, console: Console, output: Path | None = None) -> bool:
    """Reads every file of a study's cohort and shows what was found; whether there are no problems.

    Args:
        study_file: The study.
        console: For progress, warnings and problems, which come last; the tables go to stdout.
        output: Folder for a page with pictures.

    Raises:
        StudyError: The study itself is wrong, or the cohort too small for it.
        DataError: No file's name fits the patterns.
    """
    study = load_study(study_file)
    source = cohort_root(study_file, study)
    with ExamProgress(console) as progress:
        found = check_cohort(source, study, workers=available_cores(), progress=progress)
    terminal = Console(file=sys.stdout)
    for table in overview(found, study):
        show_table(table, terminal)
    if not found.problems:
        print("\n".join(summary(study_file, study, found)))
    sys.stdout.flush()  # what follows goes to stderr
    show_warnings(found.warnings, console)
    if found.problems:
        show_problems(DataError(found.problems), console)
    return not found.problems


def overview(found: Findings, study: Study) -> Iterator[Table]:
    """The tables of a cohort, as far as it could be read; of many exams the odd ones only."""
    if found.files:
        yield files_table(found.files, study.cohort)
        read = {exam.exam for exam in found.exams}
        yield patients_table(found.files, [files.exam for files in found.files if files.exam not in read])
    if found.exams:
        own = measured(found.exams, study.cohort)
        yield classes_table(own, study.cohort)
        yield grids_table(found.exams)
        yield channels_table(own, study.cohort)
        few = len(found.exams) <= EXAMS_SHOWN
        yield exams_table(own) if few else unusual_table(own)


def summary(study_file: Path, study: Study, found: Findings) -> Iterator[str]:
    """What the study would do with a cohort that has no problem.

    Raises:
        StudyError: The cohort is too small.
    """
    grid = grid_over(found.files, study_file, study)
    architecture, segment = study.network.architecture, study.training_segment
    patch = study.training.patch_shape or architecture.input_shape(segment)
    field, predicted = architecture.receptive_field(), architecture.output_shape(segment)
    patients = len({exam.patient for exam in found.files})
    yield (
        f"cohort: {counted(len(found.files), 'exam')} of {counted(patients, 'patient')}, no problem found"
        + (f", {counted(len(by_cause(found.warnings)), 'warning')}" if found.warnings else "")
    )
    yield f"grid: {len(grid)} folds = {grid.extent}"
    yield (
        f"network: {study.network.name} {study.network.variant}, receptive field {_by(field)}; "
        f"patch {_by(patch)} -> {_by(predicted)} voxels predicted"
    )


def _by(shape: tuple[int, int, int]) -> str:
    return " x ".join(map(str, shape))
