"""`submit check` and `submit prepare`: the cohort before anything is trained."""

from pathlib import Path

from rich.console import Console

from job.contract.errors import DataError
from job.contract.study_file import load_study
from job.data.prepare import check_cohort, prepare_cohort
from job.machine import available_cores
from job.places import cohort_root, store_root
from submit.problems import show_problems, show_warnings
from submit.progress import ExamProgress
from submit.sweep import expected_grid
from submit.wording import counted


def check_study(study_file: Path, console: Console) -> bool:
    """Reads every file of a study's cohort, shows what was found or all problems; whether there are none.

    Raises:
        StudyError: The study itself is wrong, or the cohort too small for it.
    """
    study = load_study(study_file)
    with ExamProgress(console) as progress:
        source = cohort_root(study_file, study)
        found = check_cohort(source, study, workers=available_cores(), progress=progress)
    show_warnings(found.warnings, console)
    if found.problems:
        show_problems(DataError(found.problems), console)
        return False
    exams = found.exams
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
        prepared = prepare_cohort(
            cohort_root(study_file, study),
            store,
            study,
            workers=available_cores(),
            progress=progress,
            verify=True,
        )
    show_warnings(prepared.warnings, console)
    kept = len(prepared.index.exams) - prepared.made
    return f"{store.url}: {counted(prepared.made, 'exam')} made, {kept} there already"


def _by(shape: tuple[int, int, int]) -> str:
    return " x ".join(map(str, shape))
