"""Where a study's cohort, store and runs are: paths of the study file, relative to it."""

from pathlib import Path

from job.contract.errors import StudyError
from job.contract.study import Study
from job.storage import Storage, open_storage


def cohort_root(study_file: Path, study: Study) -> Storage:
    """The storage of the cohort's files.

    Raises:
        StudyError: There is no such folder.
    """
    location = resolve(study_file, study.cohort.root)
    if "://" not in location and not Path(location).is_dir():
        raise StudyError(f"{study_file}: cohort.root is {location}, which is no folder; correct the path")
    return open_storage(location)


def store_root(study_file: Path, study: Study) -> Storage:
    """The storage of the block store."""
    return open_storage(resolve(study_file, study.compute.store))


def resolve(study_file: Path, location: str) -> str:
    """A folder or URL of the study file; folders are relative to the file."""
    return location if "://" in location else str(study_file.resolve().parent / location)
