"""Runs: made from a study, found again by name, surveyed from their files."""

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from job.contract import layout
from job.contract.errors import Damaged, StudyError
from job.contract.grid import Grid
from job.contract.manifest import Manifest, same_experiment
from job.contract.results import Failure, Heartbeat
from job.contract.study import Study
from job.data.prepare import read_index
from job.places import read_manifest
from job.project import Project
from job.runs import is_request, place_of, read_request, run_of_request
from job.storage import Storage, open_storage
from job.storage.concurrency import map_files
from job.storage.records import read_record_file
from submit.submissions import batch_submissions, find_submission, read_submission

FRESH_SECONDS = 60.0
"""A fold with a younger heartbeat is running."""


State = Literal["done", "running", "interrupted", "failed", "missing"]


@dataclass(frozen=True, kw_only=True)
class FoldStatus:
    """What the files of a fold say."""

    fold: int
    state: State
    heartbeat: Heartbeat | None = None
    failure: Failure | None = None
    damaged: str | None = None
    """The file of its last attempt that is no longer one, and what to do."""


class NoRunYet(StudyError):
    """A study of which nothing was started so far."""


def submitted_run(project: Project, grid: Grid) -> tuple[Storage, Manifest] | None:
    """The run of a study over the cohort as it was last prepared, if that has this grid and was submitted before.

    Raises:
        StudyError: The cohort is too small for the study, or the run's manifest was changed.
    """
    index = read_index(project.store, project.study)
    if index is None:
        return None
    run, manifest = place_of(project, index)
    if not run.exists(layout.MANIFEST):
        return None
    existing = read_manifest(run)
    return (run, existing) if existing.digest == manifest.digest and existing.grid == grid else None


def find_run(name: str | None, study_file: Path, *, exact: bool = False) -> Storage:
    """The run of this name or folder; of a study file or without a name, the study's run that was started last.

    A request whose cohort is still being prepared stands for its run. If only runs of an earlier text of the study
    file are there, the newest of them; standard error says so.

    Args:
        name: Of a run, or of a study file.
        study_file: The study whose runs are meant.
        exact: Refuses a run of an earlier text.

    Raises:
        NoRunYet: The study has none at all.
        StudyError: There is no such run.
    """
    if name is not None and name.endswith(".toml"):
        return find_run(None, Path(name), exact=exact)
    if name is not None and ("://" in name or Path(name, layout.MANIFEST).is_file()):
        return _request_or_run(open_storage(name))
    if name is not None and not study_file.is_file():
        raise StudyError(f"{name}: no folder of a run, and {study_file} is not there to look up runs by name")
    project = Project.read(study_file)
    study, root = project.study, open_storage(_runs_root(project))
    runs = {run: open_storage(f"{root.url}/{run}") for run in root.folders()}
    runs = {run: storage for run, storage in runs.items() if storage.exists(layout.MANIFEST)}
    if name is not None and name in root.folders(layout.REQUESTS):
        return _request_or_run(open_storage(f"{root.url}/{layout.request(name)}"))
    if name is not None:
        if name not in runs:
            raise StudyError(f"{root.url} has no run {name!r}; its runs: {', '.join(runs) or 'none'}")
        return runs[name]
    started = [(read_submission(request).started, request) for request in _waiting_requests(root)]
    started += [(time, place) for place in runs.values() if (time := _started(place, study.name)) is not None]
    places = [place for _, place in sorted(started, key=itemgetter(0), reverse=True)]
    if not places:
        raise NoRunYet(
            f"{root.url} has no run of study {study.name} yet; start one with `submit sweep {study_file}`"
        )
    own = [place for place in places if _is_of(place, study)]
    if not own and exact:
        raise StudyError(
            f"{study_file} has no run as it is now; name one: {', '.join(place.url for place in places)}"
        )
    if not own:
        name = places[0].url.rpartition("/")[2]
        print(
            f"note: {name} was started last, but {study_file} was changed since{_changes(places[0], study)}",
            file=sys.stderr,
        )
    return _newest(own or places)


def _request_or_run(place: Storage) -> Storage:
    """The run that a request has become."""
    return (run_of_request(place) if is_request(place) else None) or place


def _newest(places: Sequence[Storage]) -> Storage:
    """The first; a request whose jobs have ended in vain gives way to a run."""
    run = next((place for place in places if not is_request(place)), None)
    if run is None or not is_request(places[0]):
        return places[0]
    from submit.aws.jobs import connect  # loads AWS's client
    from submit.aws.liveness import lives

    submissions = batch_submissions(places[0])
    if lives(submissions, connect(submissions[-1].stack, submissions[-1].region)[1]):
        return places[0]
    print(f"note: {places[0].url} was submitted later, and its cohort was not prepared", file=sys.stderr)
    return run


