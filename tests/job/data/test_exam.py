"""An exam from its files: what is accepted, and all that is wrong with it at once."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from job.contract.errors import DataError
from job.contract.study import Study
from job.data.cohort_files import find_exams
from job.data.exam import Exam, load_exam
from job.storage.local import LocalStorage

MakeStudy = Callable[..., Study]
MakeCohort = Callable[..., LocalStorage]
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])
SHARED = Path(__file__).parents[4] / "shared" / "data"
PLACED = np.array([[-1.0, 0, 0, 2], [0, -1, 0, 2], [0, 0, 2, -3], [0, 0, 0, 1]])
LABEL = np.zeros((4, 4, 3), np.uint8)
LABEL[1, 1], LABEL[2, 2] = 1, 2


def load(source: LocalStorage, study: Study) -> Exam:
    (files,) = find_exams(source.list(), study.cohort)
    return load_exam(source, files, study.cohort, study.store.dtype)


def problems_of(source: LocalStorage, study: Study) -> dict[str, str]:
    with pytest.raises(DataError) as error:
        load(source, study)
    assert len({problem.file for problem in error.value.problems}) == len(error.value.problems)
    return {problem.file: str(problem) for problem in error.value.problems}


def found_in(problems: dict[str, str]) -> dict[str, str]:
    return {key: problem.split("found ")[1].split(";")[0] for key, problem in problems.items()}


def shifted(affine: NDArray[np.float64], mm: float) -> NDArray[np.float64]:
    moved = affine.copy()
    moved[0, 3] += mm
    return moved


@pytest.fixture
def label_exam(make_cohort: MakeCohort, make_study: MakeStudy) -> Callable[..., Exam]:
    """An exam of `LABEL`'s grid with these label values and cohort settings."""

    def make(values: NDArray[Any], **cohort: Any) -> Exam:
        source = make_cohort(["p1"], {"p1/label.nii.gz": values}, shape_xyz=values.shape)
        return load(source, make_study(cohort={"mask": None} | cohort))

    return make


def test_arrays_are_on_the_canonical_grid_in_the_study_s_order(
    make_cohort: MakeCohort, make_study: MakeStudy
) -> None:
    """The files are LPS: x and y are mirrored."""
    source = make_cohort(["p1"])
    exam = load(
        source, make_study(cohort={"channels": [{"name": n, "normalisation": "none"} for n in ("t2", "t1")]})
    )
    files = {
        name: np.asarray(nib.load(source.root / "p1" / f"{name}.nii.gz").dataobj)[::-1, ::-1].T
        for name in ("t1", "t2", "label", "mask")
    }
    inside = files["mask"] > 0
    for position, name in enumerate(("t2", "t1")):
        expected = np.where(inside, files[name], 0).astype(np.float16)
        np.testing.assert_array_equal(exam.image_CZYX[position], expected)
    np.testing.assert_array_equal(exam.label_ZYX, files["label"])
    np.testing.assert_array_equal(exam.mask_ZYX, files["mask"])
    assert exam.image_CZYX.dtype == np.float16
    assert exam.statistics[1].mean == pytest.approx(files["t1"][inside].mean(dtype=float))
    assert exam.statistics[1].voxels == inside.sum()
    keys = [f"p1/{name}.nii.gz" for name in ("t2", "t1", "label", "mask")]
    assert exam.sha256 == {key: sha256(source.read(key)).hexdigest() for key in keys}


@pytest.mark.real_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
@pytest.mark.parametrize(
    ("folder", "patient", "cohort"),
    [
        (
            "brats2015",
            "pat0003",
            {
                "channels": ["flair", "t1c"],
                "mask": "{patient}/brainmask.nii.gz",
                "classes": {"all": [1, 2, 3, 4]},
            },
        ),
        ("openms", "patient07", {"channels": ["t1", "flair"], "mask": None, "classes": {"lesion": 1}}),
    ],
)
def test_real_exams_are_loaded(
    make_study: MakeStudy, folder: str, patient: str, cohort: dict[str, Any]
) -> None:
    """The mask of one reads 0.99999997 and its labels are floats; the other has negative intensities."""
    source, study = LocalStorage(SHARED / folder), make_study(cohort=cohort)
    files = next(f for f in find_exams(source.list(), study.cohort) if f.patient == patient)
    exam = load_exam(source, files, study.cohort, "float16")
    label = np.rint(np.asarray(nib.load(source.root / patient / "label.nii.gz").dataobj))
    assert exam.label_ZYX.shape == label.shape[::-1]
    assert exam.label_ZYX.sum() + exam.outside_mask == np.count_nonzero(label)
    for number, image_ZYX in enumerate(exam.image_CZYX.astype(np.float64)):
        inside = image_ZYX[image_ZYX != 0 if exam.mask_ZYX is None else exam.mask_ZYX > 0]
        assert inside.size == pytest.approx(exam.statistics[number].voxels, rel=1e-3)
        assert (inside.mean(), inside.std()) == pytest.approx((0, 1), abs=1e-3)


