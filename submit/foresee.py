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
from job.data.prepare import exam_memory_gib, exams_to_make
from job.machine import available_memory_gib
from job.project import Project
from job.storage import LocalStorage, Storage
from submit.machine import fold_memory_gib

SMALLEST_SHARE = 0.3
"""Of the voxels' own size, that the store's compression leaves at the least; measured: 0.48."""
GB = 1e9


def foreseen(
    project: Project,
    exams: Sequence[ExamSummary],
    source: Storage,
    *,
    memory_gib: float | None = None,
) -> tuple[list[Problem], list[Problem]]:
    """Problems and warnings that preparing the store and running folds on this machine would meet.

    Args:
        project: The study.
        exams: The exams that could be read.
        source: The cohort's root.
        memory_gib: Memory that is available; default: this machine's.
    """
    study = project.study
    if study.compute.backend != "local":
        return [], []  # the places and the machines are others
    available = available_memory_gib() if memory_gib is None else memory_gib
    problems: list[Problem] = []
    warnings = _memory(study, exams, available)
    for key, location in (("store.folder", study.store.folder), ("compute.runs", study.compute.runs)):
        folder = project.location(location)
        if "://" not in folder:
            unusable = _unusable(key, Path(folder))
            problems += unusable
            if key == "store.folder" and not unusable:
                no_room, little_room = _room(
                    key, Path(folder), _needed_bytes(study, exams, source, Path(folder))
                )
                problems += no_room
                warnings += little_room
    return problems, warnings


def _needed_bytes(study: Study, exams: Sequence[ExamSummary], source: Storage, folder: Path) -> int:
    """What would be written: exams that are in the store stay, and so does all else that is there."""
    files = [exam.files for exam in exams]
    to_make = {each.exam for each in exams_to_make(source, LocalStorage(folder), study, files)}
    return sum(_stored_bytes(exam, study) for exam in exams if exam.exam in to_make)


def _stored_bytes(exam: ExamSummary, study: Study) -> int:
    """Size of an exam's voxels in the store, before compression."""
    channels = len(study.cohort.channels) * np.dtype(study.store.dtype).itemsize
    labels = 1 + (study.cohort.mask is not None)
    return prod(exam.geometry.shape_xyz) * (channels + labels)


def _unusable(key: str, folder: Path) -> list[Problem]:
    """Why a folder cannot be made or written."""
    existing = _existing(folder)
    if not existing.is_dir():
        return [_problem(key, folder, f"{existing} is a file", "a folder", f"name a folder in {key}")]
    if os.statvfs(existing).f_flag & os.ST_RDONLY or not os.access(
        existing, os.R_OK | os.W_OK | os.X_OK, effective_ids=True
    ):
        found = f"{existing}, which cannot be written"
        remedy = f"name another folder in {key}, or mend the rights"
        return [_problem(key, folder, found, "a folder of yours", remedy)]
    return []


def _room(key: str, folder: Path, needed: int) -> tuple[list[Problem], list[Problem]]:
    """Whether a folder has room for so many bytes: a problem, or a warning if compression may make it fit."""
    free = shutil.disk_usage(_existing(folder)).free
    if needed <= free:
        return [], []
    found = f"{free / GB:.2g} GB free for a store of up to {needed / GB:.2g} GB"
    remedy = f"make space, or name another folder in {key}"
    short = _problem(key, folder, found, f"{needed / GB:.2g} GB, half of it with luck", remedy)
    return ([short], []) if needed * SMALLEST_SHARE > free else ([], [short])


def _existing(folder: Path) -> Path:
    """A folder, or the first above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


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
