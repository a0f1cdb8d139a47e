"""Cohorts as they come: each kind of oddity is read right, refused, or said."""

import gzip
import math
import os
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from job.contract.errors import DataError
from job.data.cohort_files import find_cohort
from job.storage.local import LocalStorage
from tests.job.data.odd_cohorts import (
    AFFINE,
    NAMES,
    SHAPE,
    OddCohort,
    exam_of,
    expected_means,
    nifti,
    patched,
    sound_cohort,
    study,
)


@pytest.fixture
def cohort(tmp_path: Path) -> OddCohort:
    return sound_cohort(tmp_path / "cohort")


def nothing_said(cohort: OddCohort, **settings: Any) -> None:
    assert cohort.words(**settings) == ([], [])


def means_are_right(cohort: OddCohort, **settings: Any) -> None:
    """Asserts that the store's labels lie on the store's images as they did in the files."""
    for seed, (_, means) in enumerate(sorted(cohort.class_means(**settings).items())):
        assert means == pytest.approx(expected_means(seed), rel=1e-5)


def one_problem(cohort: OddCohort, **settings: Any) -> list[str]:
    """The lines of the one problem that several files share; no exam but theirs has any."""
    problems = cohort.check(**settings).problems
    assert len({problem.cause for problem in problems}) == 1
    return [str(problem) for problem in problems]


def test_a_sound_cohort_is_read_right_without_a_word(cohort: OddCohort) -> None:
    nothing_said(cohort)
    means_are_right(cohort)


def test_a_label_map_stored_along_other_axes_is_on_the_same_grid(cohort: OddCohort) -> None:
    cohort.write("p2", "label", nib.as_closest_canonical(nib.load(cohort.file("p2", "label"))))
    cohort.write(
        "p3", "t1", nib.load(cohort.file("p3", "t1")).as_reoriented(np.array([[2, 1], [0, -1], [1, 1]]))
    )
    nothing_said(cohort)
    means_are_right(cohort)


@pytest.mark.parametrize("degrees", [45.0, 135.0, 20.0])
def test_a_slab_whose_label_map_states_its_place_by_the_other_form(tmp_path: Path, degrees: float) -> None:
    """Rounding of single precision puts the two forms on two sides of a tie between axes."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag([2, 2, 3])
    cohort = sound_cohort(tmp_path / "cohort", affine=affine)
    for patient in ("p1", "p2", "p3"):
        for name in ("label", "mask"):

            def by_qform(data: Any) -> nib.Nifti1Image:
                image = nifti(data, affine)
                image.set_qform(affine, 1)
                image.set_sform(None, 0)
                return nib.Nifti1Image(data, None, image.header)

            cohort.change(patient, name, by_qform)
    nothing_said(cohort)
    means_are_right(cohort)


def test_a_channel_turned_by_a_hair_across_the_tie_is_on_the_same_grid(tmp_path: Path) -> None:
    def turned(degrees: float) -> np.ndarray:
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        affine = np.eye(4)
        affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag([2, 2, 3])
        return affine

    cohort = sound_cohort(tmp_path / "cohort", affine=turned(44.999))
    for patient in ("p1", "p2", "p3"):
        cohort.change(patient, "t2", lambda data: nifti(data, turned(45.001)))
    nothing_said(cohort)
    means_are_right(cohort)


def test_a_quaternion_rounded_past_1(cohort: OddCohort) -> None:
    for name in NAMES:

        def rounded(data: Any) -> bytes:
            image = nifti(data)
            image.set_qform(AFFINE, 1)
            image.set_sform(None, 0)
            return patched(image, 256, np.float32([0, 0, 1.000005]))

        cohort.change("p2", name, rounded)
    nothing_said(cohort)
    means_are_right(cohort)


def test_voxels_that_begin_at_byte_0_begin_after_the_header(cohort: OddCohort) -> None:
    cohort.change("p2", "t1", lambda data: patched(nifti(data), 108, np.float32([0])))
    problems, (warning,) = cohort.words()
    assert problems == []
    assert "p2/t1.nii.gz: found voxels that begin at byte 0 (vox_offset), inside the header" in warning
    means_are_right(cohort)


def test_bytes_after_the_end_of_a_gzip_file(cohort: OddCohort) -> None:
    path = cohort.file("p2", "t1")
    path.write_bytes(path.read_bytes() + b"\r\n")
    problems, (warning,) = cohort.words()
    assert problems == []
    assert "p2/t1.nii.gz: found 2 bytes after the end of the compressed data" in warning
    path.write_bytes(path.read_bytes()[:-2] + bytes(512))  # as tapes and some transfers pad
    nothing_said(cohort)
    means_are_right(cohort)


def test_an_image_that_was_scaled_with_an_intercept_keeps_its_background(cohort: OddCohort) -> None:
    """nibabel's automatic slope and intercept put a background of 0 near, not at, 0."""
    image = exam_of(1)["t1"].astype(np.float64)
    inside = image != 0
    image[inside] = (image[inside] - image[inside].mean()) / image[inside].std()
    header = nifti(image.astype(np.int16)).header
    cohort.write("p2", "t1", nib.Nifti1Image(image, AFFINE, header))
    assert np.asarray(nib.load(cohort.file("p2", "t1")).dataobj)[0, 0, 0] != 0
    problems, warnings = cohort.words(mask=None, ignore=["**/mask.nii.gz"])
    assert problems == []
    assert len(warnings) == 1
    assert "p2/t1.nii.gz: found a background of " in warnings[0]
    assert cohort.exam("p2", mask=None).channels["t1"].voxels == np.count_nonzero(inside)


