"""Control groups as files below a root of our own, with the numbers that Linux writes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from job.machine import available_cores, available_memory_gib

GIB = 2**30

MakeRoot = Callable[..., Path]


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


@pytest.fixture
def make_root(tmp_path: Path) -> MakeRoot:
    """A root with 16 GiB available, this process's control groups, and files below sys/fs/cgroup."""

    def make(groups: str, files: dict[str, str]) -> Path:
        contents = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
        contents["proc/self/cgroup"] = groups
        contents["proc/meminfo"] = f"MemTotal: 99999999 kB\nMemAvailable: {16 * 2**20} kB\n"
        for name, text in contents.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(f"{text}\n")
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/", {}, 8),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "250000 100000"}, 2),
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        ("0::/", {"cpu.max": "9900000 100000"}, 8),
        (
            "3:cpu,cpuacct:/docker/x",  # a container sees its own group as the topmost
            {"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"},
            3,
        ),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
    ],
)
def test_cores_are_those_that_affinity_and_quota_allow(
    make_root: MakeRoot, groups: str, files: dict[str, str], cores: int
) -> None:
    assert available_cores(make_root(groups, files)) == cores


@pytest.mark.parametrize(
    ("groups", "files", "gib"),
    [
        ("0::/", {}, 16),
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": str(3 * GIB)}, 3),
        ("4:memory:/docker/x", {"memory/memory.limit_in_bytes": str(2 * GIB)}, 2),
        ("4:memory:/", {"memory/memory.limit_in_bytes": "9223372036854771712"}, 16),
    ],
)
def test_memory_is_what_is_free_and_within_the_limit(
    make_root: MakeRoot, groups: str, files: dict[str, str], gib: float
) -> None:
    assert available_memory_gib(make_root(groups, files)) == gib
