"""Milliseconds to read training patches and whole exams from the block store and from plain files.

    python benchmarks/store.py

A phantom exam of 7 x 256 x 256 x 40 voxels lies in a temporary folder as store, memory-mapped array and NIfTI
files. In every round each reader reads the same random patches, one reader after the other, beginning with another
one each round; numbers are medians over the rounds, with a warm page cache. Under 2 minutes.
"""

import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from job.contract import layout
from job.contract.study import Study
from job.data.exam_record import Region, read_record, recipe_of
from job.data.phantom import make_phantom
from job.data.prepare import StoreIndex, prepare_cohort
from job.data.store import ExamReader
from job.storage.local import LocalStorage
from job.study_file import parse_study

SHAPE_XYZ = (256, 256, 40)
PATCHES_ZYX = {"7 x 55 x 55 x 40": (40, 55, 55), "7 x 165 x 165 x 9": (9, 165, 165)}
"""As (x, y, z) by name: the exam is 40 slices high, so a cube of 55 voxels is cut at 40."""
ROUNDS, PATCHES_PER_ROUND, PREPARE_ROUNDS = 7, 3, 3
CHANNELS = ("t2", "t1", "t1c", "t2star", "ktrans", "ve", "adc")
DTYPES = ("float16", "float32")

Reader = Callable[[Region], NDArray[Any]]
Times = dict[str, list[tuple[float, float]]]
"""By name, (wall, CPU) milliseconds."""


def main() -> None:
    """Prints two Markdown tables."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "tensorstore", "nibabel"))
    print(f"{platform.machine()}, {_processor()}, {len(os.sched_getaffinity(0))} cores")
    print(f"Python {platform.python_version()}, {versions}; medians of {ROUNDS} rounds\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_phantom(folder / "cohort", patients=2, visits=1, seed=0, shape=SHAPE_XYZ)
        prepare_ms = _prepare(folder)
        print("| | MB an exam | prepare an exam: wall s | CPU s |\n|---|---|---|---|")
        readers: dict[str, Reader] = {}
        for dtype in DTYPES:
            readers |= _readers(folder, dtype, prepare_ms[dtype])
        readers |= _nifti_readers(folder)
        print("\n| read | from | wall ms | x store float16 | CPU ms | x store float16 |")
        print("|---|---|---|---|---|---|")
        for task, shape_zyx in {**PATCHES_ZYX, "whole exam": SHAPE_XYZ[::-1]}.items():
            _print_rows(task, _read(readers, shape_zyx))


def _prepare(folder: Path) -> Times:
    """Milliseconds to prepare an exam in one thread, by number format; the last round's stores stay."""
    source = LocalStorage(folder / "cohort")
    times: Times = {dtype: [] for dtype in DTYPES}
    for _ in range(PREPARE_ROUNDS):
        store = LocalStorage(folder / "store")
        shutil.rmtree(store.root, ignore_errors=True)
        for dtype in DTYPES:
            wall, cpu = time.perf_counter(), time.process_time()
            made = prepare_cohort(source, store, _study(dtype), workers=1, progress=lambda *_: None).made
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            times[dtype].append((1000 * wall / made, 1000 * cpu / made))
    return times


def _readers(folder: Path, dtype: str, prepare_ms: list[tuple[float, float]]) -> dict[str, Reader]:
    """Store and memory-mapped array of one number format; prints their sizes."""
    store, recipe, exam = LocalStorage(folder / "store"), recipe_of(_study(dtype)), "patient-01_visit-1"
    index = StoreIndex.model_validate_json(store.read(layout.store_index(recipe)))
    digest = next(entry.digest for entry in index.exams if entry.exam == exam)
    reader = ExamReader(store, read_record(store, recipe, exam, digest))
    wall_ms, cpu_ms = map(statistics.median, zip(*prepare_ms, strict=True))
    arrays = store.root / layout.exam_arrays(recipe, exam, digest)
    _print_size(f"store {dtype}", arrays.rglob("*"), f"{wall_ms / 1000:.2f} | {cpu_ms / 1000:.2f}")
    array = folder / f"{dtype}.npy"
    np.save(array, reader.image(range(len(CHANNELS))))
    _print_size(f"npy {dtype}", [array])
    mapped = np.load(array, mmap_mode="r")
    return {
        f"store {dtype}": lambda region: reader.image(range(len(CHANNELS)), region),
        f"npy {dtype}, memory-mapped": lambda region: np.array(mapped[:, *region]),
    }


def _nifti_readers(folder: Path) -> dict[str, Reader]:
    """The cohort's own files: read whole then cut, or cut while reading."""
    paths = [folder / "cohort" / "patient-01" / "visit-1" / f"{name}.nii.gz" for name in CHANNELS]
    _print_size("nii.gz (images)", paths)

    def whole(region: Region) -> NDArray[Any]:
        return np.stack(
            [np.asarray(nib.load(path).dataobj, dtype=np.float32)[region[::-1]] for path in paths]
        )

    def sliced(region: Region) -> NDArray[Any]:
        return np.stack(
            [np.asarray(nib.load(path).dataobj[region[::-1]], dtype=np.float32) for path in paths]
        )

    return {"nii.gz, nibabel, whole then cut": whole, "nii.gz, nibabel, dataobj[region]": sliced}


def _read(readers: dict[str, Reader], shape_zyx: tuple[int, ...]) -> Times:
    """Milliseconds a patch of each reader, in every round."""
    draws = np.random.default_rng(0)
    times: Times = {name: [] for name in readers}
    for number in range(ROUNDS):
        regions = [_region(draws, shape_zyx) for _ in range(PATCHES_PER_ROUND)]
        names = list(readers)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            patches = regions if "nii" not in name else regions[:1]  # a slow reader's patch takes seconds
            wall, cpu = time.perf_counter(), time.process_time()
            for region in patches:
                readers[name](region)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            times[name].append((1000 * wall / len(patches), 1000 * cpu / len(patches)))
    return times


def _region(draws: np.random.Generator, shape_zyx: tuple[int, ...]) -> Region:
    z, y, x = (
        slice(start := int(draws.integers(size - edge + 1)), start + edge)
        for size, edge in zip(SHAPE_XYZ[::-1], shape_zyx, strict=True)
    )
    return (z, y, x)


def _print_rows(task: str, times: Times) -> None:
    medians = {
        name: [statistics.median(kind) for kind in zip(*rows, strict=True)] for name, rows in times.items()
    }
    wall_unit, cpu_unit = medians["store float16"]
    for name, (wall, cpu) in medians.items():
        print(
            f"| {task} | {name} | {wall:.1f} | {wall / wall_unit:.2f} | {cpu:.1f} | {cpu / cpu_unit:.2f} |",
            flush=True,
        )


def _print_size(name: str, paths: Iterable[Path], prepare: str = " | ") -> None:
    size = sum(path.stat().st_size for path in paths if path.is_file())
    print(f"| {name} | {size / 1e6:.1f} | {prepare} |", flush=True)


def _study(dtype: str) -> Study:
    cohort = {
        "root": "cohort",
        "pattern": "{patient}/{exam}/{channel}.nii.gz",
        "labels": "{patient}/{exam}/label.nii.gz",
        "mask": "{patient}/{exam}/mask.nii.gz",
        "channels": list(CHANNELS),
        "classes": {"GTV-T": 1, "GTV-Ln": 2},
    }
    table = {"name": "store", "preset": "smoke", "cohort": cohort, "store": {"dtype": dtype}}
    return parse_study(table, source="benchmark")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor()
    return next(
        (line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor()
    )


if __name__ == "__main__":
    main()
