"""Where the block store of a run is, also when the run or its whole project was moved since."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from job.contract import layout
from job.contract.errors import StudyError
from job.contract.manifest import Manifest
from job.project import Project
from job.run import Run
from job.storage import Storage, open_storage
from job.storage.concurrency import map_files
from submit.submissions import read_submission
from submit.wording import counted

STUDY_NAME = "study.toml"
"""Of the study file that is looked for beside a folder of runs."""


def find_store(run: Run, study_file: Path) -> Storage:
    """The store that holds the exams of a run; where none holds them all, the one with the most.

    Looked at in this order: where the last sweep had it, the store of the study file, and that of the study file
    beside the folder of runs.

    Args:
        run: The run.
        study_file: The study whose runs are meant; it need not be there.

    Raises:
        StudyError: Says where it was looked for.
    """
    manifest = run.manifest
    looked: list[str] = []
    held: dict[str, tuple[int, Storage]] = {}
    for candidate in _candidates(run, study_file):
        try:
            store = candidate()
            count = exams_in(store, manifest)
        except (OSError, StudyError) as error:  # another one may do; if none does, this one is told of
            looked.append(str(error))
            continue
        if count == len(manifest.exams):
            return store
        if store.url not in held:
            held[store.url] = (count, store)
            looked.append(f"{store.url} has none of its {counted(len(manifest.exams), 'exam')}")
    most, best = max(held.values(), key=lambda each: each[0], default=(0, None))
    if best is None or not most:
        raise StudyError(f"the run's block store is not found ({'; '.join(looked)}); name it with --store")
    return best


def _candidates(run: Run, study_file: Path) -> Iterator[Callable[[], Storage]]:
    """What gives each store, or an error that says why it is none."""
    yield lambda: open_storage(read_submission(run).store)
    files = [study_file]
    folder = run.files.local_path()
    if folder is not None:
        files.append(folder.resolve().parent.parent / STUDY_NAME)
    for file in dict.fromkeys(file.resolve() for file in files):
        yield partial(_named_by, file)


def _named_by(study_file: Path) -> Storage:
    return Project.read(study_file).store


def exams_in(store: Storage, manifest: Manifest) -> int:
    """How many exams of a run a store holds."""
    records = (layout.exam_record(manifest.recipe, each.exam, each.digest) for each in manifest.exams)
    return sum(map_files(store.exists, records))
