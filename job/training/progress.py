"""What a worker tells the outside: heartbeat, history, and whether it is to stop."""

import json
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

from job.contract import layout
from job.contract.errors import Stopped
from job.contract.results import Heartbeat
from job.storage import Storage
from job.training.clock import PhaseClock

HEARTBEAT_SECONDS = 5.0


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class FoldProgress:
    """The record of one fold's work over all attempts."""

    def __init__(
        self, run: Storage, fold: int, steps: int, clock: PhaseClock, stop_requested: Callable[[], bool]
    ) -> None:
        self.clock = clock
        self._run = run
        self._fold = fold
        self._steps = steps
        self._stop_requested = stop_requested
        self._history: list[dict[str, Any]] = []
        self._last_beat = self._first_beat = time.monotonic()
        self._first_step = 0
        self._step = 0
        self._loss: float | None = None
        earlier = self._earlier()
        self.attempt = earlier.attempt + 1 if earlier else 1
        self.started = earlier.started if earlier else now()
        self.lost_steps = earlier.lost_steps if earlier else 0
        self._reached = earlier.step if earlier else 0
        if earlier:
            clock.add_earlier(earlier.seconds)

    def resume(self, step: int) -> None:
        """Goes on from a checkpoint of this step: later lines of the history will be written again."""
        self.lost_steps += max(self._reached - step, 0)
        self._first_step = self._step = step
        try:
            lines = self._run.read(layout.history(self._fold)).decode().splitlines()
        except FileNotFoundError:
            return
        self._history = [line for line in map(json.loads, lines) if line["step"] <= step]

    def record(self, line: dict[str, Any]) -> None:
        """Adds a line to the history."""
        self._history.append(line)
        self._loss = line["loss"]

    def beat(self, phase: Literal["load", "train", "test", "done", "stopped"], step: int) -> None:
        """Writes heartbeat and history, unless that was done a moment ago."""
        self._step = step
        ended = phase in ("done", "stopped")
        if not ended and step != self._first_step and time.monotonic() - self._last_beat < HEARTBEAT_SECONDS:
            return
        self._last_beat = time.monotonic()
        self.flush_history()
        heartbeat = Heartbeat(
            fold=self._fold,
            attempt=self.attempt,
            started=self.started,
            lost_steps=self.lost_steps,
            host=platform.node(),
            pid=os.getpid(),
            time=now(),
            phase=phase,
            step=step,
            steps=self._steps,
            loss=self._loss,
            seconds_left=self._seconds_left() if phase == "train" else None,
            seconds=self.clock.seconds(),
        )
        self._run.write(layout.heartbeat(self._fold), heartbeat.to_json())

    def flush_history(self) -> None:
        """Writes the history as it stands."""
        lines = "".join(json.dumps(line) + "\n" for line in self._history)
        self._run.write(layout.history(self._fold), lines.encode())

    @property
    def stop_requested(self) -> bool:
        """Whether the worker was asked to stop."""
        return self._stop_requested()

    def raise_if_stopping(self) -> None:
        """For work that follows the last checkpoint and is done again after a stop.

        Raises:
            Stopped: The worker was asked to stop.
        """
        if self.stop_requested:
            raise self.stop()

    def stop(self) -> Stopped:
        """The exception to raise once everything is saved."""
        self.beat("stopped", self._step)
        return Stopped(f"fold {self._fold} stopped at step {self._step} of {self._steps}")

    def _earlier(self) -> Heartbeat | None:
        try:
            return Heartbeat.model_validate_json(self._run.read(layout.heartbeat(self._fold)))
        except (FileNotFoundError, ValueError):
            return None

    def _seconds_left(self) -> float | None:
        done = self._step - self._first_step
        if done <= 0:
            return None
        return round((time.monotonic() - self._first_beat) / done * (self._steps - self._step), 1)
