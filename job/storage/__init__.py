"""Where files are kept: one interface over a local folder and object storage."""

from pathlib import Path

from job.contract.errors import StudyError
from job.storage.local import LocalStorage
from job.storage.protocol import Storage, StoredObject

__all__ = ["LocalStorage", "Storage", "StoredObject", "open_storage"]


def open_storage(location: str) -> Storage:
    """The storage at a folder or an `s3://` URL.

    Raises:
        StudyError: The location is a URL of a kind that cannot be opened.
    """
    scheme, separator, _ = location.partition("://")
    if not separator:
        return LocalStorage(Path(location))
    if scheme != "s3":
        raise StudyError(
            f"{location}: {scheme}:// locations cannot be opened; use a local folder or s3://bucket/folder"
        )
    from job.storage.s3 import S3Storage  # its client takes a moment to load

    return S3Storage(location)
