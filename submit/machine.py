"""What this machine has room for: cores, memory and GPUs, as far as its control groups let this process use them."""

import os
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path

import numpy as np

from job.contract.errors import StudyError
from job.contract.study import Study
from job.data.store import ExamRecord
from submit.executors.local import Slot, slots_of

ROOT = Path("/")
FOLD_GIB = 0.7
"""Memory of a worker without its exams: interpreter, libraries, network and patches."""
LABEL_BYTES = 2
"""Of a voxel: label and mask."""


def machine_slots(study: Study) -> tuple[Slot, ...]:
    """The folds that this machine has GPUs or cores for at the same time.

    Raises:
        StudyError: There is no such device, or it cannot do the study's precision.
    """
    import torch  # takes seconds, which `submit check` need not wait for

    from job.training.precision import resolve_precision

    gpus = 0 if study.compute.device == "cpu" else torch.cuda.device_count()
    if study.compute.device == "cuda" and not gpus:
        raise StudyError('compute.device is "cuda" but no GPU is visible; use "auto" or "cpu"')
    slots = slots_of(study.compute, cores=available_cores(), gpus=gpus)
    for slot in slots:
        resolve_precision(study.training.precision, torch.device(slot.device))
    return slots


def within_memory(slots: Sequence[Slot], need_gib: float, available_gib: float) -> tuple[Sequence[Slot], str]:
    """The slots that memory suffices for, at least one; and what to say if they are not all.

    GPUs hold the exams themselves, and each is used.
    """
    room = max(int(available_gib / need_gib), 1)
    if slots[0].device != "cpu" or room >= len(slots):
        return slots, ""
    limit = f", limited by memory: {available_gib:.1f} GiB available, a fold needs {need_gib:.1f}"
    return slots[:room], limit


def fold_memory_gib(records: Sequence[ExamRecord]) -> float:
    """Memory of a fold that holds all exams."""
    exams = sum(
        prod(record.shape_zyx) * (len(record.channels) * np.dtype(record.dtype).itemsize + LABEL_BYTES)
        for record in records
    )
    return FOLD_GIB + exams / 2**30


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
