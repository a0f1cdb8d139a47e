"""Checkpoints: whole or not at all, verified when read, the last two kept."""

import io
import logging
import time
from hashlib import sha256
from typing import Any

import torch
from pydantic import RootModel

from job.contract.errors import Damaged
from job.contract.results import Record
from job.run import FoldFiles
from job.storage.records import read_record_file

log = logging.getLogger(__name__)


class CheckpointFile(Record):
    """A state file of a fold."""

    file: str
    """Its key."""
    sha256: str


class Pointer(RootModel[tuple[CheckpointFile, ...]]):
    """`latest.json`: the newest state file first."""


class Checkpoints:
    """The checkpoints of one fold."""

    def __init__(self, fold: FoldFiles, every_seconds: float) -> None:
        self._fold = fold
        self._every_seconds = every_seconds
        self._last_save = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._last_save >= self._every_seconds

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Writes a state file, then points to it.

        The pointer keeps naming the checkpoint before, for the case that the new file is damaged; older ones
        go.
        """
        buffer = io.BytesIO()
        torch.save(state, buffer)
        data = buffer.getvalue()
        digest = sha256(data).hexdigest()
        file = self._fold.checkpoint(step, digest)
        before = [entry for entry in self._pointer() if entry.file != file.key][:1]
        file.write(data)
        pointer = Pointer((CheckpointFile(file=file.key, sha256=digest), *before))
        self._fold.checkpoint_pointer.write(pointer.model_dump_json().encode())
        kept = {entry.file for entry in pointer.root}
        for old in self._fold.checkpoints():
            if old.key not in kept:
                old.delete()
        self._last_save = time.monotonic()

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The newest whole checkpoint, or None; a damaged one is passed over."""
        for entry in self._pointer():
            try:
                data = self._fold.checkpoint_at(entry.file).read()
            except FileNotFoundError:
                log.warning("fold %d: checkpoint %s is missing", self._fold.index, entry.file)
                continue
            if sha256(data).hexdigest() == entry.sha256:
                state: dict[str, Any] = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
                return state
            log.warning("fold %d: checkpoint %s is damaged", self._fold.index, entry.file)
        return None

    def delete(self) -> None:
        """Removes them all, once the result is written."""
        self._fold.delete_checkpoints()

    def _pointer(self) -> tuple[CheckpointFile, ...]:
        file = self._fold.checkpoint_pointer
        try:
            pointer = read_record_file(file.storage, file.key, Pointer)
        except Damaged:
            log.warning("fold %d: the list of checkpoints is damaged; training starts anew", self._fold.index)
            return ()
        return pointer.root if pointer is not None else ()
