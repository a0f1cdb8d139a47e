"""Where files are kept: one interface over a local folder and object storage."""

from pathlib import Path

from job.contract.errors import StudyError
from job.storage.local import LocalStorage
from job.storage.protocol import Storage, StoredObject

__all__ = ["LocalStorage", "Storage", "StoredObject", "at_home", "open_storage"]


def at_home(location: str) -> str:
    """A location with the home folder in the place of a `~` at its beginning.

    Raises:
        StudyError: The home folder is not known, as in a container whose user has none.
    """
    if location != "~" and not location.startswith("~/"):
        return location
    try:
        return str(Path(location).expanduser())
    except RuntimeError:
        raise StudyError(
            f"{location}: this user has no home folder; write the whole path, or set HOME"
        ) from None


def open_storage(location: str) -> Storage:
    """The storage at a folder or an `s3://` URL.

    Raises:
        StudyError: The location is a URL of a kind that cannot be opened.
    """
    scheme, separator, _ = location.partition("://")
    if not separator:
        return LocalStorage(Path(at_home(location)))
    if scheme != "s3":
        raise StudyError(
            f"{location}: {scheme}:// locations cannot be opened; use a local folder or s3://bucket/folder"
        )
    from job.storage.s3 import S3Storage  # its client takes a moment to load

    return S3Storage(location)
