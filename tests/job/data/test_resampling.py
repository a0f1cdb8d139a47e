"""Files with grids of their own, brought onto one channel's: a place in the patient stays where it is."""

import gzip
import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from job.data.geometry import Geometry
from job.data.nifti import read_volume, write_labels
from job.data.resampling import resampled, resampled_labels
from tests.fuzzing import fuzzed
from tests.job.data.odd_cohorts import AFFINE, SHAPE, OddCohort, exam_of, nifti, sound_cohort

SLOPE = np.array([0.3, -0.2, 0.5])
"""Of a linear function of the place, per mm."""


def geometry(shape: tuple[int, int, int], affine: NDArray[np.float64]) -> Geometry:
    return read_volume(nib.Nifti1Image(np.zeros(shape, np.uint8), affine).to_bytes(), "f").geometry


def places(own: Geometry) -> NDArray[np.float64]:
    """Where the voxels of a grid are, in mm: (X, Y, Z, 3)."""
    voxels = np.stack(np.meshgrid(*map(np.arange, own.shape_xyz), indexing="ij"), axis=-1)
    return voxels @ own.affine[:3, :3].T + own.affine[:3, 3]


def linear(own: Geometry) -> NDArray[np.float32]:
    return (places(own) @ SLOPE + 10).astype(np.float32)


def turned(degrees: float) -> NDArray[np.float64]:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rotation = np.eye(4)
    rotation[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, c, -s], [0, s, c]]
    )
    return rotation


