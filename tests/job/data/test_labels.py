"""Label maps and files of classes: integers stay what they are, and what is in doubt is refused."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from job.contract.cohort import Cohort
from job.contract.errors import DataError
from job.contract.wording import counted
from job.data.labels import classes_of, clear_outside, mask_of
from job.data.nifti import read_labels, read_volume, write_labels
from tests.job.data.odd_cohorts import SHAPE, OddCohort, exam_of, nifti, patched, sound_cohort


def cohort(**settings: Any) -> Cohort:
    return Cohort.model_validate(
        {
            "root": ".",
            "pattern": "{patient}/{channel}.nii",
            "labels": "{patient}/label.nii",
            "channels": ["t1"],
        }
        | settings
    )


def file_of(values: NDArray[Any], slope: float = 0, intercept: float = 0) -> bytes:
    return patched(
        nib.Nifti1Image(values.reshape(1, 1, -1), np.eye(4), dtype=values.dtype),
        112,
        np.float32([slope, intercept]),
    )


def labels_of(values: NDArray[Any], slope: float = 0, intercept: float = 0, **settings: Any) -> list[int]:
    volume = read_volume(file_of(values, slope, intercept), "p1/label.nii")
    labels: list[int] = classes_of(volume.stored_ZYX(), volume, cohort(**settings)).label_ZYX.ravel().tolist()
    return labels


def refused(values: NDArray[Any], slope: float = 0, intercept: float = 0, **settings: Any) -> str:
    with pytest.raises(DataError) as error:
        labels_of(values, slope, intercept, **settings)
    (problem,) = error.value.problems
    assert problem.file == "p1/label.nii"
    return str(problem)


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.uint64, np.float64])
def test_neighbours_that_single_precision_merges_stay_apart(dtype: Any) -> None:
    values = np.array([0, 16777216, 16777217, 16777218], dtype)
    assert labels_of(values, classes={"a": 16777216, "b": 16777217, "c": 16777218}) == [0, 1, 2, 3]
    assert (
        "found unknown label values 16777217 (1 voxel), 16777218 (1 voxel); expected a = [16777216]"
        in refused(values, classes={"a": 16777216})
    )


def test_neighbours_that_double_precision_merges_stay_apart() -> None:
    values = np.array([0, 2**63, 2**63 + 1, 2**64 - 1], np.uint64)
    assert labels_of(values, classes={"a": 2**63, "b": 2**63 + 1, "c": 2**64 - 1}) == [0, 1, 2, 3]
    assert f"found unknown label values {2**63 + 1} (1 voxel), {2**64 - 1} (1 voxel)" in refused(
        values, classes={"a": 2**63}
    )
    values = np.array([0, -(2**63), 2**63 - 1], np.int64)
    assert labels_of(values, classes={"a": -(2**63), "b": 2**63 - 1}) == [0, 1, 2]


def test_a_class_that_the_files_type_cannot_hold_is_in_no_voxel() -> None:
    assert labels_of(np.array([0, 1, 255], np.uint8), classes={"a": 1, "b": 300, "c": -1, "d": 255}) == [
        0,
        1,
        4,
    ]


@pytest.mark.parametrize(
    "values", [[0, 3, 3, -2], [3, 3, -2], [-2, -2, -7], [5, 5, 9], [0, 0, 70_000], [10**9, 10**9 + 1]]
)
def test_unknown_values_are_counted_in_order_wherever_they_lie(values: list[int]) -> None:
    counts = ", ".join(
        f"{value} ({counted(values.count(value), 'voxel')})" for value in sorted(set(values) - {0})
    )
    assert f"found unknown label values {counts}; expected" in refused(
        np.array(values, np.int32), classes={"a": 1}
    )


@pytest.mark.parametrize("value", [0.99999997, 1.0000001, 1 - 9e-4])
def test_floats_next_to_an_integer_are_that_integer(value: float) -> None:
    values = np.array([0, value, 2], np.float32)
    assert labels_of(values, classes={"a": 1, "b": 2}) == [0, 1, 2]


@pytest.mark.parametrize("value", [0.5, 0.99, 1e300, 2.0**54])
def test_what_is_no_integer_is_refused_with_an_example(value: float) -> None:
    line = refused(np.array([0, value, 1]), classes={"a": 1})
    assert f"found 1 voxels that are not integral, e.g. {value:g}; expected a label map" in line
    assert line.endswith("resample label maps with nearest neighbours; give probabilities a threshold")


def test_a_slope_is_named_where_it_makes_fractions() -> None:
    """As a tool leaves it that copies a channel's header onto its label map."""
    line = refused(np.array([0, 1, 2], np.int16), slope=10.9, classes={"a": 1, "b": 2})
    assert (
        "found 2 voxels that are not integral, e.g. 10.9, 21.8, where the header multiplies what is stored by 10.9 "
        "(scl_slope) and adds 0 (scl_inter); expected a label map" in line
    )
    assert line.endswith(
        "write scl_slope = 1 and scl_inter = 0 into the header if what is stored are the labels"
    )


