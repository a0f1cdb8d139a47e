"""What `prepare` and `sweep` would only find out later: whether there is room, and memory, for what they make."""

import os
import shutil
from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np

from job.contract.errors import Problem
from job.contract.study import Study
from job.data.cohort_summary import ExamSummary
from job.data.prepare import exam_memory_gib
from job.machine import available_memory_gib
from job.places import resolve
from submit.machine import fold_memory_gib

SMALLEST_SHARE = 0.3
"""Of the voxels' own size, that the store's compression leaves at the least; measured: 0.48."""
GB = 1e9


def foreseen(
    study_file: Path, study: Study, exams: Sequence[ExamSummary], *, memory_gib: float | None = None
) -> tuple[list[Problem], list[Problem]]:
    """Problems and warnings that preparing the store and running folds on this machine would meet.

    Args:
        study_file: Paths of the study are relative to it.
        study: The study.
        exams: The exams that could be read.
        memory_gib: Memory that is available; default: this machine's.
    """
    if study.compute.backend != "local":
        return [], []  # the places and the machines are others
    problems: list[Problem] = []
    warnings: list[Problem] = []
    size = sum(_stored_bytes(exam, study) for exam in exams)
    for key, location, needed in (
        ("store.folder", resolve(study_file, study.store.folder), size),
        ("compute.runs", resolve(study_file, study.compute.runs), 0),
    ):
        if "://" not in location:
            _look_at(key, Path(location), needed, problems, warnings)
    available = available_memory_gib() if memory_gib is None else memory_gib
    warnings += _memory(study, exams, available)
    return problems, warnings


def _stored_bytes(exam: ExamSummary, study: Study) -> int:
    """Size of an exam's voxels in the store, before compression."""
    channels = len(study.cohort.channels) * np.dtype(study.store.dtype).itemsize
    labels = 1 + (study.cohort.mask is not None)
    return prod(exam.geometry.shape_xyz) * (channels + labels)


def _look_at(key: str, folder: Path, needed: int, problems: list[Problem], warnings: list[Problem]) -> None:
    """Whether a folder can be made and written, and has room."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        problems.append(_problem(key, folder, f"{existing} is a file", "a folder", f"name a folder in {key}"))
        return
    if os.statvfs(existing).f_flag & os.ST_RDONLY or not os.access(
        existing, os.W_OK | os.X_OK, effective_ids=True
    ):
        found = f"{existing}, which cannot be written"
        problems.append(
            _problem(
                key, folder, found, "a folder of yours", f"name another folder in {key}, or mend the rights"
            )
        )
        return
    already = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if needed else 0
    free = shutil.disk_usage(existing).free + already
    if needed > free:
        found = f"{free / GB:.2g} GB free for a store of up to {needed / GB:.2g} GB"
        short = needed * SMALLEST_SHARE > free
        remedy = f"make space, or name another folder in {key}"
        (problems if short else warnings).append(
            _problem(key, folder, found, f"{needed / GB:.2g} GB, half of it with luck", remedy)
        )


def _memory(study: Study, exams: Sequence[ExamSummary], available_gib: float) -> list[Problem]:
    """Memory of preparing the largest exam, and of a fold that holds all exams on a CPU."""
    shapes = [exam.geometry.shape_xyz for exam in exams]
    if not shapes:
        return []
    needs = {
        "preparing the largest exam": max(exam_memory_gib(shape, study) for shape in shapes),
        "a fold on the CPU": fold_memory_gib(study, shapes),
    }
    return [
        Problem(
            file="compute",
            found=f"{available_gib:.1f} GiB of memory available; {what} needs about {need:.1f}",
            expected=f"{need:.1f} GiB",
            remedy="use a machine with more, or a smaller training.batch_size or patch"
            if "fold" in what
            else "use a machine with more, or crop the exams",
            cause=f"memory: {what}",
        )
        for what, need in needs.items()
        if need > available_gib
    ]


def _problem(key: str, folder: Path, found: str, expected: str, remedy: str) -> Problem:
    return Problem(file=f"{key} = {folder}", found=found, expected=expected, remedy=remedy, cause=key)
