from typing import Any

from job.contract.randomness import stream_key


def test_keys_never_change() -> None:
    """Every draw of every run that was ever made follows from these numbers."""
    assert stream_key(0, "validation", 0, 0, "patient0") == 200450267354462201831278244913725274197
    assert stream_key(0, "patches", 0, 0, 0) == 1337566043740719074599536442604021061
    assert stream_key(1, "weights", 2, 3) == 93321650838170324526950796006998566418


def test_a_key_depends_on_every_argument_and_on_where_one_ends() -> None:
    arguments: list[tuple[Any, ...]] = [
        (0, "a"),
        (1, "a"),
        (0, "b"),
        (0, "a", 0),
        (0, "a", 1),
        (0, "a", "1"),
        (0, "a", 1, 2),
        (0, "a", 2, 1),
        (0, "a", 12),
        (0, "a, 1"),
        (0, "a", "b", "c"),
        (0, "a", "b', 'c"),
    ]
    keys = [stream_key(seed, purpose, *ids) for seed, purpose, *ids in arguments]
    assert len(set(keys)) == len(arguments)
    assert all(0 <= key < 2**128 for key in keys)
