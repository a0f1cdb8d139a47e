"""One file of a storage as a value: whoever is handed it needs no key."""

import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Generic, TypeVar

from job.contract.results import Record
from job.storage.protocol import Storage
from job.storage.records import read_record_file

AnyRecord = TypeVar("AnyRecord", bound=Record)


@dataclass(frozen=True)
class StoredFile:
    """A file, whether it is there or not."""

    storage: Storage
    key: str

    @property
    def url(self) -> str:
        """Path or URL."""
        return f"{self.storage.url}/{self.key}"

    @property
    def local_path(self) -> Path | None:
        """Where it lies on this machine; None for a file of a bucket."""
        return self.storage.local_path(self.key)

    @property
    def working_path(self) -> Path:
        """Where processes of this machine write or lock it.

        In its place; for a file of a bucket, in a temporary folder that all processes of the machine share.
        """
        own = sha256(self.storage.url.encode()).hexdigest()[:16]
        return self.local_path or Path(tempfile.gettempdir(), "loosweep", own, self.key)

    def exists(self) -> bool:
        """Whether it is there."""
        return self.storage.exists(self.key)

    def delete(self) -> None:
        """Deletes it; if it is not there, that is no error."""
        self.storage.delete(self.key)


@dataclass(frozen=True)
class BytesFile(StoredFile):
    """A file of bytes."""

    def read(self) -> bytes:
        """Its contents.

        Raises:
            FileNotFoundError: It is not there.
        """
        return self.storage.read(self.key)

    def write(self, data: bytes) -> None:
        """Writes or replaces it."""
        self.storage.write(self.key, data)


@dataclass(frozen=True)
class RecordFile(StoredFile, Generic[AnyRecord]):
    """A JSON file that holds a record of one kind."""

    kind: type[AnyRecord]

    def read(self) -> AnyRecord | None:
        """The record; None if, and only if, there is no such file.

        Raises:
            Damaged: The file is no such record.
        """
        return read_record_file(self.storage, self.key, self.kind)

    def write(self, record: AnyRecord) -> None:
        """Writes or replaces it."""
        self.storage.write(self.key, record.to_json())

    def create(self, record: AnyRecord) -> bool:
        """Writes it unless it is there; whether it was written."""
        return self.storage.create(self.key, record.to_json())
