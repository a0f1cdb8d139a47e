"""Finding a run: at a location, by its name, or the latest of a project."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel

from job.contract import layout
from job.contract.errors import Damaged, StudyError
from job.contract.grid import Grid
from job.contract.manifest import Manifest, same_experiment
from job.contract.study import Study
from job.data.prepare import read_index
from job.project import Project
from job.request import Request, RunsFolder, open_run_or_request
from job.run import Run
from job.storage.records import read_record_file
from submit.submissions import find_submission, read_submission


@dataclass(frozen=True)
class Found:
    """What was found, and what the user is to know of it."""

    run: Run | Request
    """A request stands for the run that it will become."""
    notes: tuple[str, ...] = ()


class Cloud(Protocol):
    """What only AWS Batch knows of a project's runs."""

    def runs_of(self, project: Project) -> RunsFolder:
        """Where the project's runs are."""
        ...

    def lives(self, request: Request) -> bool:
        """Whether a job of a request waits or runs, or is about to."""
        ...


class NoRunYet(StudyError):
    """A study of which nothing was started so far."""


def run_meant(name: str | None, study_file: Path, cloud: Cloud, *, exact: bool = False) -> Found:
    """What a command line means: a study file, a folder or URL, a run's name, a request's id, or nothing at all.

    Args:
        name: What was named; of a study file, or without a name, the latest run is meant.
        study_file: The study whose runs are meant.
        cloud: Asked where the runs of a study on AWS Batch are.
        exact: Refuses a run of an earlier text of the study file.

    Raises:
        NoRunYet: The study has none at all.
        StudyError: There is no such run.
    """
    if name is not None and name.endswith(".toml"):
        study_file, name = Path(name), None
    if name is None:
        return latest_run(Project.read(study_file), cloud, exact=exact)
    if "://" in name or Path(name, layout.MANIFEST).is_file():
        return run_at(name)
    if not study_file.is_file():
        raise StudyError(f"{name}: no folder of a run, and {study_file} is not there to look up runs by name")
    return run_named(name, runs_of(Project.read(study_file), cloud))


def run_at(location: str) -> Found:
    """The run or the request of a folder or URL; of a request that is fulfilled, its run."""
    return Found(_fulfilled(open_run_or_request(location)))


def run_named(name: str, runs: RunsFolder) -> Found:
    """The run of a name, or of the request with this id.

    Raises:
        StudyError: There is neither.
    """
    if name in runs.request_ids():
        return Found(_fulfilled(runs.request(name)))
    found = {run.name: run for run in runs.runs()}
    if name not in found:
        raise StudyError(f"{runs.url} has no run {name!r}; its runs: {', '.join(found) or 'none'}")
    return Found(found[name])


def latest_run(project: Project, cloud: Cloud, *, exact: bool = False) -> Found:
    """The run of the study that was started last; a request whose cohort is being prepared stands for its run.

    If only runs of an earlier text of the study file are there, the newest of them, with a note of what differs.

    Args:
        project: The study.
        cloud: Asked where the runs of a study on AWS Batch are, and whether a request's jobs live.
        exact: Refuses a run of an earlier text.

    Raises:
        NoRunYet: The study has none at all.
        StudyError: It has none of this text, and `exact` is asked for.
    """
    study, runs = project.study, runs_of(project, cloud)
    found = _started_last(study.name, runs)
    if not found:
        raise NoRunYet(
            f"{runs.url} has no run of study {study.name} yet; start one with `submit sweep {project.file}`"
        )
    own = [each for each in found if is_experiment(each, study)]
    if own:
        return _newest(own, cloud.lives)
    if exact:
        raise StudyError(
            f"{project.file} has no run as it is now; name one: {', '.join(each.url for each in found)}"
        )
    note = (
        f"{layout.name_of(found[0].url)} was started last, but {project.file} was changed since"
        f"{_changes(found[0], study)}"
    )
    newest = _newest(found, cloud.lives)
    return Found(newest.run, (note, *newest.notes))


def runs_of(project: Project, cloud: Cloud) -> RunsFolder:
    """Where a project's runs are: on AWS Batch, where its deployment has them."""
    return project.runs if project.study.compute.backend == "local" else cloud.runs_of(project)


