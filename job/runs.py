"""Runs: frozen from a study and its prepared cohort; or asked for before the cohort is prepared."""

from importlib.metadata import version

from job.contract import layout
from job.contract.errors import StudyError
from job.contract.manifest import Manifest
from job.contract.results import Record, utc_now
from job.contract.study import Study
from job.data.prepare import StoreIndex
from job.places import read_manifest
from job.project import Project
from job.storage import Storage, open_storage
from job.storage.records import read_record_file


def create_run(project: Project, index: StoreIndex, *, image: str | None = None) -> tuple[Storage, Manifest]:
    """The run of a study over a prepared cohort; the existing one, if the same experiment was submitted before.

    Args:
        project: The study.
        index: The exams that were prepared.
        image: The container image that will run the folds.

    Raises:
        StudyError: The cohort is too small for the study.
    """
    run, manifest = place_of(project, index, image=image)
    if run.create(layout.MANIFEST, manifest.to_json()):
        return run, manifest
    existing = read_manifest(run)
    if existing.digest != manifest.digest:
        raise StudyError(f"{run.url} holds another experiment (digest {existing.digest}); move it away")
    if existing.folds > manifest.folds or existing.study == project.study:
        return run, existing
    # What changes no fold's numbers may change: further reference repeats add folds at the end.
    manifest = manifest.model_copy(update={"created": existing.created})
    run.write(layout.MANIFEST, manifest.to_json())
    return run, manifest


def place_of(project: Project, index: StoreIndex, *, image: str | None = None) -> tuple[Storage, Manifest]:
    """Where a study's run is or will be, and its manifest.

    Raises:
        StudyError: The cohort is too small for the study.
    """
    try:
        manifest = Manifest.freeze(
            project.study,
            exams=index.exams,
            recipe=index.recipe,
            created=utc_now(),
            code_version=version("loosweep"),
            image=image,
        )
    except ValueError as error:
        raise StudyError(f"{project.file}: {error}") from None
    return project.runs.run(manifest.run).files, manifest


def is_request(place: Storage) -> bool:
    """Whether a folder is of a request, and not of a run."""
    return layout.is_request(place.url)


class RequestedRun(Record):
    """`run.json` of a request."""

    run: str
    """Name of its folder, beside the requests."""


def run_of_request(request: Storage) -> Storage | None:
    """The run that a request became; None as long as its cohort is not prepared.

    Raises:
        Damaged: The request does not say.
    """
    made = read_record_file(request, layout.REQUESTED_RUN, RequestedRun)
    if made is None:
        return None
    runs, _, _ = request.url.rpartition(f"/{layout.REQUESTS}/")
    return open_storage(f"{runs}/{made.run}")


def requests_of_run(run: Storage) -> list[Storage]:
    """The requests that became a run."""
    runs, _, _ = run.url.rpartition("/")
    keys = [item.key for item in run.list(f"{layout.REQUESTS}/")]
    return [open_storage(f"{runs}/{key.removesuffix('.json')}") for key in keys]


def read_request(request: Storage) -> Study:
    """The study that a request is for.

    Raises:
        StudyError: There is no such request.
        Damaged: It is of another version of the code, or damaged.
    """
    study = read_record_file(request, layout.REQUESTED_STUDY, Study)
    if study is None:
        raise StudyError(f"{request.url}: no {layout.REQUESTED_STUDY}; name a request that `submit` made")
    return study
