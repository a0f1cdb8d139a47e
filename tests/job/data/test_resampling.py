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
from job.data.prepare import prepare_cohort
from job.data.resampling import resampled, resampled_labels
from job.data.store import ExamReader, read_record
from job.storage.local import LocalStorage
from tests.fuzzing import fuzzed
from tests.job.data.odd_cohorts import AFFINE, SHAPE, OddCohort, exam_of, nifti, patched, sound_cohort, study

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
    image, covered = resampled(linear(source), source, TARGET, outside=-999)
    right = linear(TARGET)
    np.testing.assert_array_equal(covered, image != -999)
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
    np.testing.assert_array_equal(covered, resampled(linear(source), source, TARGET, outside=-999)[1])


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
    label, mask = exam_of(1)["label"], exam_of(1)["mask"]
    beyond = int(mask[:, :, 6:].sum())
    for patient in ("p1", "p2", "p3"):
        odd.change(patient, "t2", lambda data: nifti(np.ascontiguousarray(data[:, :, :6])))
    problems, warnings = odd.words(resample_to="t1")
    assert problems == []
    lacking = [warning for warning in warnings if "lacks" in warning]
    assert len(lacking) == 3
    assert (
        f"p2/t2.nii.gz: found a volume that lacks {beyond} voxels ({beyond / mask.sum():.2%}) of the mask that it is "
        "resampled onto (channel t2)" in lacking[1]
    )
    cut = [warning for warning in odd.words(resample_to="t2")[1] if "outside the grid" in warning]
    assert len(cut) == 3
    share = label[:, :, 6:].sum() / label.sum()
    assert (
        f"p2/label.nii.gz: found {share:.1%} of the labelled voxels outside the grid of p2/t2.nii.gz"
        in cut[1]
    )


def test_files_on_the_channel_s_own_grid_are_not_resampled(tmp_path: Path) -> None:
    odd = sound_cohort(tmp_path / "cohort")
    before: Any = odd.class_means()
    assert odd.class_means(resample_to="adc") == before
    assert odd.words(resample_to="t1") == ([], [])


NODES = {"classes": {"tumour": 1, "node": 2}, "mask": None, "ignore": ["**/mask*"]}


@pytest.fixture
def thick(tmp_path: Path) -> OddCohort:
    """Label maps of 1 mm whose channels have slices of 6 mm; the node is 3 x 3 x 1 voxels, on a slice's centre."""
    odd = sound_cohort(tmp_path / "cohort", ("p1", "p2", "p3"), np.eye(4), (48, 40, 48))
    for patient in ("p1", "p2", "p3"):
        for name in ("t1", "t2", "adc"):
            odd.change(patient, name, lambda data: nifti(data[:, :, ::6], np.diag([1.0, 1, 6, 1])))
        odd.change(patient, "label", lambda data: with_node(data, 24))
    return odd


def with_node(label: NDArray[Any], z: int) -> nib.Nifti1Image:
    node = label.copy()
    node[2:5, 20:23, z] = 2
    return nifti(node, np.eye(4))


def test_a_class_that_resampling_loses_is_refused(thick: OddCohort) -> None:
    """Between two slices there is no voxel of the node; nothing that a fold could learn or be tested on."""
    thick.change("p2", "label", lambda data: with_node(np.where(data == 2, 0, data), 27 - 1))
    problems, _ = thick.words(resample_to="t1", **NODES)
    assert problems[0] == (
        "p2/label.nii.gz: found 0.009 ml (9 voxels) of class node, which become none at all on the grid of "
        "cohort.resample_to; expected a change of at most 20%; its voxels are too large for this structure, or do "
        "not cover it: choose another channel for cohort.resample_to, or leave the exam out with cohort.exclude"
    )


def test_a_class_that_resampling_inflates_is_said_with_both_volumes(thick: OddCohort) -> None:
    """9 voxels of 1 mm³ become 9 of 6 mm³; the tumour of some 450 hardly changes."""
    problems, warnings = thick.words(resample_to="t1", **NODES)
    assert problems == []
    changed = [warning for warning in warnings if "which become" in warning]
    assert [warning[:2] for warning in changed] == ["p1", "p2", "p3"]
    assert (
        "p2/label.nii.gz: found 0.009 ml of class node, which become 0.054 ml (+500%) on the grid"
        in changed[1]
    )


