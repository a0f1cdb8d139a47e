"""Files of an exam that lie on different grids: which one is the odd one out, and what may mend it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from job.data.exam_grids import grid_name, overlap
from job.data.geometry import Geometry, canonical_axes
from tests.job.data.odd_cohorts import AFFINE, NAMES, SHAPE, OddCohort, nifti, sound_cohort

SIMPLE_ITK = np.diag([-1.0, -1.0, 1.0, 1.0])
"""What `sitk.GetImageFromArray` leaves where nobody calls `CopyInformation`."""


@pytest.fixture
def cohort(tmp_path: Path) -> OddCohort:
    return sound_cohort(tmp_path / "cohort", ("p1", "p2", "p3", "p4"))


def geometry(affine: NDArray[Any], shape: tuple[int, int, int] = SHAPE) -> Geometry:
    return Geometry(shape_xyz=shape, affine=affine, header="", to_canonical=canonical_axes(affine))


def moved(*by_mm: float) -> NDArray[np.float64]:
    affine = AFFINE.copy()
    affine[:3, 3] += by_mm
    return affine


@pytest.mark.parametrize("lost", [np.eye(4), np.diag([2.0, 2, 3, 1]), SIMPLE_ITK])
@pytest.mark.parametrize("resample_to", [None, "t1"])
@pytest.mark.parametrize("name", ["label", "t2"])
def test_the_one_file_that_lost_its_header_is_named(
    cohort: OddCohort, lost: NDArray[Any], resample_to: str | None, name: str
) -> None:
    """Resampling would move it, so that is not offered, and stays a problem where the study says so."""
    cohort.change("p2", name, lambda data: nifti(data, lost))
    (problem,), _ = cohort.words(resample_to=resample_to)
    first = "t1" if resample_to else "mask" if name == "label" else "label"
    assert problem.startswith(
        f"p2/{name}.nii.gz: found the same 24 x 20 x 12 voxels under another header, with straight axes that begin "
        "at 0, 0, 0 ("
    )
    assert f"expected the grid of p2/{first}.nii.gz and 3 other files of the exam (LPS)" in problem
    assert problem.endswith(
        f"; if p2/{name}.nii.gz has lost its header, copy that of p2/{first}.nii.gz (e.g. FSL's `fslcpgeom`) and "
        "look at the two together"
    )


def test_the_channel_that_all_files_are_to_be_resampled_to_may_have_lost_its_header(
    cohort: OddCohort,
) -> None:
    cohort.change("p2", "t1", lambda data: nifti(data, np.eye(4)))
    (problem,), _ = cohort.words(resample_to="t1")
    assert problem.startswith("p2/t1.nii.gz: found the same 24 x 20 x 12 voxels under another header")


def test_of_two_grids_with_as_many_files_the_one_that_was_lost_is_wrong(cohort: OddCohort) -> None:
    for name in ("label", "mask"):
        cohort.change("p2", name, lambda data: nifti(data, np.eye(4)))
    problems, _ = cohort.words(channels=["t1", "t2"], ignore=["**/adc*"])
    assert [problem.split(":")[0] for problem in problems] == ["p2/label.nii.gz", "p2/mask.nii.gz"]
    assert all("expected the grid of p2/t1.nii.gz and 1 other file of the exam (LPS)" in p for p in problems)


def test_where_most_files_lost_their_header_it_is_that_of_the_others_that_is_right(cohort: OddCohort) -> None:
    for name in ("t1", "t2", "adc", "mask"):
        cohort.change("p2", name, lambda data: nifti(data, np.eye(4)))
    (problem,), _ = cohort.words()
    assert problem.startswith("p2/label.nii.gz: found the same 24 x 20 x 12 voxels under another header")
    assert "if p2/mask.nii.gz has lost its header, copy that of p2/label.nii.gz" in problem


@pytest.mark.parametrize(
    ("affine", "offered"),
    [
        (moved(1.0, 0, 0), True),  # half a voxel
        (moved(15.0, 0, 0), False),  # a third of the width: 69 % overlap
        (moved(40.0, 0, 0), False),  # 17 % overlap
    ],
)
def test_resampling_is_offered_where_the_volumes_lie_in_one_place(
    cohort: OddCohort, affine: NDArray[Any], offered: bool
) -> None:
    cohort.change("p2", "t2", lambda data: nifti(data, affine))
    (problem,), _ = cohort.words()
    assert problem.startswith("p2/t2.nii.gz: found the same 24 x 20 x 12 voxels under another header")
    assert ("cohort.resample_to" in problem) == offered


def test_a_file_that_hardly_overlaps_is_a_problem_where_files_are_resampled_too(cohort: OddCohort) -> None:
    """48 mm wide, moved by 40: of 12 columns of the lattice 2 lie in the other volume."""
    assert overlap(geometry(moved(40, 0, 0)), geometry(AFFINE)) == pytest.approx(2 / 12)
    cohort.change("p2", "t2", lambda data: nifti(data, moved(40, 0, 0)))
    (problem,), _ = cohort.words(resample_to="t1")
    assert "look whether it is of this exam: 17% of its volume and that of p2/t1.nii.gz overlap" in problem


def test_a_slab_within_a_head_overlaps_as_a_whole() -> None:
    head, slab = geometry(np.diag([1.0, 1, 1, 1]), (200, 200, 200)), np.diag([1.0, 1, 5, 1])
    slab[2, 3] = 20
    assert overlap(geometry(slab, (200, 200, 12)), head) == 1
    assert overlap(head, geometry(slab, (200, 200, 12))) == 1


@pytest.mark.parametrize("both", [True, False])
def test_a_file_on_the_grid_of_another_exam_says_so(cohort: OddCohort, both: bool) -> None:
    for number, patient in enumerate(("p1", "p2", "p3", "p4")):
        for name in NAMES:
            cohort.change(patient, name, lambda data, n=number: nifti(data, moved(n, 0, 0)))
    one, other = cohort.file("p2", "t2"), cohort.file("p4", "t2")
    contents = one.read_bytes(), other.read_bytes()
    one.write_bytes(contents[1])
    if both:
        other.write_bytes(contents[0])
    problems, _ = cohort.words()
    about = next(line for line in problems if line.startswith("p2/t2.nii.gz: found the same 24 x 20 x 12"))
    assert ", 1 voxels away (LPS), which is the grid of exam p4" in about
    assert ("; and p4/t2.nii.gz has that of exam p2: exchanged?; expected" in about) == both


def test_a_grid_has_one_name_however_its_axes_are_stored() -> None:
    image = nifti(np.zeros(SHAPE, np.uint8)).as_reoriented(np.array([[1, -1], [2, 1], [0, 1]]))
    assert grid_name(geometry(image.affine, image.shape)) == grid_name(geometry(AFFINE))
    assert grid_name(geometry(moved(0.01, 0, 0))) != grid_name(geometry(AFFINE))


@pytest.mark.parametrize("others", [("p4",), ("p1", "p3", "p4")])
def test_a_channel_that_is_resampled_from_the_grid_of_another_exam_says_so(
    cohort: OddCohort, others: tuple[str, ...]
) -> None:
    """Unless many exams have that grid: it is that of a protocol."""
    for patient in ("p1", "p2", "p3", "p4"):
        affine = moved(1 if patient in others else 2, 0, 0)
        for name in NAMES:
            cohort.change(patient, name, lambda data, a=affine: nifti(data, a))
    cohort.change("p2", "t2", lambda data: nifti(data, moved(1, 0, 0)))
    problems, warnings = cohort.words(resample_to="t1")
    assert problems == []
    about = [
        warning
        for warning in warnings
        if warning.startswith("p2/t2.nii.gz: found the grid of exam p4 (channel t2)")
    ]
    assert len(about) == (len(others) == 1)


def test_two_channels_that_are_resampled_from_each_other_s_grid_say_so(cohort: OddCohort) -> None:
    for number, patient in enumerate(("p1", "p2", "p3", "p4")):
        for name in NAMES:
            own = {("p2", "t2"): 3, ("p4", "t2"): 1}.get((patient, name), number)
            cohort.change(patient, name, lambda data, n=own: nifti(data, moved(n, 0, 0)))
    problems, warnings = cohort.words(resample_to="t1")
    assert problems == []
    assert [w.split("; expected")[0] for w in warnings if "has that of" in w] == [
        "p2/t2.nii.gz: found the grid of exam p4; and p4/t2.nii.gz has that of exam p2 (channel t2)",
        "p4/t2.nii.gz: found the grid of exam p2; and p2/t2.nii.gz has that of exam p4 (channel t2)",
    ]
