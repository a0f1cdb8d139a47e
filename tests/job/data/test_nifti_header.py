"""Headers whose statements of where the voxels lie are missing, impossible, or contradict each other."""

import math
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from job.contract.errors import DataError
from job.data.nifti import Volume, read_volume
from job.data.nifti_header import Choice

AFFINE = np.array([[-2.0, 0, 0, 23], [0, -2, 0, 19], [0, 0, 3, -16], [0, 0, 0, 1]])
SHAPE = (24, 20, 12)
QUARTER_TURN = np.array([[0.0, 2, 0, 23], [-2, 0, 0, 19], [0, 0, 3, -16], [0, 0, 0, 1]])


def nifti(
    sform: NDArray[np.float64] | None = None,
    qform: NDArray[np.float64] | None = None,
    version: Any = nib.Nifti1Image,
    shape: tuple[int, ...] = SHAPE,
    **fields: Any,
) -> bytes:
    """A file with these forms, and pixdim of the qform, else of the sform; then with these fields of its header."""
    image = version(np.arange(np.prod(shape), dtype=np.int16).reshape(shape), np.eye(4))
    image.set_qform(qform if qform is not None else sform, int(qform is not None))
    image.set_sform(sform, int(sform is not None))
    data: bytes = image.to_bytes()
    size = image.header.template_dtype.itemsize
    header = version.header_class(data[:size], check=False)  # nibabel would correct an image's header
    for name, value in fields.items():
        field, _, index = name.partition("__")
        if index:
            header[field][int(index)] = value
        else:
            header[field] = value
    return bytes(header.binaryblock) + data[size:]


def read(data: bytes, choice: Choice | None = None) -> Volume:
    return read_volume(data, "p1/t1.nii", choice=choice)


def refused(data: bytes, choice: Choice | None = None) -> str:
    with pytest.raises(DataError) as error:
        read(data, choice)
    (problem,) = error.value.problems
    assert problem.cause
    return str(problem)


def warned(volume: Volume) -> str:
    (warning,) = volume.warnings
    assert warning.cause
    return str(warning)


def scaled(affine: NDArray[np.float64], *factors: float) -> NDArray[np.float64]:
    return affine @ np.diag([*factors, 1.0])


