"""How many folds this machine has room for at the same time."""

from collections.abc import Sequence
from math import prod

import numpy as np

from job.contract.errors import StudyError
from job.contract.study import Study
from job.data.store import ExamRecord
from job.machine import available_cores
from submit.executors.local import Slot, slots_of

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