def test_without_a_mask_the_region_is_where_the_channel_is_not_0(
    make_cohort: MakeCohort, make_study: MakeStudy
) -> None:
    values = np.zeros((4, 4, 3), np.int16)
    values[0, 0, :2] = 4, 8
    source = make_cohort(["p1"], {"p1/t1.nii.gz": values}, shape_xyz=(4, 4, 3))
    exam = load(source, make_study(cohort={"mask": None}))
    assert exam.mask_ZYX is None
    assert exam.image_CZYX[0, :, 3, 3].tolist() == [-1, 1, 0]
    assert np.count_nonzero(exam.image_CZYX[0]) == 2
    assert (exam.statistics[0].voxels, exam.statistics[0].mean) == (2, 6)


def test_merged_classes_and_further_background_values(label_exam: Callable[..., Exam]) -> None:
    values = np.arange(8, dtype=np.int16).reshape(2, 2, 2)
    exam = label_exam(values, classes={"tumour": [1, 4, 2], "oedema": 3}, background=[0, 5, 6, 7])
    np.testing.assert_array_equal(exam.label_ZYX[:, ::-1, ::-1].T.ravel(), [0, 1, 1, 2, 1, 0, 0, 0])
    assert exam.label_ZYX.dtype == np.uint8


def test_label_values_may_be_negative_and_large(label_exam: Callable[..., Exam]) -> None:
    values = np.array([[[0, -1], [300, 0]]], np.int16)
    exam = label_exam(values, classes={"a": 300, "b": -1})
    np.testing.assert_array_equal(exam.label_ZYX[:, ::-1, ::-1].T.ravel(), [0, 2, 1, 0])


def test_rounded_floats_are_labels_and_masks(make_cohort: MakeCohort, make_study: MakeStudy) -> None:
    nearly = np.float32(0.99999997)
    assert nearly != 1
    changes = {"p1/label.nii.gz": LABEL * nearly, "p1/mask.nii.gz": np.full(LABEL.shape, nearly)}
    exam = load(make_cohort(["p1"], changes, shape_xyz=LABEL.shape), make_study())
    np.testing.assert_array_equal(exam.label_ZYX[:, ::-1, ::-1].T, LABEL)
    assert exam.mask_ZYX is not None
    assert exam.mask_ZYX.all()


@pytest.mark.parametrize("value", [255, -1, 1])
def test_whatever_is_not_0_is_inside_the_mask(
    make_cohort: MakeCohort, make_study: MakeStudy, value: int
) -> None:
    mask = np.zeros(LABEL.shape, np.int16)
    mask[1:, 2] = value
    changes = {"p1/mask.nii.gz": mask, "p1/label.nii.gz": LABEL * (mask != 0)}
    exam = load(make_cohort(["p1"], changes, shape_xyz=LABEL.shape), make_study())
    np.testing.assert_array_equal(exam.mask_ZYX, (mask != 0)[::-1, ::-1].T)


def test_unknown_label_values_are_named_with_their_counts(
    make_cohort: MakeCohort, make_study: MakeStudy
) -> None:
    label = LABEL.astype(np.int16)
    label[0, 0, 0], label[3, 3] = -4, 7
    source = make_cohort(["p1"], {"p1/label.nii.gz": label}, shape_xyz=LABEL.shape)
    assert problems_of(source, make_study(cohort={"background": [0, 5]})) == {
        "p1/label.nii.gz": "p1/label.nii.gz: found unknown label values -4 (1 voxel), 7 (3 voxels); "
        "expected GTV-T = [1], GTV-Ln = [2], background = [0, 5]; "
        "add the values to cohort.classes or cohort.background"
    }