def test_a_structure_of_a_few_voxels_may_come_out_as_one_more_or_less(tmp_path: Path) -> None:
    """Six of the channel's voxels, of which the labels' half-voxel shift takes two: a third, and no three voxels."""
    odd = sound_cohort(tmp_path / "cohort")
    for patient in ("p1", "p2", "p3"):
        label = np.zeros((48, 20, 12), np.uint8)
        label[20:25, 10, 5], label[20, 10, 6] = 1, 1
        odd.write(patient, "label", nifti(label, AFFINE @ np.diag([0.5, 1, 1, 1])))
    found = odd.check(resample_to="t1")
    assert found.exams[0].voxels[1] == 4  # of 6 halves: 4 voxels, where 3 have their volume
    assert [str(problem) for problem in found.warnings if "become" in problem.found] == []


def test_classes_in_files_of_their_own_follow_onto_the_channel_s_grid(tmp_path: Path) -> None:
    """Also where the header turns 3 and 5 into 0 and 1; what is both is the class that comes first."""
    odd = sound_cohort(tmp_path / "cohort")
    own = geometry((24, 20, 24), AFFINE @ np.diag([1, 1, 0.5, 1]))
    for seed, patient in enumerate(("p1", "p2", "p3")):
        label = np.repeat(exam_of(seed)["label"], 2, axis=2)
        odd.file(patient, "label").unlink()
        stored = nifti(3 + 2 * label, own.affine)
        odd.write(patient, "GTVt", patched(stored, 112, np.float32([0.5, -1.5])))
        odd.write(patient, "GTVn", nifti(np.roll(label, 6, axis=0), own.affine))
    found = odd.check(
        resample_to="t1",
        mask=None,
        ignore=["**/mask*"],
        labels="{patient}/{class}.nii.gz",
        classes={"tumour": "GTVt", "node": "GTVn"},
    )
    assert found.problems == ()
    for seed, exam in enumerate(found.exams):
        label = exam_of(seed)["label"]
        node = np.roll(label, 6, axis=0) > label
        assert exam.voxels[1:] == (label.sum(), node.sum())


def test_values_that_no_class_has_are_found_though_resampling_would_lose_them(thick: OddCohort) -> None:
    def with_9(label: NDArray[Any]) -> nib.Nifti1Image:
        label = label.copy()
        label[0, 0, 3] = 9
        return nifti(label, np.eye(4))

    thick.change("p2", "label", with_9)
    assert thick.words(resample_to="t1", **NODES)[0][0].startswith(
        "p2/label.nii.gz: found unknown label values 9 (1 voxel)"
    )


CT = {"name": "adc", "normalisation": "fixed", "range": [-1024, 976]}


@pytest.mark.parametrize(("air", "filled"), [(-1024.0, -1024.0), (0.0, 0.0), (None, -1000.0)])
def test_what_a_channel_does_not_cover_has_its_background_or_its_smallest_value(
    tmp_path: Path, air: float | None, filled: float
) -> None:
    """Two of 48 slices: 0 would be water in CT. The background is that of the border; noise has none."""
    odd = sound_cohort(tmp_path / "cohort", ("p1", "p2", "p3"), np.eye(4), (24, 20, 48))
    for seed, patient in enumerate(("p1", "p2", "p3")):
        values = 500 * exam_of(seed, (24, 20, 48))["adc"]
        if air is None:
            noise = np.random.default_rng(seed).uniform(-990, -900, values.shape)
            noise[3, 3, 4] = -1000
            ct = np.where(values > 0, values, noise)
        else:
            ct = np.where(values > 0, values, air)
        odd.write(patient, "adc", nifti(ct[:, :, :46:2].astype(np.float32), np.diag([1.0, 1, 2, 1])))
    settings = {"mask": None, "ignore": ["**/mask*"], "resample_to": "t1", "channels": ["t1", "t2", CT]}
    problems, warnings = odd.words(**settings)
    assert problems == []
    lacking = [warning for warning in warnings if "lacks" in warning]
    assert len(lacking) == 3
    assert (
        f"p2/adc.nii.gz: found a volume that lacks {2 * 24 * 20} voxels ({2 / 48:.2%}) of the grid that it is "
        f"resampled onto (channel adc); expected one that covers the exam; what is not covered is {filled:.4g}"
        in lacking[1]
    )
    own, store = study(**settings), LocalStorage(tmp_path / "store")
    index = prepare_cohort(LocalStorage(odd.root), store, own, workers=2, progress=lambda *_: None).index
    reader = ExamReader(store, read_record(store, index.recipe, "p2", index.exams[1].digest))
    ct_ZYX = reader.image([2])[0]
    np.testing.assert_allclose(ct_ZYX[46:], (filled + 1024) / 2000, atol=1e-6)
    assert not np.allclose(ct_ZYX[45], (filled + 1024) / 2000, atol=1e-3)


