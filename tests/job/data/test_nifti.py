"""NIfTI files as scanners, tools and broken disks leave them."""

import gzip
from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from job.contract.errors import DataError
from job.data.geometry import Geometry
from job.data.nifti import read_labels, read_volume, write_labels

NiftiBytes = Callable[..., bytes]
SHARED = Path(__file__).parents[4] / "shared" / "data"
REAL_FILES = sorted(SHARED.glob("*/*/*.nii.gz"))
SPACING_MM = np.array([0.5, 1.25, 3])
ORIENTATIONS = [
    np.diag(signs)[:, axes] for axes in permutations(range(3)) for signs in product((1, -1), repeat=3)
]
"""All 48 ways in which a file's axes can lie along right, anterior, superior: (3, 3) matrices."""


def affine_of(orientation: NDArray[np.int64]) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = orientation * SPACING_MM
    affine[:3, 3] = [-10, 20.5, 3]
    return affine


def problem_of(data: bytes) -> str:
    with pytest.raises(DataError) as error:
        read_volume(data, "p1/t1.nii.gz")
    (problem,) = error.value.problems
    assert problem.file == "p1/t1.nii.gz"
    return str(problem)


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=str)
def test_every_voxel_of_any_orientation_lands_at_its_place_in_the_world(
    nifti_bytes: NiftiBytes, orientation: NDArray[np.int64]
) -> None:
    """Each voxel holds its own position, coded: on the canonical grid it must be where it was."""
    affine = affine_of(orientation)
    voxels = np.stack(np.meshgrid(*map(np.arange, (2, 3, 4)), indexing="ij"), axis=-1)
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    first = world.reshape(-1, 3).min(axis=0)
    edges = np.abs(affine[:3, :3]).sum(axis=1)
    steps = np.rint((world - first) / edges).astype(np.int16)
    volume = read_volume(nifti_bytes((steps @ [1, 10, 100]).astype(np.int16), affine), "f")
    z, y, x = np.indices(volume.values_ZYX().shape)
    np.testing.assert_array_equal(volume.values_ZYX(), x + 10 * y + 100 * z)
    assert volume.values_ZYX().flags.c_contiguous
    assert volume.geometry.spacing_zyx_mm == tuple(edges[::-1])
    assert volume.geometry.orientation == "".join(nib.aff2axcodes(affine))


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=str)
@pytest.mark.parametrize("image_class", [nib.Nifti1Image, nib.Nifti2Image])
def test_labels_go_back_onto_the_file_s_own_grid_and_header(
    orientation: NDArray[np.int64], image_class: type[nib.Nifti1Image]
) -> None:
    affine = affine_of(orientation)
    labels = np.random.default_rng(0).integers(0, 5, (2, 3, 4)).astype(np.int16)
    image = image_class(labels, affine)
    image.set_qform(affine, 3)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"drawn by hand"
    image.header["intent_code"] = 1002
    data = image.to_bytes()
    written = image_class.from_bytes(gzip.decompress(_rewritten(data)))
    np.testing.assert_array_equal(np.asarray(written.dataobj), labels)
    np.testing.assert_array_equal(written.affine, image_class.from_bytes(data).affine)
    assert written.get_data_dtype() == np.uint8
    changed = [key for key in image.header if written.header[key].tobytes() != image.header[key].tobytes()]
    assert set(changed) <= {"datatype", "bitpix", "vox_offset", "scl_slope", "scl_inter"}


def _rewritten(data: bytes) -> bytes:
    return write_labels(read_labels(data, "f"), read_volume(data, "f").geometry)


def test_an_oblique_file_goes_to_the_nearest_axes_and_comes_back() -> None:
    turn = np.deg2rad(20)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    affine = affine_of(ORIENTATIONS[13])
    affine[:3] = rotation @ affine[:3]
    labels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    data = nib.Nifti1Image(labels, affine).to_bytes()
    straight = nib.Nifti1Image(labels, affine_of(ORIENTATIONS[13])).to_bytes()
    np.testing.assert_array_equal(
        read_volume(data, "f").values_ZYX(), read_volume(straight, "f").values_ZYX()
    )
    np.testing.assert_allclose(
        read_volume(data, "f").geometry.spacing_zyx_mm, read_volume(straight, "f").geometry.spacing_zyx_mm
    )
    written = nib.Nifti1Image.from_bytes(gzip.decompress(_rewritten(data)))
    np.testing.assert_array_equal(np.asarray(written.dataobj), labels)


