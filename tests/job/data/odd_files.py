"""NIfTI files that were sound before some fields of the header, or some bytes, were changed at random."""

from typing import Any

import nibabel as nib
import numpy as np
from hypothesis import strategies as st

odd_floats = st.sampled_from(
    [
        *[0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, 10.0, 1.0005, 1.002, 1.02],
        *[348.0, 352.0, 544.0, 1e-8, 1e-30, 1e30, np.nan, np.inf, -np.inf],
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


CHOICES = st.sampled_from([None, None, "sform", "qform", "voxels"])
"""What a study may say of contradictions; most say nothing."""


@st.composite
def sound_files(draw: st.DrawFn) -> bytes:
    """A small volume, or a few, of numbers in order, somewhere in the world."""
    version = draw(st.sampled_from([nib.Nifti1Image, nib.Nifti1Image, nib.Nifti2Image]))
    header = version.header_class(endianness=draw(st.sampled_from("<>")))
    dtype = np.dtype(draw(st.sampled_from(["u1", "i2", "i4", "f4", "f8", "u2", "i8"])))
    header.set_data_dtype(dtype)
    shape = draw(st.tuples(*[st.integers(1, 4)] * 3)) + draw(
        st.sampled_from([(), (), (), (1,), (2,), (1, 2), (2, 2)])
    )
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
    contents: bytes = version(values, None, image.header).to_bytes()
    return contents


@st.composite
def changed_files(draw: st.DrawFn, sound: st.SearchStrategy[bytes]) -> bytes:
    """A sound file with some fields of the header, or some bytes, changed, or cut off, or added."""
    data = bytearray(draw(sound))
    kind = (
        nib.Nifti2Header
        if 540 in (int.from_bytes(data[:4], order) for order in ("little", "big"))
        else nib.Nifti1Header
    )
    size = kind.template_dtype.itemsize
    header = kind(bytes(data[:size]), check=False)
    with np.errstate(all="ignore"):
        for name in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=4)):
            length, values = FIELDS[name]
            if length:
                header[name][draw(st.integers(0, length - 1))] = draw(values)
            else:
                header[name] = draw(values)
    data[:size] = header.binaryblock
    for position, value in draw(
        st.just([]) | st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=3)
    ):
        data[position % len(data)] = value
    end = draw(st.sampled_from([*["whole"] * 8, "cut", "longer"]))
    if end == "cut":
        data = data[: draw(st.integers(0, len(data)))]
    elif end == "longer":
        data += draw(st.binary(max_size=9))
    return bytes(data)
