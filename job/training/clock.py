"""Seconds by phase of a worker."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class PhaseClock:
    """Adds up wall time by phase.

    On a GPU, work is only queued when a phase ends. Its time is taken from events in the queue, read when
    `seconds` is asked for, so that measuring does not make the host wait at every phase.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds: dict[str, float] = defaultdict(float)
        self._before = 0.0
        self._start = time.perf_counter()
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    def add_earlier(self, seconds: dict[str, float]) -> None:
        """Adds what an earlier attempt took, as `seconds` gave it."""
        for name, spent in seconds.items():
            if name == "total":
                self._before += spent
            elif name != "idle":
                self._seconds[name] += spent

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts what happens inside towards a phase."""
        if self._device.type == "cuda":
            events = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            events[0].record()
            yield
            events[1].record()
            self._events.append((name, *events))
        else:
            start = time.perf_counter()
            yield
            self._seconds[name] += time.perf_counter() - start

    def seconds(self) -> dict[str, float]:
        """Seconds by phase so far; `total` since the start, `idle` the part of it in no phase."""
        if self._events:
            torch.cuda.synchronize(self._device)
            for name, start, end in self._events:
                self._seconds[name] += start.elapsed_time(end) / 1000
            self._events.clear()
        total = self._before + time.perf_counter() - self._start
        idle = max(total - sum(self._seconds.values()), 0.0)
        return {name: round(s, 3) for name, s in {**self._seconds, "idle": idle, "total": total}.items()}