@pytest.mark.real_data
@pytest.mark.skipif(not REAL_FILES, reason="needs ../shared/data")
@pytest.mark.parametrize("path", REAL_FILES[::7], ids=lambda path: "-".join(path.parts[-3:]))
def test_real_files_read_as_nibabel_reads_them(path: Path) -> None:
    expected = nib.as_closest_canonical(nib.load(path))
    volume = read_volume(path.read_bytes(), path.name)
    values = np.asarray(expected.dataobj, dtype=np.float32)
    np.testing.assert_array_equal(volume.values_ZYX(), values.transpose(2, 1, 0))
    np.testing.assert_allclose(
        volume.geometry.spacing_zyx_mm, np.array(expected.header.get_zooms())[::-1], rtol=1e-6
    )


@pytest.mark.real_data
@pytest.mark.skipif(not REAL_FILES, reason="needs ../shared/data")
@pytest.mark.parametrize(
    ("name", "orientation", "values"),
    [
        ("brats2015/pat0003/label.nii.gz", "LPS", [0, 1, 2, 3, 4]),
        ("brats2015/pat0003/brainmask.nii.gz", "LPS", [0, 1]),
        ("openms/patient07/label.nii.gz", "LAS", [0, 1]),
    ],
)
def test_real_label_maps_read_as_integers_and_go_back(name: str, orientation: str, values: list[int]) -> None:
    path = next((p for p in REAL_FILES if p.as_posix().endswith(name)), SHARED / name)
    data = path.read_bytes()
    labels, geometry = read_labels(data, name), read_volume(data, name).geometry
    assert geometry.orientation == orientation
    assert np.unique(labels).tolist() == values
    original = nib.load(path)
    written = nib.Nifti1Image.from_bytes(gzip.decompress(write_labels(labels, geometry)))
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.rint(np.asarray(original.dataobj)))
    np.testing.assert_array_equal(written.affine, original.affine)
    np.testing.assert_array_equal(written.header["pixdim"][:4], original.header["pixdim"][:4])
    for key in ("qform_code", "sform_code", "xyzt_units", "quatern_b", "qoffset_x"):
        np.testing.assert_array_equal(written.header[key], original.header[key])


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("image_class", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_any_real_format_is_read(
    compressed: bool, endianness: str, image_class: type[nib.Nifti1Image], dtype: str
) -> None:
    header = image_class.header_class(endianness=endianness)
    header.set_data_dtype(dtype)
    values = np.arange(24).reshape(2, 3, 4)
    data = image_class(values.astype(dtype), np.eye(4), header).to_bytes()
    volume = read_volume(gzip.compress(data) if compressed else data, "f")
    assert volume.values_ZYX().dtype == np.float32
    np.testing.assert_array_equal(volume.values_ZYX(), values.transpose(2, 1, 0))
    written = image_class.from_bytes(gzip.decompress(_rewritten(data)))
    np.testing.assert_array_equal(np.asarray(written.dataobj), values)


def test_values_are_scaled_by_slope_and_intercept(nifti_bytes: NiftiBytes) -> None:
    stored = np.array([[[0, 1], [2, -3]]], np.int16)
    data = _patched(nifti_bytes(stored, np.eye(4)), 112, np.float32([0.5, -1]))
    np.testing.assert_array_equal(read_volume(data, "f").values_ZYX().ravel(), [-1, 0, -0.5, -2.5])
    unscaled = _patched(data, 112, np.float32([0, 7]))  # NIfTI: a slope of 0 means that there is none
    np.testing.assert_array_equal(read_volume(unscaled, "f").values_ZYX().ravel(), [0, 2, 1, -3])


def test_predictions_are_not_scaled_by_the_label_map_s_slope(nifti_bytes: NiftiBytes) -> None:
    labels = np.array([[[0, 1], [2, 3]]], np.uint8)
    data = _patched(nifti_bytes(labels, np.eye(4)), 112, np.float32([2, 0]))
    written = nib.Nifti1Image.from_bytes(gzip.decompress(_rewritten(data)))
    np.testing.assert_array_equal(np.asarray(written.dataobj), 2 * labels)


def _patched(data: bytes, offset: int, values: NDArray[np.generic] | bytes) -> bytes:
    new = values if isinstance(values, bytes) else values.tobytes()
    return data[:offset] + new + data[offset + len(new) :]


def test_axes_of_one_voxel_after_the_third_are_dropped(nifti_bytes: NiftiBytes) -> None:
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1, 1)
    volume = read_volume(nifti_bytes(values), "f")
    assert volume.geometry.shape_xyz == (2, 3, 4)
    assert volume.values_ZYX().shape == (4, 3, 2)
    written = nib.Nifti1Image.from_bytes(gzip.decompress(_rewritten(nifti_bytes(values))))
    np.testing.assert_array_equal(np.asarray(written.dataobj), values[..., 0, 0])


