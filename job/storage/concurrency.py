"""Many small files at a time: what makes a bucket as quick as a folder."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 16
"""Files at a time: about what one process gets from S3."""
AHEAD = 1000
"""Results that are held at most."""


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
