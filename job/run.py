"""A run: a folder with a manifest, and what its workers leave in it. Nobody else needs to know where a file lies."""

from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

from pydantic import ValidationError

from job.contract import layout
from job.contract.errors import Damaged, DataError, StudyError
from job.contract.grid import Grid
from job.contract.manifest import Manifest
from job.contract.results import Failure, FoldResult, Heartbeat
from job.storage import Storage
from job.storage.files import BytesFile, RecordFile, StoredFile


@dataclass(frozen=True)
class Artifact(StoredFile):
    """Weights or a prediction: a file that a result names by its SHA-256."""

    def write(self, data: bytes) -> None:
        """Writes it so that no other worker's result loses its own.

        On this machine a lock keeps other workers off the fold. In a bucket, a worker that was thought lost may write
        at the same time: there nothing is overwritten, and of two that differ the second gets its digest in its name.
        """
        if self.local_path is not None:
            self.storage.write(self.key, data)
        elif not self.storage.create(self.key, data) and self.storage.read(self.key) != data:
            self.storage.write(layout.with_digest(self.key, sha256(data).hexdigest()), data)

    def read(self, digest: str) -> bytes:
        """The contents that a result is about, under whichever name `write` put them.

        Raises:
            FileNotFoundError: There is none.
            DataError: There is another one.
        """
        data = self.storage.read(self.key)
        if sha256(data).hexdigest() == digest:
            return data
        with suppress(FileNotFoundError):
            data = self.storage.read(layout.with_digest(self.key, digest))
        if sha256(data).hexdigest() != digest:
            raise DataError.of(
                file=self.url,
                found="another file than the one that the fold's result is about",
                expected=f"SHA-256 {digest}, as in result.json",
                remedy="delete result.json and run the sweep again",
            )
        return data


@dataclass(frozen=True)
class FoldFiles:
    """The files of one fold."""

    files: Storage = field(repr=False)
    """Rooted at the run."""
    index: int

    @property
    def result(self) -> RecordFile[FoldResult]:
        """It exists if, and only if, the fold is done."""
        return RecordFile(self.files, layout.result(self.index), FoldResult)

    @property
    def heartbeat(self) -> RecordFile[Heartbeat]:
        """Sign of life of the worker."""
        return RecordFile(self.files, layout.heartbeat(self.index), Heartbeat)

    @property
    def failure(self) -> RecordFile[Failure]:
        """How the last failed attempt ended."""
        return RecordFile(self.files, layout.failure(self.index), Failure)

    @property
    def history(self) -> BytesFile:
        """Loss, learning rate, Dice and seconds by phase, as JSON lines."""
        return BytesFile(self.files, layout.history(self.index))

    @property
    def log(self) -> BytesFile:
        """What the worker printed."""
        return BytesFile(self.files, layout.log(self.index))

    @property
    def weights(self) -> Artifact:
        """The trained network."""
        return Artifact(self.files, layout.weights(self.index))

    def predictions(self, test_exams: int) -> tuple[Artifact, ...]:
        """The predictions, in the order of the fold's test exams."""
        return tuple(Artifact(self.files, key) for key in layout.predictions(self.index, test_exams))

    @property
    def worker_lock(self) -> StoredFile:
        """Held by a worker of this machine as long as it lives."""
        return StoredFile(self.files, layout.worker_lock(self.index))

    @property
    def checkpoint_pointer(self) -> BytesFile:
        """Names the newest state files."""
        return BytesFile(self.files, layout.checkpoint_pointer(self.index))

    def checkpoint(self, step: int, digest: str) -> BytesFile:
        """A state file, by its step and its SHA-256."""
        return BytesFile(self.files, layout.checkpoint(self.index, step, digest))

    def checkpoint_at(self, key: str) -> BytesFile:
        """A state file, by what the pointer calls it."""
        return BytesFile(self.files, key)

    def checkpoints(self) -> list[BytesFile]:
        """The state files that are there."""
        found = self.files.list(layout.below(layout.checkpoints(self.index)))
        return [BytesFile(self.files, item.key) for item in found if item.key.endswith(".pt")]

    def delete_checkpoints(self) -> None:
        """Removes state files and pointer."""
        self.files.delete(layout.checkpoints(self.index))