def test_a_single_slice_is_a_volume(nifti_bytes: NiftiBytes) -> None:
    assert read_volume(nifti_bytes(np.ones((5, 4, 1), np.uint8)), "f").values_ZYX().shape == (1, 4, 5)


def test_extensions_of_the_header_are_skipped(nifti_bytes: NiftiBytes) -> None:
    image = nib.Nifti1Image(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.eye(4))
    plain = read_volume(image.to_bytes(), "f")
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"where it came from" * 9))
    data = image.to_bytes()
    assert len(data) > 352 + 24
    volume = read_volume(data, "f")
    np.testing.assert_array_equal(volume.values_ZYX(), plain.values_ZYX())
    written = nib.Nifti1Image.from_bytes(gzip.decompress(_rewritten(data)))
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(image.dataobj))


def test_the_same_labels_give_the_same_bytes(nifti_bytes: NiftiBytes) -> None:
    data = nifti_bytes(np.ones((2, 3, 4), np.uint8))
    assert _rewritten(data) == _rewritten(data)
    assert _rewritten(data)[4:8] == bytes(4)  # gzip's time stamp


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([0, 255], np.uint8), ([0, 256], np.int16), ([-1, 4], np.int16), ([0, 40_000], np.int32)],
)
def test_label_values_beyond_a_byte_are_written_in_a_wider_format(
    nifti_bytes: NiftiBytes, values: list[int], dtype: type[np.integer]
) -> None:
    labels = np.array(values).reshape(1, 1, 2)
    written = nib.Nifti1Image.from_bytes(gzip.decompress(_rewritten(nifti_bytes(labels.astype(np.int32)))))
    assert written.get_data_dtype() == dtype
    np.testing.assert_array_equal(np.sort(np.asarray(written.dataobj).ravel()), values)


SMALL = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
"""120 bytes: a `.nii` file of 472."""


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda data: data[:8], "a damaged file (8 bytes, where a header alone has 348)"),
        (lambda data: data[:200], "a damaged file (200 bytes, where a header alone has 348)"),
        (lambda data: b"\x00\x02" + data[2:], "a damaged file (a header that begins with 00 02 00 00"),
        (lambda data: data[:348], "a damaged file (348 of 472 bytes)"),
        (lambda data: data[:352], "a damaged file (352 of 472 bytes)"),
        (lambda data: data[:-1], "a damaged file (471 of 472 bytes)"),
        (lambda data: gzip.compress(data[:400]), "a damaged file (400 of 472 bytes)"),
        (lambda data: gzip.compress(data)[:-12], "a damaged file (the compressed data end too early)"),
        (lambda data: gzip.compress(data)[:6], "a damaged file (6 bytes are no whole gzip file)"),
        (
            lambda data: _patched(gzip.compress(data), -8, b"\0\0\0\0"),
            "a damaged file (Error -3 while decompressing data: incorrect data check)",
        ),
        (lambda data: _patched(gzip.compress(data), 10, b"\xff" * 9), "a damaged file (Error -3 while"),
        (
            lambda data: _patched(data, 42, np.array([32767] * 3, "i2")),
            "a damaged file (472 of 70362301923678 bytes)",
        ),
        (lambda data: _patched(data, 108, np.float32([np.inf])), "a damaged file ("),
    ],
)
def test_a_damaged_file_is_a_problem_with_a_remedy(
    nifti_bytes: NiftiBytes, damage: Callable[[bytes], bytes], found: str
) -> None:
    problem = problem_of(damage(nifti_bytes(SMALL, np.eye(4))))
    assert problem.startswith(f"p1/t1.nii.gz: found {found}")
    assert problem.endswith("; expected a complete NIfTI file; copy or export it again")