def test_a_label_map_without_codes_beside_channels_that_have_some(cohort: OddCohort) -> None:
    cohort.change("p2", "label", lambda data: patched(nifti(data, np.eye(4)), 252, np.int16([0, 0])))
    (line,) = one_problem(cohort)
    assert line.startswith("p2/label.nii.gz: found no orientation (qform_code and sform_code are 0)")


def test_a_cohort_without_any_orientation_is_taken_as_it_is_stored_if_the_study_says_so(
    tmp_path: Path,
) -> None:
    cohort = sound_cohort(tmp_path / "cohort")
    for patient in ("p1", "p2", "p3"):
        for name in NAMES:
            cohort.change(patient, name, lambda data: patched(nifti(data), 252, np.int16([0, 0])))
    assert len(one_problem(cohort)) == 15
    problems, warnings = cohort.words(geometry="voxels")
    assert problems == []
    assert len(warnings) == 15
    assert all("left and right may be exchanged" in warning for warning in warnings)
    means_are_right(cohort, geometry="voxels")


@pytest.mark.parametrize("settings", [{}, {"resample_to": "t1"}])
@pytest.mark.parametrize("without", ["label", "t2"])
def test_an_exam_with_an_orientation_in_some_files_only(
    cohort: OddCohort, without: str, settings: dict[str, Any]
) -> None:
    """Images whose origin is the last voxel of the file without one: a flip, and the very same corners."""
    mirrored = np.diag([-2.0, -2, 3, 1])
    mirrored[:2, 3] = 2 * (SHAPE[0] - 1), 2 * (SHAPE[1] - 1)
    for name in NAMES:
        cohort.change("p2", name, lambda data: nifti(data, mirrored))
    cohort.change(
        "p2", without, lambda data: patched(nifti(data, np.diag([2.0, 2, 3, 1])), 252, np.int16([0, 0]))
    )
    assert one_problem(cohort, **settings)[0].startswith(f"p2/{without}.nii.gz: found no orientation")
    lines = one_problem(cohort, geometry="voxels", **settings)
    assert all(f"p2/{without}.nii.gz" in line and "no orientation (qform_code" in line for line in lines)
    assert all(
        "expected an orientation in all files of an exam, or in none; copy it to" in line for line in lines
    )
    cohort.change("p2", without, lambda data: nifti(data, mirrored))
    assert cohort.words(geometry="voxels", **settings) == ([], [])
    means_are_right(cohort, **settings)


