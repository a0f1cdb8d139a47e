"""Names of random streams: every draw is a function of (seed, purpose, ids), never of global state."""

from hashlib import sha256
from typing import NamedTuple


def stream_key(seed: int, purpose: str, *ids: int | str) -> int:
    """A 128-bit key for the stream of draws that (seed, purpose, ids) stands for.

    Different arguments give independent streams: the key is a hash of their unambiguous spelling.
    """
    return int.from_bytes(sha256(repr((seed, purpose, *ids)).encode()).digest()[:16])


class Stream(NamedTuple):
    """The draws of one comparison: those of a fold, and of every other arm of its unit and repeat."""

    seed: int
    """Of the study."""
    repeat: int
    unit: int

    def key(self, purpose: str, *ids: int | str) -> int:
        """A 128-bit key for what is drawn for a purpose."""
        return stream_key(self.seed, purpose, self.repeat, self.unit, *ids)

    def torch_seed(self, purpose: str, *ids: int | str) -> int:
        """The same for torch's generators, which take seeds of 63 bits: the key's upper ones."""
        return self.key(purpose, *ids) >> 65
