"""NIfTI files in and out.

Inside the project a volume is (Z, Y, X) on the canonical grid: the file's own voxels, flipped and permuted,
never resampled, so that x, y, z grow towards right, anterior, superior (RAS+).
"""

import base64
import gzip
import io
import math
import zlib
from dataclasses import dataclass
from typing import cast

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    io_orientation,
    ornt_transform,
)
from numpy.typing import NDArray

from job.contract.errors import DataError

GRID_TOLERANCE = 0.1
"""Files of an exam are on one grid if no corner is further apart than this, in edges of the smallest voxel."""

_OTHER_UNITS = {1: "metres", 3: "micrometres"}
"""NIfTI's codes of units of length; 2 is mm, and files with 0 (unknown) are taken as mm too."""


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """A file's own grid, enough to write a prediction onto it."""

    shape_xyz: tuple[int, int, int]
    """Of the file, in its own axes."""
    affine: NDArray[np.float64]
    """(4, 4), voxel of the file to mm."""
    header: str
    """The NIfTI header, base64."""

    @property
    def spacing_zyx_mm(self) -> tuple[float, float, float]:
        """Edges of a voxel of the canonical grid."""
        edges = np.linalg.norm(self.affine[:3, :3], axis=0)
        to_canonical = io_orientation(self.affine)[:, 0].astype(int)
        canonical = np.empty(3)
        canonical[to_canonical] = edges
        x, y, z = canonical.tolist()
        return (z, y, x)

    @property
    def orientation(self) -> str:
        """Directions in which the file's axes grow, e.g. `LPS`."""
        return "".join(nib.aff2axcodes(self.affine))

    def distance_voxels(self, other: "Geometry") -> float:
        """Largest distance between corresponding corners, in edges of the smallest voxel."""
        last = np.array(self.shape_xyz) - 1
        corners = np.array([[i, j, k, 1] for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])]).T
        apart_mm = np.linalg.norm(((self.affine - other.affine) @ corners)[:3], axis=0).max()
        return float(apart_mm / min(self.spacing_zyx_mm))


@dataclass(frozen=True, kw_only=True)
class Volume:
    """The contents of a file."""

    data_ZYX: NDArray[np.float32]
    geometry: Geometry


@np.errstate(all="ignore")  # what a damaged header overflows to is refused below
def read_volume(data: bytes, name: str) -> Volume:
    """The volume of a `.nii` or `.nii.gz` file, scaled as its header says.

    Args:
        data: The file's contents.
        name: The file's key, for errors.

    Raises:
        DataError: Not a readable, complete, finite 3-D NIfTI file of real numbers, in mm.
    """
    data = _unpacked(data, name)
    image = _parse(data, name)
    shape = image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or min(shape) < 1:
        raise _wrong(name, f"{len(shape)}-D data of shape {shape}", "a 3-D volume", "store one volume a file")
    dtype = image.get_data_dtype()
    if dtype.kind not in "iuf":
        raise _wrong(name, f"data of type {dtype}", "real numbers", "convert the file")
    size = cast(ArrayProxy, image.dataobj).offset + math.prod(shape) * dtype.itemsize
    if size > len(data):
        raise _damaged(name, f"{len(data)} of {size} bytes")
    affine = np.asarray(image.affine, dtype=np.float64)
    if not _is_invertible(affine):
        raise _wrong(name, "an affine that cannot be inverted", "a valid sform or qform", "repair the header")
    if (unit := int(image.header["xyzt_units"]) & 7) in _OTHER_UNITS:
        raise _wrong(name, f"lengths in {_OTHER_UNITS[unit]}", "millimetres", "correct the header's units")
    values = np.asarray(image.dataobj, dtype=np.float32).reshape(shape)
    if undefined := int(values.size - np.isfinite(values).sum()):
        found = f"{undefined} voxels that are NaN, infinite or beyond 32-bit floats"
        raise _wrong(name, found, "finite values", "replace them (e.g. by 0) or mask the map")
    canonical = apply_orientation(values, io_orientation(affine))
    header = base64.b64encode(image.header.binaryblock).decode()
    return Volume(
        data_ZYX=np.ascontiguousarray(canonical.transpose(2, 1, 0)),
        geometry=Geometry(shape_xyz=(shape[0], shape[1], shape[2]), affine=affine, header=header),
    )


