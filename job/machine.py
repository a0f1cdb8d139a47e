"""The cores and the memory of this machine, as far as its control groups let this process use them."""

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def available_cores(root: Path = ROOT) -> int:
    """Cores that this process may use: of its affinity, and of the quota of its control groups."""
    cores = float(len(os.sched_getaffinity(0)))
    for quota, period in (
        *(text.split() for text in _limits(root, "", "cpu.max")),
        *zip(
            _limits(root, "cpu", "cpu.cfs_quota_us"), _limits(root, "cpu", "cpu.cfs_period_us"), strict=True
        ),
    ):
        if quota not in ("max", "-1"):
            cores = min(cores, int(quota) / int(period))
    return max(int(cores), 1)


def available_memory_gib(root: Path = ROOT) -> float:
    """Memory that is free or can be freed, and not above the limit of this process's control groups."""
    lines = (root / "proc/meminfo").read_text().splitlines()
    available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    limits = [*_limits(root, "", "memory.max"), *_limits(root, "memory", "memory.limit_in_bytes")]
    return min([available, *(int(limit) for limit in limits if limit != "max")]) / 2**30


def _limits(root: Path, controller: str, name: str) -> Iterator[str]:
    """A setting of this process's control group and those above it; without a controller's name, of version 2.

    A container may name a group that lies outside of what it sees; those above it are seen.
    """
    groups = root / "proc/self/cgroup"
    for line in groups.read_text().splitlines() if groups.is_file() else ():
        _, controllers, group = line.split(":", 2)
        if controller in controllers.split(","):
            mount = root / "sys/fs/cgroup" / controller
            folder = mount / group.lstrip("/")
            for path in (folder, *folder.parents):
                if path.is_relative_to(mount) and (path / name).is_file():
                    yield (path / name).read_text().strip()
