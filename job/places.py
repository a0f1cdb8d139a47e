"""Where a study's cohort, store and runs are (paths of the study file, relative to it), and what a run is."""

from pathlib import Path

from pydantic import ValidationError

from job.contract import layout
from job.contract.errors import Damaged, StudyError
from job.contract.manifest import Manifest
from job.contract.study import Study
from job.storage import Storage, at_home, open_storage


def cohort_root(study_file: Path, study: Study) -> Storage:
    """The storage of the cohort's files.

    Raises:
        StudyError: There is no such folder, or nothing in the bucket's.
    """
    location = resolve(study_file, study.cohort.root)
    if "://" not in location and not Path(location).is_dir():
        raise StudyError(f"{study_file}: cohort.root is {location}, which is no folder; correct the path")
    root = open_storage(location)
    if "://" in location and next(iter(root.list()), None) is None:
        raise StudyError(f"{study_file}: cohort.root is {location}, below which there is no file; correct it")
    return root


def store_root(study_file: Path, study: Study) -> Storage:
    """The storage of the block store."""
    return open_storage(resolve(study_file, study.store.folder))


def resolve(study_file: Path, location: str) -> str:
    """A folder or URL of the study file; folders are relative to the file, and `~` is the home folder."""
    return location if "://" in location else str(study_file.resolve().parent / at_home(location))


def read_manifest(run: Storage) -> Manifest:
    """The manifest of a run.

    Raises:
        StudyError: There is none.
        Damaged: It was changed, or is of another version of the code.
    """
    try:
        data = run.read(layout.MANIFEST)
    except FileNotFoundError:
        raise StudyError(f"{run.url}: no {layout.MANIFEST}; name the folder of a run") from None
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        remedy = "" if "delete it" in reason else "; delete it and run the sweep again, which writes it anew"
        raise Damaged(f"{run.url}/{layout.MANIFEST}: {reason}{remedy}") from None