def test_a_spacing_of_0_in_a_qform(cohort: OddCohort) -> None:
    for name in NAMES:

        def flat(data: Any) -> bytes:
            image = nifti(data)
            image.set_qform(AFFINE, 1)
            image.set_sform(None, 0)
            return patched(image, 88, np.float32([0]))

        cohort.change("p2", name, flat)
    lines = one_problem(cohort)
    assert len(lines) == 5
    assert all("found a spacing of 2 x 2 x 0 mm" in line for line in lines)


def test_forms_that_disagree_on_the_spacing_of_one_exam(cohort: OddCohort) -> None:
    """The volumes that are reported differ 17-fold; nothing is guessed."""
    good = np.diag([-1.3157895, -1.3157895, 10, 1])
    for name in NAMES:

        def two_truths(data: Any) -> nib.Nifti1Image:
            image = nifti(data, np.diag([-1.0, -1, 1, 1]))
            image.set_qform(good, 1, update_affine=False)
            return nib.Nifti1Image(data, None, image.header)

        cohort.change("p2", name, two_truths)
    lines = one_problem(cohort)
    assert len(lines) == 5
    assert all(
        "voxels of 1 x 1 x 1 mm by the sform and 1.316 x 1.316 x 10 mm by pixdim" in line for line in lines
    )
    voxels = np.count_nonzero(exam_of(1)["label"])
    assert cohort.exam("p2", geometry="sform").volume_ml(1) == pytest.approx(voxels * 0.001)
    assert cohort.exam("p2", geometry="qform").volume_ml(1) == pytest.approx(voxels * 0.0173130193)
    means_are_right(cohort, geometry="qform")


def test_a_sheared_exam(cohort: OddCohort) -> None:
    affine = AFFINE.copy()
    affine[1, 2] = 3 * math.tan(math.radians(20))
    for name in NAMES:
        cohort.change("p2", name, lambda data: nifti(data, affine))
    lines = one_problem(cohort)
    assert len(lines) == 5
    assert all("20 degrees off a right angle (shear)" in line for line in lines)
    exam = cohort.exam("p2", geometry="sform")
    assert exam.volume_ml(1) == pytest.approx(np.count_nonzero(exam_of(1)["label"]) * 0.012)


def test_an_exam_of_another_slice_direction_is_said(cohort: OddCohort) -> None:
    sagittal = np.array([[0, 0, 3.0, -16], [-2, 0, 0, 23], [0, -2, 0, 19], [0, 0, 0, 1]])
    for name in NAMES:
        cohort.change("p2", name, lambda data: nifti(data, sagittal))
    problems, (warning,) = cohort.words()
    assert problems == []
    assert (
        "p2/label.nii.gz: found sagittal slices (3 x 2 x 2 mm); expected axial, as in 2 of 3 exams" in warning
    )
    means_are_right(cohort)


def test_exams_of_other_spacings_are_said(cohort: OddCohort) -> None:
    for patient, spacing in (("p2", (0.5, 0.5, 6.0)), ("p3", (1.0, 1.0, 1.0))):
        affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
        for name in NAMES:
            cohort.change(patient, name, lambda data, affine=affine: nifti(data, affine))
    problems, warnings = cohort.words()
    assert problems == []
    assert len(warnings) == 3
    assert "p2/label.nii.gz: found voxels of 0.5 x 0.5 x 6 mm; expected about 1 x 1 x 3 mm" in warnings[1]
    exam = cohort.exam("p3")
    assert exam.volume_ml(1) == pytest.approx(np.count_nonzero(exam_of(2)["label"]) * 0.001)


def test_a_map_that_is_0_everywhere(cohort: OddCohort) -> None:
    cohort.write("p2", "adc", nifti(np.zeros(SHAPE, np.float32)))
    (line,) = one_problem(cohort)
    assert line.startswith("p2/adc.nii.gz: found one value everywhere, 0 (channel adc)")


