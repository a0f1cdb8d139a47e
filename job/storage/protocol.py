"""What the project needs of a place for files; a local folder and object storage both give it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """An entry of a listing."""

    key: str
    size_bytes: int
    fingerprint: str
    """Changes when the contents may have changed."""


def require_below(key: str, root: str) -> None:
    """Refuses a key that does not name something below a storage's root.

    Raises:
        ValueError: Names both.
    """
    parts = PurePosixPath(key).parts
    if not parts or ".." in parts or key.startswith("/"):
        raise ValueError(f"key {key!r} does not name a file below {root}")


class Storage(Protocol):
    """Whole files under relative keys with `/`. A write is seen whole or not at all.

    Errors: `FileNotFoundError` for a key that is not there, other `OSError` for what may pass.
    """

    @property
    def url(self) -> str:
        """Folder or URL that `open_storage` opens again."""
        ...

    def read(self, key: str) -> bytes:
        """The contents of a file."""
        ...

    def write(self, key: str, data: bytes) -> None:
        """Write or replace a file."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Write a file unless there is one; whether it was written. Of racing writers one wins."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there is such a file."""
        ...

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """All files whose key starts with the prefix, in the order of their keys."""
        ...

    def dead_links(self) -> tuple[str, ...]:
        """Keys of links that lead to nothing, which no listing shows; object storage has none."""
        ...

    def folders(self, prefix: str = "") -> tuple[str, ...]:
        """Names of the folders directly below a folder, sorted."""
        ...

    def delete(self, prefix: str) -> None:
        """Delete a file, or all files below a folder; nothing there is no error."""
        ...

    def array_location(self, key: str) -> dict[str, Any]:
        """TensorStore's key-value store of a folder."""
        ...

    def local_path(self, key: str = "") -> Path | None:
        """Where a file lies on this machine, or without a key the storage itself; None in object storage."""
        ...
