"""From a cohort's files to its block store: in parallel, resumable, each exam whole or not at all."""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from job.contract import layout
from job.contract.errors import DataError, Problem
from job.contract.manifest import ExamEntry
from job.contract.study import Study
from job.data.cohort_files import ExamFiles, find_cohort, sound_exams
from job.data.cohort_summary import (
    ExamSummary,
    Findings,
    beside_each_other,
    summary_of,
    summary_of_record,
    without_class,
)
from job.data.doubtful_names import doubtful_names
from job.data.exam import ChannelSeen, collecting, grid_file, load_exam, read_exam
from job.data.nifti import read_volume
from job.data.store import ExamRecord, Source, delete_exam, is_whole, recipe_of, write_exam
from job.machine import available_memory_gib
from job.storage import Storage

log = logging.getLogger(__name__)
T = TypeVar("T")

BYTES_PER_VOXEL = 40
"""Memory of an exam that is being prepared, beside thrice what is stored of it: file, scaled and normalised copy of
a channel. Measured: 45 to 50 in all with 7 channels of float16."""
BYTES_PER_VOLUME = 8
"""And of a voxel of each volume of a 4-D file, which is decompressed as a whole."""

Progress = Callable[[int, int], None]
"""Told how many exams are done, of how many."""
Watch = Callable[[ExamFiles], AbstractContextManager[ChannelSeen]]
"""Gives who sees the channels of an exam, which may turn out to be wrong."""


class StoreIndex(BaseModel):
    """`store.json`: the exams of a prepared cohort, in the order of the grid."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    exams: tuple[ExamEntry, ...]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A cohort whose store is whole."""

    index: StoreIndex
    made: int
    """Exams that were not there before."""
    warnings: tuple[Problem, ...]
    """What is odd about the cohort, and may be right."""


def prepare_cohort(
    source: Storage, store: Storage, study: Study, *, workers: int, progress: Progress, verify: bool = False
) -> Prepared:
    """The store's index, how many exams had to be made, and what is odd about the cohort.

    An exam whose record names the same files, unchanged, is kept. Exams that are whole stay when others have
    problems or the process is killed; the index is written when all are whole.

    Args:
        source: The cohort's root.
        store: Root of the store.
        study: Says what to find and how to normalise it.
        workers: Exams at a time, at most; fewer where memory does not suffice.
        progress: Told of each finished exam.
        verify: Reads every block of the exams that are kept, and makes those that are damaged anew.

    Raises:
        DataError: Everything that is wrong with any exam.
    """
    exams = find_cohort(source, study.cohort)
    recipe = recipe_of(study)
    existing = _existing_records(store, recipe)

    def prepare(files: ExamFiles) -> tuple[ExamRecord, bool]:
        for record in existing.get(files.exam, ()):
            if _made_from(record, source, files):
                if not verify or is_whole(store, record):
                    return record, False
                log.warning("%s is damaged in the store, and made anew", record.exam)
                delete_exam(store, record)
        exam = load_exam(source, files, study.cohort, study.store.dtype)
        sources = tuple(
            Source(key=item.key, fingerprint=item.fingerprint, sha256=exam.sha256[item.key])
            for item in files.all
        )
        return write_exam(store, study, exam, name=files.exam, patient=files.patient, sources=sources), True

    done, problems = _each(prepare, exams, _within_memory(workers, source, exams, study), progress)
    records = [record for record, _ in done.values()]
    summaries = [summary_of_record(files, done[files.exam][0]) for files in exams if files.exam in done]
    side_by_side, warnings = beside_each_other(summaries, study) if not problems else ([], [])
    if problems or side_by_side:
        raise DataError([*problems, *side_by_side])
    index = StoreIndex(
        recipe=recipe,
        exams=tuple(ExamEntry(exam=r.exam, patient=r.patient, digest=r.digest) for r in records),
    )
    if read_index(store, study) != index:
        store.write(layout.store_index(recipe), index.model_dump_json(indent=1).encode())
    return Prepared(
        index=index,
        made=sum(made for _, made in done.values()),
        warnings=(*doubtful_names(source, study.cohort, exams), *warnings),
    )


def read_index(store: Storage, study: Study) -> StoreIndex | None:
    """The index of a study's cohort as it was last prepared; None if it was not, or the index is damaged."""
    try:
        return StoreIndex.model_validate_json(store.read(layout.store_index(recipe_of(study))))
    except (FileNotFoundError, ValidationError):
        return None