def write_labels(labels_ZYX: NDArray[np.integer], geometry: Geometry) -> bytes:
    """A `.nii.gz` file with a label map on a file's own grid, under that file's header.

    The bytes depend on the arguments only (no time stamp).
    """
    from_canonical = ornt_transform(axcodes2ornt("RAS"), io_orientation(geometry.affine))
    labels = apply_orientation(labels_ZYX.transpose(2, 1, 0), from_canonical)
    assert labels.shape == geometry.shape_xyz
    binary = base64.b64decode(geometry.header)
    image_class: type[nib.Nifti1Image] = nib.Nifti1Image if len(binary) == 348 else nib.Nifti2Image
    header = image_class.header_class(binary, check=False)
    header.set_data_shape(labels.shape)
    header.set_data_dtype(_smallest_dtype(labels))
    header["cal_min"] = header["cal_max"] = 0
    image = image_class(labels.astype(header.get_data_dtype()), None, header)
    return gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)


def _smallest_dtype(labels: NDArray[np.integer]) -> type[np.integer]:
    """The first of the formats that every NIfTI tool reads which holds the values."""
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    dtypes: tuple[type[np.integer], ...] = (np.uint8, np.int16, np.int32)
    return next(d for d in dtypes if np.iinfo(d).min <= low and high <= np.iinfo(d).max)


def read_labels(data: bytes, name: str) -> NDArray[np.int64]:
    """The (Z, Y, X) integers of a label map; values such as 0.99999997 are integers that a tool rounded.

    Raises:
        DataError: As `read_volume`, or values that are not integral.
    """
    return integral(read_volume(data, name), name)


def integral(volume: Volume, name: str) -> NDArray[np.int64]:
    """A volume's values as integers.

    Raises:
        DataError: A value is further than 0.001 from an integer.
    """
    rounded = np.rint(volume.data_ZYX)
    off = np.abs(volume.data_ZYX - rounded) > 1e-3
    if off.any():
        examples = ", ".join(f"{value:g}" for value in np.unique(volume.data_ZYX[off])[:3])
        raise _wrong(
            name,
            f"{int(off.sum())} voxels that are not integral, e.g. {examples}",
            "a label map or mask",
            "resample label maps with nearest neighbours",
        )
    return rounded.astype(np.int64)


def _unpacked(data: bytes, name: str) -> bytes:
    try:
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(name, error) from None
    if not data:
        raise _damaged(name, "the file is empty")
    return data


def _parse(data: bytes, name: str) -> nib.Nifti1Image:
    two = (540).to_bytes(4, "little"), (540).to_bytes(4, "big")
    image_class = nib.Nifti2Image if data[:4] in two else nib.Nifti1Image
    try:
        return image_class.from_stream(io.BytesIO(data))
    except Exception as error:  # nibabel's errors about headers have no common base
        raise _damaged(name, error) from None


def _is_invertible(affine: NDArray[np.float64]) -> bool:
    """Whether voxels have a volume, whatever the unit of length."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    finite = np.isfinite(affine).all() and np.isfinite(directions).all()
    return bool(finite and abs(np.linalg.det(directions)) > 1e-6)


def _damaged(name: str, error: object) -> DataError:
    return _wrong(name, f"a damaged file ({error})", "a complete NIfTI file", "copy or export it again")


def _wrong(name: str, found: str, expected: str, remedy: str) -> DataError:
    return DataError.of(file=name, found=found, expected=expected, remedy=remedy)
