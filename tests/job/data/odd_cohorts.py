"""A small sound cohort of smooth images, which each test then spoils in one way."""

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from job.contract.study import Study
from job.data.cohort_summary import ExamSummary, Findings
from job.data.exam_record import read_record
from job.data.prepare import check_cohort, prepare_cohort
from job.data.store import ExamReader
from job.storage.local import LocalStorage
from job.study_file import parse_study

SHAPE = (24, 20, 12)
AFFINE = np.array([[-2.0, 0, 0, 23], [0, -2, 0, 19], [0, 0, 3, -16], [0, 0, 0, 1]])
NAMES = ("t1", "t2", "adc", "label", "mask")
COHORT: dict[str, Any] = {
    "root": ".",
    "pattern": "{patient}/{channel}.nii.gz",
    "labels": "{patient}/label.nii.gz",
    "mask": "{patient}/mask.nii.gz",
    "channels": ["t1", "t2", {"name": "adc", "normalisation": "fixed", "range": [0.0, 3.0]}],
    "classes": {"tumour": 1},
}


def exam_of(seed: int, shape: tuple[int, int, int] = SHAPE) -> dict[str, NDArray[Any]]:
    """An ellipsoid of tissue with a smaller one of tumour inside, in air of 0; adc in 1e-3 mm²/s."""
    draws = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij"), axis=-1)
    mask = ((grid / [0.85, 0.85, 0.95]) ** 2).sum(axis=-1) < 1
    label = mask & ((((grid - draws.uniform(-0.3, 0.3, 3)) / [0.35, 0.35, 0.5]) ** 2).sum(axis=-1) < 1)

    def image(contrast: float) -> NDArray[np.float32]:
        noise = ndimage.gaussian_filter(draws.standard_normal(shape), 1.5)
        return np.where(mask, 300 + 40 * noise / noise.std() + contrast * label, 0).astype(np.float32)

    arrays = {"t1": image(150), "t2": image(60), "adc": image(150) / np.float32(300)}
    return {**arrays, "label": label.astype(np.uint8), "mask": mask.astype(np.uint8)}


def nifti(data: NDArray[Any], affine: NDArray[np.float64] = AFFINE, **fields: Any) -> nib.Nifti1Image:
    """An image whose header has other fields."""
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    for name, value in fields.items():
        image.header[name] = value
    return image


def patched(image: nib.Nifti1Image, offset: int, values: NDArray[Any]) -> bytes:
    """The file of an image with other bytes at an offset, compressed."""
    data = bytearray(image.to_bytes())
    data[offset : offset + values.nbytes] = values.tobytes()
    return gzip.compress(bytes(data), 1)


@dataclass(frozen=True)
class OddCohort:
    """A folder with files of exams."""

    root: Path

    def file(self, patient: str, name: str) -> Path:
        """Where an exam's file is."""
        return self.root / patient / f"{name}.nii.gz"

    def write(self, patient: str, name: str, contents: nib.Nifti1Image | bytes) -> None:
        """Puts a file in place of another."""
        path = self.file(patient, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        data = contents if isinstance(contents, bytes) else gzip.compress(contents.to_bytes(), 1, mtime=0)
        path.write_bytes(data)

    def change(
        self, patient: str, name: str, change: Callable[[NDArray[Any]], nib.Nifti1Image | bytes]
    ) -> None:
        """Puts a file in place of another that is made of its data."""
        self.write(patient, name, change(np.asarray(nib.load(self.file(patient, name)).dataobj)))

    def check(self, **cohort: Any) -> Findings:
        """What `submit check` finds."""
        return check_cohort(LocalStorage(self.root), study(**cohort), workers=2, progress=lambda *_: None)

    def words(self, **cohort: Any) -> tuple[list[str], list[str]]:
        """Its problems and warnings, as lines."""
        found = self.check(**cohort)
        return [str(problem) for problem in found.problems], [str(warning) for warning in found.warnings]

    def exam(self, name: str, **cohort: Any) -> ExamSummary:
        """What is known of an exam of a cohort without problems."""
        found = self.check(**cohort)
        assert found.problems == ()
        return next(exam for exam in found.exams if exam.exam == name)

    def class_means(self, **cohort: Any) -> dict[str, list[float]]:
        """By exam and for each channel, the mean in the tumour by the store, in the file's unit."""
        own, store = study(**cohort), LocalStorage(self.root.parent / f"store of {self.root.name}")
        index = prepare_cohort(LocalStorage(self.root), store, own, workers=2, progress=lambda *_: None).index
        means = {}
        for entry in index.exams:
            record = read_record(store, index.recipe, entry.exam, entry.digest)
            reader = ExamReader(store, record)
            image_CZYX, label_ZYX = reader.image(range(len(record.channels))), reader.label()
            means[entry.exam] = [
                float(image_ZYX[label_ZYX == 1].mean(dtype=np.float64)) * scale + offset
                for image_ZYX, scale, offset in zip(image_CZYX, *_scales(record.statistics, own), strict=True)
            ]
        return means


def _scales(statistics: Sequence[Any], own: Study) -> tuple[list[float], list[float]]:
    """By which the store's numbers become the file's: SD and mean, or the fixed range."""
    ranges = [channel.range if channel.normalisation == "fixed" else None for channel in own.cohort.channels]
    scales = [f.sd if r is None else r[1] - r[0] for f, r in zip(statistics, ranges, strict=True)]
    return scales, [f.mean if r is None else r[0] for f, r in zip(statistics, ranges, strict=True)]


def study(**cohort: Any) -> Study:
    """A study of such a cohort."""
    table = {"name": "odd", "preset": "smoke", "cohort": COHORT | cohort, "store": {"dtype": "float32"}}
    return parse_study(table, source="study.toml")


def sound_cohort(
    root: Path,
    patients: Sequence[str] = ("p1", "p2", "p3"),
    affine: NDArray[np.float64] = AFFINE,
    shape: tuple[int, int, int] = SHAPE,
) -> OddCohort:
    """Writes the exams of these patients, each with a seed of its own."""
    cohort = OddCohort(root)
    for seed, patient in enumerate(patients):
        for name, data in exam_of(seed, shape).items():
            cohort.write(patient, name, nifti(data, affine))
    return cohort


def expected_means(seed: int, shape: tuple[int, int, int] = SHAPE) -> list[float]:
    """What `class_means` gives for the exam of a seed that is sound."""
    exam = exam_of(seed, shape)
    return [float(exam[name][exam["label"] == 1].mean(dtype=np.float64)) for name in ("t1", "t2", "adc")]
