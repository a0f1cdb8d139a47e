"""A request: a run whose cohort a job will prepare, on AWS Batch. What it will be called is not known before that."""

from dataclasses import dataclass
from functools import cached_property

from job.contract import layout
from job.contract.errors import StudyError
from job.contract.results import Record
from job.contract.study import Study
from job.run import Run
from job.storage import Storage, open_storage
from job.storage.files import RecordFile
from job.storage.records import read_record_file


class RequestedRun(Record):
    """`run.json` of a request."""

    run: str
    """Name of its folder, beside the requests."""


@dataclass(frozen=True)
class Request:
    """A folder or a bucket's prefix with the study that a run is to be made of."""

    files: Storage
    """Rooted at the request."""

    @property
    def url(self) -> str:
        """Folder or URL."""
        return self.files.url

    @property
    def id(self) -> str:
        """Digest of the experiment and of its cohort's files."""
        return layout.name_of(self.url)

    @cached_property
    def study(self) -> Study:
        """What is asked for, with all its places.

        Raises:
            StudyError: There is no such request.
            Damaged: It is of another version of the code, or damaged.
        """
        study = read_record_file(self.files, layout.REQUESTED_STUDY, Study)
        if study is None:
            raise StudyError(f"{self.url}: no {layout.REQUESTED_STUDY}; name a request that `submit` made")
        return study

    def ask(self, study: Study) -> None:
        """Says what is asked for."""
        self.files.write(layout.REQUESTED_STUDY, study.model_dump_json(indent=1, by_alias=True).encode())

    @property
    def fulfilment(self) -> RecordFile[RequestedRun]:
        """Says which run it became."""
        return RecordFile(self.files, layout.REQUESTED_RUN, RequestedRun)

    def run(self) -> Run | None:
        """The run that it became; None as long as its cohort is not prepared.

        Raises:
            Damaged: It does not say.
        """
        made = self.fulfilment.read()
        return None if made is None else self.runs.run(made.run)

    def fulfil(self, run: Run) -> None:
        """Says which run it became: from now on its jobs find it."""
        run.files.write(layout.request_of_run(self.id), b"{}\n")
        self.fulfilment.write(RequestedRun(run=run.name))

    @property
    def runs(self) -> "RunsFolder":
        """Where its run is or will be."""
        return RunsFolder(layout.runs_of_request(self.url))


@dataclass(frozen=True)
class RunsFolder:
    """The folder or URL that the runs of a project are made in, beside the requests for some."""

    location: str

    @property
    def url(self) -> str:
        """Folder or URL, as messages have it."""
        return open_storage(self.location).url

    def run(self, name: str) -> Run:
        """The run of a name, whether it is there or not."""
        return Run(self._open(name))

    def request(self, request_id: str) -> Request:
        """The request of an id, whether it is there or not."""
        return Request(self._open(layout.request(request_id)))

    def runs(self) -> list[Run]:
        """The runs that are there, by name."""
        runs = (self.run(name) for name in open_storage(self.location).folders())
        return [run for run in runs if run.exists()]

    def request_ids(self) -> tuple[str, ...]:
        """Of the requests that are there, fulfilled or not."""
        return open_storage(self.location).folders(layout.REQUESTS)

    def requests(self) -> list[Request]:
        """The requests that are there, fulfilled or not, by id."""
        return [self.request(request_id) for request_id in self.request_ids()]

    def _open(self, key: str) -> Storage:
        return open_storage(f"{self.location.rstrip('/')}/{key}")


def requests_of(run: Run) -> list[Request]:
    """The requests that became a run."""
    runs = RunsFolder(layout.folder_of(run.url))
    return [
        runs.request(layout.id_of_request(item.key)) for item in run.files.list(layout.below(layout.REQUESTS))
    ]


def open_run_or_request(location: str) -> Run | Request:
    """What a folder or URL is, by the file in it that says so; what says nothing is a run without a manifest."""
    run = Run(open_storage(location))
    is_request = not run.exists() and run.files.exists(layout.REQUESTED_STUDY)
    return Request(run.files) if is_request else run


def open_run(location: str) -> Run:
    """A run by its folder or URL, or by that of the request which became it.

    Raises:
        StudyError: The request's cohort is not prepared yet.
    """
    match open_run_or_request(location):
        case Run() as run:
            return run
        case Request() as request:
            made = request.run()
            if made is None:
                raise StudyError(f"{request.url}: its cohort is not prepared yet, so that it has no run")
            return made
