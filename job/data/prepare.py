"""From a cohort's files to its block store: in parallel, resumable, each exam whole or not at all."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from job.contract import layout
from job.contract.cohort import Cohort
from job.contract.errors import DataError, Problem, collecting
from job.contract.manifest import ExamEntry
from job.contract.study import Study
from job.data.cohort_files import ExamFiles, find_cohort, sound_exams, uses_of
from job.data.cohort_summary import (
    ExamSummary,
    Findings,
    beside_each_other,
    summary_of,
    summary_of_record,
    without_class,
)
from job.data.doubtful_names import doubtful_names
from job.data.exam import ChannelSeen, load_exam, read_exam
from job.data.exam_grids import exchanged, grid_name
from job.data.exam_record import STORE_FORMAT, ExamRecord, Source, recipe_of
from job.data.grid_reader import grid_file
from job.data.nifti import read_volume
from job.data.store import delete_exam, is_whole, write_exam
from job.machine import available_memory_gib
from job.storage import Storage
from job.storage.concurrency import Progress, each_with_progress
from job.storage.records import read_record_file

log = logging.getLogger(__name__)
T = TypeVar("T")

BYTES_PER_VOXEL = 40
"""Memory of an exam that is being prepared, beside thrice what is stored of it: file, scaled and normalised copy of
a channel. Measured: 45 to 50 in all with 7 channels of float16."""
BYTES_PER_VOLUME = 8
"""And of a voxel of each volume of a 4-D file, which is decompressed as a whole."""

Watch = Callable[[ExamFiles], AbstractContextManager[ChannelSeen]]
"""Gives who sees the channels of an exam, which may turn out to be wrong."""


class StoreIndex(BaseModel):
    """`store.json`: the exams of a prepared cohort, in the order of the grid."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    exams: tuple[ExamEntry, ...]
    cohort: str | None = None
    """Digest of what the study says of its cohort: studies of one recipe take turns in writing the index. None: of no
    study."""


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

    An exam whose record names the same files, unchanged and for the same use, is kept. Exams that are whole stay when
    others have problems or the process is killed; the index is written when all are whole.

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
    earlier = _earlier_format(store, study)
    existing = _existing_records(store, recipe_of(study))

    def prepare(files: ExamFiles) -> tuple[ExamRecord, bool]:
        record = _kept(existing.get(files.exam, ()), source, store, study.cohort, files, verify=verify)
        return (record, False) if record is not None else (_make(source, store, study, files), True)

    done, problems = _each(prepare, exams, _within_memory(workers, source, exams, study), progress)
    summaries = [summary_of_record(files, done[files.exam][0]) for files in exams if files.exam in done]
    problems = _exchanged(problems, exams, summaries)
    side_by_side, warnings = beside_each_other(summaries, study) if not problems else ([], [])
    if problems or side_by_side:
        raise DataError([*problems, *side_by_side])
    return Prepared(
        index=_write_index(store, study, [record for record, _ in done.values()]),
        made=sum(made for _, made in done.values()),
        warnings=(*earlier, *doubtful_names(source, study.cohort, exams), *warnings),
    )


def exams_to_make(
    source: Storage, store: Storage, study: Study, exams: Sequence[ExamFiles]
) -> list[ExamFiles]:
    """Those of the exams that preparing would make, since the store does not hold them as they are now."""
    existing = _existing_records(store, recipe_of(study))
    return [
        files
        for files in exams
        if not any(made_from(known, source, study.cohort, files) for known in existing.get(files.exam, ()))
    ]


def _kept(
    records: Iterable[ExamRecord],
    source: Storage,
    store: Storage,
    cohort: Cohort,
    files: ExamFiles,
    *,
    verify: bool,
) -> ExamRecord | None:
    """The record of an exam that need not be made again; one that is damaged is deleted if `verify` is asked for."""
    for record in records:
        if made_from(record, source, cohort, files):
            if not verify or is_whole(store, record):
                return record
            log.warning("%s is damaged in the store, and made anew", record.exam)
            delete_exam(store, record)
    return None


def _make(source: Storage, store: Storage, study: Study, files: ExamFiles) -> ExamRecord:
    """Reads an exam's files and stores the exam."""
    exam = load_exam(source, files, study.cohort, study.store.dtype)
    sources = [
        Source(
            role=use.role,
            key=use.file.key,
            index=use.index,
            fingerprint=use.file.fingerprint,
            sha256=exam.sha256[use.file.key],
        )
        for use in uses_of(files, study.cohort)
    ]
    return write_exam(store, study, exam, name=files.exam, patient=files.patient, sources=sources)