@pytest.mark.parametrize("choice", [None, "sform", "qform", "voxels"])
@pytest.mark.parametrize("version", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize(("sform", "qform"), [(AFFINE, None), (None, AFFINE), (AFFINE, AFFINE)])
def test_a_header_without_contradiction_is_read_as_it_says_whatever_the_study_says(
    sform: Any, qform: Any, version: Any, choice: Choice | None
) -> None:
    volume = read(nifti(sform, qform, version), choice)
    np.testing.assert_allclose(volume.geometry.affine, AFFINE, atol=1e-6)
    assert volume.warnings == ()
    assert volume.geometry.voxel_ml == pytest.approx(0.012)


CARDIAC = {"sform": np.diag([-1.0, -1, 1, 1]), "qform": np.diag([-1.3157895, -1.3157895, 10, 1])}


def test_forms_that_disagree_on_spacing_are_refused_until_the_study_says_which_counts() -> None:
    """As cardiac challenge data have it: of the sform's 1 mm voxels, 17 fit into one of the qform's."""
    data = nifti(**CARDIAC)
    assert refused(data) == (
        "p1/t1.nii: found voxels of 1 x 1 x 1 mm by the sform and 1.316 x 1.316 x 10 mm by pixdim; expected one "
        "spacing; repair the header with the tool that made the file, or say which header counts: cohort.geometry = "
        '"sform" or "qform"'
    )
    assert refused(data, "voxels") == refused(data)
    for choice, spacing, voxel_ml in (
        ("sform", (1, 1, 1), 0.001),
        ("qform", (10, 1.3157895, 1.3157895), 0.0173130193),
    ):
        volume = read(data, choice)  # type: ignore[arg-type]
        assert volume.geometry.spacing_zyx_mm == pytest.approx(spacing)
        assert volume.geometry.voxel_ml == pytest.approx(voxel_ml)
        taken = " x ".join(f"{mm:.4g}" for mm in reversed(spacing))
        assert f"by pixdim; expected one spacing; {taken} mm are taken" in warned(volume)


def test_forms_that_disagree_on_axes_are_refused_until_the_study_says_which_counts() -> None:
    data = nifti(AFFINE, QUARTER_TURN)
    assert "found sform and qform whose axes are 90 degrees apart; expected one orientation" in refused(data)
    assert 'cohort.geometry = "sform" or "qform"' in refused(data)
    for choice, affine in (("sform", AFFINE), ("qform", QUARTER_TURN)):
        volume = read(data, choice)  # type: ignore[arg-type]
        np.testing.assert_allclose(volume.geometry.affine, affine, atol=1e-6)
        assert f"the {choice} counts (cohort.geometry)" in warned(volume)


def test_left_and_right_exchanged_between_the_forms_is_a_contradiction() -> None:
    assert "whose axes are 180 degrees apart" in refused(nifti(AFFINE, scaled(AFFINE, -1, 1, 1)))
    assert "whose axes are 180 degrees apart" in refused(nifti(AFFINE, AFFINE, pixdim__0=-1))


@pytest.mark.parametrize(
    ("pixdim", "said"),
    [
        ((1, 1, 1), "1 x 1 x 1"),
        ((0, 0, 0), "0 x 0 x 0"),
        ((2, -2, 3), "2 x -2 x 3"),
        ((2, 2, math.nan), "2 x 2 x nan"),
    ],
)
def test_a_sform_alone_whose_pixdim_says_something_else_is_refused(
    pixdim: tuple[float, ...], said: str
) -> None:
    data = nifti(AFFINE, **{f"pixdim__{axis}": mm for axis, mm in enumerate(pixdim, start=1)})
    assert f"found voxels of 2 x 2 x 3 mm by the sform and {said} mm by pixdim" in refused(data)
    assert refused(data).endswith('or say that the sform counts: cohort.geometry = "sform"')
    volume = read(data, "sform")
    np.testing.assert_array_equal(volume.geometry.affine, AFFINE)
    assert "2 x 2 x 3 mm are taken" in warned(volume)


@pytest.mark.parametrize(
    ("pixdim", "found"),
    [
        ((2, 2, 0), "a spacing of 2 x 2 x 0 mm; expected three edges of a voxel above 0 (pixdim)"),
        ((-2, 2, 3), "a spacing of -2 x 2 x 3 mm; expected edges above 0 (pixdim)"),
        ((math.nan, 2, 3), "a qform with the number nan; expected finite numbers"),
        ((2, math.inf, 3), "a qform with the number "),
        ((2, 2, 1e30), "a qform with the number "),
        ((1e-30, 2, 3), "a spacing of 1e-30 x 2 x 3 mm; expected three edges of a voxel above 0 (pixdim)"),
    ],
)
@pytest.mark.parametrize("choice", [None, "sform", "qform", "voxels"])
def test_a_qform_alone_needs_a_spacing(pixdim: tuple[float, ...], found: str, choice: Choice | None) -> None:
    """Nothing that the study could say would mend it."""
    data = nifti(None, AFFINE, **{f"pixdim__{axis}": mm for axis, mm in enumerate(pixdim, start=1)})
    assert f"found {found}" in refused(data, choice)


def test_a_file_without_codes_has_no_orientation_unless_the_study_takes_voxels_as_they_are() -> None:
    data = nifti(pixdim__1=2, pixdim__2=3, pixdim__3=4)
    for choice in (None, "sform", "qform"):
        assert "found no orientation (qform_code and sform_code are 0)" in refused(data, choice)  # type: ignore[arg-type]
    assert 'cohort.geometry = "voxels"' in refused(data)
    volume = read(data, "voxels")
    np.testing.assert_array_equal(volume.geometry.affine, np.diag([2, 3, 4, 1]))
    assert volume.geometry.orientation == "RAS"
    assert "left and right may be exchanged" in warned(volume)
    for mm in (0, -1, math.nan, math.inf):
        refused(nifti(pixdim__1=2, pixdim__2=3, pixdim__3=mm), "voxels")


def test_a_sheared_volume_is_refused_until_the_study_takes_its_sform() -> None:
    """A gantry tilted by 20 degrees: the slices are shifted, not turned, so that a voxel keeps its volume."""
    affine = AFFINE.copy()
    affine[1, 2] = 3 * math.tan(math.radians(20))
    data = nifti(affine, None, pixdim__3=3 / math.cos(math.radians(20)))
    for choice in (None, "qform", "voxels"):
        assert "found axes that are 20 degrees off a right angle (shear)" in refused(data, choice)  # type: ignore[arg-type]
    volume = read(data, "sform")
    assert "distances are those of a straight grid" in warned(volume)
    assert volume.geometry.voxel_ml == pytest.approx(0.012)
    assert math.prod(volume.geometry.spacing_zyx_mm) / 1000 == pytest.approx(
        0.012 / math.cos(math.radians(20))
    )


@pytest.mark.parametrize("longest", [1.0, 1.000005])
def test_a_quaternion_that_was_rounded_past_1_is_a_rotation(longest: float) -> None:
    volume = read(nifti(None, AFFINE, quatern_b=0, quatern_c=0, quatern_d=longest))
    np.testing.assert_allclose(volume.geometry.affine, AFFINE, atol=1e-9)
    assert volume.warnings == ()


@pytest.mark.parametrize("component", [1.01, math.nan, math.inf, -3.0])
def test_a_quaternion_that_is_no_rotation_is_refused_unless_the_sform_counts(component: float) -> None:
    for sform in (None, AFFINE):
        assert "is no rotation; expected b² + c² + d² of at most 1" in refused(
            nifti(sform, AFFINE, quatern_d=component)
        )
    volume = read(nifti(AFFINE, AFFINE, quatern_d=component), "sform")
    np.testing.assert_array_equal(volume.geometry.affine, AFFINE)
    assert "the sform counts (cohort.geometry)" in warned(volume)
    refused(nifti(None, AFFINE, quatern_d=component), "sform")


@pytest.mark.parametrize(("qfac", "z"), [(1, 3), (0, 3), (-1, -3)])
def test_the_handedness_of_a_qform_is_the_sign_of_the_first_pixdim(qfac: float, z: float) -> None:
    """The standard: 0 means 1, as old files have it."""
    data = nifti(None, np.diag([2.0, 2, 3, 1]), pixdim__0=qfac)
    np.testing.assert_allclose(read(data).geometry.affine, np.diag([2, 2, z, 1]), atol=1e-9)


def test_forms_that_place_a_corner_elsewhere_are_taken_with_a_word() -> None:
    """0.6 degrees turn the far corner of 24 x 20 voxels by a third of one, though the origins are the same."""
    moved = AFFINE.copy()
    moved[0, 3] += 0.3
    assert "found sform and qform that place the volume 0.15 voxels apart" in warned(
        read(nifti(AFFINE, moved))
    )
    angle = math.radians(0.6)
    turned = AFFINE.copy()
    turned[:2, :2] = AFFINE[:2, :2] @ [
        [math.cos(angle), -math.sin(angle)],
        [math.sin(angle), math.cos(angle)],
    ]
    found = warned(read(nifti(AFFINE, turned)))
    assert f"place the volume {angle * math.hypot(23, 19):.3g} voxels apart" in found
    assert "the sform counts" in found
    assert "the qform counts" in warned(read(nifti(AFFINE, turned), "qform"))
    moved[0, 3] = AFFINE[0, 3] + 0.1
    assert read(nifti(AFFINE, moved)).warnings == ()


@pytest.mark.parametrize(
    ("factor", "shape", "found"),
    [
        (1.0005, SHAPE, ""),
        (1.0005, (401, 3, 3), "found sform and pixdim that place the volume 0.2 voxels apart"),
        (1.005, SHAPE, "found voxels of 2 x 2 x 3 mm by the sform and 2.01 x 2 x 3 mm by pixdim"),
    ],
)
def test_a_spacing_that_was_rounded_is_taken_and_said_where_it_moves_voxels(
    factor: float, shape: tuple[int, ...], found: str
) -> None:
    volume = read(nifti(AFFINE, None, shape=shape, pixdim__1=2 * factor))
    np.testing.assert_array_equal(volume.geometry.affine, AFFINE)
    assert (found in warned(volume)) if found else volume.warnings == ()


@pytest.mark.parametrize("unit", ["unknown", "mm"])
@pytest.mark.parametrize("metre", [0.001, 1000.0])
def test_edges_in_metres_or_micrometres_are_said_where_the_unit_does_not_say_so(
    metre: float, unit: str
) -> None:
    data = nifti(
        np.diag([metre, metre, metre, 1]) @ AFFINE, AFFINE * metre, xyzt_units={"unknown": 0, "mm": 2}[unit]
    )
    found = warned(read(data))
    by = " x ".join(f"{edge * metre:.4g}" for edge in (2, 2, 3))
    assert f"found voxels of {by} mm; expected edges of 0.01 to 100 mm; taken as it is said" in found
    assert read(nifti(scaled(AFFINE, 0.006, 0.1, 30))).warnings == ()


@pytest.mark.parametrize("field", ["sform_code", "qform_code"])
def test_a_code_that_the_standard_does_not_know_is_said(field: str) -> None:
    volume = read(nifti(AFFINE, AFFINE, **{field: 253}))
    assert f"found {field} = 253; expected 0 to 5" in warned(volume)
    assert read(nifti(AFFINE, AFFINE, **{field: -1})).warnings == ()


@pytest.mark.parametrize(("qfac", "taken"), [(-3.3, -1), (7, 1), (math.nan, 1)])
def test_an_odd_handedness_is_taken_by_its_sign_with_a_word(qfac: float, taken: int) -> None:
    volume = read(nifti(None, np.diag([2.0, 2, 3, 1]), pixdim__0=qfac))
    np.testing.assert_allclose(volume.geometry.affine, np.diag([2, 2, 3 * taken, 1]), atol=1e-9)
    assert f"pixdim[0] = {qfac:g}; expected 1 or -1" in warned(volume)
    assert read(nifti(AFFINE, None, pixdim__0=qfac)).warnings == ()


@pytest.mark.parametrize(
    ("choice", "counts", "first"), [(None, "sform", 23.0), ("sform", "sform", 23.0), ("qform", "qform", 73.0)]
)
def test_a_place_far_away_is_said_beside_a_spacing_that_was_rounded(
    choice: Choice | None, counts: str, first: float
) -> None:
    """0.2 % of the edges apart, and 50 mm of the place: 25 voxels of 2 mm, the same at each corner."""
    moved = scaled(AFFINE, 1.002, 1.002, 1.002)
    moved[0, 3] += 50
    spacing, place = map(str, read(nifti(AFFINE, moved), choice).warnings)
    assert "found voxels of 2 x 2 x 3 mm by the sform and 2.004 x 2.004 x 3.006 mm by pixdim" in spacing
    assert (
        f"found sform and qform that place the volume {50 / (2 if counts == 'sform' else 2.004):.3g}" in place
    )
    assert f"the {counts} counts" in place
    assert read(nifti(AFFINE, moved), choice).geometry.affine[0, 3] == pytest.approx(first)


def test_a_place_far_away_is_said_where_rounding_moves_the_far_corner_too() -> None:
    """By 0.05 % of 400 voxels pixdim alone would see it a fifth of one voxel away, the qform sees it 25 away."""
    moved = scaled(AFFINE, 1.0005, 1, 1)
    moved[1, 3] += 50
    found = warned(read(nifti(AFFINE, moved, shape=(401, 3, 3))))
    assert "sform and qform that place the volume 25 voxels apart" in found
