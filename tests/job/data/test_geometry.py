"""One grid, however its files are stored: any order of axes, any direction, any way to state it."""

import base64
import gzip
import math
import tempfile
from itertools import permutations, product
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.orientations import apply_orientation, inv_ornt_aff
from numpy.typing import NDArray

from job.contract.cohort import Cohort
from job.contract.errors import DataError
from job.data.cohort_files import find_exams
from job.data.exam import Exam, load_exam
from job.data.exam_grids import Grid
from job.data.nifti import FIRST_VOXEL, Volume, read_volume, write_labels
from job.storage.local import LocalStorage
from tests.fuzzing import fuzzed

Forms = Literal["sform", "qform", "both", "both, NIfTI-2"]
FORMS: tuple[Forms, ...] = ("sform", "qform", "both", "both, NIfTI-2")
ORDERS = [
    np.array(list(zip(axes, signs, strict=True)))
    for axes in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]
"""All 48 ways to store a volume: for each axis of the grid, the file's axis that it becomes, and its direction."""
SHAPE = (5, 6, 7)
IDENTITY = np.arange(math.prod(SHAPE)).reshape(SHAPE)
"""Each voxel of the grid by a number of its own: fewer than the classes that a study may have."""
MAY_DIFFER = {"datatype", "bitpix", "scl_slope", "scl_inter", "cal_min", "cal_max", "vox_offset", "magic"}
"""Fields of a label map's header that a prediction need not repeat."""


def turned(degrees: float, axis: int) -> NDArray[np.float64]:
    """A rotation about one of the world's axes."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rotation = np.eye(3)
    first, second = [other for other in range(3) if other != axis]
    rotation[[first, first, second, second], [first, second, first, second]] = c, -s, s, c
    return rotation


@st.composite
def grids(draw: st.DrawFn) -> NDArray[np.float64]:
    """The affine of a grid: straight, exactly between two axes, or anyhow oblique."""
    angle = st.sampled_from([0.0, 20.0, 45.0, 44.999, 135.0, 90.0]) | st.floats(-180, 180)
    rotation = np.eye(3)
    for axis in draw(st.permutations(range(3))):
        rotation = turned(draw(angle), axis) @ rotation
    edge = st.sampled_from([1.0, 2.0]) | st.floats(0.3, 9)
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([draw(edge), draw(edge), draw(edge)])
    affine[:3, 3] = [draw(st.floats(-300, 300)) for _ in range(3)]
    return affine


def stored(
    values: NDArray[Any], affine: NDArray[np.float64], order: NDArray[np.int64], forms: Forms, dtype: str
) -> bytes:
    """A file that holds a grid's values in an order of axes of its own; header numbers are rounded as they are."""
    data = apply_orientation(values, order).astype(dtype)
    own = affine @ inv_ornt_aff(order, values.shape)
    kind = nib.Nifti2Image if forms == "both, NIfTI-2" else nib.Nifti1Image
    image = kind(data, own, dtype=data.dtype)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"made by hand"
    image.set_sform(own, 0 if forms == "qform" else 1)
    image.set_qform(own, 0 if forms == "sform" else 1)
    contents: bytes = kind(data, None, image.header).to_bytes()
    return contents


orders = st.sampled_from(ORDERS)
forms = st.sampled_from(FORMS)
dtypes = st.sampled_from([">i2", "<i2", "u1", "<f4", ">f4", "<f8", "<i4"])


def on_grid_of(label: Volume, image: Volume) -> NDArray[Any]:
    return image.stored_ZYX(Grid("label", label.geometry).axes_of("image", image.geometry), label.geometry)


@fuzzed(200)
@given(
    affine=grids(),
    order=st.tuples(orders, orders),
    form=st.tuples(forms, forms),
    dtype=st.tuples(dtypes, dtypes),
)
def test_two_files_of_one_grid_agree_voxel_for_voxel(
    affine: NDArray[np.float64],
    order: tuple[NDArray[np.int64], NDArray[np.int64]],
    form: tuple[Forms, Forms],
    dtype: tuple[str, str],
) -> None:
    """Whichever axes the rounding of either file's header sends it along."""
    image, label = (
        read_volume(stored(IDENTITY, affine, own_order, own_form, own_dtype), "f")
        for own_order, own_form, own_dtype in zip(order, form, dtype, strict=True)
    )
    np.testing.assert_array_equal(on_grid_of(label, image), label.stored_ZYX())
    assert label.geometry.voxel_ml == pytest.approx(abs(np.linalg.det(affine[:3, :3])) / 1000, rel=1e-5)
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    assert sorted(label.geometry.spacing_zyx_mm) == pytest.approx(sorted(edges), rel=1e-5)
    assert label.geometry.orientation == "".join(nib.aff2axcodes(label.geometry.affine))