def test_known_voxels_alone_count(tmp_path: Path) -> None:
    """A constant stays one up to the last voxel that any known one reaches; a slope is that of the known ones."""
    source = geometry((20, 20, 20), np.eye(4))
    target = geometry((10, 19, 30), np.diag([2.0, 1, 0.6, 1]))
    known = np.random.default_rng(0).random((20, 20, 20)) < 0.9
    known[:, :, 14:] = False
    image, covered = resampled(np.full((20, 20, 20), 7.0), source, target, outside=-1, known_xyz=known)
    np.testing.assert_allclose(image[covered], 7, rtol=1e-5)
    assert (image[~covered] == -1).all()
    assert covered[:, :, :21].mean() > 0.99  # up to 12 mm
    assert not covered[:, :, 24:].any()  # from 14.4 mm


def without_brain(odd: OddCohort, patient: str, spoil: int = 0) -> tuple[int, int]:
    """A t2 of slices of its own that is NaN outside the mask, and in so many voxels inside; how many of each."""
    exam = exam_of(0, (24, 20, 48))
    mask, t2 = exam["mask"][:, :, ::2], exam["t2"][:, :, ::2]
    t2 = np.where(mask, t2, np.float32(np.nan))
    t2[tuple(np.argwhere(mask)[:spoil].T)] = np.nan
    odd.write(patient, "t2", nifti(t2, np.diag([1.0, 1, 2, 1])))
    return int((mask == 0).sum()), int(mask.sum())


@pytest.mark.parametrize("onto", ["t1", "adc"])
def test_nan_outside_the_mask_does_not_spread_into_it(tmp_path: Path, onto: str) -> None:
    """Neither onto thinner slices nor onto thicker ones; NaN that the file has in the mask is the file's fault."""
    odd = sound_cohort(tmp_path / "cohort", ("p1", "p2", "p3"), np.eye(4), (24, 20, 48))
    outside, inside = without_brain(odd, "p1")
    for patient in ("p1", "p2", "p3"):
        odd.change(patient, "adc", lambda data: nifti(data[:, :, ::3], np.diag([1.0, 1, 3, 1])))
    problems, warnings = odd.words(resample_to=onto)
    assert problems == []
    (warning,) = [warning for warning in warnings if "NaN" in warning]
    assert warning.startswith(
        f"p1/t2.nii.gz: found {outside} voxels outside the mask that are NaN or infinite (channel t2)"
    )
    assert odd.exam("p1", resample_to=onto).channels["t2"].filled == outside
    found = odd.exam("p1", resample_to=onto).channels["t2"]
    assert found.minimum > 150  # tissue is around 300, and no 0 was mixed into it
    without_brain(odd, "p1", spoil=20)
    (problem,) = odd.words(resample_to=onto)[0]
    assert problem.startswith(
        f"p1/t2.nii.gz: found 20 voxels that are NaN, infinite or beyond 32-bit floats inside the mask "
        f"({20 / inside:.2%} of it)"
    )