def test_a_slope_is_named_where_it_makes_values_of_no_class() -> None:
    line = refused(np.array([0, 1, 3], np.int16), slope=2, classes={"a": 1, "b": 3})
    assert (
        "found unknown label values 2 (1 voxel), 6 (1 voxel), after the header multiplied what is stored by 2 "
        "(scl_slope); expected" in line
    )
    assert "write scl_slope = 1" in line


def test_a_slope_counts_where_it_makes_values_of_classes() -> None:
    """The standard: the value is slope x stored + intercept, also where what is stored would be classes too."""
    assert labels_of(np.array([0, 1, 2], np.int16), slope=2, classes={"a": 2, "b": 4}) == [0, 1, 2]
    assert labels_of(np.array([-1, 0, 1], np.int16), intercept=1, slope=1, classes={"a": 1, "b": 2}) == [
        0,
        1,
        2,
    ]
    assert labels_of(np.array([0, 1, 2, 4], np.int16), slope=1, classes={"a": [1, 4], "b": 2}) == [0, 1, 2, 1]


def test_a_slope_is_said_where_what_is_stored_would_be_other_classes() -> None:
    volume = read_volume(file_of(np.array([0, 1, 2], np.int16), slope=2), "f")
    own = cohort(classes={"a": 1, "b": 2, "c": 4})
    (warning,) = classes_of(volume.stored_ZYX(), volume, own).warnings
    assert str(warning).startswith(
        "f: found labels that are stored as 0, 1, 2, where the header multiplies by 2 (scl_slope) and adds 0 "
        "(scl_inter); expected labels that are not scaled; taken as 0, 2, 4, as the standard means it"
    )
    empty = read_volume(file_of(np.zeros(3, np.int16), slope=2), "f")
    assert classes_of(empty.stored_ZYX(), empty, own).warnings == ()
    assert classes_of(volume.stored_ZYX(), volume, cohort(classes={"b": 2, "c": 4})).warnings == ()


def test_many_unknown_values_are_counted() -> None:
    line = refused(np.arange(40, dtype=np.int16), classes={"a": 1})
    assert "5 (1 voxel), 6 (1 voxel) and 33 further values" in line


def test_labels_of_64_bits_are_written_and_read_back() -> None:
    values = np.array([0, 1, 2**40, -3]).reshape(4, 1, 1)
    geometry = read_volume(file_of(values.astype(np.int64)), "f").geometry
    written = write_labels(values, geometry)
    np.testing.assert_array_equal(read_labels(written, "f"), values)
    assert nib.Nifti1Image.from_bytes(gzip.decompress(written)).get_data_dtype() == np.int64


@pytest.mark.parametrize("value", [1, 255, -1, 0.9999999])
def test_a_mask_is_what_is_not_0(value: float) -> None:
    volume = read_volume(file_of(np.array([0, value, 0, value], np.float32)), "mask")
    assert mask_of(volume.stored_ZYX(), volume).ravel().tolist() == [0, 1, 0, 1]