def test_fractions_in_labels_and_masks_are_refused(make_cohort: MakeCohort, make_study: MakeStudy) -> None:
    changes = {
        "p1/label.nii.gz": LABEL * np.float32(1.5),
        "p1/mask.nii.gz": np.full(LABEL.shape, np.float32(0.5)),
    }
    problems = problems_of(make_cohort(["p1"], changes, shape_xyz=LABEL.shape), make_study())
    assert (
        "found 3 voxels that are not integral, e.g. 1.5; expected a label map" in problems["p1/label.nii.gz"]
    )
    assert "found 48 voxels that are not integral, e.g. 0.5" in problems["p1/mask.nii.gz"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_label_or_mask_that_is_no_number_is_not_said_to_be_resampled(
    make_cohort: MakeCohort, make_study: MakeStudy, value: float
) -> None:
    spoiled = np.where(LABEL > 0, LABEL, value).astype(np.float32)  # 42 of 48 voxels
    changes = {"p1/label.nii.gz": spoiled, "p1/mask.nii.gz": spoiled}
    for file, problem in problems_of(
        make_cohort(["p1"], changes, shape_xyz=LABEL.shape), make_study()
    ).items():
        assert problem == (
            f"{file}: found 42 voxels that are NaN or infinite; expected a label map or mask; write 0 there if they "
            "are background"
        )


def test_all_that_is_wrong_with_an_exam_is_found_at_once(
    make_cohort: MakeCohort, make_study: MakeStudy, nifti_bytes: Callable[..., bytes]
) -> None:
    changes = {
        "p1/t1.nii.gz": b"",
        "p1/t2.nii.gz": np.full(LABEL.shape, np.nan, np.float32),
        "p1/adc.nii.gz": nifti_bytes(np.ones((4, 4, 2), np.float32)),
        "p1/label.nii.gz": np.full(LABEL.shape, 9, np.uint8),
        "p1/mask.nii.gz": np.ones(LABEL.shape, np.uint8),
    }
    found = {
        "p1/t1.nii.gz": "an empty file",
        "p1/t2.nii.gz": "48 voxels that are NaN, infinite or beyond 32-bit floats inside the mask (100.00% of it)",
        "p1/adc.nii.gz": "4 x 4 x 2 voxels (LPS)",
        "p1/label.nii.gz": "unknown label values 9 (48 voxels)",
    }
    assert found_in(problems_of(make_cohort(["p1"], changes), make_study())) == found
    changes["p1/mask.nii.gz"] = np.zeros(LABEL.shape, np.uint8)
    found["p1/mask.nii.gz"] = "an empty mask"
    del found["p1/t2.nii.gz"]  # NaN outside of a mask would do no harm
    assert found_in(problems_of(make_cohort(["p1"], changes), make_study())) == found


def test_channels_are_checked_though_the_label_map_cannot_be_read(
    make_cohort: MakeCohort, make_study: MakeStudy
) -> None:
    changes = {"p1/label.nii.gz": b"x" * 500, "p1/mask.nii.gz": b"", "p1/adc.nii.gz": b""}
    source = make_cohort(["p1"], changes)
    assert list(problems_of(source, make_study())) == ["p1/label.nii.gz", "p1/mask.nii.gz", "p1/adc.nii.gz"]


@pytest.mark.parametrize("file", ["t1", "mask"])
@pytest.mark.parametrize(
    ("shape", "affine", "found"),
    [
        (
            (4, 3, 4),
            PLACED,
            "found 4 x 3 x 4 voxels (LPS); expected 4 x 4 x 3, the grid of p1/label.nii.gz and 3 other files of the "
            "exam (LPS); resample",
        ),
        (
            (4, 4, 3),
            shifted(PLACED, 1),
            "found the same 4 x 4 x 3 voxels under another header, 1 voxels away (LPS); expected the grid of p1/",
        ),
        ((4, 4, 3), PLACED @ np.diag([-1, 1, 1, 1]), "under another header, 3 voxels away (RPS); expected"),
        (
            (4, 4, 3),
            PLACED @ np.diag([1, 1, 1.2, 1]),
            "under another header, 0.8 voxels away (LPS); expected",
        ),
    ],
    ids=["shape", "shifted", "flipped", "thicker slices"],
)
def test_a_file_on_another_grid_is_a_problem(
    make_cohort: MakeCohort,
    make_study: MakeStudy,
    nifti_bytes: Callable[..., bytes],
    file: str,
    shape: tuple[int, int, int],
    affine: NDArray[np.float64],
    found: str,
) -> None:
    counted = np.arange(1, 49, dtype=np.int16).reshape(LABEL.shape)
    arrays = {name: 10 * counted + np.int16(900) * LABEL for name in ("t1", "t2", "adc")}
    arrays["mask"] = np.ones_like(counted)
    changes = {f"p1/{name}.nii.gz": nifti_bytes(data, PLACED) for name, data in arrays.items()}
    changes["p1/label.nii.gz"] = nifti_bytes(LABEL, PLACED)
    changes[f"p1/{file}.nii.gz"] = nifti_bytes(np.arange(48, dtype=np.uint8).reshape(shape), affine)
    problems = problems_of(make_cohort(["p1"], changes), make_study())
    assert list(problems) == [f"p1/{file}.nii.gz"]
    assert found in problems[f"p1/{file}.nii.gz"]


def test_grids_that_differ_by_rounding_are_one_grid(
    make_cohort: MakeCohort, make_study: MakeStudy, nifti_bytes: Callable[..., bytes]
) -> None:
    t1 = np.arange(48, dtype=np.int16).reshape(LABEL.shape)
    changes = {
        "p1/label.nii.gz": nifti_bytes(LABEL, PLACED),
        "p1/t2.nii.gz": nifti_bytes(t1, PLACED),
        "p1/t1.nii.gz": nifti_bytes(t1, shifted(PLACED, 0.09)),
    }
    study = make_study(cohort={"mask": None, "channels": ["t1", "t2"]})
    assert load(make_cohort(["p1"], changes), study).image_CZYX.shape == (2, 3, 4, 4)
    changes["p1/t1.nii.gz"] = nifti_bytes(t1, shifted(PLACED, 0.11))
    assert "0.11 voxels away" in problems_of(make_cohort(["p1"], changes), study)["p1/t1.nii.gz"]


def test_a_channel_without_contrast_is_a_problem(make_cohort: MakeCohort, make_study: MakeStudy) -> None:
    changes = {
        "p1/t1.nii.gz": np.full((20, 18, 10), 7, np.int16),
        "p1/t2.nii.gz": np.zeros((20, 18, 10), np.int16),
        "p1/adc.nii.gz": np.where(np.arange(10) < 5, 0, 7) * np.ones((20, 18, 1), np.int16),
    }
    study = make_study(cohort={"mask": None, "channels": ["t1", "t2", "adc"]})
    assert found_in(problems_of(make_cohort(["p1"], changes), study)) == {
        "p1/t1.nii.gz": "one value everywhere, 7 (channel t1)",
        "p1/t2.nii.gz": "one value everywhere, 0 (channel t2)",
        "p1/adc.nii.gz": "hardly any contrast in the region: SD 0 at 7 (channel adc)",
    }


@pytest.mark.parametrize(("factor", "largest"), [(1e-9, "9.59e-07"), (100.0, "95900")])
def test_values_that_float16_cannot_hold_are_a_problem(
    make_cohort: MakeCohort, make_study: MakeStudy, factor: float, largest: str
) -> None:
    """A map in SI units would be stored as zeros, one of raw counts as infinities."""
    values = factor * np.arange(960, dtype=np.float32).reshape(12, 8, 10)
    source = make_cohort(["p1"], {"p1/adc.nii.gz": values}, shape_xyz=values.shape)
    cohort = {"mask": None, "channels": [{"name": "adc", "normalisation": "none"}, "t2"]}
    (problem,) = problems_of(source, make_study(cohort=cohort)).values()
    assert problem == (
        f"p1/adc.nii.gz: found values up to {largest} after normalisation (none); "
        "expected 6.10352e-05 to 65504, the range of float16; "
        'choose another normalisation, or store.dtype = "float32"'
    )
    exam = load(source, make_study(cohort=cohort, store={"dtype": "float32"}))
    np.testing.assert_array_equal(exam.image_CZYX[0], values[::-1, ::-1].T)


def test_without_a_mask_a_fixed_range_scales_zeros_like_any_other_value(
    make_cohort: MakeCohort, make_study: MakeStudy
) -> None:
    """In Hounsfield units or a phase map, 0 is not the air around the patient."""
    values = np.full((12, 8, 10), -1.0, np.float32)
    values[0], values[1] = 0.0, 1.0
    source = make_cohort(["p1"], {"p1/adc.nii.gz": values}, shape_xyz=values.shape)
    channels = [{"name": "adc", "normalisation": "fixed", "range": [-10, 10]}, "t2"]
    exam = load(source, make_study(cohort={"mask": None, "channels": channels}, store={"dtype": "float32"}))
    assert sorted(set(exam.image_CZYX[0].ravel().tolist())) == pytest.approx([0.45, 0.5, 0.55])


def test_a_rim_of_labels_outside_the_mask_is_background_and_counted(
    make_cohort: MakeCohort, make_study: MakeStudy
) -> None:
    label = np.ones((20, 18, 10), np.uint8)
    mask = np.ones_like(label)
    mask[0, 0, :] = 0  # 10 of 3600 voxels
    changes = {"p1/label.nii.gz": label, "p1/mask.nii.gz": mask}
    exam = load(make_cohort(["p1"], changes), make_study())
    assert exam.outside_mask == 10
    np.testing.assert_array_equal(exam.label_ZYX, mask[::-1, ::-1].T)


def test_a_structure_outside_the_mask_is_a_mistake(make_cohort: MakeCohort, make_study: MakeStudy) -> None:
    label = np.ones((20, 18, 10), np.uint8)
    mask = np.ones_like(label)
    mask[0] = 0  # 180 of 3600 voxels
    source = make_cohort(["p1"], {"p1/label.nii.gz": label, "p1/mask.nii.gz": mask})
    problem = problems_of(source, make_study())["p1/label.nii.gz"]
    assert (
        "found 180 of 3600 voxels of class GTV-T outside the mask (5.00%); expected at most 1% of" in problem
    )


def test_a_small_class_that_the_mask_takes_away_is_a_problem_beside_a_large_one(
    make_cohort: MakeCohort, make_study: MakeStudy
) -> None:
    """27 voxels of the second class are few beside the first's 3000; they are all that there is of it."""
    label = np.zeros((20, 18, 10), np.uint8)
    label[5:] = 1
    label[:3, :3, :3] = 2
    mask = np.ones_like(label)
    mask[:3, :3, :3] = 0
    mask[5, 0, :9] = 0  # 9 of 2700: a rim
    source = make_cohort(["p1"], {"p1/label.nii.gz": label, "p1/mask.nii.gz": mask})
    assert found_in(problems_of(source, make_study())) == {
        "p1/label.nii.gz": "27 of 27 voxels of class GTV-Ln outside the mask (100.00%)"
    }


def test_a_rim_is_said_by_class(make_cohort: MakeCohort, make_study: MakeStudy) -> None:
    label = np.ones((20, 18, 10), np.uint8)
    label[10:] = 2
    mask = np.ones_like(label)
    mask[0, 0, :9] = mask[19, 0, :5] = 0  # of 1800 each
    exam = load(make_cohort(["p1"], {"p1/label.nii.gz": label, "p1/mask.nii.gz": mask}), make_study())
    assert exam.outside_mask == 14
    assert [str(warning).split("; expected")[0] for warning in exam.warnings] == [
        "p1/label.nii.gz: found 9 of 1800 voxels of class GTV-T outside the mask (0.50%)",
        "p1/label.nii.gz: found 5 of 1800 voxels of class GTV-Ln outside the mask (0.28%)",
    ]


def test_a_class_that_is_cut_off_names_its_own_file(make_cohort: MakeCohort, make_study: MakeStudy) -> None:
    large, small, mask = (np.zeros((20, 18, 10), np.uint8) for _ in range(3))
    large[5:], small[0], mask[1:] = 1, 1, 1
    changes = {"p1/a.nii.gz": large, "p1/b.nii.gz": small, "p1/mask.nii.gz": mask, "p1/label.nii.gz": None}
    cohort = {"labels": "{patient}/{class}.nii.gz", "classes": {"GTV-T": "a", "GTV-Ln": "b"}}
    problems = problems_of(make_cohort(["p1"], changes), make_study(cohort=cohort))
    assert list(problems) == ["p1/b.nii.gz"]
