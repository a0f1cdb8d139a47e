"""Folders of small exams that each test spoils in one way, and how `submit init` ends there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from job.contract.cohort import Cohort
from job.data.prepare import check_cohort
from job.project import Project
from job.study_file import load_study
from tests.submit.init.layouts import ExamArrays, save

PATIENTS = ("p1", "p2", "p3", "p4")
CHANNELS = ("adc", "flair", "t1", "t2")
SHAPE_XYZ = (16, 14, 8)


def drawn(seed: int) -> ExamArrays:
    """An exam with a core (1) and a rim (2) around it."""
    draws = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE_XYZ), indexing="ij")
    mask = (x**2 + y**2 + z**2 < 0.9).astype(np.uint8)
    where = draws.uniform(-0.2, 0.2, 3)
    distance = np.sqrt((x - where[0]) ** 2 + (y - where[1]) ** 2 + (z - where[2]) ** 2)
    label = np.where(distance < 0.3, 1, np.where(distance < 0.5, 2, 0)).astype(np.uint8)
    channels = {
        name: np.where(mask, draws.normal(300 + 100 * (label > 0), 50), 0).astype(np.float32)
        for name in CHANNELS
    }
    return ExamArrays(patient=seed + 1, visit=1, channels=channels, label=label, mask=mask)


EXAMS = [drawn(seed) for seed in range(4)]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How `submit init data` ended."""

    code: int
    out: str
    err: str
    study_file: Path

    @property
    def cohort(self) -> Cohort:
        """Of the study file that was written."""
        assert self.code == 0, self.err
        return load_study(self.study_file).cohort

    @property
    def text(self) -> str:
        """The study file."""
        return self.study_file.read_text()

    @property
    def problems(self) -> list[str]:
        """What `submit check` finds."""
        study = load_study(self.study_file)
        source = Project(self.study_file, study).cohort
        found = check_cohort(source, study, workers=2, progress=lambda done, total: None)
        return [str(problem) for problem in found.problems]


def plain(
    folder: Path,
    patients: Sequence[str] = PATIENTS,
    *,
    channels: Sequence[str] = CHANNELS,
    label: str = "label",
    mask: str = "",
) -> None:
    """A folder for each patient with channels, a label map and a mask, the latter two where they have a name."""
    for exam, patient in zip(EXAMS, patients, strict=False):
        for name, array in zip(channels, exam.channels.values(), strict=False):
            save(folder / patient / f"{name}.nii.gz", array)
        if label:
            save(folder / patient / f"{label}.nii.gz", exam.label)
        if mask:
            save(folder / patient / f"{mask}.nii.gz", exam.mask)