def test_labels_outside_the_mask_are_cleared_up_to_a_rim() -> None:
    mask, label = np.ones((10, 10, 10), np.uint8), np.ones((10, 10, 10), np.uint8)
    mask[0, 0] = 0
    outside, (warning,) = clear_outside(mask, label, [("tumour", "f")])
    assert outside == 10
    assert str(warning).startswith(
        "f: found 10 of 1000 voxels of class tumour outside the mask (1.00%); expected"
    )
    np.testing.assert_array_equal(label, mask)
    almost, whole = np.ones_like(mask), np.ones_like(mask)
    almost[0, 0, 0] = 0
    assert clear_outside(almost, whole, [("tumour", "f")]) == (1, [])  # 0.1 %: counted, and no word
    assert clear_outside(mask, label, [("tumour", "f")]) == (0, [])
    mask[0, 1], label = 0, np.ones_like(mask)
    with pytest.raises(
        DataError,
        match=r"found 20 of 1000 voxels of class tumour outside the mask \(2\.00%\); expected at most 1%",
    ):
        clear_outside(mask, label, [("tumour", "f")])
    assert label.all()


def test_classes_that_lie_outside_the_mask_are_told_one_by_one() -> None:
    """Of 10, 490 and 500 voxels: all of the first, 11 of the second (2.2 %), 5 of the third (1.0 %)."""
    label = np.repeat(np.array([1, 2, 3], np.uint8), [10, 490, 500]).reshape(10, 10, 10)
    mask = np.ones(1000, np.uint8)
    mask[:21] = mask[-5:] = 0
    classes = [("a", "a.nii"), ("b", "b.nii"), ("c", "c.nii")]
    with pytest.raises(DataError) as error:
        clear_outside(mask.reshape(10, 10, 10), label, classes)
    assert [(problem.file, problem.found) for problem in error.value.problems] == [
        ("a.nii", "10 of 10 voxels of class a outside the mask (100.00%)"),
        ("b.nii", "11 of 490 voxels of class b outside the mask (2.24%)"),
    ]


def test_a_rim_of_a_small_structure_is_no_problem_until_it_is_a_quarter() -> None:
    """Of a node of 27 voxels the mask cuts off 6 (22 %), then 7 (26 %)."""
    label = np.ones((3, 3, 3), np.uint8)
    for lost, refused in ((6, False), (7, True)):
        mask = np.ones(27, np.uint8)
        mask[:lost] = 0
        if refused:
            with pytest.raises(DataError, match="7 of 27 voxels of class node"):
                clear_outside(mask.reshape(3, 3, 3), label.copy(), [("node", "n.nii")])
        else:
            assert clear_outside(mask.reshape(3, 3, 3), label.copy(), [("node", "n.nii")])[0] == 6


PER_CLASS: dict[str, Any] = {
    "labels": "{patient}/gtv_{class}.nii.gz",
    "classes": {"core": "core", "oedema": "oe*"},
}


@pytest.fixture
def per_class(tmp_path: Path) -> OddCohort:
    """Exams whose tumour is a core (its lower half) and an oedema (all of it), each in a file of its own."""
    odd = sound_cohort(tmp_path / "cohort")
    for seed, patient in enumerate(("p1", "p2", "p3")):
        label = exam_of(seed)["label"]
        odd.write(patient, "gtv_core", nifti(core_of(label)))
        odd.write(patient, "gtv_oedema", nifti(label * np.uint8(255)))
        odd.file(patient, "label").unlink()
    return odd


