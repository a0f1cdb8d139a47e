"""A storage that is there, and whose files cannot be read: credentials that have ended, a disk that fails."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from job.contract.errors import StudyError
from job.storage import Storage, StoredObject


def signed_out() -> StudyError:
    """As `S3Storage` raises it."""
    return StudyError("s3://bucket: the sign-on has ended; sign in again (`aws sso login`)")


def failing() -> OSError:
    """As a disk or a mount raises it that fails for now."""
    return OSError(errno.EIO, "Input/output error", "file")


def forbidden() -> OSError:
    """As a folder of somebody else's raises it."""
    return PermissionError(errno.EACCES, "Permission denied", "file")


CAUSES: tuple[Callable[[], Exception], ...] = (signed_out, failing, forbidden)


class Unreadable:
    """A storage as it is, but for the reads of files whose key ends in a text."""

    def __init__(self, inner: Storage, cause: Callable[[], Exception], ending: str = "") -> None:
        self.inner = inner
        self.cause = cause
        self.ending = ending

    @property
    def url(self) -> str:
        return self.inner.url

    def read(self, key: str) -> bytes:
        if key.endswith(self.ending):
            raise self.cause()
        return self.inner.read(key)

    def write(self, key: str, data: bytes) -> None:
        self.inner.write(key, data)

    def create(self, key: str, data: bytes) -> bool:
        return self.inner.create(key, data)

    def exists(self, key: str) -> bool:
        return self.inner.exists(key)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        return self.inner.list(prefix)

    def dead_links(self) -> tuple[str, ...]:
        return self.inner.dead_links()

    def folders(self, prefix: str = "") -> tuple[str, ...]:
        return self.inner.folders(prefix)

    def delete(self, prefix: str) -> None:
        self.inner.delete(prefix)

    def array_location(self, key: str) -> dict[str, Any]:
        return self.inner.array_location(key)

    def local_path(self, key: str = "") -> Path | None:
        return self.inner.local_path(key)
