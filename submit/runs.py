"""Runs: made from a study, found again by name, surveyed from their files."""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from job.contract import layout
from job.contract.errors import StudyError
from job.contract.manifest import Manifest
from job.contract.results import Failure, Heartbeat
from job.contract.study import Study
from job.contract.study_file import load_study
from job.data.prepare import StoreIndex
from job.places import resolve
from job.storage import Storage, open_storage

FRESH_SECONDS = 60.0
"""A fold with a younger heartbeat is running."""


class Submission(BaseModel):
    """`submission.json`: who runs a run at the moment, and where its store is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: str
    host: str
    pid: int
    started: str
    store: str
    """Folder or URL."""


State = Literal["done", "running", "interrupted", "failed", "missing"]


@dataclass(frozen=True, kw_only=True)
class FoldStatus:
    """What the files of a fold say."""

    fold: int
    state: State
    heartbeat: Heartbeat | None = None
    failure: Failure | None = None


def create_run(study_file: Path, study: Study, index: StoreIndex) -> tuple[Storage, Manifest]:
    """The run of a study over a prepared cohort; the existing one, if the same experiment was submitted before.

    Raises:
        StudyError: The cohort is too small for the study.
    """
    try:
        manifest = Manifest.freeze(
            study,
            exams=index.exams,
            recipe=index.recipe,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            code_version=version("loosweep"),
        )
    except ValueError as error:
        raise StudyError(f"{study_file}: {error}") from None
    run = open_storage(f"{resolve(study_file, study.compute.runs)}/{manifest.run}")
    if run.create(layout.MANIFEST, manifest.to_json()):
        return run, manifest
    existing = Manifest.model_validate_json(run.read(layout.MANIFEST))
    if existing.digest != manifest.digest:
        raise StudyError(f"{run.url} holds another experiment (digest {existing.digest}); move it away")
    return run, existing


def find_run(name: str | None, study_file: Path) -> Storage:
    """The run of this name or folder; without a name, the newest run of the study.

    Raises:
        StudyError: There is no such run.
    """
    if name is not None and Path(name, layout.MANIFEST).is_file():
        return open_storage(name)
    if name is not None and not study_file.is_file():
        raise StudyError(f"{name}: no folder of a run, and {study_file} is not there to look up runs by name")
    root = Path(resolve(study_file, load_study(study_file).compute.runs))
    runs = {path.parent.name: path for path in root.glob(f"*/{layout.MANIFEST}")}
    if name is not None:
        if name not in runs:
            raise StudyError(f"{root} has no run {name!r}; its runs: {', '.join(sorted(runs)) or 'none'}")
        return open_storage(str(runs[name].parent))
    if not runs:
        raise StudyError(f"{root} has no run yet; start one with `submit sweep {study_file}`")
    newest = max(runs.values(), key=lambda path: (_created(path), path))
    return open_storage(str(newest.parent))


def read_submission(run: Storage) -> Submission:
    """Who runs the run, or ran it last.

    Raises:
        StudyError: Nobody did.
    """
    try:
        return Submission.model_validate_json(run.read(layout.SUBMISSION))
    except FileNotFoundError:
        raise StudyError(f"{run.url}: was never started; use `submit sweep`") from None


def survey(run: Storage, manifest: Manifest, now: datetime) -> list[FoldStatus]:
    """The state of every fold, from the run's files alone."""
    keys = [item.key for item in run.list(f"{layout.FOLDS}/") if item.key.count("/") == 2]
    done, failed, begun = (
        set(layout.folds_with(name, keys)) for name in ("result.json", "failure.json", "heartbeat.json")
    )
    return [
        FoldStatus(fold=fold, state="done")
        if fold in done
        else _unfinished(run, fold, fold in failed, fold in begun, now)
        for fold in range(manifest.folds)
    ]


def _unfinished(run: Storage, fold: int, failed: bool, begun: bool, now: datetime) -> FoldStatus:
    heartbeat = Heartbeat.model_validate_json(run.read(layout.heartbeat(fold))) if begun else None
    if heartbeat is not None and heartbeat.phase != "stopped":
        age = (now - datetime.fromisoformat(heartbeat.time)).total_seconds()
        if age < FRESH_SECONDS and not failed:
            return FoldStatus(fold=fold, state="running", heartbeat=heartbeat)
    if failed:
        failure = Failure.model_validate_json(run.read(layout.failure(fold)))
        return FoldStatus(fold=fold, state="failed", heartbeat=heartbeat, failure=failure)
    return FoldStatus(fold=fold, state="interrupted" if begun else "missing", heartbeat=heartbeat)


def _created(manifest: Path) -> str:
    return Manifest.model_validate_json(manifest.read_bytes()).created