def test_volumes_that_are_no_single_3d_map_of_numbers_are_problems(nifti_bytes: NiftiBytes) -> None:
    assert (
        "found 2 volumes in one file; expected one volume, or an index that says which; if they are channels, "
        'say which is which: { name = "...", index = 0 } to 1; else store one volume a file'
        in problem_of(nifti_bytes(np.zeros((3, 4, 5, 2), np.int16)))
    )
    assert "found 2-D data of shape (3, 4)" in problem_of(nifti_bytes(np.zeros((3, 4), np.int16)))
    assert "found 3-D data of shape (0, 4, 5)" in problem_of(_patched(nifti_bytes(SMALL), 42, np.int16([0])))
    rgb = np.zeros((3, 4, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    for data in (np.zeros((3, 4, 5), np.complex64), rgb):
        assert "; expected real numbers, one per voxel; convert the file" in problem_of(nifti_bytes(data))


@pytest.mark.parametrize(
    ("column", "found"),
    [
        ([0, 0, 0], "that cannot be inverted; expected a valid sform or qform"),
        ([1, 0, 0], "that cannot be inverted; expected a valid sform or qform"),
        ([1, 1e-7, 0], "that cannot be inverted; expected a valid sform or qform"),
        ([1e-30, 0, 0], "that cannot be inverted; expected a valid sform or qform"),
        ([np.nan, 0, 1], "with the number nan; expected finite numbers, in mm and below 1e+09"),
        ([0, 2e9, 0], "with the number 2e+09; expected finite numbers, in mm and below 1e+09"),
    ],
)
def test_an_affine_without_volume_is_a_problem(column: list[float], found: str) -> None:
    image = nib.Nifti1Image(SMALL, np.eye(4))
    image.header["sform_code"] = 1
    for field, value in zip(("srow_x", "srow_y", "srow_z"), column, strict=True):
        image.header[field][1] = value
    image = nib.Nifti1Image(SMALL, None, image.header)
    assert f"found a sform {found}" in problem_of(image.to_bytes())


def test_tiny_voxels_are_voxels(nifti_bytes: NiftiBytes) -> None:
    volume = read_volume(nifti_bytes(SMALL, np.diag([1e-4, -1e-4, 2e-4, 1])), "f")
    np.testing.assert_allclose(volume.geometry.spacing_zyx_mm, (2e-4, 1e-4, 1e-4))


def test_lengths_in_another_unit_than_mm_are_a_problem(nifti_bytes: NiftiBytes) -> None:
    assert "found lengths in metres; expected millimetres" in problem_of(nifti_bytes(SMALL, xyzt_units=1))
    assert "found lengths in micrometres" in problem_of(nifti_bytes(SMALL, xyzt_units=3 + 8))
    assert read_volume(nifti_bytes(SMALL, xyzt_units=0), "f").values_ZYX().max() == 59


def _sound_files() -> list[bytes]:
    files = []
    for image_class, endianness, dtype in product((nib.Nifti1Image, nib.Nifti2Image), "<>", ("i2", "f8")):
        header = image_class.header_class(endianness=endianness)
        header.set_data_dtype(dtype)
        image = image_class(SMALL.astype(dtype), np.diag([-1, 2, 3, 1]), header)
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"hello"))
        files.append(image.to_bytes())
    return files + [gzip.compress(data, mtime=0) for data in files[:2]]


@settings(max_examples=600, deadline=None)
@example(data=_sound_files()[0][:352], changes=[(42, 255), (44, 127), (46, 127)], kept=1.0)
@given(
    data=st.sampled_from(_sound_files()),
    changes=st.lists(st.tuples(st.integers(0, 600) | st.integers(0, 359), st.integers(0, 255)), max_size=4),
    kept=st.just(1.0) | st.floats(0, 1),
)
@pytest.mark.filterwarnings("ignore:Extension size is not a multiple:UserWarning")
def test_whatever_happened_to_a_file_it_is_read_or_a_problem(
    data: bytes, changes: list[tuple[int, int]], kept: float
) -> None:
    damaged = bytearray(data)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    try:
        volume = read_volume(bytes(damaged[: round(kept * len(damaged))]), "f")
    except DataError as error:
        problems = error.problems
        assert problems
    else:
        problems = volume.warnings
        assert volume.values_ZYX().size == volume.stored_xyz.size > 0
        assert min(volume.geometry.spacing_zyx_mm) > 0
    assert all(p.file == "f" and p.found and p.expected and p.remedy for p in problems)


