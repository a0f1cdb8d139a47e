"""`submit prepare`: the block store of a cohort."""

from pathlib import Path

from rich.console import Console

from job.data.prepare import prepare_cohort
from job.machine import available_cores
from job.project import Project
from submit.problems import show_warnings
from submit.progress import ExamProgress
from submit.wording import counted


def prepare_study(study_file: Path, console: Console) -> str:
    """Makes the block store of a study's cohort; what was done.

    Raises:
        StudyError: The study is wrong.
        DataError: Everything that is wrong with the cohort.
    """
    project = Project.read(study_file)
    if project.study.compute.backend == "batch":
        from submit.aws.jobs import connect  # loads AWS's client
        from submit.aws.sweep import placed

        project = placed(project, connect(project.study.compute.stack)[0])
    store = project.store
    with ExamProgress(console) as progress:
        prepared = prepare_cohort(
            project.cohort,
            store,
            project.study,
            workers=available_cores(),
            progress=progress,
            verify=True,
        )
    show_warnings(prepared.warnings, console)
    kept = len(prepared.index.exams) - prepared.made
    return f"{store.url}: {counted(prepared.made, 'exam')} made, {kept} there already"
