"""`submit runs`: every run in the folder of a study's runs, and in what it differs from the study as it is now."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from job.contract.errors import Damaged, StudyError
from job.project import Project
from job.run import Run
from submit.find import BATCH
from submit.runs import differences_of, is_experiment, runs_of

FILE_COLUMNS = 200
"""Of a table in a file or a pipe."""
AS_NOW = "the study as it is now"


@dataclass(frozen=True, kw_only=True)
class ListedRun:
    """A run as it is listed."""

    run: str
    created: str
    """UTC, ISO 8601; empty where the manifest cannot be read."""
    done: int
    folds: int | None
    """None where the manifest cannot be read."""
    what: str
    """Which experiment it is, beside the study."""


def show_runs(study_file: Path, *, as_json: bool) -> None:
    """Prints the runs, the newest first, as a table or as JSON.

    Raises:
        StudyError: The study is wrong, or its runs cannot be reached.
    """
    project = Project.read(study_file)
    folder = runs_of(project, BATCH)
    listed = sorted(
        (_listed(run, project) for run in folder.runs()), key=lambda each: each.created, reverse=True
    )
    waiting = [request.id for request in folder.requests() if request.run() is None]
    if as_json:
        print(json.dumps({"runs": [asdict(each) for each in listed], "requests": waiting}, indent=1))
        return
    if not listed and not waiting:
        raise StudyError(f"{folder.url} has no run yet; start one with `submit sweep {study_file}`")
    table = Table("run", "made", "folds done", "what it is")
    for each in listed:
        folds = "?" if each.folds is None else str(each.folds)
        table.add_row(each.run, each.created[:16].replace("T", " "), f"{each.done} of {folds}", each.what)
    console = Console()
    (console if console.is_terminal else Console(width=FILE_COLUMNS)).print(table, markup=False)
    for request in waiting:
        print(
            f"request {request}: its cohort is not prepared yet; `submit status {request}` says how far it is"
        )


def _listed(run: Run, project: Project) -> ListedRun:
    done = len(run.folds_with_files().result)
    try:
        manifest = run.manifest
    except Damaged as error:
        reason = str(error).removeprefix(f"{run.url}/")
        return ListedRun(run=run.name, created="", done=done, folds=None, what=reason)
    if manifest.study.name != project.study.name:
        what = f"of study {manifest.study.name}"
    elif is_experiment(run, project.study):
        what = AS_NOW
    else:
        what = differences_of(run, project.study)
    return ListedRun(run=run.name, created=manifest.created, done=done, folds=manifest.folds, what=what)
