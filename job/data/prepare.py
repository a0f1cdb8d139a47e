"""From a cohort's files to its block store: in parallel, resumable, each exam whole or not at all."""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from hashlib import sha256
from math import prod
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from job.contract import layout
from job.contract.errors import DataError, Problem
from job.contract.manifest import ExamEntry
from job.contract.study import Study
from job.data.cohort_files import ExamFiles, find_exams
from job.data.exam import collecting, load_exam
from job.data.nifti import read_volume
from job.data.store import ExamRecord, Source, delete_exam, is_whole, recipe_of, write_exam
from job.machine import available_memory_gib
from job.storage import Storage

log = logging.getLogger(__name__)
T = TypeVar("T")

BYTES_PER_VOXEL = 40
"""Memory of an exam that is being prepared, beside thrice what is stored of it: file, scaled and normalised copy of
a channel. Measured: 63 to 79 in all with 7 channels of float16."""

Progress = Callable[[int, int], None]
"""Told how many exams are done, of how many."""


class StoreIndex(BaseModel):
    """`store.json`: the exams of a prepared cohort, in the order of the grid."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    exams: tuple[ExamEntry, ...]


def prepare_cohort(
    source: Storage, store: Storage, study: Study, *, workers: int, progress: Progress, verify: bool = False
) -> tuple[StoreIndex, int]:
    """The store's index, and how many exams had to be made.

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
    exams = find_exams(source.list(), study.cohort)
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
            Source(key=item.key, fingerprint=item.fingerprint, sha256=digest)
            for item, digest in zip(files.all, exam.sha256, strict=True)
        )
        return write_exam(store, study, exam, name=files.exam, patient=files.patient, sources=sources), True

    done = _each(prepare, exams, _within_memory(workers, source, exams, study), progress)
    index = _index_of(recipe, study, [record for record, _ in done])
    if read_index(store, study) != index:
        store.write(layout.store_index(recipe), index.model_dump_json(indent=1).encode())
    return index, sum(made for _, made in done)


def read_index(store: Storage, study: Study) -> StoreIndex | None:
    """The index of a study's cohort as it was last prepared; None if it was not, or the index is damaged."""
    try:
        return StoreIndex.model_validate_json(store.read(layout.store_index(recipe_of(study))))
    except (FileNotFoundError, ValueError):
        return None


def _index_of(recipe: str, study: Study, records: Sequence[ExamRecord]) -> StoreIndex:
    """The index of exams that are whole.

    Raises:
        DataError: A class that cannot be learnt, or images that are there twice.
    """
    _require_all_classes(study, [(r.patient, [sum(b) for b in r.label_counts]) for r in records])
    channels = len(study.cohort.channels)  # come first among the sources
    _require_distinct(
        {
            record.exam: {
                source.key: channel.sha256
                for source, channel in zip(record.sources[:channels], record.statistics, strict=True)
            }
            for record in records
        }
    )
    return StoreIndex(
        recipe=recipe,
        exams=tuple(ExamEntry(exam=r.exam, patient=r.patient, digest=r.digest) for r in records),
    )


def check_cohort(source: Storage, study: Study, *, workers: int, progress: Progress) -> tuple[ExamFiles, ...]:
    """The cohort's exams, after every file was read and checked as `prepare_cohort` would.

    Raises:
        DataError: Everything that is wrong with any exam.
    """
    exams = find_exams(source.list(), study.cohort)

    def summary(files: ExamFiles) -> tuple[list[int], dict[str, str]]:
        exam = load_exam(source, files, study.cohort, study.store.dtype)
        voxels = np.bincount(exam.label_ZYX.ravel(), minlength=len(study.cohort.classes) + 1)
        images = zip(files.channels, exam.statistics, strict=True)
        return [int(count) for count in voxels], {item.key: channel.sha256 for item, channel in images}

    found = _each(summary, exams, _within_memory(workers, source, exams, study), progress)
    patients = [exam.patient for exam in exams]
    _require_all_classes(study, [(p, v) for p, (v, _) in zip(patients, found, strict=True)])
    _require_distinct({exam.exam: digests for exam, (_, digests) in zip(exams, found, strict=True)})
    return exams


