"""`submit check`: reads every file of a cohort, and shows what was understood and what is wrong or odd."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:  # what draws waits for --output
    from submit.check.pictures import Album

from job.contract.errors import DataError
from job.contract.shapes import xyz_of
from job.contract.study import Study
from job.contract.wording import dimensions, first_of
from job.data.cohort_summary import Findings
from job.data.prepare import check_cohort
from job.machine import available_cores
from job.networks.design import design_of
from job.project import Project
from job.storage import open_storage
from submit.check.amounts import measured
from submit.check.contents import EXAMS_SHOWN, exams_table, overview, unusual_table
from submit.check.tables import Table
from submit.check.terminal import show_table
from submit.foresee import foreseen
from submit.problems import by_cause, show_problems, show_warnings
from submit.progress import ExamProgress
from submit.wording import counted

LOOK = "A swap or a flip is seen in pictures: `submit check --output FOLDER` draws each exam and its labels."
"""What no number tells for sure."""


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
    project = Project.read(study_file)
    study, source = project.study, project.cohort
    album = None if output is None else _album(output)
    with ExamProgress(console) as progress:
        watch = None if album is None else album.watch
        found = check_cohort(source, study, workers=available_cores(), progress=progress, watch=watch)
    problems, warnings = foreseen(project, found.exams, source)
    found = replace(found, problems=(*found.problems, *problems), warnings=(*found.warnings, *warnings))
    for table in tables(found, study):
        show_table(table, Console(file=sys.stdout))
    if output is not None and album is not None:
        _write_page(output, study, found, album)
    elif found.exams:
        print(LOOK)
    if not found.problems:
        print("\n".join(summary(project, found)))
    sys.stdout.flush()  # what follows goes to stderr
    show_warnings(found.warnings, console)
    if found.problems:
        show_problems(DataError(found.problems), console)
    return not found.problems


def tables(found: Findings, study: Study) -> Iterator[Table]:
    """The tables of a cohort for a terminal: with a row for each exam if they are few, else for the odd ones."""
    own = measured(found.exams, study.cohort) if found.exams else None
    yield from overview(found, study.cohort, own)
    if own is not None:
        yield exams_table(own) if len(own.exams) <= EXAMS_SHOWN else unusual_table(own)


def summary(project: Project, found: Findings) -> Iterator[str]:
    """What the study would do with a cohort that has no problem.

    Raises:
        StudyError: The cohort is too small.
    """
    study, grid = project.study, project.grid_over(found.files)
    design = design_of(study)
    window = design.training_window()
    patch, predicted = xyz_of(window.input_zyx), xyz_of(window.output_zyx)
    patients = len({exam.patient for exam in found.files})
    excluded = study.cohort.exclude
    yield (
        f"cohort: {counted(len(found.files), 'exam')} of {counted(patients, 'patient')}"
        + (f" ({len(excluded)} excluded: {first_of(excluded, 3)})" if excluded else "")
        + ", no problem found"
        + (f", {counted(len(by_cause(found.warnings)), 'warning')}" if found.warnings else "")
    )
    yield f"grid: {len(grid)} folds = {grid.extent}"
    yield (
        f"network: {design.in_words().title}, receptive field {dimensions(design.receptive_field())}; "
        f"patch {dimensions(patch)} -> {dimensions(predicted)} voxels predicted"
    )


def _album(output: Path) -> "Album":
    """An empty album; the folder is made first, so that a wrong one is not found after an hour of reading."""
    from submit.check.pictures import Album

    output.mkdir(parents=True, exist_ok=True)
    return Album()


def _write_page(output: Path, study: Study, found: Findings, album: "Album") -> None:
    from submit.check.page import Check, page_name, write_pages

    write_pages(open_storage(str(output)), Check(study=study, found=found, pictures=album.exams))
    print(f"page: {output / page_name(0)}")