def test_labels_next_to_an_integer_are_that_integer_and_others_are_refused(nifti_bytes: NiftiBytes) -> None:
    rounded = np.array([[[0, 0.99999997], [2.0000002, 2.9995]]])
    labels = read_labels(nifti_bytes(rounded, np.eye(4)), "f")
    assert labels.dtype == np.int64
    assert labels.ravel().tolist() == [0, 2, 1, 3]
    with pytest.raises(
        DataError, match=r"f: found 2 voxels that are not integral, e\.g\. 0\.25, 1\.5; expected"
    ):
        read_labels(nifti_bytes(np.array([[[0, 1.5], [0.25, 1]]])), "f")


def test_corners_apart_are_measured_in_edges_of_the_smallest_voxel(nifti_bytes: NiftiBytes) -> None:
    """11 voxels along x of 2 mm: a scale wrong by 1 % moves the far corner by 0.2 mm of 1 mm voxels."""

    def geometry(affine: list[float]) -> Geometry:
        return read_volume(nifti_bytes(np.zeros((11, 5, 2), np.uint8), np.diag(affine)), "f").geometry

    assert geometry([2, 1, 3, 1]).distance_voxels(geometry([2.02, 1, 3, 1])) == pytest.approx(0.2, rel=1e-4)
    assert geometry([2, 1, 3, 1]).distance_voxels(geometry([2, 1, 3, 1])) == 0


def _warned(data: bytes) -> tuple[list[float], str]:
    """The values of a file, and the one warning about it."""
    volume = read_volume(data, "f")
    (warning,) = volume.warnings
    assert warning.cause
    return volume.geometry.in_file(volume.values_ZYX()).ravel(order="F").tolist(), str(warning)


STORED = SMALL.ravel(order="F").tolist()


@pytest.mark.parametrize("offset", [0, 1, 100, 340, 351, -8])
def test_voxels_cannot_begin_inside_the_header(nifti_bytes: NiftiBytes, offset: float) -> None:
    values, warning = _warned(_patched(nifti_bytes(SMALL, np.eye(4)), 108, np.float32([offset])))
    assert values == STORED
    assert (
        f"found voxels that begin at byte {offset:g} (vox_offset), inside the header; expected 352 or more"
        in warning
    )
    two = nib.Nifti2Image(SMALL, np.eye(4)).to_bytes()
    values, warning = _warned(_patched(two, 168, np.int64([offset])))
    assert values == STORED
    assert "expected 544 or more" in warning


def test_a_file_without_the_four_bytes_for_extensions_is_read(nifti_bytes: NiftiBytes) -> None:
    data = _patched(nifti_bytes(SMALL, np.eye(4)), 108, np.float32([348]))
    volume = read_volume(data[:348] + data[352:], "f")
    assert volume.warnings == ()
    np.testing.assert_array_equal(volume.stored_xyz, SMALL)


def test_bytes_after_the_last_voxel_are_said(nifti_bytes: NiftiBytes) -> None:
    """As where the header has a smaller type or shape than what was written."""
    values, warning = _warned(nifti_bytes(SMALL, np.eye(4)) + b"xyz")
    assert values == STORED
    assert "found 3 bytes after the last voxel" in warning
    _, warning = _warned(
        _patched(nifti_bytes(SMALL, np.eye(4)), 70, np.int16([2, 8]))
    )  # 16 bits said to be 8
    assert "found 60 bytes after the last voxel" in warning
    assert "the header's data type or shape is wrong" in warning


@pytest.mark.parametrize("sizes", [[4, 3, 4, 5, 0], [5, 3, 4, 5, 1, -1], [4, 3, 4, 5, -7]])
def test_sizes_below_1_after_the_third_are_1(nifti_bytes: NiftiBytes, sizes: list[int]) -> None:
    data = _patched(nifti_bytes(SMALL, np.eye(4)), 40, np.array(sizes, "<i2"))
    values, warning = _warned(data)
    assert values == STORED
    assert "expected sizes of at least 1; read as 1, as the standard's code does" in warning
    written = nib.Nifti1Image.from_bytes(gzip.decompress(_rewritten(data)))
    assert written.shape == SMALL.shape