def _within_memory(workers: int, source: Storage, exams: Sequence[ExamFiles], study: Study) -> int:
    """As many workers as memory suffices for, by the size of the exam whose label map is the largest file."""
    largest = max((files.labels for files in exams), key=lambda item: item.size_bytes)
    try:
        voxels = prod(read_volume(source.read(largest.key), largest.key).data_ZYX.shape)
    except DataError:
        return workers  # it is named with the others' problems
    stored = len(study.cohort.channels) * np.dtype(study.store.dtype).itemsize
    need_gib = voxels * (3 * stored + BYTES_PER_VOXEL) / 2**30
    return min(workers, max(int(available_memory_gib() / need_gib), 1))


def _each(
    work: Callable[[ExamFiles], T], exams: Sequence[ExamFiles], workers: int, progress: Progress
) -> list[T]:
    """The results of all exams, in order; or one DataError with the problems of all."""
    problems: list[Problem] = []
    progress(0, len(exams))
    # Threads: decompression, array arithmetic and writing all release the interpreter.
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(work, files) for files in exams]
        try:
            for count, future in enumerate(as_completed(futures), start=1):
                with collecting(problems):
                    future.result()
                progress(count, len(exams))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if problems:
        raise DataError(sorted(problems, key=lambda problem: problem.file))
    return [future.result() for future in futures]


def _existing_records(store: Storage, recipe: str) -> dict[str, list[ExamRecord]]:
    """The readable records of a recipe by exam; a damaged one counts as absent and is made again."""
    records: dict[str, list[ExamRecord]] = defaultdict(list)
    for item in store.list(f"{layout.exams(recipe)}/"):
        if item.key.endswith(".json") and ".zarr/" not in item.key:
            try:
                record = ExamRecord.model_validate_json(store.read(item.key))
            except ValueError:
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


def _require_distinct(images: dict[str, dict[str, str]]) -> None:
    """Refuses an image that is there twice.

    As another exam it would leak into training, as another channel it would make leaving one out meaningless.

    Args:
        images: By exam, SHA-256 of the voxels of each channel's file.
    """
    by_contents: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for exam, files in images.items():
        for key, digest in files.items():
            by_contents[digest].append((exam, key))
    # A copied exam is one problem, and not one for each of its channels.
    by_exams: dict[tuple[str, ...], list[list[str]]] = defaultdict(list)
    for uses in by_contents.values():
        if len(uses) > 1:
            by_exams[tuple(exam for exam, _ in uses)].append([key for _, key in uses])
    problems = [
        Problem(
            file=copies[0][0],
            found=f"the same image as {', '.join(copies[0][1:])}"
            + (f"; so are {len(copies) - 1} other channels of these exams" if len(copies) > 1 else ""),
            expected="a file of its own for each channel of each exam",
            remedy="replace the copies by the right files, or leave exams out with cohort.exclude",
        )
        for copies in by_exams.values()
    ]
    if problems:
        raise DataError(problems)


def _require_all_classes(study: Study, exams: Sequence[tuple[str, Sequence[int]]]) -> None:
    """Refuses a class that a fold might not learn, because only its test and validation patients have it.

    Args:
        study: Names the classes, and how many patients are for validation.
        exams: Of each exam, the patient and the voxels by label.
    """
    problems = []
    cohort, held_out = study.cohort, study.training.validation_patients
    for label, name in enumerate(cohort.class_names, start=1):
        patients = {patient for patient, voxels in exams if voxels[label]}
        if len(patients) < 2 + held_out:
            values = list(cohort.class_values[label - 1])
            where = " inside the mask" if cohort.mask is not None else ""
            problems.append(
                Problem(
                    file=cohort.labels,
                    found=f"class {name!r} ({values}){where} in {len(patients)} patients ({len(exams)} exams)",
                    expected=f"each class in at least {2 + held_out} patients: one to learn it from when another "
                    "is tested" + (f" and {held_out} may be drawn for validation" if held_out else ""),
                    remedy="correct the values in cohort.classes, remove the class, or add exams",
                )
            )
    if problems:
        raise DataError(problems)
