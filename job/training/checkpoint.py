"""Checkpoints: whole or not at all, verified when read, the last two kept."""

import io
import logging
import time
from hashlib import sha256
from typing import Any

import torch
from pydantic import RootModel

from job.contract import layout
from job.contract.errors import Damaged
from job.contract.results import Record
from job.storage import Storage
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

    def __init__(self, run: Storage, fold: int, every_seconds: float) -> None:
        self._run = run
        self._fold = fold
        self._folder = layout.checkpoints(fold)
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
        # A step may be saved twice, with another history: the file that is pointed to is never touched.
        name = f"{self._folder}/{step}-{digest[:12]}.pt"
        before = [entry for entry in self._pointer() if entry.file != name][:1]
        self._run.write(name, data)
        pointer = Pointer((CheckpointFile(file=name, sha256=digest), *before))
        self._run.write(f"{self._folder}/latest.json", pointer.model_dump_json().encode())
        kept = {entry.file for entry in pointer.root}
        for item in list(self._run.list(f"{self._folder}/")):
            if item.key.endswith(".pt") and item.key not in kept:
                self._run.delete(item.key)
        self._last_save = time.monotonic()

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The newest whole checkpoint, or None; a damaged one is passed over."""
        for entry in self._pointer():
            try:
                data = self._run.read(entry.file)
            except FileNotFoundError:
                log.warning("fold %d: checkpoint %s is missing", self._fold, entry.file)
                continue
            if sha256(data).hexdigest() == entry.sha256:
                state: dict[str, Any] = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
                return state
            log.warning("fold %d: checkpoint %s is damaged", self._fold, entry.file)
        return None

    def delete(self) -> None:
        """Removes them all, once the result is written."""
        self._run.delete(self._folder)

    def _pointer(self) -> tuple[CheckpointFile, ...]:
        try:
            pointer = read_record_file(self._run, f"{self._folder}/latest.json", Pointer)
        except Damaged:
            log.warning("fold %d: the list of checkpoints is damaged; training starts anew", self._fold)
            return ()
        return pointer.root if pointer is not None else ()
