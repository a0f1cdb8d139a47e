"""Many files at a time: what makes a bucket as quick as a folder, and uses all cores to decompress."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 16
"""Files at a time: about what one process gets from S3."""
AHEAD = 1000
"""Results that are held at most."""

Progress = Callable[[int, int], None]
"""Told how many are done, of how many."""


def map_files(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """What `work` gives of each item, in order; many are worked on at a time.

    Args:
        work: Reads a file or two.
        items: Any number; no more than `AHEAD` results wait to be taken.
    """
    left = iter(items)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while some := list(islice(left, AHEAD)):
            yield from pool.map(work, some)


def each_with_progress(
    work: Callable[[T], R], items: Sequence[T], *, workers: int, progress: Progress
) -> list[R]:
    """What `work` gives of each item, in order; an exception of one ends those that have not begun.

    Args:
        work: Reads and decompresses files, in a thread: both release the interpreter, as does array arithmetic.
        items: What is worked on.
        workers: Items at a time.
        progress: Told of each that is done.
    """
    progress(0, len(items))
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for count, future in enumerate(as_completed(futures), start=1):
                future.result()
                progress(count, len(items))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in futures]