@pytest.mark.parametrize("patients", [("p2",), ("p1", "p2", "p3")])
def test_maps_in_another_unit(cohort: OddCohort, patients: tuple[str, ...]) -> None:
    """1e-6 mm²/s for a range in 1e-3: of one exam, which would be lost, or of all, where the range is wrong."""
    for patient in patients:
        cohort.change(patient, "adc", lambda data: nifti(np.rint(data * 1000).astype(np.int16)))
    lines = one_problem(cohort)
    assert [line.split(":")[0] for line in lines] == [f"{patient}/adc.nii.gz" for patient in patients]
    for line in lines:
        assert "of the voxels that are not background 100% at or above 3: from " in line
        assert line.endswith(
            "the values times 0.001 would fit: multiply the file by it, or if all exams are in this unit, write "
            "range = [0, 3000]"
        )
    channels = ["t1", "t2", {"name": "adc", "normalisation": "fixed", "range": [0, 3000]}]
    if len(patients) == 3:
        nothing_said(cohort, channels=channels)


def test_a_scan_that_is_there_under_two_patients_saved_anew(tmp_path: Path) -> None:
    cohort = sound_cohort(tmp_path / "cohort", ("p1", "p2", "p3", "p4"))
    for name, data in exam_of(0).items():
        image = nifti(data)
        if data.dtype == np.float32:
            image.header.set_data_dtype(np.int16)  # nibabel scales on its own
        cohort.write("p3", name, image)
    first, second = cohort.check().problems
    assert str(first).startswith(
        "p1/t1.nii.gz: found the same image as p3/t1.nii.gz, but for rounding, scaling or the direction of axes; "
        "so are 2 other channels of "
        "these exams"
    )
    assert str(second).startswith("p1/label.nii.gz: found the same labels as p3/label.nii.gz")