TARGET = geometry((12, 11, 10), np.array([[-2.0, 0, 0, 10], [0, -2, 0, 9], [0, 0, 3, -12], [0, 0, 0, 1]]))
SOURCES = {
    "the same": ((12, 11, 10), TARGET.affine),
    "along other axes": ((10, 12, 11), TARGET.affine @ np.eye(4)[[1, 2, 0, 3]]),
    "finer": ((60, 55, 40), TARGET.affine @ np.diag([0.25, 0.25, 0.3, 1])),
    "coarser": (
        (9, 9, 9),
        TARGET.affine @ np.diag([1.9, 1.7, 1.5, 1]) + np.pad([[3.0], [3], [-3], [0]], ((0, 0), (3, 0))),
    ),
    "shifted by half a voxel": (
        (14, 13, 12),
        TARGET.affine + np.pad([[1.0], [1], [-1.5], [0]], ((0, 0), (3, 0))),
    ),
    "turned": (
        (40, 40, 40),
        np.array([[0, 0, 0, -20], [0, 0, 0, -20], [0, 0, 0, -20], [0, 0, 0, 0]]) + turned(25),
    ),
    "flipped": (
        (12, 11, 10),
        TARGET.affine @ np.array([[-1, 0, 0, 11], [0, 1, 0, 0], [0, 0, -1, 9], [0, 0, 0, 1]]),
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_linear_function_of_the_place_comes_out_as_itself(name: str) -> None:
    source = geometry(*SOURCES[name])
    image, uncovered = resampled(linear(source), source, TARGET, outside=-999)
    right = linear(TARGET)
    covered = image != -999
    assert uncovered == pytest.approx(1 - covered.mean())
    assert covered.mean() > 0.5
    into = np.linalg.inv(source.affine)
    position = places(TARGET) @ into[:3, :3].T + into[:3, 3]
    reach = (
        2 + 4 * np.maximum(np.linalg.norm((into @ TARGET.affine)[:3, :3], axis=1) - 1, 0) / 2
    )  # the Gaussian's
    inner = ((position > reach) & (position < np.array(source.shape_xyz) - 1 - reach)).all(axis=-1)
    np.testing.assert_allclose(image[inner], right[inner], atol=1e-3)
    edges = np.linalg.norm(source.affine[:3, :3], axis=0)
    half_a_voxel = np.abs(SLOPE @ source.affine[:3, :3]).sum() / 2
    assert edges.min() > 0
    if reach.max() == 2:
        np.testing.assert_array_less(np.abs(image - right)[covered], half_a_voxel + 1e-3)


@pytest.mark.parametrize("name", SOURCES)
def test_labels_are_those_of_the_nearest_voxel(name: str) -> None:
    """Each voxel's label is its number; what comes out must be the number of a voxel whose centre is next."""
    source = geometry(*SOURCES[name])
    numbers = np.arange(1, math.prod(source.shape_xyz) + 1, dtype=np.uint32).reshape(source.shape_xyz)
    labels, outside = resampled_labels(numbers, source, TARGET)
    assert labels.dtype == np.uint32
    assert 0 <= outside < 1
    covered = labels > 0
    where = np.stack(np.unravel_index(labels[covered].astype(np.int64) - 1, source.shape_xyz), axis=-1)
    centres = where @ source.affine[:3, :3].T + source.affine[:3, 3]
    offset = (places(TARGET)[covered] - centres) @ np.linalg.inv(source.affine)[:3, :3].T
    assert np.abs(offset).max() <= 0.5 + 1e-5
    image, uncovered = resampled(linear(source), source, TARGET, outside=-999)
    np.testing.assert_array_equal(covered, image != -999)
    assert uncovered == pytest.approx(1 - covered.mean())


def test_between_two_voxels_the_upper_one_is_taken_along_all_of_an_axis() -> None:
    """Rounding to even would take every other voxel twice."""
    source = geometry((8, 1, 1), np.diag([1.0, 1, 1, 1]))
    target = geometry((7, 1, 1), np.array([[1.0, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    labels, _ = resampled_labels(np.arange(8, dtype=np.uint8).reshape(8, 1, 1), source, target)
    assert labels.ravel().tolist() == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("dtype", [">i2", "<u8", ">f4", "i8"])
def test_labels_of_any_type_stay_what_they_are(dtype: str) -> None:
    top = 2**63 if dtype == "<u8" else 2**53 + 1 if dtype == "i8" else 300
    values = np.full(TARGET.shape_xyz, top, dtype)
    source = geometry(TARGET.shape_xyz, TARGET.affine @ np.diag([1.01, 1, 1, 1]))
    labels, _ = resampled_labels(values, source, TARGET)
    assert {int(value) for value in np.unique(labels)} <= {0, top}
    assert labels.dtype == np.dtype(dtype)


@fuzzed(60)
@given(
    edge=st.tuples(*[st.floats(0.4, 4)] * 3),
    angle=st.floats(-180, 180),
    origin=st.tuples(*[st.floats(-9, 9)] * 3),
)
def test_a_ball_stays_where_it_is_on_any_grid(
    edge: tuple[float, ...], angle: float, origin: tuple[float, ...]
) -> None:
    """Its centre of mass moves by less than half a voxel of either grid."""
    affine = turned(angle) @ np.diag([*edge, 1.0])
    affine[:3, 3] = affine[:3, :3] @ [-24, -24, -24] + origin
    source = geometry((49, 49, 49), affine)
    target = geometry(
        (41, 41, 27), np.array([[-1.0, 0, 0, 20], [0, 1, 0, -20], [0, 0, 1.5, -19.5], [0, 0, 0, 1]])
    )
    distance = np.linalg.norm(places(source) - origin, axis=-1)
    labels, _ = resampled_labels((distance < 8).astype(np.uint8), source, target)
    image, _ = resampled(np.exp(-((distance / 6) ** 2)), source, target, outside=0)
    for volume in (labels, image):
        centre = (places(target) * volume[..., None]).sum(axis=(0, 1, 2)) / volume.sum()
        assert np.linalg.norm(centre - origin) < max(*edge, 1.5) / 2


def coarse_t2(odd: OddCohort, patient: str, affine: NDArray[np.float64] | None = None) -> None:
    """Puts a t2 of a linear function onto a grid of its own."""
    own = geometry((14, 12, 20), affine if affine is not None else AFFINE @ np.diag([1.9, 1.9, 0.65, 1]))
    odd.write(patient, "t2", nifti(linear(own) + 300, own.affine))


def test_an_exam_is_loaded_onto_the_grid_of_one_channel(tmp_path: Path) -> None:
    """The t2 of another grid is there where it belongs; without the setting it is refused."""
    odd = sound_cohort(tmp_path / "cohort")
    coarse_t2(odd, "p2")
    (problem,) = odd.words()[0]
    assert problem.startswith(
        "p2/t2.nii.gz: found 14 x 12 x 20 voxels (LPS); expected 24 x 20 x 12, the grid of"
    )
    assert "let cohort.resample_to name the channel" in problem
    problems, warnings = odd.words(resample_to="t1")
    assert problems == []
    assert [warning for warning in warnings if "same" in warning or "lacks" in warning] == []
    exam = exam_of(1)
    own = geometry(SHAPE, AFFINE)
    tumour = float((linear(own) + 300)[exam["label"] == 1].mean())
    t1, t2, adc = odd.class_means(resample_to="t1")["p2"]
    assert t2 == pytest.approx(tumour, abs=0.05)
    assert t1 == pytest.approx(float(exam["t1"][exam["label"] == 1].mean()), rel=1e-5)
    assert adc == pytest.approx(float(exam["adc"][exam["label"] == 1].mean()), rel=1e-5)


def test_labels_follow_onto_the_channel_s_grid_and_predictions_get_its_header(tmp_path: Path) -> None:
    """The label map is finer than the channel; its volume stays, as far as 80 voxels can show it."""
    odd = sound_cohort(tmp_path / "cohort")
    for patient in ("p1", "p2", "p3"):
        coarse_t2(odd, patient)
    exam = odd.check(resample_to="t2").exams[1]  # all have one image here, which is a problem of its own
    assert exam.exam == "p2"
    assert exam.geometry.shape_xyz == (14, 12, 20)
    data = gzip.decompress(odd.file("p2", "t2").read_bytes())
    volume_ml = exam_of(1)["label"].sum() * 0.012
    assert exam.volume_ml(1) == pytest.approx(volume_ml, rel=0.25)
    header = nib.Nifti1Header(data[:348], check=False)
    labels = np.zeros((20, 12, 14), np.uint8)
    written = nib.Nifti1Image.from_bytes(gzip.decompress(write_labels(labels, exam.geometry)))
    for name in (
        "dim",
        "pixdim",
        "sform_code",
        "qform_code",
        "srow_x",
        "srow_y",
        "srow_z",
        "qoffset_x",
        "quatern_d",
    ):
        assert written.header[name].tobytes() == header[name].tobytes()


def test_a_channel_that_covers_a_part_and_labels_that_are_cut_off_are_said(tmp_path: Path) -> None:
    odd = sound_cohort(tmp_path / "cohort")
    label = exam_of(1)["label"]
    for patient in ("p1", "p2", "p3"):
        odd.change(patient, "t2", lambda data: nifti(np.ascontiguousarray(data[:, :, :6])))
    problems, warnings = odd.words(resample_to="t1")
    assert problems == []
    lacking = [warning for warning in warnings if "lacks" in warning]
    assert len(lacking) == 3
    assert (
        "p2/t2.nii.gz: found a volume that lacks 50% of the grid it is resampled onto (channel t2)"
        in lacking[1]
    )
    cut = [warning for warning in odd.words(resample_to="t2")[1] if "outside the grid" in warning]
    assert len(cut) == 3
    share = label[:, :, 6:].sum() / label.sum()
    assert f"p2/label.nii.gz: found {share:.1%} of what is not 0 outside the grid of p2/t2.nii.gz" in cut[1]


def test_files_on_the_channel_s_own_grid_are_not_resampled(tmp_path: Path) -> None:
    odd = sound_cohort(tmp_path / "cohort")
    before: Any = odd.class_means()
    assert odd.class_means(resample_to="adc") == before
    assert odd.words(resample_to="t1") == ([], [])
