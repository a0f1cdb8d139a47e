"""`submit check` and `submit prepare`: the cohort before anything is trained."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from job.contract.errors import DataError
from job.contract.study_file import load_study
from job.data.prepare import check_cohort, prepare_cohort
from job.machine import available_cores
from job.places import cohort_root, store_root
from submit.progress import ExamProgress
from submit.sweep import expected_grid
from submit.wording import counted

TABLE_COLUMNS = 110
"""Of a terminal; less breaks four columns into too many lines."""


def check_study(study_file: Path, console: Console) -> bool:
    """Reads every file of a study's cohort, shows what was found or all problems; whether there are none.

    Raises:
        StudyError: The study itself is wrong, or the cohort too small for it.
    """
    study = load_study(study_file)
    try:
        with ExamProgress(console) as progress:
            source = cohort_root(study_file, study)
            exams = check_cohort(source, study, workers=available_cores(), progress=progress)
    except DataError as error:
        show_problems(error, console)
        return False
    grid = expected_grid(study_file, study)
    architecture, segment = study.network.architecture, study.training_segment
    patch = study.training.patch_shape or architecture.input_shape(segment)
    field, predicted = architecture.receptive_field(), architecture.output_shape(segment)
    lines = (
        f"cohort: {counted(len(exams), 'exam')} of {counted(len({exam.patient for exam in exams}), 'patient')}, "
        "no problem found",
        f"channels: {', '.join(study.cohort.channel_names)}; classes: {', '.join(study.cohort.class_names)}",
        f"grid: {len(grid)} folds = {grid.extent}",
        f"network: {study.network.name} {study.network.variant}, receptive field {_by(field)}; "
        f"patch {_by(patch)} -> {_by(predicted)} voxels predicted",
    )
    print("\n".join(lines))
    return True


def prepare_study(study_file: Path, console: Console) -> str:
    """Makes the block store of a study's cohort; what was done.

    Raises:
        StudyError: The study is wrong.
        DataError: Everything that is wrong with the cohort.
    """
    study = load_study(study_file)
    if study.compute.backend == "batch":
        from submit.aws.jobs import connect  # loads AWS's client
        from submit.aws.sweep import placed

        study = placed(study_file, study, connect(study.compute.stack)[0])
    store = store_root(study_file, study)
    with ExamProgress(console) as progress:
        index, made = prepare_cohort(
            cohort_root(study_file, study),
            store,
            study,
            workers=available_cores(),
            progress=progress,
            verify=True,
        )
    return f"{store.url}: {counted(made, 'exam')} made, {len(index.exams) - made} there already"


def show_problems(error: DataError, console: Console) -> None:
    """Every problem, the file first: a table where there is a terminal wide enough for it, else a list."""
    if not console.is_terminal or console.width < TABLE_COLUMNS:
        print(f"{counted(len(error.problems), 'problem')}:", file=console.file)
        for problem in error.problems:
            print(
                f"{problem.file}\n    found:    {problem.found}\n    expected: {problem.expected}\n"
                f"    remedy:   {problem.remedy}",
                file=console.file,
            )
        return
    table = Table(title=counted(len(error.problems), "problem"), title_justify="left", show_lines=True)
    longest = max(len(problem.file) for problem in error.problems)
    # A name that is broken in the middle cannot be copied.
    table.add_column("file", overflow="fold", min_width=min(longest, console.width // 2))
    for column in ("found", "expected", "remedy"):
        table.add_column(column, overflow="fold")
    for problem in error.problems:
        table.add_row(problem.file, problem.found, problem.expected, problem.remedy)
    console.print(table, markup=False)


def _by(shape: tuple[int, int, int]) -> str:
    return " x ".join(map(str, shape))