def test_label_values_that_single_precision_would_merge(cohort: OddCohort) -> None:
    def two(data: Any) -> nib.Nifti1Image:
        left = np.arange(SHAPE[0])[:, None, None] < SHAPE[0] // 2
        return nifti(np.where(data > 0, np.where(left, 16777216, 16777217), 0).astype(np.int32))

    for patient in ("p1", "p2", "p3"):
        cohort.change(patient, "label", two)
    lines = one_problem(cohort, classes={"a": 16777216})
    right = [np.count_nonzero(exam_of(seed)["label"][SHAPE[0] // 2 :]) for seed in range(3)]
    for line, count in zip(lines, right, strict=True):
        assert f"found unknown label values 16777217 ({count} voxels); expected a = [16777216]" in line
    exam = cohort.exam("p2", classes={"a": 16777216, "b": 16777217})
    label = exam_of(1)["label"]
    assert exam.voxels == (np.count_nonzero(label == 0), np.count_nonzero(label[: SHAPE[0] // 2]), right[1])


def test_files_of_other_formats_are_called_by_their_names(cohort: OddCohort) -> None:
    mgh = nib.MGHImage(exam_of(0)["t1"], AFFINE)
    cohort.write("p1", "t1", mgh.to_bytes())
    cohort.write(
        "p1", "t2", b"NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n\n" + bytes(16)
    )
    cohort.write("p2", "t1", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 132\n")
    t2 = cohort.file("p2", "t2").read_bytes()
    with zipfile.ZipFile(cohort.file("p2", "t2"), "w") as archive:
        archive.writestr("t2.nii.gz", t2)
    cohort.write("p3", "t1", gzip.compress(mgh.to_bytes()))
    found = {line.split(":")[0]: line.split("found ")[1].split(";")[0] for line in cohort.words()[0]}
    assert found == {
        "p1/t1.nii.gz": "an MGH file of FreeSurfer",
        "p1/t2.nii.gz": "an NRRD file",
        "p2/t1.nii.gz": "a pointer of git LFS, not the file itself",
        "p2/t2.nii.gz": "a zip archive",
        "p3/t1.nii.gz": "an MGH file of FreeSurfer",
    }


def test_pairs_of_header_and_image(cohort: OddCohort) -> None:
    for path in sorted(cohort.root.rglob("*.nii.gz")):
        pair = nib.Nifti1Pair(np.asarray(nib.load(path).dataobj), AFFINE)
        nib.save(pair, path.with_name(path.name.replace(".nii.gz", ".img")))
        path.unlink()
    lines = one_problem(
        cohort, pattern="{patient}/{channel}.hdr", labels="{patient}/label.hdr", mask="{patient}/mask.hdr"
    )
    assert len(lines) == 15
    assert all("found the header of a .hdr/.img pair" in line for line in lines)


def names_wrong(cohort: OddCohort, **settings: Any) -> list[str]:
    """What is wrong with the names of a cohort's files; a check says the same."""
    with pytest.raises(DataError) as error:
        find_cohort(LocalStorage(cohort.root), study(**settings).cohort)
    lines = [str(problem) for problem in error.value.problems]
    said: list[str] = []
    try:
        said = cohort.words(**settings)[0]
    except DataError as nothing:  # not one file matches
        said = [str(problem) for problem in nothing.problems]
    assert said == lines
    return lines


def test_links_whose_contents_were_not_fetched(cohort: OddCohort) -> None:
    for name in ("t1", "t2", "label"):
        path = cohort.file("p2", name)
        path.unlink()
        path.symlink_to(f"../../.git/annex/objects/xx/yy/SHA256E-s1--{name}.nii.gz")
    lines = names_wrong(cohort)
    assert [line.split(":")[0] for line in lines] == [f"p2/{name}.nii.gz" for name in ("t1", "t2", "label")]
    assert all(
        "found a link to a file that is not there" in line and "git annex get" in line for line in lines
    )


def test_names_that_are_not_utf_8(cohort: OddCohort) -> None:
    os.rename(os.fsencode(cohort.root / "p1"), os.path.join(os.fsencode(cohort.root), b"p\xe41"))  # noqa: PTH104, PTH118
    (line,) = names_wrong(cohort)
    assert line.startswith(r"p\xe41/")
    assert "found a name that is not UTF-8" in line
    assert "convmv -f latin1 -t utf-8" in line


def test_channel_names_that_a_mac_decomposed(cohort: OddCohort) -> None:
    for path in sorted(cohort.root.glob("*/t2.nii.gz")):
        path.rename(path.with_name(unicodedata.normalize("NFD", "wässrig.nii.gz")))
    channels = [
        "t1",
        {"name": "Wässrig", "files": "wässrig"},
        {"name": "adc", "normalisation": "fixed", "range": [0, 3]},
    ]
    nothing_said(cohort, channels=channels)
    means_are_right(cohort, channels=channels)


def test_patients_that_are_composed_here_and_decomposed_there(tmp_path: Path) -> None:
    cohort = sound_cohort(tmp_path / "cohort", ("pä1", "pä2", "pä3"))
    (cohort.root / "labels").mkdir()
    (cohort.root / "images").mkdir()
    for patient in ("pä1", "pä2", "pä3"):
        folder = cohort.root / patient
        (folder / "label.nii.gz").rename(
            cohort.root / "labels" / f"{unicodedata.normalize('NFC', patient)}.nii.gz"
        )
        (folder / "mask.nii.gz").unlink()
        folder.rename(cohort.root / "images" / unicodedata.normalize("NFD", patient))
    patterns = {
        "pattern": "images/{patient}/{channel}.nii.gz",
        "labels": "labels/{patient}.nii.gz",
        "mask": None,
    }
    problems, (warning,) = cohort.words(**patterns)
    assert problems == []
    assert "found 3 exams whose names are written in two forms of Unicode" in warning
    means_are_right(cohort, **patterns)


def test_a_patient_whose_files_lie_deeper_is_not_lost_in_silence(tmp_path: Path) -> None:
    cohort = sound_cohort(tmp_path / "cohort", ("p1", "p2", "p3", "p4"))
    (cohort.root / "p4" / "scan1").mkdir()
    for name in NAMES:
        cohort.file("p4", name).rename(cohort.root / "p4" / "scan1" / f"{name}.nii.gz")
    problems, (warning,) = cohort.words()
    assert problems == []
    assert warning.startswith(
        "p4 (5 files, e.g. adc.nii.gz): found 1 folder with 5 images of which no pattern matched"
    )
    assert "5 lie deeper than the pattern" in warning
    nothing_said(cohort, ignore=["p4/**"])


def test_endings_in_capitals(cohort: OddCohort) -> None:
    for path in sorted(cohort.root.rglob("*.nii.gz")):
        path.rename(path.with_name(path.name.replace(".nii.gz", ".NII.GZ")))
    (line,) = names_wrong(cohort)
    assert line.startswith("p1/adc.NII.GZ: found 15 files that would match but for upper and lower case")
    patterns = {
        "pattern": "{patient}/{channel}.NII.GZ",
        "labels": "{patient}/label.NII.GZ",
        "mask": "{patient}/mask.NII.GZ",
    }
    nothing_said(cohort, **patterns)


def test_sessions_that_the_patient_s_name_swallows(tmp_path: Path) -> None:
    cohort = sound_cohort(
        tmp_path / "cohort", ("sub-01_ses-1_run-1", "sub-01_ses-2_run-1", "sub-02_ses-1_run-1")
    )
    for path in sorted(cohort.root.rglob("*.nii.gz")):
        path.rename(cohort.root / f"{path.parent.name}_{path.name}")
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
    flat = {
        "pattern": "{patient}_{exam}_{channel}.nii.gz",
        "labels": "{patient}_{exam}_label.nii.gz",
        "mask": "{patient}_{exam}_mask.nii.gz",
    }
    problems, (warning,) = cohort.words(**flat)
    assert problems == []
    assert warning.startswith(
        "'sub-01_ses-1' and 'sub-01_ses-2'; 'sub-02_ses-1': found 3 patients whose names look like"
    )
    right = {key: pattern.replace("{exam}_", "ses-{exam}_") for key, pattern in flat.items()}
    nothing_said(cohort, **right)
    assert [exam.patient for exam in cohort.check(**right).exams] == ["sub-01", "sub-01", "sub-02"]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_volumes_of_one_slice(tmp_path: Path, axis: int) -> None:
    """Along any axis; also with a t2 of half the spacing along another one, which is brought onto them."""
    cohort = sound_cohort(tmp_path / "cohort", ("p1", "p2", "p3", "p4"))
    one: list[slice] = [slice(None)] * 3
    one[axis] = slice(SHAPE[axis] // 2, SHAPE[axis] // 2 + 1)
    means = {}
    for seed, patient in enumerate(("p1", "p2", "p3", "p4")):
        exam = {name: np.ascontiguousarray(data[tuple(one)]) for name, data in exam_of(seed).items()}
        means[patient] = [float(exam[name][exam["label"] == 1].mean()) for name in ("t1", "t2", "adc")]
        for name, data in exam.items():
            cohort.write(patient, name, nifti(data))
    nothing_said(cohort)
    for patient, own in cohort.class_means().items():
        assert own == pytest.approx(means[patient], rel=1e-5)
    other = (axis + 1) % 3
    finer = np.eye(4)
    finer[other, other], finer[other, 3] = 0.5, -0.25
    for patient in means:
        cohort.change(patient, "t2", lambda data: nifti(np.repeat(data, 2, axis=other), AFFINE @ finer))
    nothing_said(cohort, resample_to="t1")
    for patient, own in cohort.class_means(resample_to="t1").items():
        assert own == pytest.approx(means[patient], rel=1e-2)


def test_a_contrast_that_single_precision_cannot_hold_is_refused(cohort: OddCohort) -> None:
    """Tissue of some 300 with an SD of 50, upon a thousand million, in double precision."""
    cohort.change("p2", "t1", lambda data: nifti(data.astype(np.float64) + 1e9))
    assert one_problem(cohort)[0].startswith("p2/t1.nii.gz: found hardly any contrast in the region: SD ")


def test_exams_of_any_types_and_byte_orders_side_by_side(cohort: OddCohort) -> None:
    for patient, dtype in (("p1", ">f8"), ("p2", ">i2"), ("p3", "<u2")):

        def stored(data: Any, dtype: str = dtype) -> nib.Nifti1Image:
            header = nib.Nifti1Header(endianness=dtype[0])
            header.set_data_dtype(dtype)
            header.set_xyzt_units("mm")
            return nib.Nifti1Image(np.rint(data).astype(dtype), AFFINE, header)

        for name in ("t1", "t2", "label", "mask"):
            cohort.change(patient, name, stored)
    nothing_said(cohort)
    for seed, means in enumerate(cohort.class_means().values()):
        assert means == pytest.approx(expected_means(seed), rel=1e-3)
