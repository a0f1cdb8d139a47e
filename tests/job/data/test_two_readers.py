"""Damaged and odd files against two other readers: what these read differently is never taken without a word.

nibabel takes the sform first and spacing from it; ITK, here through SimpleITK, may take either form and takes spacing
from pixdim. Where one of them refuses a file, there is nothing to hold the other's reading against.

Run long with `--hypothesis-profile=long`.
"""

import gzip
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, note
from hypothesis import strategies as st
from numpy.typing import NDArray

from job.contract.errors import DataError
from job.data.nifti import read_volume
from tests.fuzzing import fuzzed

SPACING_TOLERANCE = 0.01
PLACE_TOLERANCE_VOXELS = 0.1
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)


@dataclass(frozen=True)
class Reading:
    """What a reader makes of a file."""

    values_xyz: NDArray[np.float64]
    affine: NDArray[np.float64]


def by_nibabel(data: bytes) -> Reading | None:
    kind = (
        nib.Nifti2Image
        if 540 in (int.from_bytes(data[:4], "little"), int.from_bytes(data[:4], "big"))
        else nib.Nifti1Image
    )
    try:
        image = kind.from_bytes(data)
        values = np.asarray(image.dataobj, dtype=np.float64)
    except Exception:  # whatever it is: it does not read the file
        return None
    return Reading(
        values.reshape(values.shape[:3]) if values.size == np.prod(values.shape[:3]) else values, image.affine
    )


def by_itk(data: bytes) -> Reading | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f.nii"
        path.write_bytes(data)
        try:
            image = SimpleITK.ReadImage(path)
        except RuntimeError:
            return None
    if image.GetNumberOfComponentsPerPixel() != 1:
        return None
    values = SimpleITK.GetArrayFromImage(image).astype(np.float64).T
    axes = min(image.GetDimension(), 3)
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(image.GetDimension(), -1)[:axes, :axes]
    affine[:axes, :axes] = direction * np.array(image.GetSpacing())[:axes]
    affine[:axes, 3] = np.array(image.GetOrigin())[:axes]
    if values.size == np.prod(values.shape[:3]):
        values = values.reshape(values.shape[:3])
    return Reading(values, LPS_TO_RAS @ affine)


def difference(one: Reading, other: Reading) -> str:
    """What two readers read differently; empty where they agree."""
    if one.values_xyz.shape != other.values_xyz.shape:
        return f"shape {one.values_xyz.shape} and {other.values_xyz.shape}"
    with np.errstate(over="ignore"):  # what is beyond single precision is refused with the values
        values = [reading.values_xyz.astype(np.float32).astype(np.float64) for reading in (one, other)]
    scale = np.abs(values[0][np.isfinite(values[0])]).max(initial=1e-32)
    if not np.allclose(*values, rtol=1e-5, atol=1e-6 * scale, equal_nan=True):
        return f"values {values[0].ravel()[:4]} and {values[1].ravel()[:4]}"
    edges = [np.linalg.norm(reading.affine[:3, :3], axis=0) for reading in (one, other)]
    if (np.abs(edges[0] / edges[1] - 1) > SPACING_TOLERANCE).any():
        return f"spacing {edges[0]} and {edges[1]}"
    last = np.array(one.values_xyz.shape) - 1
    corners = np.array([[i, j, k, 1] for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])]).T
    apart = np.linalg.norm(((one.affine - other.affine) @ corners)[:3], axis=0).max() / min(edges[0])
    if apart > PLACE_TOLERANCE_VOXELS:
        return f"corners {apart:.3g} voxels apart"
    return ""