@dataclass(frozen=True, kw_only=True)
class FoldsWithFiles:
    """Numbers of folds by what there is of them, ascending; a folder may hold more of them than the run has."""

    result: tuple[int, ...]
    failure: tuple[int, ...]
    heartbeat: tuple[int, ...]


@dataclass(frozen=True)
class Run:
    """A folder or a bucket's prefix with a manifest: the study as it was frozen, and the exams with their digests."""

    files: Storage
    """Rooted at the run."""
    known_manifest: Manifest | None = field(default=None, repr=False)
    """The manifest, where it is at hand: just written, or yet to be; otherwise it is read once, when asked for."""

    @property
    def url(self) -> str:
        """Folder or URL."""
        return self.files.url

    @property
    def name(self) -> str:
        """That of the folder."""
        return layout.name_of(self.url)

    @cached_property
    def manifest(self) -> Manifest:
        """What the run is.

        Raises:
            StudyError: There is none.
            Damaged: It was changed, or is of another version of the code.
        """
        return self.known_manifest or _read_manifest(self.files)

    @property
    def grid(self) -> Grid:
        """The folds."""
        return self.manifest.grid

    def exists(self) -> bool:
        """Whether there is a manifest."""
        return self.files.exists(layout.MANIFEST)

    def create(self) -> bool:
        """Writes the manifest unless there is one; whether it was written."""
        return self.files.create(layout.MANIFEST, self.manifest.to_json())

    def extended(self, manifest: Manifest) -> "Run":
        """The run with another manifest of the same experiment, made when it was made."""
        manifest = manifest.model_copy(update={"created": self.manifest.created})
        self.files.write(layout.MANIFEST, manifest.to_json())
        return Run(self.files, manifest)

    def fold(self, index: int) -> FoldFiles:
        """The files of a fold."""
        return FoldFiles(self.files, index)

    def predictions(self, index: int) -> dict[str, Artifact]:
        """The predictions of a fold, by the name of the exam."""
        exams = [self.manifest.exams[exam].exam for exam in self.grid.fold(index).test_exams]
        return dict(zip(exams, self.fold(index).predictions(len(exams)), strict=True))

    def folds_with_files(self) -> FoldsWithFiles:
        """Which folds have a result, a failure, a heartbeat, from one listing."""
        keys = [item.key for item in self.files.list(layout.below(layout.FOLDS))]
        return FoldsWithFiles(
            result=tuple(layout.folds_with("result.json", keys)),
            failure=tuple(layout.folds_with("failure.json", keys)),
            heartbeat=tuple(layout.folds_with("heartbeat.json", keys)),
        )

    @property
    def sweep_lock(self) -> StoredFile:
        """Held by the sweep of this machine that works on the run."""
        return StoredFile(self.files, layout.SWEEP_LOCK)

    @property
    def report(self) -> BytesFile:
        """The page of the report."""
        return BytesFile(self.files, layout.REPORT)

    @property
    def analysis_url(self) -> str:
        """The folder of tables, figures and report."""
        return f"{self.url}/{layout.ANALYSIS}"

    def analysis(self) -> dict[str, BytesFile]:
        """Tables, figures and report, by their names below that folder."""
        prefix = layout.below(layout.ANALYSIS)
        return {
            item.key.removeprefix(prefix): BytesFile(self.files, item.key) for item in self.files.list(prefix)
        }


def _read_manifest(files: Storage) -> Manifest:
    try:
        data = files.read(layout.MANIFEST)
    except FileNotFoundError:
        raise StudyError(f"{files.url}: no {layout.MANIFEST}; name the folder of a run") from None
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        remedy = "" if "delete it" in reason else "; delete it and run the sweep again, which writes it anew"
        raise Damaged(f"{files.url}/{layout.MANIFEST}: {reason}{remedy}") from None
