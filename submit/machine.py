"""How many folds this machine has room for at the same time."""

from collections.abc import Sequence
from math import prod

import numpy as np

from job.contract.errors import StudyError
from job.contract.study import Study
from job.machine import available_cores
from job.networks.design import design_of
from submit.executors.local import Slot, slots_of

FOLD_GIB = 0.5
"""Memory of a worker without exams and patches: interpreter, libraries and network."""
BYTES_PER_VALUE = 18
"""Of each feature value that a patch's stages read: the value as it is kept for the backward pass by
convolution, normalisation and non-linearity, and its gradient. Measured: 16 to 17.5 for the presets' networks."""
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

    GPUs hold exams and patches themselves, and each is used.
    """
    room = int(available_gib / need_gib)
    if slots[0].device != "cpu" or room >= len(slots):
        return slots, ""
    limit = f", limited by memory: {available_gib:.1f} GiB available, a fold needs about {need_gib:.1f}"
    if room < 1:
        limit += " and may be killed; use a smaller training.batch_size or patch, or another machine"
    return slots[: max(room, 1)], limit


def fold_memory_gib(study: Study, shapes: Sequence[tuple[int, int, int]]) -> float:
    """Memory of a fold on a CPU that holds exams of these shapes."""
    voxel = len(study.cohort.channels) * np.dtype(study.store.dtype).itemsize + LABEL_BYTES
    exams = sum(prod(shape) for shape in shapes) * voxel
    design = design_of(study)
    values = design.values_read(design.training_window())
    return FOLD_GIB + (exams + study.training.batch_size * values * BYTES_PER_VALUE) / 2**30