def core_of(label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    core = label.copy()
    core[:, :, SHAPE[2] // 2 :] = 0
    return core


def voxels(odd: OddCohort, exam: str, **settings: Any) -> tuple[int, ...]:
    return odd.exam(exam, **PER_CLASS | settings).voxels


def test_where_files_of_classes_overlap_the_one_that_is_named_first_has_the_voxel(
    per_class: OddCohort,
) -> None:
    label = exam_of(1)["label"]
    whole, core = int(label.sum()), int(core_of(label).sum())
    assert 0 < core < whole
    outside = label.size - whole
    assert voxels(per_class, "p2") == (outside, core, whole - core)
    assert voxels(per_class, "p2", classes={"oedema": "oe*"}) == (outside, whole)
    problems, warnings = per_class.words(**PER_CLASS)
    assert problems == []
    assert len(warnings) == 3
    assert (
        f"p2/gtv_oedema.nii.gz: found {core} of {whole} voxels of oedema that are core too; expected classes that do "
        "not overlap; they count as core, which comes first in cohort.classes" in warnings[1]
    )
    found = per_class.check(**PER_CLASS | {"classes": {"oedema": "oe*", "core": "core"}})
    assert found.exams[1].voxels == (outside, whole, 0)
    assert "class 'core' inside the mask in 0 patients (3 exams)" in str(found.problems[0])


def test_a_stray_value_is_to_be_corrected_in_its_file_first() -> None:
    """One voxel beside 100 of the class is a slip of the pen; two may be a class."""
    for strays, corrected in ((1, True), (2, False)):
        line = refused(np.repeat([0, 1, 7], [99, 100, strays]).astype(np.uint8), classes={"a": 1})
        assert ("correct this file first, in which they are few beside the classes" in line) == corrected
        assert "cohort.classes or cohort.background" in line


def test_a_class_without_a_file_is_absent(per_class: OddCohort) -> None:
    per_class.file("p2", "gtv_core").unlink()
    label = exam_of(1)["label"]
    assert voxels(per_class, "p2") == (label.size - int(label.sum()), 0, int(label.sum()))
    warnings = per_class.words(**PER_CLASS)[1]
    assert (
        "p2/gtv_core.nii.gz: found no file for class core in exam p2; expected a file for each"
        in warnings[-1]
    )


def test_an_exam_without_a_file_of_any_class_is_refused(per_class: OddCohort) -> None:
    """It might be without a tumour; then an empty file says so."""
    for name in ("core", "oedema"):
        per_class.file("p2", f"gtv_{name}").unlink()
    (problem,) = per_class.words(**PER_CLASS)[0]
    assert problem.startswith("p2/gtv_*.nii.gz: found no file for any class")
    per_class.write("p2", "gtv_core", nifti(np.zeros(SHAPE, np.uint8)))
    assert voxels(per_class, "p2") == (np.prod(SHAPE), 0, 0)


def test_files_of_one_class_are_its_parts(per_class: OddCohort) -> None:
    """Here a lesion of 2 x 3 x 1 voxels in a file of its own; the class is what either holds."""
    label = exam_of(1)["label"]
    lesion = np.zeros(SHAPE, np.uint8)
    lesion[4:6, 9:12, 6] = 1
    assert not (lesion & label).any()
    assert (lesion & exam_of(1)["mask"]).sum() == 6
    per_class.write("p2", "gtv_oes", nifti(lesion))
    core, whole = int(core_of(label).sum()), int(label.sum())
    assert voxels(per_class, "p2") == (label.size - whole - 6, core, whole - core + 6)
    listed = {"classes": {"core": "core", "oedema": ["oedema", "oes"]}}
    assert voxels(per_class, "p2", **listed) == (label.size - whole - 6, core, whole - core + 6)
    problems, warnings = per_class.words(**PER_CLASS)
    assert problems == []
    overlaps = [warning for warning in warnings if "another form" not in warning]
    assert len(overlaps) == 3  # oedema and core overlap, as without the lesion
    assert len(warnings) == 4  # and one exam has a file of another name


def test_files_of_one_class_that_overlap_are_said_with_the_count(per_class: OddCohort) -> None:
    """As where an older version of a contour was left beside the new one."""
    label = exam_of(1)["label"]
    older = label.copy()
    older[: SHAPE[0] // 2] = 0
    older[SHAPE[0] - 6, 10, 6] = 1  # inside the mask
    per_class.write("p2", "gtv_oedema_old", nifti(older))
    shared = int(older.sum()) - 1
    (line,) = [line for line in per_class.words(**PER_CLASS)[1] if "of class oedema" in line]
    assert line.startswith(
        f"p2/gtv_oedema_old.nii.gz: found {shared} of its {shared + 1} voxels in another file of class oedema too; "
        "expected files that are parts of the class"
    )


def test_all_files_of_classes_that_are_wrong_are_named_at_once(per_class: OddCohort) -> None:
    per_class.write("p2", "gtv_oes", nifti(np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.int16)))
    per_class.write("p2", "gtv_oedema", b"no image")
    files = [line.split(":")[0] for line in per_class.words(**PER_CLASS)[0]]
    assert files == ["p2/gtv_oedema.nii.gz", "p2/gtv_oes.nii.gz"]


def test_a_file_of_a_class_that_is_not_binary_is_refused(per_class: OddCohort) -> None:
    per_class.change(
        "p2",
        "gtv_core",
        lambda data: nifti(data + data * (np.arange(SHAPE[0]) % 2)[:, None, None].astype(np.uint8)),
    )
    (line,) = per_class.words(**PER_CLASS)[0]
    assert line.startswith("p2/gtv_core.nii.gz: found 3 values: 0, 1, 2; expected a file of class core alone")


def test_files_of_classes_may_be_stored_along_other_axes(per_class: OddCohort) -> None:
    before = voxels(per_class, "p2")
    path = per_class.file("p2", "gtv_oedema")
    per_class.write("p2", "gtv_oedema", nib.as_closest_canonical(nib.load(path)))
    assert voxels(per_class, "p2") == before


def in_one_file(
    odd: OddCohort, make: Callable[[list[NDArray[Any]]], NDArray[Any]], **changes: Any
) -> dict[str, Any]:
    """Puts the channels of each exam into one 4-D file; the cohort's settings for it."""
    for patient in ("p1", "p2", "p3"):
        images = [np.asarray(nib.load(odd.file(patient, name)).dataobj) for name in ("t1", "t2", "adc")]
        odd.write(patient, "all", nifti(make(images)))
        for name in ("t1", "t2", "adc"):
            odd.file(patient, name).unlink()
    channels = [
        {"name": "t2", "index": 1},
        {"name": "adc", "index": 2, "normalisation": "fixed", "range": [0, 3]},
        {"name": "t1", "index": 0},
    ]
    return {"pattern": "{patient}/all.nii.gz", "channels": channels} | changes


def test_volumes_of_a_4d_file_are_channels_by_their_index(tmp_path: Path) -> None:
    odd = sound_cohort(tmp_path / "cohort")
    before = odd.class_means()
    settings = in_one_file(odd, lambda images: np.stack(images, axis=-1))
    assert odd.words(**settings) == ([], [])
    for exam, (t1, t2, adc) in before.items():
        assert odd.class_means(**settings)[exam] == pytest.approx([t2, adc, t1], rel=1e-6)


def test_volumes_may_lie_along_the_fifth_axis(tmp_path: Path) -> None:
    odd = sound_cohort(tmp_path / "cohort")
    settings = in_one_file(odd, lambda images: np.stack(images, axis=-1)[:, :, :, None])
    assert odd.words(**settings) == ([], [])


def test_an_index_beyond_the_volumes_is_refused(tmp_path: Path) -> None:
    odd = sound_cohort(tmp_path / "cohort")
    settings = in_one_file(odd, lambda images: np.stack(images[:2], axis=-1))
    lines = odd.words(**settings)[0]
    assert len(lines) == 3
    assert lines[0] == (
        "p1/all.nii.gz: found 2 volumes; expected a volume with index 2 (counted from 0); correct the channel's index"
    )


def test_a_4d_file_without_an_index_is_refused(tmp_path: Path) -> None:
    odd = sound_cohort(tmp_path / "cohort")
    odd.change("p2", "t1", lambda data: nifti(np.stack([data, data], axis=-1)))
    odd.change("p3", "label", lambda data: nifti(np.stack([data, data], axis=-1)))
    lines = odd.words()[0]
    assert [line.split(":")[0] for line in lines] == ["p2/t1.nii.gz", "p3/label.nii.gz"]
    assert all(
        "found 2 volumes in one file; expected one volume, or an index that says which" in line
        for line in lines
    )


def test_a_volume_that_serves_two_channels_is_refused() -> None:
    channels = [{"name": "a", "index": 1}, {"name": "b", "index": 1}]
    with pytest.raises(
        ValueError, match=re.escape("two channels have index = 1, which is one volume of one file")
    ):
        cohort(pattern="{patient}/all.nii", channels=channels, classes={"a": 1})


def test_structures_are_unions_of_classes() -> None:
    own = cohort(
        classes={"core": 1, "oedema": [2, 3]}, structures={"whole": ["core", "oedema"], "edge": ["oedema"]}
    )
    assert own.structure_labels == {
        "core": (1,),
        "oedema": (2,),
        "whole": (1, 2),
        "edge": (2,),
        "union": (1, 2),
    }