def _write_index(store: Storage, study: Study, records: Sequence[ExamRecord]) -> StoreIndex:
    """Writes the index if another one, a damaged one or none is there."""
    index = StoreIndex(
        recipe=recipe_of(study),
        exams=tuple(ExamEntry(exam=r.exam, patient=r.patient, digest=r.digest) for r in records),
        cohort=_cohort_digest(study),
    )
    key, data = layout.store_index(index.recipe), index.model_dump_json(indent=1).encode()
    try:
        written = store.read(key)
    except FileNotFoundError:
        written = None
    if written != data:
        store.write(key, data)
    return index


def _earlier_format(store: Storage, study: Study) -> list[Problem]:
    """A word where the store was made by an earlier version of the code, before it is made anew."""
    if store.exists(layout.store_index(recipe_of(study))):
        return []
    keys = {number: layout.store_index(recipe_of(study, number)) for number in range(1, STORE_FORMAT)}
    return [
        Problem(
            file=f"{store.url}/{key.split('/')[0]}",
            found=f"exams of an earlier version of the store (format {number})",
            expected=f"format {STORE_FORMAT}",
            remedy="all exams were made anew beside them; delete this folder once no run needs it",
            cause="a store of an earlier version",
        )
        for number, key in keys.items()
        if store.exists(key)
    ]


def read_index(store: Storage, study: Study) -> StoreIndex | None:
    """The index of a study's cohort as it was last prepared; None if it was not, or for another study since.

    Raises:
        Damaged: The index is damaged.
    """
    index = read_record_file(store, layout.store_index(recipe_of(study)), StoreIndex)
    return index if index is not None and index.cohort == _cohort_digest(study) else None


def _cohort_digest(study: Study) -> str:
    words = study.cohort.model_dump_json(exclude={"acquisitions", "structures"})  # nothing that is stored
    return sha256(words.encode()).hexdigest()


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
    problems = _exchanged(problems, exams, summaries)
    side_by_side, warnings = beside_each_other(summaries, study)
    if misnamed or problems:  # a class may be in the exams that could not be read
        lacking = without_class(summaries, study)
        side_by_side = [problem for problem in side_by_side if problem not in lacking]
    return Findings(
        files=exams,
        exams=tuple(summaries),
        problems=(*misnamed, *problems, *side_by_side),
        warnings=(*doubtful_names(source, study.cohort, exams), *warnings),
    )


def _exchanged(
    problems: Sequence[Problem], exams: Sequence[ExamFiles], sound: Sequence[ExamSummary]
) -> list[Problem]:
    """The problems, where those of files on other exams' grids say so."""
    of_files = {item.key: files.exam for files in exams for item in files.all}
    return exchanged(problems, of_files, {exam.exam: grid_name(exam.geometry) for exam in sound})


def _within_memory(workers: int, source: Storage, exams: Sequence[ExamFiles], study: Study) -> int:
    """As many workers as memory suffices for, by the exam whose grid is that of the largest file."""
    cohort = study.cohort
    largest, index = max((grid_file(files, cohort) for files in exams), key=lambda each: each[0].size_bytes)
    try:
        volume = read_volume(source.read(largest.key), largest.key, index=index, choice=cohort.geometry)
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

    def noted(files: ExamFiles) -> T | None:
        with collecting(problems):
            try:
                return work(files)
            except Exception as error:
                error.add_note(f"exam {files.exam}")
                raise
        return None

    results = each_with_progress(noted, exams, workers=workers, progress=progress)
    done = {files.exam: own for files, own in zip(exams, results, strict=True) if own is not None}
    return done, sorted(problems, key=lambda problem: problem.file)


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


def made_from(record: ExamRecord, source: Storage, cohort: Cohort, files: ExamFiles) -> bool:
    """Whether an exam was made from these very files, each for the same use.

    A file with the same size and time is taken as unchanged; one that was only touched is recognised by its
    digest.
    """
    uses = uses_of(files, cohort)
    if record.patient != files.patient or [(s.role, s.key, s.index) for s in record.sources] != [
        (use.role, use.file.key, use.index) for use in uses
    ]:
        return False
    known = {each.key: each for each in record.sources}
    return all(
        known[item.key].fingerprint == item.fingerprint
        or known[item.key].sha256 == sha256(source.read(item.key)).hexdigest()
        for item in files.all
    )