@pytest.mark.parametrize(
    ("slope", "intercept", "taken"),
    [
        (0, 7, (1, 0)),
        (np.nan, 7, (1, 0)),
        (2, np.nan, (2, 0)),
        (1e-17, 1, (1e-17, 1)),
    ],
)
def test_an_odd_scale_is_taken_as_the_standard_means_it_with_a_word(
    nifti_bytes: NiftiBytes, slope: float, intercept: float, taken: tuple[float, float]
) -> None:
    values, warning = _warned(_patched(nifti_bytes(SMALL, np.eye(4)), 112, np.float32([slope, intercept])))
    assert values == pytest.approx([taken[0] * value + taken[1] for value in STORED])
    assert f"found a scale of {slope:g} (scl_slope) and {intercept:g} (scl_inter)" in warning


@pytest.mark.parametrize(("slope", "intercept"), [(0, 0), (1, 0), (-2, 7), (1e-9, 0), (1, -1024)])
def test_usual_scales_are_not_mentioned(nifti_bytes: NiftiBytes, slope: float, intercept: float) -> None:
    assert read_volume(_patched(nifti_bytes(SMALL), 112, np.float32([slope, intercept])), "f").warnings == ()


@pytest.mark.parametrize("intercept", [0, np.nan])
@pytest.mark.parametrize("slope", [np.nan, np.inf])
def test_a_slope_that_is_no_number_is_none(nifti_bytes: NiftiBytes, slope: float, intercept: float) -> None:
    """As nibabel wrote it once, and as ITK reads it too."""
    volume = read_volume(_patched(nifti_bytes(SMALL, np.eye(4)), 112, np.float32([slope, intercept])), "f")
    assert volume.warnings == ()
    np.testing.assert_array_equal(volume.geometry.in_file(volume.values_ZYX()), SMALL)


@pytest.mark.parametrize(("code", "what"), [(1006, "a displacement"), (1007, "a vector"), (2003, "a colour")])
def test_voxels_that_are_said_to_hold_more_than_a_number_are_said(
    nifti_bytes: NiftiBytes, code: int, what: str
) -> None:
    values, warning = _warned(nifti_bytes(SMALL, np.eye(4), intent_code=code))
    assert values == STORED
    assert f"found intent_code = {code}, which says that a voxel holds {what}" in warning
    assert read_volume(nifti_bytes(SMALL, intent_code=1002), "f").warnings == ()


@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "f4", "f8"])
def test_a_negative_slope_turns_values_round(dtype: str, endianness: str) -> None:
    """7 - 2 x stored, also of types that have no numbers below 0."""
    header = nib.Nifti1Header(endianness=endianness)
    header.set_data_dtype(dtype)
    data = nib.Nifti1Image(np.arange(24).reshape(2, 3, 4).astype(dtype), np.eye(4), header).to_bytes()
    scaled = _patched(data, 112, np.array([-2, 7], f"{endianness}f4"))
    expected = 7 - 2.0 * np.arange(24).reshape(2, 3, 4).transpose(2, 1, 0)
    np.testing.assert_array_equal(read_volume(scaled, "f").values_ZYX(), expected)
    np.testing.assert_array_equal(nib.Nifti1Image.from_bytes(scaled).get_fdata().T, expected)


@pytest.mark.parametrize(("shape", "index", "first"), [((3, 4, 5, 1, 3), 1, 60), ((3, 4, 5, 2, 3), 5, 300)])
def test_a_volume_of_a_file_of_five_axes_is_counted_in_the_order_of_storage(
    nifti_bytes: NiftiBytes, shape: tuple[int, ...], index: int, first: int
) -> None:
    values = np.arange(np.prod(shape), dtype=np.int16).reshape(shape, order="F")
    volume = read_volume(nifti_bytes(values), "f", index=index)
    np.testing.assert_array_equal(volume.stored_xyz.ravel(order="F"), np.arange(first, first + 60))


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (1, "data of type binary"),
        (32, "data of type complex64"),
        (1792, "data of type complex128"),
        (1536, "data of type float128"),
        (128, "data of type RGB"),
        (2304, "data of type RGBA"),
        (511, "a damaged file (datatype 511: "),
    ],
)
def test_a_type_that_is_no_real_number_is_named(nifti_bytes: NiftiBytes, code: int, found: str) -> None:
    assert f"found {found}" in problem_of(_patched(nifti_bytes(SMALL), 70, np.int16([code])))