def world_of_voxels(geometry_affine: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return voxels @ geometry_affine[:3, :3].T + geometry_affine[:3, 3]


@fuzzed(100)
@given(affine=grids(), order=orders, form=forms)
def test_axes_of_the_stored_array_grow_towards_right_anterior_superior(
    affine: NDArray[np.float64], order: NDArray[np.int64], form: Forms
) -> None:
    """Along each, a step goes further that way than along any axis that another one could have had."""
    volume = read_volume(stored(IDENTITY, affine, order, form, "<i2"), "f")
    world = world_of_voxels(affine, SHAPE).reshape(-1, 3)
    values_XYZ = volume.stored_ZYX().T
    steps = [world[values_XYZ[tuple(one)]] - world[values_XYZ[0, 0, 0]] for one in np.eye(3, dtype=int)]
    directions = np.array([step / np.linalg.norm(step) for step in steps])
    assert (np.diag(directions) > 0).all()
    best = max(sum(abs(directions[a, p[a]]) for a in range(3)) for p in permutations(range(3)))
    assert np.trace(directions) > best - 0.5  # nibabel takes one axis after another


def exam_of(contents: dict[str, bytes], **cohort: Any) -> Exam:
    """An exam that is loaded from these files."""
    study = Cohort.model_validate(
        {
            "root": ".",
            "pattern": "{patient}/{channel}.nii",
            "labels": "{patient}/label.nii",
            "mask": "{patient}/mask.nii",
            "channels": [{"name": name, "normalisation": "none"} for name in ("t1", "t2")],
            "classes": {f"class {value}": value for value in range(1, IDENTITY.size)},
        }
        | cohort
    )
    with tempfile.TemporaryDirectory() as folder:
        source = LocalStorage(Path(folder))
        for name, data in contents.items():
            source.write(f"p1/{name}.nii", data)
        (files,) = find_exams(source.list(), study)
        return load_exam(source, files, study, "float32")


@fuzzed(60)
@given(
    affine=grids(),
    order=st.tuples(orders, orders, orders, orders),
    form=st.tuples(forms, forms, forms, forms),
)
def test_what_is_stored_of_an_exam_is_at_one_place_in_all_arrays(
    affine: NDArray[np.float64],
    order: tuple[NDArray[np.int64], ...],
    form: tuple[Forms, ...],
) -> None:
    """The classes are the voxels' numbers, the channels' values too, and the mask is of the odd ones."""
    values = {
        "t1": IDENTITY,
        "t2": 3 * IDENTITY + 2,
        "label": IDENTITY * (IDENTITY % 2),
        "mask": IDENTITY % 2,
    }
    files = {
        name: stored(each, affine, own_order, own_form, "<i2")
        for (name, each), own_order, own_form in zip(values.items(), order, form, strict=True)
    }
    exam = exam_of(files)
    inside = exam.label_ZYX % 2 == 1
    np.testing.assert_array_equal(exam.mask_ZYX, inside)
    np.testing.assert_array_equal(exam.image_CZYX[0], exam.label_ZYX)
    np.testing.assert_array_equal(exam.image_CZYX[1], np.where(inside, 3.0 * exam.label_ZYX + 2, 0))
    np.testing.assert_array_equal(np.bincount(exam.label_ZYX.ravel()), np.bincount(values["label"].ravel()))
    same_geometry(write_labels(exam.label_ZYX, exam.geometry), files["label"])


@fuzzed(60)
@given(affine=grids(), order=st.tuples(orders, orders), form=st.tuples(forms, forms), seed=st.integers(0, 99))
def test_the_mean_of_a_channel_in_a_class_is_the_files_own(
    affine: NDArray[np.float64],
    order: tuple[NDArray[np.int64], NDArray[np.int64]],
    form: tuple[Forms, Forms],
    seed: int,
) -> None:
    draws = np.random.default_rng(seed)
    image, label = draws.integers(0, 4000, SHAPE), draws.integers(0, 3, SHAPE)
    files = {
        "t1": stored(image, affine, order[0], form[0], ">i2"),
        "t2": stored(image, affine, order[1], form[0], "<f8"),
        "label": stored(label, affine, order[1], form[1], "u1"),
    }
    exam = exam_of(files, mask=None, classes={"a": 1, "b": 2})
    for value in range(3):
        expected = image[label == value].mean()
        for stored_ZYX in exam.image_CZYX.astype(np.float64):
            assert stored_ZYX[exam.label_ZYX == value].mean() == pytest.approx(expected, rel=1e-12)


def same_geometry(written: bytes, original: bytes) -> None:
    """Asserts that a prediction's file is where the label map's is, header byte for header byte, with its values."""
    prediction = gzip.decompress(written)
    kind = nib.Nifti2Image if original[:1] == b"\x1c" else nib.Nifti1Image
    size = kind.header_class.template_dtype.itemsize
    one, other = (kind.header_class(data[:size], check=False) for data in (prediction, original))
    for name in one.template_dtype.names:
        if name not in MAY_DIFFER:
            assert one[name].tobytes() == other[name].tobytes(), name
    first = FIRST_VOXEL[1 if size == 348 else 2]
    assert (float(one["vox_offset"]), bytes(one["magic"])[:2]) == (first, b"n+")
    values = np.asarray(kind.from_bytes(original).dataobj)
    np.testing.assert_array_equal(np.asarray(kind.from_bytes(prediction).dataobj), values)
    np.testing.assert_array_equal(kind.from_bytes(prediction).affine, kind.from_bytes(original).affine)


@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_a_prediction_keeps_a_header_of_either_endianness_and_version(kind: Any, endianness: str) -> None:
    header = kind.header_class(endianness=endianness)
    header.set_data_dtype(np.int16)
    header["descrip"] = b"from the scanner"
    header["cal_max"], header["scl_slope"] = 7, 1
    image = kind(np.arange(210, dtype=np.int16).reshape(SHAPE), np.diag([-1.5, 2, 3, 1]), header)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"where it came from" * 9))
    data = image.to_bytes()
    volume = read_volume(data, "f")
    written = gzip.decompress(write_labels(volume.stored_ZYX(), volume.geometry))
    assert base64.b64decode(volume.geometry.header) == data[: len(image.header.binaryblock)]
    one, other = (kind.header_class(d[: len(image.header.binaryblock)], check=False) for d in (written, data))
    assert one.endianness == endianness
    changed = {name for name in one.template_dtype.names if one[name].tobytes() != other[name].tobytes()}
    assert changed <= MAY_DIFFER
    np.testing.assert_array_equal(np.asarray(kind.from_bytes(written).dataobj), np.asarray(image.dataobj))


