"""What a worker tells the outside: heartbeat, history, and whether it is to stop."""

import json
import logging
import os
import platform
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from job.contract.errors import Damaged, Stopped, StudyError, TakenOver
from job.contract.results import Heartbeat, Phase, utc_now
from job.endings import require_headway
from job.run import FoldFiles
from job.training.clock import PhaseClock

HEARTBEAT_SECONDS = 5.0
BUCKET_HEARTBEAT_SECONDS = 20.0
"""The same in a bucket, where a heartbeat is three requests: every 5 s, they would cost 2 % of a small GPU."""
PULSE_SECONDS = 20.0
"""Of a heartbeat within long work; well below the age at which `submit status` takes a fold as interrupted."""
LOG_SECONDS = 30.0

log = logging.getLogger(__name__)


class FoldProgress:
    """The record of one fold's work over all attempts.

    Within its `with` block the heartbeat stays young, however long a step takes.
    """

    def __init__(
        self,
        fold: FoldFiles,
        steps: int,
        clock: PhaseClock,
        stop_requested: Callable[[], bool],
        conditions: str,
        machine: str | None = None,
        job: str | None = None,
    ) -> None:
        self.clock = clock
        self._fold = fold
        self._steps = steps
        self._stop_requested = stop_requested
        self._history: list[dict[str, Any]] = []
        self._pace_from: tuple[int, float] | None = None
        self._worker = uuid4().hex
        in_bucket = fold.heartbeat.local_path is None
        self._interval = BUCKET_HEARTBEAT_SECONDS if in_bucket else HEARTBEAT_SECONDS
        self._last_beat = -self._interval
        self._step = 0
        self._loss: float | None = None
        self._phase: Phase = "load"
        self._logged_phase = ""
        self._last_log = 0.0
        self._written: Heartbeat | None = None
        self._writing, self._ended = threading.Lock(), threading.Event()
        self._pulse = threading.Thread(target=self._keep_young, daemon=True)
        self._job = job
        self._began_at, self._begun = 0, 1
        self._before = earlier = self._earlier()
        self.attempt = earlier.attempt + 1 if earlier else 1
        self.started = earlier.started if earlier else utc_now()
        self.lost_steps = earlier.lost_steps if earlier else 0
        self.machine = machine
        self.conditions = tuple(dict.fromkeys((*(earlier.conditions if earlier else ()), conditions)))
        self._reached = earlier.step if earlier else 0
        if earlier:
            clock.add_earlier(earlier.seconds)

    def __enter__(self) -> Self:
        self._pulse.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._pulse.join()
        if isinstance(error, Exception) and self._written is not None:
            # Not a kill: how often it may end so is counted by its exit code (`job.endings.record_end`).
            self._begun -= 1
            try:
                self.require_alone()
                self._write(self._written.model_copy(update={"begun": self._begun}))
            except (OSError, StudyError) as unwritten:  # what ended the attempt is what is to be told
                log.warning("the last heartbeat of fold %d is not written: %s", self._fold.index, unwritten)

    def resume(self, step: int, recorded: int) -> None:
        """Goes on from a checkpoint of this step: lines of the history after `recorded` will be written again."""
        self.lost_steps += max(self._reached - step, 0)
        try:
            lines = self._fold.history.read().decode().splitlines()
        except FileNotFoundError:
            lines = []
        self._history = [line for line in map(json.loads, lines) if line["step"] <= recorded]
        self._began_at = step
        if (earlier := self._before) and (earlier.job, earlier.began_at) == (self._job, step):
            self._begun = 1 if earlier.phase == "stopped" else earlier.begun + 1
        self.beat("load", step)
        if self._job is not None:
            require_headway(self._begun, step)

    def record(self, line: dict[str, Any]) -> None:
        """Adds a line to the history."""
        self._history.append(line)
        self._loss = line["loss"]

    def beat(self, phase: Phase, step: int) -> None:
        """Writes heartbeat and history, unless that was done a moment ago in the same phase.

        Raises:
            TakenOver: By another worker.
        """
        self._step = step
        if phase == self._phase and time.monotonic() - self._last_beat < self._interval:
            return
        self._phase, self._last_beat = phase, time.monotonic()
        self.require_alone()
        self.flush_history()
        heartbeat = Heartbeat(
            fold=self._fold.index,
            attempt=self.attempt,
            started=self.started,
            lost_steps=self.lost_steps,
            host=platform.node(),
            pid=os.getpid(),
            worker=self._worker,
            time=utc_now(),
            worked=utc_now(),
            phase=phase,
            step=step,
            steps=self._steps,
            loss=self._loss,
            seconds_left=self._seconds_left() if phase == "train" else None,
            seconds=self.clock.seconds(),
            conditions=self.conditions,
            machine=self.machine,
            job=self._job,
            began_at=self._began_at,
            begun=self._begun,
        )
        self._write(heartbeat)
        self._log(heartbeat)

    def flush_history(self) -> None:
        """Writes the history as it stands."""
        lines = "".join(json.dumps(line) + "\n" for line in self._history)
        self._fold.history.write(lines.encode())

    @property
    def stop_requested(self) -> bool:
        """Whether the worker was asked to stop."""
        return self._stop_requested()

    def alive(self) -> None:
        """For long work after the last checkpoint, which is done again after a stop: a heartbeat now and then.

        Raises:
            Stopped: The worker was asked to stop.
        """
        if self.stop_requested:
            raise self.stop()
        self.beat(self._phase, self._step)

    def stop(self) -> Stopped:
        """The exception to raise once everything is saved."""
        self.beat("stopped", self._step)
        return Stopped(f"fold {self._fold.index} stopped at step {self._step} of {self._steps}")

    def require_alone(self) -> None:
        """Refuses to go on beside another worker, such as a retry that began because this one was thought lost.

        The one that began later goes on; of two that began at once, the one that wrote last.

        Raises:
            TakenOver: Names the other.
        """
        other = self._earlier()
        if self._written and other and other.attempt >= self.attempt and other.worker != self._worker:
            raise TakenOver(
                f"fold {self._fold.index} was taken over by process {other.pid} on {other.host}; it goes on there"
            )

    def _write(self, heartbeat: Heartbeat) -> None:
        with self._writing:
            self._fold.heartbeat.write(heartbeat)
            self._written = heartbeat

    def _keep_young(self) -> None:
        """Renews the heartbeat's time while the work itself has no occasion to."""
        while not self._ended.wait(PULSE_SECONDS):
            # The work meets the same faults, or the other worker, and ends with them.
            with self._writing, suppress(OSError, StudyError):
                if self._written is not None and time.monotonic() - self._last_beat >= PULSE_SECONDS:
                    self.require_alone()
                    renewed = self._written.model_copy(update={"time": utc_now()})
                    self._fold.heartbeat.write(renewed)

    def _log(self, heartbeat: Heartbeat) -> None:
        if heartbeat.phase == self._logged_phase and time.monotonic() - self._last_log < LOG_SECONDS:
            return
        self._logged_phase, self._last_log = heartbeat.phase, time.monotonic()
        loss = "" if self._loss is None else f", loss {self._loss:.4f}"
        log.info(
            "fold %d: %s, step %d of %d%s", self._fold.index, heartbeat.phase, self._step, self._steps, loss
        )

    def _earlier(self) -> Heartbeat | None:
        """What the attempt before, or another worker, wrote last; None if nobody did, or it is damaged."""
        try:
            return self._fold.heartbeat.read()
        except Damaged as error:
            log.warning("what it counted of the attempts so far is lost: %s", error)
            return None

    def _seconds_left(self) -> float | None:
        """From the pace since the second beat of the training: loading and the first step are no measure."""
        if self._pace_from is None:
            self._pace_from = (self._step, time.monotonic())
            return None
        step, begun = self._pace_from
        if self._step <= step:
            return None
        return round((time.monotonic() - begun) / (self._step - step) * (self._steps - self._step), 1)
