"""Progress on a terminal, or a line now and then where there is none."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from job.contract.errors import StudyError
from job.run import Run
from submit.executors.protocol import Snapshot
from submit.wording import duration

LINE_SECONDS = 30.0
"""Between two lines where there is no terminal."""
REFRESH_SECONDS = 1.0


class ExamProgress:
    """Exams prepared or checked, of all; or other things that are counted."""

    def __init__(self, console: Console, what: str = "exams") -> None:
        self._bar = Progress(
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("exams", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        """Shows the state."""
        self._bar.update(self._task, completed=done, total=total)


class SweepProgress:
    """Folds done, running, failed, and the time left."""

    def __init__(self, console: Console, run: Run, total: int) -> None:
        self._console = console
        self._run = run
        self._total = total
        self._start = time.monotonic()
        self._last = 0.0
        self._reported: set[int] = set()
        self._retries_told = 0
        self._begun_at: dict[int, float] = {}  # part of a fold that earlier sweeps have done
        self._bar = Progress(
            TextColumn("folds"),
            BarColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=max(total, 1))

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Shows the state, not more often than is useful."""
        for line in snapshot.retries[self._retries_told :]:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._retries_told = len(snapshot.retries)
        for fold in sorted(set(snapshot.failed) - self._reported):
            self._reported.add(fold)
            where = self._run.fold(fold).log.url
            self._console.print(f"fold {fold} failed; log: {where}", markup=False, soft_wrap=True)
        pause = REFRESH_SECONDS if self._console.is_terminal else LINE_SECONDS
        if time.monotonic() - self._last < pause and not snapshot.finished:
            return
        self._last = time.monotonic()
        ended = len(snapshot.done) + len(snapshot.failed)
        parts = ended + sum(self._part_done(fold) for fold in snapshot.running)
        done_here = parts - sum(self._begun_at.get(fold, 0.0) for fold in (*snapshot.running, *snapshot.done))
        text = f"{len(snapshot.done)} of {self._total} done, {len(snapshot.running)} running"
        if snapshot.failed:
            text += f", {len(snapshot.failed)} failed"
        if done_here >= 0.5 and not snapshot.finished:  # less says more about loading than about folds
            left = (time.monotonic() - self._start) / done_here * (self._total - parts)
            text += f", {duration(left)} left"
        self._bar.update(self._task, completed=parts, description=text)
        if not self._console.is_terminal:
            self._console.print(f"{duration(time.monotonic() - self._start)}: {text}")

    def _part_done(self, fold: int) -> float:
        """As its heartbeat says; 0 without one, or where it cannot be read: no guess at the time may end a sweep."""
        try:
            heartbeat = self._run.fold(fold).heartbeat.read()
        except (OSError, StudyError):
            return 0.0
        if heartbeat is None:
            return 0.0
        part = heartbeat.step / heartbeat.steps
        self._begun_at.setdefault(fold, part)
        return part