def test_a_slab_at_45_degrees_whose_channels_lie_on_both_sides_of_the_tie() -> None:
    """By rounding the label map's x axis is nearer to right, one channel's nearer to anterior: they are one grid."""
    shape, draws = (24, 24, 12), np.random.default_rng(0)
    image, label = draws.integers(1, 999, shape), draws.integers(0, 2, shape)
    below, above = np.eye(4), np.eye(4)
    below[:3, :3] = turned(44.999, 2) @ np.diag([2, 2, 3])
    above[:3, :3] = turned(45.001, 2) @ np.diag([2, 2, 3])
    assert nib.aff2axcodes(below) != nib.aff2axcodes(above)
    as_it_is = ORDERS[0]
    exam = exam_of(
        {
            "t1": stored(image, below, as_it_is, "sform", "<i2"),
            "t2": stored(image, above, as_it_is, "sform", "<i2"),
            "label": stored(label, below, as_it_is, "qform", "u1"),
        },
        mask=None,
        classes={"a": 1},
    )
    np.testing.assert_array_equal(exam.image_CZYX[0], exam.image_CZYX[1])
    assert exam.image_CZYX[1][exam.label_ZYX > 0].mean() == pytest.approx(image[label > 0].mean())


@fuzzed(60)
@given(affine=grids(), order=orders, by=st.floats(0.12, 5), axis=st.integers(0, 2), form=forms)
def test_a_file_that_lies_elsewhere_is_another_grid(
    affine: NDArray[np.float64], order: NDArray[np.int64], by: float, axis: int, form: Forms
) -> None:
    moved = affine.copy()
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    moved[:3, 3] += by * edges.min() * affine[:3, axis] / edges[axis]
    label = read_volume(stored(IDENTITY, affine, ORDERS[0], "both", "<i2"), "label")
    image = read_volume(stored(IDENTITY, moved, order, form, "<i2"), "image")
    with pytest.raises(DataError, match=r"voxels under another header, .*expected the grid of label"):
        on_grid_of(label, image)


@pytest.mark.parametrize(
    ("shape", "affine", "plane"),
    [
        ((9, 9, 3), [1, 1, 5, 1], "axial"),
        ((9, 3, 9), [1, 5, 1, 1], "coronal"),
        ((3, 9, 9), [-5, 1, -1, 1], "sagittal"),
        ((9, 9, 9), [1, 1.2, 1.4, 1], "isotropic"),
        ((9, 9, 9), [1, 3, 3, 1], "isotropic"),
    ],
)
def test_the_plane_of_the_slices_is_across_the_longest_edge(
    shape: tuple[int, ...], affine: list[float], plane: str
) -> None:
    for order in ORDERS[::5]:
        data = stored(np.zeros(shape), np.diag(affine), order, "both", "u1")
        assert read_volume(data, "f").geometry.plane == plane
