"""Folds as processes of this machine: one per GPU, or one per group of cores."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from job.contract.exit_codes import ExitCode, attempts_allowed
from job.contract.results import Failure, utc_now
from job.contract.study import Compute
from job.run import Run
from job.storage import Storage
from submit.executors.protocol import Snapshot

PAUSE_SECONDS = 5.0
"""Before a second attempt; doubled for each further one."""

_LOG_PREFIX = re.compile(r"^[\d-]{10} [\d:,]{12} [A-Z]+ ")
"""Time and level of a line that a worker logs."""
_MARK = "---"
"""Begins the line of a log with which an attempt begins."""


@dataclass(frozen=True, kw_only=True)
class Slot:
    """Room for one fold."""

    device: str
    threads: int


def slots_of(compute: Compute, *, cores: int, gpus: int) -> tuple[Slot, ...]:
    """The room that a machine has for folds at the same time; threads outnumber cores only where GPUs do."""
    if gpus and compute.device != "cpu":
        threads = max(cores // gpus, 1)
        return tuple(Slot(device=f"cuda:{gpu}", threads=threads) for gpu in range(gpus))
    threads = min(compute.cores_per_fold, cores)
    return tuple(Slot(device="cpu", threads=threads) for _ in range(cores // threads))


Command = Callable[[int, Slot], list[str]]
"""The command line that runs a fold in a slot."""


def fold_command(run: Run, store: Storage, *, checkpoint_minutes: float) -> Command:
    """`python -m job fold` on a run and its store; a worker stops when this process is gone."""

    def command(fold: int, slot: Slot) -> list[str]:
        arguments = ["--index", str(fold), "--run", run.url, "--store", store.url, "--device", slot.device]
        arguments += ["--threads", str(slot.threads), "--stop-with", str(os.getpid())]
        arguments += ["--checkpoint-minutes", str(checkpoint_minutes)]
        return [sys.executable, "-m", "job", "fold", *arguments]

    return command


@dataclass
class _Worker:
    fold: int
    slot: Slot
    process: subprocess.Popen[bytes]


class LocalExecutor:
    """Runs the command of each fold, in as many processes as there are slots."""

    def __init__(
        self, run: Run, slots: Sequence[Slot], command: Command, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        self._run = run
        self._free = list(slots)
        self._command = command
        self._pause_seconds = pause_seconds
        self._waiting: deque[int] = deque()
        self._not_before: dict[int, float] = {}
        self._attempts: dict[int, int] = {}
        self._ends: Counter[tuple[int, int]] = Counter()
        self._workers: list[_Worker] = []
        self._done: list[int] = []
        self._failed: list[int] = []
        self._stopped: list[int] = []
        self._retries: list[str] = []
        self._cancelled = False

    def submit(self, folds: Sequence[int]) -> None:
        """Queues folds, in this order."""
        self._waiting.extend(folds)

    def poll(self) -> Snapshot:
        """Collects processes that ended and starts as many as there are free slots."""
        for worker in [worker for worker in self._workers if worker.process.poll() is not None]:
            self._workers.remove(worker)
            self._free.append(worker.slot)
            self._ended(worker.fold, worker.process.returncode)
        ready = [fold for fold in self._waiting if self._not_before.get(fold, 0) <= time.monotonic()]
        for fold in ready[: len(self._free)]:
            self._waiting.remove(fold)
            self._workers.append(self._started(fold, self._free.pop(0)))
        return Snapshot(
            waiting=tuple(self._waiting),
            running=tuple(worker.fold for worker in self._workers),
            done=tuple(self._done),
            failed=tuple(self._failed),
            stopped=tuple(self._stopped),
            retries=tuple(self._retries),
        )

    def cancel(self, *, now: bool) -> None:
        """Asks running folds to checkpoint and stop, and forgets waiting ones; `now`: without a checkpoint."""
        self._cancelled = True
        self._stopped.extend(self._waiting)
        self._waiting.clear()
        for worker in self._workers:
            worker.process.send_signal(signal.SIGKILL if now else signal.SIGTERM)

    def _started(self, fold: int, slot: Slot) -> _Worker:
        self._attempts[fold] = self._attempts.get(fold, 0) + 1
        self._run.fold(fold).failure.delete()  # of an earlier sweep
        log = self._run.fold(fold).log.working_path
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            # Written before the worker is there, so that the log of one that is killed at once is not empty.
            mark = f"{_MARK} attempt {self._attempts[fold]} of this sweep, {utc_now()}, {slot.device}\n"
            output.write(mark.encode())
            output.flush()
            process = subprocess.Popen(
                self._command(fold, slot),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches this process alone, which then stops its workers in order.
                start_new_session=True,
                env=os.environ | {"OMP_NUM_THREADS": str(slot.threads), "MKL_NUM_THREADS": str(slot.threads)},
            )
        return _Worker(fold, slot, process)

    def _ended(self, fold: int, code: int) -> None:
        self._ends[fold, code] += 1
        files = self._run.fold(fold)
        if files.log.local_path is None:
            files.log.write(files.log.working_path.read_bytes())
        if files.result.exists():  # whatever happened to the process afterwards
            self._done.append(fold)
        elif self._cancelled:
            self._stopped.append(fold)
        elif self._ends[fold, code] < attempts_allowed(code):
            attempt = self._attempts[fold]
            pause = 0.0 if code == ExitCode.STOPPED else self._pause_seconds * 2 ** (attempt - 1)
            self._retries.append(
                f"fold {fold}: attempt {attempt} ended ({self._last_line(fold, code)}); "
                f"attempt {attempt + 1} follows"
            )
            self._not_before[fold] = time.monotonic() + pause
            self._waiting.appendleft(fold)
        else:
            self._failed.append(fold)
            failure = Failure(
                fold=fold,
                attempts=self._attempts[fold],
                exit_code=code,
                message=self._last_line(fold, code),
                time=utc_now(),
            )
            files.failure.write(failure)

    def _last_line(self, fold: int, code: int) -> str:
        if code == ExitCode.DONE:
            return "the worker ended without an error, but left no result"
        if code < 0:
            cause = " (out of memory?)" if code == -signal.SIGKILL else ""
            return f"killed by {signal.Signals(-code).name}{cause}"
        lines = self._run.fold(fold).log.working_path.read_text(errors="replace").split("\n")
        printed = (line for line in reversed(lines) if line.strip() and not line.startswith(_MARK))
        return _LOG_PREFIX.sub("", next(printed, "no output"))