def check_cohort(
    source: Storage, study: Study, *, workers: int, progress: Progress, watch: Watch | None = None
) -> Findings:
    """What is in a cohort's files, after every one was read and checked as `prepare_cohort` would.

    Args:
        source: The cohort's root.
        study: Says what to find and how to normalise it.
        workers: Exams at a time, at most; fewer where memory does not suffice.
        progress: Told of each finished exam.
        watch: Asked, for each exam in its own thread, who is to see its channels; ended when they are read.

    Raises:
        DataError: No file's name fits the patterns.
    """
    exams, misnamed = sound_exams(source.list(), study.cohort, dead=source.dead_links())
    if not exams:
        return Findings(files=(), exams=(), problems=tuple(misnamed), warnings=())

    def summary(files: ExamFiles) -> ExamSummary:
        with nullcontext() if watch is None else watch(files) as seen:
            exam = read_exam(source, files, study.cohort, study.store.dtype, seen=seen)
        return summary_of(files, exam, study.cohort)

    done, problems = _each(summary, exams, _within_memory(workers, source, exams, study), progress)
    summaries = [done[files.exam] for files in exams if files.exam in done]
    side_by_side, warnings = beside_each_other(summaries, study)
    if misnamed or problems:  # a class may be in the exams that could not be read
        lacking = without_class(summaries, study)
        side_by_side = [problem for problem in side_by_side if problem not in lacking]
    doubtful = [] if misnamed else doubtful_names(source, study.cohort, exams)
    return Findings(
        files=exams,
        exams=tuple(summaries),
        problems=(*misnamed, *problems, *side_by_side),
        warnings=(*doubtful, *warnings),
    )


def _within_memory(workers: int, source: Storage, exams: Sequence[ExamFiles], study: Study) -> int:
    """As many workers as memory suffices for, by the exam whose grid is that of the largest file."""
    cohort = study.cohort
    largest, index = max((grid_file(files, cohort) for files in exams), key=lambda each: each[0].size_bytes)
    try:
        volume = read_volume(source.read(largest.key), largest.key, index=index, choice="sform")
    except DataError:
        return workers  # it is named with the others' problems
    return min(
        workers, max(int(available_memory_gib() / exam_memory_gib(volume.geometry.shape_xyz, study)), 1)
    )


def exam_memory_gib(shape: tuple[int, int, int], study: Study) -> float:
    """Memory that reading and normalising an exam of this shape takes."""
    channels = study.cohort.channels
    stored = len(channels) * np.dtype(study.store.dtype).itemsize
    volumes = max((channel.index + 1 for channel in channels if channel.index is not None), default=0)
    return prod(shape) * (3 * stored + BYTES_PER_VOXEL + BYTES_PER_VOLUME * volumes) / 2**30


def _each(
    work: Callable[[ExamFiles], T], exams: Sequence[ExamFiles], workers: int, progress: Progress
) -> tuple[dict[str, T], list[Problem]]:
    """The results of the exams that have one, by name and in order; and the problems of the others."""
    problems: list[Problem] = []
    done: dict[str, T] = {}

    def noted(files: ExamFiles) -> T:
        try:
            return work(files)
        except Exception as error:
            error.add_note(f"exam {files.exam}")
            raise

    progress(0, len(exams))
    # Threads: decompression, array arithmetic and writing all release the interpreter.
    with ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(noted, files): files.exam for files in exams}
        try:
            for count, future in enumerate(as_completed(futures), start=1):
                with collecting(problems):
                    done[futures[future]] = future.result()
                progress(count, len(exams))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    in_order = {files.exam: done[files.exam] for files in exams if files.exam in done}
    return in_order, sorted(problems, key=lambda problem: problem.file)


def _existing_records(store: Storage, recipe: str) -> dict[str, list[ExamRecord]]:
    """The readable records of a recipe by exam; a damaged one counts as absent and is made again."""
    records: dict[str, list[ExamRecord]] = defaultdict(list)
    for item in store.list(f"{layout.exams(recipe)}/"):
        if item.key.endswith(".json") and ".zarr/" not in item.key:
            try:
                record = ExamRecord.model_validate_json(store.read(item.key))
            except ValidationError:
                log.warning("%s cannot be read; the exam is prepared again", item.key)
                continue
            records[record.exam].append(record)
    return records


def _made_from(record: ExamRecord, source: Storage, files: ExamFiles) -> bool:
    """Whether an exam was made from these very files.

    A file with the same size and time is taken as unchanged; one that was only touched is recognised by its
    digest.
    """
    return (
        record.patient == files.patient
        and [known.key for known in record.sources] == [item.key for item in files.all]
        and all(
            known.fingerprint == item.fingerprint or known.sha256 == sha256(source.read(item.key)).hexdigest()
            for known, item in zip(record.sources, files.all, strict=True)
        )
    )
