"""Where files are kept: one interface over a local folder and, later, object storage."""

from pathlib import Path

from job.contract.errors import StudyError
from job.storage.local import LocalStorage
from job.storage.protocol import Storage, StoredObject

__all__ = ["LocalStorage", "Storage", "StoredObject", "open_storage"]


def open_storage(location: str) -> Storage:
    """The storage at a folder.

    Raises:
        StudyError: The location is a URL of a kind that cannot be opened.
    """
    scheme, separator, _ = location.partition("://")
    if separator:
        raise StudyError(f"{location}: {scheme}:// locations cannot be opened yet; use a local folder")
    return LocalStorage(Path(location))
