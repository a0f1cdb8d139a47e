"""Many files at a time."""

import threading
import time
from itertools import islice

import pytest

from job.storage import concurrency
from job.storage.concurrency import AT_ONCE, each_with_progress, map_files


def test_results_come_in_order_though_many_are_worked_on_at_once() -> None:
    together = threading.Barrier(AT_ONCE, timeout=20)

    def work(number: int) -> int:
        together.wait()
        time.sleep(0.001 * (AT_ONCE - number % AT_ONCE))
        return number

    assert list(map_files(work, range(4 * AT_ONCE))) == list(range(4 * AT_ONCE))


def test_no_more_is_read_than_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "AHEAD", 5)
    begun: list[int] = []
    results = map_files(lambda number: begun.append(number) or number, range(100))
    assert list(islice(results, 5)) == [0, 1, 2, 3, 4]
    assert sorted(begun) == [0, 1, 2, 3, 4]


def test_an_error_reaches_the_reader() -> None:
    def work(number: int) -> int:
        raise FileNotFoundError(number)

    with pytest.raises(FileNotFoundError):
        list(map_files(work, range(3)))


def test_results_come_in_order_with_progress_though_the_last_is_done_first() -> None:
    last, told = threading.Event(), []

    def work(number: int) -> int:
        if number == 2:
            last.set()
        assert last.wait(timeout=20)
        return number * number

    results = each_with_progress(work, range(3), workers=3, progress=lambda *done: told.append(done))
    assert results == [0, 1, 4]
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_an_error_in_one_of_many_reaches_the_caller() -> None:
    def work(number: int) -> int:
        if number == 5:
            raise FileNotFoundError(number)
        return number

    with pytest.raises(FileNotFoundError, match="5"):
        each_with_progress(work, range(9), workers=2, progress=lambda *_: None)
