"""Storage in a local folder."""

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from job.storage.protocol import StoredObject, require_below

_TEMPORARY = ".partial-"


class LocalStorage:
    """A folder. Writes go to a temporary file beside the target, are synced, then renamed or linked."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def url(self) -> str:
        """The folder."""
        return str(self.root)

    def _path(self, key: str) -> Path:
        require_below(key, self.url)
        return self.root / key

    def read(self, key: str) -> bytes:
        """The contents of a file."""
        path = self._path(key)
        try:
            return path.read_bytes()
        except (IsADirectoryError, NotADirectoryError):
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path)) from None

    def write(self, key: str, data: bytes) -> None:
        """Write or replace a file."""
        path = self._path(key)
        temporary = self._temporary(path, data)
        try:
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def create(self, key: str, data: bytes) -> bool:
        """Write a file unless there is one; whether it was written. Of racing writers one wins."""
        path = self._path(key)
        if _mode(path) is not None:
            return False
        temporary = self._temporary(path, data)
        try:
            os.link(temporary, path)  # unlike a rename, fails if the target exists
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        return True

    def exists(self, key: str) -> bool:
        """Whether there is such a file."""
        mode = _mode(self._path(key))
        return mode is not None and stat.S_ISREG(mode)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """All files whose key starts with the prefix, in the order of their keys."""
        folder, _, _ = prefix.rpartition("/")
        found = []
        start = self._path(folder) if folder else self.root
        for path in _files_below(start):
            key = path.relative_to(self.root).as_posix()
            if key.startswith(prefix) and not path.name.startswith(_TEMPORARY):
                found.append((key, path))
        for key, path in sorted(found):
            try:
                status = path.stat()
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ELOOP):
                    continue  # deleted since the walk, or a link to nothing or itself
                raise
            # A copy can take over the time of modification, but not that of the change of the file itself.
            fingerprint = f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"
            yield StoredObject(key=key, size_bytes=status.st_size, fingerprint=fingerprint)

    def dead_links(self) -> tuple[str, ...]:
        """Keys of links that lead to nothing, which no listing shows, sorted."""
        links = (path for path in _files_below(self.root) if path.is_symlink() and not path.exists())
        return tuple(sorted(path.relative_to(self.root).as_posix() for path in links))

    def folders(self, prefix: str = "") -> tuple[str, ...]:
        """Names of the folders directly below a folder, sorted."""
        folder = self._path(prefix) if prefix else self.root
        try:
            return tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
        except (FileNotFoundError, NotADirectoryError):
            return ()

    def delete(self, prefix: str) -> None:
        """Delete a file, or all files below a folder; nothing there is no error."""
        path = self._path(prefix)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            with suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()

    def array_location(self, key: str) -> dict[str, Any]:
        """TensorStore's key-value store of a folder."""
        # TensorStore refuses paths with "..", which a study file may well have.
        return {"driver": "file", "path": f"{self._path(key).resolve()}/"}

    def local_path(self, key: str = "") -> Path | None:
        """Where a file lies, or without a key the folder itself."""
        return self._path(key) if key else self.root

    def _temporary(self, path: Path, data: bytes) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files private; results are shared like any other file.
            Path(name).chmod(0o666 & ~_UMASK)
        except BaseException as error:
            Path(name).unlink(missing_ok=True)
            if isinstance(error, OSError) and error.filename is None:
                error.filename = str(path)  # a full disk does not say what was to be written
            raise
        return Path(name)


def _mode(path: Path) -> int | None:
    """Of what is there; None if nothing is. What cannot be looked at is an error, which `Path.is_file` may hide."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself
            return None
        raise


def _files_below(start: Path) -> Iterator[Path]:
    """All files; links are followed, but not into a folder that they lie in."""
    ancestors: dict[str, frozenset[tuple[int, int]]] = {}
    for parent, folders, names in os.walk(start, onerror=_raise_unless_absent, followlinks=True):
        try:
            status = Path(parent).stat()
        except FileNotFoundError:
            continue  # deleted since it was read
        here, above = (status.st_dev, status.st_ino), ancestors.pop(parent, frozenset())
        if here in above:
            folders.clear()
            continue
        ancestors |= {str(Path(parent, folder)): above | {here} for folder in folders}
        yield from (Path(parent, name) for name in names)


def _raise_unless_absent(error: OSError) -> None:
    """A folder that cannot be read is an error: its files would silently be missing from a listing."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()
