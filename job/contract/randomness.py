"""Names of random streams: every draw is a function of (seed, purpose, ids), never of global state."""

from hashlib import sha256


def stream_key(seed: int, purpose: str, *ids: int | str) -> int:
    """A 128-bit key for the stream of draws that (seed, purpose, ids) stands for.

    Different arguments give independent streams: the key is a hash of their unambiguous spelling.
    """
    return int.from_bytes(sha256(repr((seed, purpose, *ids)).encode()).digest()[:16])