def require_run(place: Storage) -> Storage:
    """Refuses a request, which has no results yet.

    Raises:
        StudyError: Says what it waits for.
    """
    if is_request(place):
        raise StudyError(
            f"{place.url}: its cohort is not prepared, so that it has no results; `submit status {place.url}` says "
            "how far it is"
        )
    return place


def _waiting_requests(root: Storage) -> list[Storage]:
    """The requests whose cohort is not prepared yet."""
    requests = [open_storage(f"{root.url}/{layout.request(name)}") for name in root.folders(layout.REQUESTS)]
    return [r for r in requests if run_of_request(r) is None and find_submission(r) is not None]


def _runs_root(project: Project) -> str:
    study = project.study
    if study.compute.backend == "local":
        return project.runs.location
    from submit.aws.jobs import connect  # loads AWS's client

    deployment, _ = connect(study.compute.stack)
    deployment.require_study(study.name)
    return deployment.runs_of(study.name)


def survey(
    run: Storage, manifest: Manifest, now: datetime, jobs: Mapping[int, str] | None = None
) -> list[FoldStatus]:
    """The state of every fold, from the run's files alone.

    Args:
        run: The run.
        manifest: What it is.
        now: The time.
        jobs: By fold, the job of AWS Batch that it was submitted as last: failures of earlier ones are past.
    """
    keys = [item.key for item in run.list(f"{layout.FOLDS}/")]
    done, failed, begun = (
        set(layout.folds_with(name, keys)) for name in ("result.json", "failure.json", "heartbeat.json")
    )

    def status(fold: int) -> FoldStatus:
        if fold in done:
            return FoldStatus(fold=fold, state="done")
        return _unfinished(run, fold, fold in failed, fold in begun, now, (jobs or {}).get(fold))

    return list(map_files(status, range(manifest.folds)))


def _unfinished(
    run: Storage, fold: int, failed: bool, begun: bool, now: datetime, job: str | None
) -> FoldStatus:
    try:  # either may be gone since the listing
        heartbeat = read_record_file(run, layout.heartbeat(fold), Heartbeat) if begun else None
        failure = read_record_file(run, layout.failure(fold), Failure) if failed else None
    except Damaged as error:
        return FoldStatus(fold=fold, state="interrupted", damaged=str(error))
    if failure is not None and job is not None and failure.job != job:
        failure = None
    state: State = "missing"
    if failure is not None and not (heartbeat and heartbeat.time > failure.time):
        state = "failed" if failure.final else "interrupted"
    elif heartbeat is not None:
        failure = None  # of an earlier attempt
        age = (now - datetime.fromisoformat(heartbeat.time)).total_seconds()
        lives = heartbeat.phase != "stopped" and age < FRESH_SECONDS and not _is_gone(heartbeat)
        state = "running" if lives else "interrupted"
    return FoldStatus(fold=fold, state=state, heartbeat=heartbeat, failure=failure)


def _is_gone(heartbeat: Heartbeat) -> bool:
    """Whether the worker was of this machine, and is no more."""
    return heartbeat.host == platform.node() and not Path(f"/proc/{heartbeat.pid}").exists()


class _Name(BaseModel):
    name: str


class _Head(BaseModel):
    """What a manifest says in every version."""

    study: _Name
    created: str


def _started(run: Storage, study: str) -> str | None:
    """When a run was last started, or None if it is another study's; runs of older versions are not validated.

    Raises:
        Damaged: The manifest is.
    """
    head = read_record_file(run, layout.MANIFEST, _Head)
    if head is None or head.study.name != study:
        return None
    try:
        submission = find_submission(run)
    except Damaged:  # whoever needs it is told
        return head.created
    return submission.started if submission is not None else head.created  # prepared, but not started yet


def _changes(place: Storage, study: Study) -> str:
    """In what a study file differs from what a run fixed, in words; nothing of a run of another version."""
    try:
        then_said = read_request(place) if is_request(place) else read_manifest(place).study
    except Damaged:
        return ""
    fixed = then_said.model_dump(mode="json")
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


def _is_of(place: Storage, study: Study) -> bool:
    """Whether a run, or a request for one, is the experiment that the study says now."""
    try:
        if is_request(place):
            asked = read_request(place)
            return asked.cohort.root == study.cohort.root and same_experiment(asked, study)
        existing = read_manifest(place)
    except Damaged:  # of another version of the code
        return False
    exams, recipe = existing.exams, existing.recipe
    try:
        now = Manifest.freeze(study, exams=exams, recipe=recipe, created="", code_version="")
    except ValueError:  # too small for the study as it is now
        return False
    return now.digest == existing.digest