odd_floats = st.sampled_from(
    [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        2.0,
        3.0,
        1.0005,
        1.002,
        1.02,
        10.0,
        352.0,
        348.0,
        544.0,
        1e-8,
        1e-30,
        1e30,
        np.nan,
        np.inf,
        -np.inf,
    ]
) | st.floats(-4, 4, width=32)
odd_integers = st.integers(-2, 9) | st.sampled_from([16, 64, 256, 512, 768, 1024, 1280, 32767, -32768])
FIELDS: dict[str, tuple[int, st.SearchStrategy[Any]]] = {
    "dim": (8, odd_integers),
    "pixdim": (8, odd_floats),
    "srow_x": (4, odd_floats),
    "srow_y": (4, odd_floats),
    "srow_z": (4, odd_floats),
    "quatern_b": (0, odd_floats),
    "quatern_c": (0, odd_floats),
    "quatern_d": (0, odd_floats),
    "qoffset_x": (0, odd_floats),
    "qoffset_z": (0, odd_floats),
    "scl_slope": (0, odd_floats),
    "scl_inter": (0, odd_floats),
    "vox_offset": (0, st.sampled_from([0, 1, 340, 348, 350, 351, 352, 353, 356, 360, 544, 540, 560])),
    "sform_code": (0, st.integers(-1, 5)),
    "qform_code": (0, st.integers(-1, 5)),
    "datatype": (0, st.sampled_from([0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 2304])),
    "bitpix": (0, st.sampled_from([0, 1, 8, 16, 24, 32, 64])),
    "xyzt_units": (0, st.integers(0, 63)),
    "intent_code": (0, st.sampled_from([0, 2, 1001, 1002, 1005, 1006, 1007, 1008, 1011, 2003])),
    "cal_min": (0, odd_floats),
    "cal_max": (0, odd_floats),
    "sizeof_hdr": (0, st.sampled_from([0, 348, 540, 349])),
    "magic": (0, st.sampled_from([b"n+1", b"ni1", b"n+2", b"ni2", b"", b"n+3"])),
    "dim_info": (0, st.integers(0, 63)),
    "intent_p1": (0, odd_floats),
}
"""Fields of a header that may be anything, how many numbers each has, and which."""


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """A sound file, of which some fields of the header were then changed."""
    version = draw(st.sampled_from([nib.Nifti1Image, nib.Nifti1Image, nib.Nifti2Image]))
    header = version.header_class(endianness=draw(st.sampled_from("<>")))
    dtype = np.dtype(draw(st.sampled_from(["u1", "i2", "i4", "f4", "f8", "u2", "i8"])))
    header.set_data_dtype(dtype)
    shape = draw(st.tuples(*[st.integers(1, 4)] * 3))
    values = np.arange(1, np.prod(shape) + 1).reshape(shape).astype(dtype)
    affine = np.eye(4)
    turn = np.linalg.qr(np.array([draw(st.floats(-1, 1)) for _ in range(9)]).reshape(3, 3) + 3 * np.eye(3))[0]
    rotation = draw(st.sampled_from([np.eye(3), turn, np.diag([-1.0, -1, 1])]))
    affine[:3, :3] = rotation @ np.diag([draw(st.sampled_from([0.5, 1.0, 2.0, 3.0])) for _ in range(3)])
    affine[:3, 3] = draw(st.sampled_from([0.0, -7.5, 20.0]))
    image = version(values, affine, header)
    qform_code, sform_code = draw(st.sampled_from([(1, 1), (1, 2), (2, 1), (1, 0), (0, 1)]))
    image.set_qform(affine, qform_code)
    image.set_sform(affine, sform_code)
    image = version(values, None, image.header)
    size = header.template_dtype.itemsize
    data = image.to_bytes()
    changed = version.header_class(data[:size], check=False)
    with np.errstate(all="ignore"):
        for name in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=4)):
            length, values_of = FIELDS[name]
            if length:
                changed[name][draw(st.integers(0, length - 1))] = draw(values_of)
            else:
                changed[name] = draw(values_of)
    return changed.binaryblock + data[size:]


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """The bytes of such a file, of which some were changed, or cut off, or added."""
    data = bytearray(draw(headers()))
    changes = st.just([]) | st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=3)
    for position, value in draw(changes):
        data[position % len(data)] = value
    end = draw(st.sampled_from([*["whole"] * 8, "cut", "longer"]))
    if end == "cut":
        data = data[: draw(st.integers(0, len(data)))]
    elif end == "longer":
        data += draw(st.binary(max_size=9))
    return bytes(data)


choices = st.sampled_from([None, None, "sform", "qform", "voxels"])


@pytest.mark.slow
@fuzzed(1000)
@given(data=files(), packed=st.booleans(), choice=choices)
def test_what_two_readers_read_differently_is_not_taken_without_a_word(
    data: bytes, packed: bool, choice: Any
) -> None:
    try:
        volume = read_volume(gzip.compress(data, 1) if packed else data, "f", choice=choice)
    except DataError as error:
        volume, said = None, error.problems
    else:
        said = volume.warnings
    assert all(p.file == "f" and p.found and p.expected and p.remedy for p in said)
    if said:
        return
    assert volume is not None
    values = volume.values_ZYX()
    ours = Reading(volume.geometry.in_file(values).astype(np.float64), volume.geometry.affine)
    for name, theirs in (("nibabel", by_nibabel(data)), ("ITK", by_itk(data))):
        if theirs is not None:
            note(f"{name}: {theirs}\nours: {ours}")
            assert difference(ours, theirs) == "", name
