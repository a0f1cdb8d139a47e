"""Seconds that `submit check` takes over a cohort, beside just reading the same files.

    python benchmarks/check.py [--exams 12] [--rounds 5] [--shape 256 256 64]

A cohort of 7 channels of 32-bit floats, with masks, lies in a temporary folder as .nii.gz and as .nii. In every round
each way goes over all of it, one after the other, beginning with another one each round: nibabel's
`np.asarray(image.dataobj, dtype=np.float32)`, the check, and the check that makes the pictures of its page too; all
with as many threads. Numbers are medians over the rounds, with a warm page cache; the ratio is of CPU seconds, which
other work on the machine changes least. 5 minutes and 2 GB.
"""

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import nibabel as nib
import numpy as np

from job.contract.study import Study
from job.data.prepare import check_cohort
from job.machine import available_cores
from job.storage.local import LocalStorage
from job.study_file import parse_study
from submit.check.pictures import Album

CHANNELS = ("t2", "t1", "t1c", "t2star", "ktrans", "ve", "adc")
AFFINE = np.diag([-0.9, -0.9, 3.0, 1.0])
ENDINGS = (".nii.gz", ".nii")


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--exams", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shape", type=int, nargs=3, default=(256, 256, 64), metavar=("X", "Y", "Z"))
    arguments = parser.parse_args()
    threads = available_cores()
    print(f"{platform.machine()}, {threads} threads, Python {platform.python_version()}, ", end="")
    print(", ".join(f"{name} {version(name)}" for name in ("numpy", "nibabel")), end="")
    print(f"; medians of {arguments.rounds} rounds\n")
    print(
        "| files | MB | read: wall s | CPU s | check: wall s | CPU s | CPU, check / read | with pictures: CPU s |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for ending in ENDINGS:
        with tempfile.TemporaryDirectory() as folder:
            files = _write(Path(folder), arguments.exams, tuple(arguments.shape), ending)
            _print_row(ending, files, _measured(Path(folder), files, ending, threads, arguments.rounds))


def _write(folder: Path, exams: int, shape_xyz: tuple[int, ...], ending: str) -> list[Path]:
    """A body with a texture of its own in every file, air of 0 around it; labels and mask of 8-bit integers."""
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape_xyz), indexing="ij")
    body = sum(axis**2 for axis in axes) < 0.8
    lesion = sum((axis - 0.2) ** 2 for axis in axes) < 0.02
    draws = np.random.default_rng(0)
    files = []
    for exam in range(exams):
        images = {
            name: np.where(
                body, 300 + 150 * lesion + 40 * draws.standard_normal(shape_xyz, dtype=np.float32), 0
            ).astype(np.float32)
            for name in CHANNELS
        }
        moved = np.roll(lesion, exam, axis=0)
        for name, data in {**images, "mask": body.astype(np.uint8), "label": moved.astype(np.uint8)}.items():
            files.append(folder / f"patient-{exam:02}" / f"{name}{ending}")
            files[-1].parent.mkdir(exist_ok=True)
            nib.Nifti1Image(data, AFFINE).to_filename(files[-1])
    return files


def _measured(
    folder: Path, files: list[Path], ending: str, threads: int, rounds: int
) -> dict[str, tuple[float, float]]:
    """Wall and CPU seconds of each way, medians over the rounds."""
    source, study = LocalStorage(folder), _study(ending)

    def read(path: Path) -> int:
        return np.asarray(nib.load(path).dataobj, dtype=np.float32).size

    def read_all() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(read, files))

    ways: dict[str, Callable[[], object]] = {
        "read": read_all,
        "check": lambda: check_cohort(source, study, workers=threads, progress=lambda *_: None),
        "pictures": lambda: check_cohort(
            source, study, workers=threads, progress=lambda *_: None, watch=Album().watch
        ),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(rounds):
        names = list(ways)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            wall, cpu = time.perf_counter(), time.process_time()
            ways[name]()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    walls = {name: statistics.median(wall for wall, _ in own) for name, own in times.items()}
    return {name: (walls[name], statistics.median(cpu for _, cpu in own)) for name, own in times.items()}


def _print_row(ending: str, files: list[Path], seconds: dict[str, tuple[float, float]]) -> None:
    size = sum(path.stat().st_size for path in files)
    (read, read_cpu), (check, check_cpu), (_, pictures_cpu) = seconds.values()
    print(f"| {ending} | {size / 1e6:.0f} | {read:.2f} | {read_cpu:.2f} | {check:.2f} | {check_cpu:.2f} "
          f"| {check_cpu / read_cpu:.2f} | {pictures_cpu:.2f} |", flush=True)  # fmt: skip


def _study(ending: str) -> Study:
    fixed = [{"name": name, "normalisation": "fixed", "range": [0.0, 600.0]} for name in CHANNELS[4:]]
    cohort = {
        "root": ".",
        "pattern": "{patient}/{channel}" + ending,
        "labels": "{patient}/label" + ending,
        "mask": "{patient}/mask" + ending,
        "channels": [*CHANNELS[:4], *fixed],
        "classes": {"tumour": 1},
    }
    return parse_study({"name": "check", "preset": "smoke", "cohort": cohort}, source="benchmark")


if __name__ == "__main__":
    main()
