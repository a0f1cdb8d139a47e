"""Scans and labels that are there twice: a leak between training and test, or a channel that says nothing new."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from job.contract.errors import DataError
from job.data.prepare import check_cohort, prepare_cohort
from job.storage import open_storage
from tests.conftest import tiny_study
from tests.job.data.odd_cohorts import SHAPE, OddCohort, exam_of, nifti, sound_cohort


def refuse(folder: Path, study: Any) -> str:
    """What both ways to read a cohort say of it; they must agree."""
    cohort = open_storage(str(folder / "cohort"))
    store = open_storage(str(folder / "store"))
    found = check_cohort(cohort, study, workers=2, progress=lambda *_: None)
    with pytest.raises(DataError) as prepared:
        prepare_cohort(cohort, store, study, workers=2, progress=lambda *_: None)
    assert prepared.value.problems == found.problems
    return str(prepared.value)


def test_an_exam_that_is_there_under_two_patients_is_refused(tiny_cohort: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_cohort / "cohort", tmp_path / "cohort")
    shutil.copytree(tmp_path / "cohort/patient-01", tmp_path / "cohort/patient-09")
    message = refuse(tmp_path, tiny_study())
    assert message.count("the same image as") == 1
    assert (
        "patient-01/visit-1/t2.nii.gz: found the same image as patient-09/visit-1/t2.nii.gz; "
        "so are 3 other channels of these exams" in message
    )


def test_a_copy_that_was_compressed_again_is_refused(tiny_cohort: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_cohort / "cohort", tmp_path / "cohort")
    shutil.copytree(tmp_path / "cohort/patient-01", tmp_path / "cohort/patient-09")
    for file in (tmp_path / "cohort/patient-09/visit-1").iterdir():
        file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()), compresslevel=1, mtime=1))
    assert "so are 3 other channels of these exams" in refuse(tmp_path, tiny_study())


def test_a_channel_that_is_a_copy_of_another_is_refused(tiny_cohort: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_cohort / "cohort", tmp_path / "cohort")
    exam = tmp_path / "cohort/patient-03/visit-1"
    shutil.copy(exam / "t2.nii.gz", exam / "t1c.nii.gz")
    assert "t1c.nii.gz" in refuse(tmp_path, tiny_study())


def test_copied_labels_of_two_patients_are_refused(tiny_cohort: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_cohort / "cohort", tmp_path / "cohort")
    shutil.copy(
        tmp_path / "cohort/patient-01/visit-1/label.nii.gz",
        tmp_path / "cohort/patient-03/visit-1/label.nii.gz",
    )
    assert refuse(tmp_path, tiny_study()) == (
        "patient-01/visit-1/label.nii.gz: found the same labels as patient-03/visit-1/label.nii.gz, in some "
        "direction of axes; expected a truth of its own for each exam; "
        "replace the copies by the right files, or leave exams out with cohort.exclude"
    )


@pytest.fixture
def four(tmp_path: Path) -> OddCohort:
    """p1 to p3 and p4, whose exam a test puts in place."""
    return sound_cohort(tmp_path / "cohort", ("p1", "p2", "p3", "p4"))


def int16_with_automatic_slope(data: Any) -> nib.Nifti1Image:
    image = nifti(data)
    image.header.set_data_dtype(np.int16)
    return image


def rounded_to_8_bits(data: Any) -> nib.Nifti1Image:
    return nifti(np.rint(data * (255 / data.max())).astype(np.uint8))


COPIES: dict[str, Callable[[Any], nib.Nifti1Image]] = {
    "plain": nifti,
    "int16": int16_with_automatic_slope,
    "uint8": rounded_to_8_bits,
    "float64": lambda data: nifti(data.astype(np.float64)),
    "scaled": lambda data: nifti(data / np.float32(7.3)),
    "shifted": lambda data: nifti(data - np.float32(100)),
    "along other axes": lambda data: nifti(data).as_reoriented(np.array([[1, -1], [2, 1], [0, 1]])),
}
UNCHANGED = ("plain", "float64", "along other axes")


@pytest.mark.parametrize("copy", COPIES)
def test_a_channel_saved_anew_under_another_patient_is_refused(four: OddCohort, copy: str) -> None:
    four.write("p4", "t2", COPIES[copy](exam_of(0)["t2"]))
    problems, warnings = four.words()
    assert len(problems) == 1
    how = "" if copy in UNCHANGED else ", but for rounding, scaling or the direction of axes"
    assert problems[0].startswith(
        f"p1/t2.nii.gz: found the same image as p4/t2.nii.gz{how}; expected a scan of its own"
    )
    assert warnings == []


@pytest.mark.parametrize("copy", COPIES)
def test_a_channel_that_another_one_of_its_exam_was_made_of(four: OddCohort, copy: str) -> None:
    """Equal voxels are refused; what is equal but for rounding is said, since maps may be made of each other."""
    four.write("p4", "t2", COPIES[copy](exam_of(3)["t1"]))
    problems, warnings = four.words()
    lines = problems if copy in UNCHANGED else warnings
    assert [len(problems), len(warnings)] == ([1, 0] if copy in UNCHANGED else [0, 1])
    assert lines[0].startswith("p4/t1.nii.gz: found the same image as p4/t2.nii.gz")


def test_an_exam_that_is_another_visit_s_copy_is_said_or_refused(tmp_path: Path) -> None:
    odd = sound_cohort(tmp_path / "cohort", ("p1_a", "p1_b", "p2_a", "p3_a"))
    patterns = {
        "pattern": "{patient}_{exam}/{channel}.nii.gz",
        "labels": "{patient}_{exam}/label.nii.gz",
        "mask": "{patient}_{exam}/mask.nii.gz",
    }
    for name, data in exam_of(0).items():
        odd.write("p1_b", name, int16_with_automatic_slope(data) if data.dtype == np.float32 else nifti(data))
    problems, (image, labels) = odd.words(**patterns)
    assert problems == []
    assert image.startswith(
        "p1_a/t1.nii.gz: found the same image as p1_b/t1.nii.gz, but for rounding, scaling or the direction of axes "
        "(one patient)"
    )
    assert "so are 2 other channels of these exams" in image
    assert labels.startswith("p1_a/label.nii.gz: found the same labels as p1_b/label.nii.gz")
    for name, data in exam_of(0).items():
        odd.write("p1_b", name, nifti(data))
    (problem,), (labels,) = odd.words(**patterns)
    assert problem.startswith(
        "p1_a/t1.nii.gz: found the same image as p1_b/t1.nii.gz; so are 2 other channels"
    )
    assert labels.startswith("p1_a/label.nii.gz: found the same labels as p1_b/label.nii.gz")


@pytest.mark.parametrize("way", [([0, 1, 2], [-1, 1, 1]), ([0, 1, 2], [-1, -1, -1]), ([1, 2, 0], [1, 1, -1])])
def test_an_exam_that_is_another_patient_s_mirror_image_is_refused(
    four: OddCohort, way: tuple[list[int], list[int]]
) -> None:
    """Under a header that does not say so, as where a tool lost it."""
    order, steps = way
    for name, data in exam_of(0).items():
        turned = data.transpose(order)[tuple(slice(None, None, step) for step in steps)]
        four.write("p4", name, nifti(np.ascontiguousarray(turned)))
    image, labels = four.words()[0]
    assert image.startswith(
        "p1/t1.nii.gz: found the same image as p4/t1.nii.gz, but for rounding, scaling or the direction of axes; so "
        "are 2 other channels of these exams"
    )
    assert labels.startswith(
        "p1/label.nii.gz: found the same labels as p4/label.nii.gz, in some direction of axes"
    )


def test_labels_without_a_structure_are_no_copies_and_named(four: OddCohort) -> None:
    for patient in ("p3", "p4"):
        four.write(patient, "label", nifti(np.zeros(SHAPE, np.uint8)))
    problems, warnings = four.words()
    assert problems == []
    assert [warning.split("; expected")[0] for warning in warnings] == [
        f"{patient}/label.nii.gz: found no voxel of any class in exam {patient}: all of it is background"
        for patient in ("p3", "p4")
    ]


def test_three_copies_are_one_problem(four: OddCohort) -> None:
    for patient in ("p3", "p4"):
        for name, data in exam_of(0).items():
            four.write(patient, name, nifti(data))
    problems, _ = four.words()
    assert len(problems) == 2
    assert problems[0].startswith(
        "p1/t1.nii.gz: found the same image as p3/t1.nii.gz, p4/t1.nii.gz; so are 2 other"
    )
    assert problems[1].startswith(
        "p1/label.nii.gz: found the same labels as p3/label.nii.gz, p4/label.nii.gz"
    )


def test_two_visits_of_the_phantom_are_two_scans(tiny_cohort: Path) -> None:
    found = check_cohort(
        open_storage(str(tiny_cohort / "cohort")), tiny_study(), workers=2, progress=lambda *_: None
    )
    assert {exam.patient for exam in found.exams if exam.files.visit == "visit-2"} == {"patient-02"}
    assert found.problems == ()
    assert [warning for warning in found.warnings if "same" in warning.found] == []


@pytest.mark.parametrize("labels", ["moved", "redrawn"])
def test_a_patient_under_two_names_is_said_if_the_labels_were_only_moved(tmp_path: Path, labels: str) -> None:
    """As another registration and another correction of the bias field leave an exam."""
    shape = (72, 60, 24)
    cohort = sound_cohort(tmp_path / "cohort", ("p1", "p2", "p3", "p4"), shape=shape)
    for seed, patient in enumerate(("p1", "p2", "p3", "p4")):
        exam, draws = exam_of(seed % 3, shape), np.random.default_rng(seed % 3)
        for name, found in exam.items():
            data = found
            if name in ("t1", "t2", "adc"):
                tissue = gaussian_filter(draws.standard_normal(shape), (6, 5, 2))
                data = (data * np.exp(0.3 * tissue / tissue.std())).astype(np.float32)
            if patient == "p4":
                data = np.roll(data, 1, axis=0)
                if name in ("t1", "t2"):
                    data = (data * np.linspace(0.9, 1.1, shape[0])[:, None, None]).astype(np.float32)
                if name == "label" and labels == "redrawn":
                    data[tuple(np.argwhere(data)[0])] = 0
            cohort.write(patient, name, nifti(data))
    problems, warnings = cohort.words()
    assert problems == []
    assert len(warnings) == (labels == "moved")
    if warnings:
        assert warnings[0].startswith(
            "p1/label.nii.gz: found as many voxels of each class as in p4/label.nii.gz, and images that are nearly "
            "the same: one patient's, p1 and p4, registered anew?; expected patients of one name each"
        )


@pytest.mark.parametrize(("noise", "copied"), [(0.0, True), (0.005, True), (0.06, False)])
def test_an_echo_is_not_called_a_copy(tmp_path: Path, noise: float, copied: bool) -> None:
    """Noise of a share of the contrast, which the means of blocks do not show."""
    shape = (72, 60, 24)
    cohort = sound_cohort(tmp_path / "cohort", ("p1", "p2", "p3", "p4"), shape=shape)
    t1 = exam_of(3, shape)["t1"]
    draws = np.random.default_rng(0).normal(0, noise * t1[t1 > 0].std(), shape)
    cohort.write("p4", "t2", nifti(np.where(t1 > 0, 0.8 * t1 + 0.8 * draws, 0).astype(np.float32)))
    problems, (warning,) = cohort.words()
    assert problems == []
    same = "the same image as p4/t2.nii.gz, but for rounding, scaling or the direction of axes (one patient)"
    nearly = "nearly the same image as p4/t2.nii.gz, but for noise or scaling (one patient)"
    assert warning.startswith(f"p4/t1.nii.gz: found {same if copied else nearly}; expected")
    assert ("another echo, a map made of it, or a copy?" in warning) != copied