def require_run(found: Run | Request) -> Run:
    """Refuses a request, which has no results yet.

    Raises:
        StudyError: Says what it waits for.
    """
    if isinstance(found, Request):
        raise StudyError(
            f"{found.url}: its cohort is not prepared, so that it has no results; `submit status {found.url}` says "
            "how far it is"
        )
    return found


def expected_run(project: Project, grid: Grid) -> Run | None:
    """The run of a study over the cohort as it was last prepared, whether it is there or not.

    None if the cohort was not prepared as the study says now, or has other patients by now.

    Raises:
        StudyError: The cohort is too small for the study.
        Damaged: The store's index is.
    """
    index = read_index(project.store, project.study)
    run = None if index is None else project.run_over(index)
    return run if run is not None and run.grid == grid else None


def differences_of(run: Run, study: Study) -> str:
    """Why another run's folds are not those of a study, in words."""
    return _changes(run, study).strip(" ()") or "its exams, or how they were prepared, are others"


def _fulfilled(found: Run | Request) -> Run | Request:
    """The run that a request has become, where it has."""
    return found if isinstance(found, Run) else found.run() or found


def _started_last(study: str, runs: RunsFolder) -> list[Run | Request]:
    """The runs of a study, and the requests that wait for their cohort, the last to be started first."""
    started: list[tuple[str, Run | Request]] = [
        (read_submission(request).started, request) for request in _waiting(runs)
    ]
    started += [(time, run) for run in runs.runs() if (time := _started(run, study)) is not None]
    return [each for _, each in sorted(started, key=itemgetter(0), reverse=True)]


def _waiting(runs: RunsFolder) -> list[Request]:
    """The requests whose cohort is not prepared yet."""
    return [each for each in runs.requests() if each.run() is None and find_submission(each) is not None]


def _newest(found: list[Run | Request], lives: Callable[[Request], bool]) -> Found:
    """The first; a request whose jobs have ended in vain gives way to a run."""
    first, run = found[0], next((each for each in found if isinstance(each, Run)), None)
    if run is None or isinstance(first, Run) or lives(first):
        return Found(first)
    return Found(run, (f"{first.url} was submitted later, and its cohort was not prepared",))


class _Name(BaseModel):
    name: str


class _Head(BaseModel):
    """What a manifest says in every version."""

    study: _Name
    created: str


def _started(run: Run, study: str) -> str | None:
    """When a run was last started, or None if it is another study's; runs of older versions are not validated.

    Raises:
        Damaged: The manifest is.
    """
    head = read_record_file(run.files, layout.MANIFEST, _Head)
    if head is None or head.study.name != study:
        return None
    try:
        submission = find_submission(run)
    except Damaged:  # whoever needs it is told
        return head.created
    return submission.started if submission is not None else head.created  # prepared, but not started yet


def _study_of(found: Run | Request) -> Study:
    """The study as a run has fixed it, or as a request asks for it.

    Raises:
        Damaged: It is of another version of the code.
    """
    match found:
        case Run():
            return found.manifest.study
        case Request():
            return found.study


def _changes(found: Run | Request, study: Study) -> str:
    """In what a study file differs from what a run fixed, in words; nothing of a run of another version."""
    try:
        fixed = _study_of(found).model_dump(mode="json")
    except Damaged:
        return ""
    now = study.model_dump(mode="json")
    told = [
        f"{section}.{key} is {_short(own[key])}, in the run {_short(then[key])}"
        for section, own in now.items()
        if section not in ("compute", "store") and isinstance(own, dict) and (then := fixed.get(section))
        for key in own
        if key in then and own[key] != then[key]
    ]
    return f" ({'; '.join(told)})" if told else ""


def _short(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def is_experiment(found: Run | Request, study: Study) -> bool:
    """Whether a run, or a request for one, is the experiment that the study says now."""
    try:
        fixed = _study_of(found)
    except Damaged:  # of another version of the code
        return False
    if isinstance(found, Request):
        return fixed.cohort.root == study.cohort.root and same_experiment(fixed, study)
    exams, recipe = found.manifest.exams, found.manifest.recipe
    try:
        now = Manifest.freeze(study, exams=exams, recipe=recipe, created="", code_version="")
    except ValueError:  # too small for the study as it is now
        return False
    return now.digest == found.manifest.digest
