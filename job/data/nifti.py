"""NIfTI files in and out: single files, NIfTI-1 and NIfTI-2, compressed or not."""

import base64
import gzip
import math
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from job.contract.errors import DataError, Problem
from job.data.file_kinds import NIFTI1_BYTES, NIFTI2_BYTES, damaged, unpacked
from job.data.geometry import IDENTITY, AxisMap, Geometry, canonical_axes, reoriented
from job.data.nifti_header import Choice, affine_of, has_orientation, refusal, remark

FIRST_VOXEL = {1: 352, 2: 544}
"""Byte at which voxels begin at the earliest, by version: after the header and the four bytes that announce
extensions. Where `vox_offset` says less, the standard means this."""
SMALLEST_SLOPE = 2.3e-16
"""ITK takes a smaller one for none."""
COMPOUND_INTENTS = {
    1004: "a matrix",
    1005: "a symmetric matrix",
    1006: "a displacement",
    1007: "a vector",
    1008: "a point",
    1009: "a triangle",
    1010: "a quaternion",
    2003: "a colour",
    2004: "a colour",
    2005: "a point of a surface",
}
"""NIfTI's codes of what is more than a number."""
_OTHER_UNITS = {1: "metres", 3: "micrometres"}
"""NIfTI's codes of units of length; 2 is mm, and files with 0 (unknown) are taken as mm too."""


@dataclass(frozen=True, kw_only=True)
class Volume:
    """One volume of a file: its numbers as they are stored, and what the header says of them."""

    name: str
    """The file's key, for errors."""
    stored_xyz: NDArray[Any]
    """On the file's own axes, in the file's own type, not scaled."""
    slope: float
    intercept: float
    """value = slope x stored + intercept; 1 and 0 where the header has no scale."""
    geometry: Geometry
    warnings: tuple[Problem, ...] = ()
    """What was odd about the file."""

    @property
    def is_scaled(self) -> bool:
        """Whether values are others than those that are stored."""
        return (self.slope, self.intercept) != (1.0, 0.0)

    def stored_ZYX(self, onto: AxisMap = IDENTITY, grid: Geometry | None = None) -> NDArray[Any]:
        """The stored numbers on the canonical grid of an exam.

        Args:
            onto: How the file's axes become those of the exam's file, as `Grid.axes_of` gives it.
            grid: The geometry of the exam's file; default: the file's own.
        """
        return (grid or self.geometry).canonical(reoriented(self.stored_xyz, onto))

    def values_ZYX(self, onto: AxisMap = IDENTITY, grid: Geometry | None = None) -> NDArray[np.float32]:
        """The scaled values on the canonical grid of an exam, in memory of their own; arguments as `stored_ZYX`."""
        stored_ZYX = self.stored_ZYX(onto, grid)
        with np.errstate(all="ignore"):  # what a damaged header overflows to is found with the values
            if not self.is_scaled:
                return np.array(stored_ZYX, dtype=np.float32, order="C")
            values_ZYX = np.empty(stored_ZYX.shape, np.float32)
            # Slice by slice: 64-bit floats of a whole volume take twice the time.
            for values_YX, stored_YX in zip(values_ZYX, stored_ZYX, strict=True):
                values_YX[:] = stored_YX * np.float64(self.slope) + self.intercept
        return values_ZYX


def read_volume(data: bytes, name: str, *, index: int | None = None, choice: Choice | None = None) -> Volume:
    """A volume of a `.nii` or `.nii.gz` file.

    Args:
        data: The file's contents.
        name: The file's key, for errors.
        index: Which volume of a 4-D file, from 0; None: it must hold one.
        choice: Which of the header's statements of orientation counts where two disagree (`cohort.geometry`).

    Raises:
        DataError: Not a readable, complete NIfTI file of real numbers in mm, with one statement of where they lie.
    """
    contents, odd = unpacked(data, name)
    return read_unpacked(contents, name, index=index, choice=choice, odd=odd)


def read_unpacked(
    data: bytes,
    name: str,
    *,
    index: int | None,
    choice: Choice | None,
    odd: tuple[Problem, ...] = (),
    geometry: Geometry | None = None,
) -> Volume:
    """As `read_volume`, of a file that was decompressed.

    Args:
        data: The contents.
        name: The file's key, for errors.
        index: As for `read_volume`.
        choice: As for `read_volume`.
        odd: What was odd about the compression.
        geometry: Where the voxels are known to lie; then nothing is asked of the header.
    """
    header, version = _header(data, name)
    shape, volumes, of_shape = _shape(header, name)
    dtype = _dtype(header, name)
    of_affine: tuple[Problem, ...] = ()
    if geometry is None:
        geometry, of_affine = _geometry(header, shape, name, choice)
    elif geometry.shape_xyz != shape:
        expected = f"{geometry.shape_xyz}"
        raise refusal(name, f"{shape} voxels", expected, "name the file that belongs to this exam")
    voxels, number = math.prod(shape), _volume_number(index, volumes, name)
    start, of_start = _start(data, header, version, voxels * volumes * dtype.itemsize, name)
    stored = np.frombuffer(data, dtype, count=voxels, offset=start + number * voxels * dtype.itemsize)
    slope, intercept, of_scale = _scale(header, name)
    return Volume(
        name=name,
        stored_xyz=stored.reshape(shape, order="F"),
        slope=slope,
        intercept=intercept,
        geometry=geometry,
        warnings=(*odd, *of_shape, *of_start, *of_affine, *of_scale, *_intent(header, name)),
    )


def _geometry(
    header: Any, shape: tuple[int, int, int], name: str, choice: Choice | None
) -> tuple[Geometry, tuple[Problem, ...]]:
    if (unit := int(header["xyzt_units"]) & 7) in _OTHER_UNITS:
        raise refusal(name, f"lengths in {_OTHER_UNITS[unit]}", "millimetres", "correct the header's units")
    affine, odd = affine_of(header, shape, name, choice)
    geometry = Geometry(
        shape_xyz=shape,
        affine=affine,
        header=base64.b64encode(header.binaryblock).decode(),
        to_canonical=canonical_axes(affine),
        has_orientation=has_orientation(header),
    )
    return geometry, odd


def _header(data: bytes, name: str) -> tuple[Any, int]:
    """The header, and the version of the standard."""
    little, big = int.from_bytes(data[:4], "little"), int.from_bytes(data[:4], "big")
    size = NIFTI2_BYTES if NIFTI2_BYTES in (little, big) else NIFTI1_BYTES
    if len(data) < size:
        raise damaged(name, f"{len(data)} bytes, where a header alone has {size}")
    kind: Any = nib.Nifti2Header if size == NIFTI2_BYTES else nib.Nifti1Header
    # Extensions are not looked at: whatever they hold, the header says where the voxels begin.
    header = kind(data[:size], "<" if little == size else ">", check=False)
    try:
        header.get_data_dtype()
        header.get_data_shape()
    except Exception as error:  # nibabel's errors about headers have no common base
        raise damaged(name, f"datatype {header['datatype']}: {error}") from None
    return header, 2 if size == NIFTI2_BYTES else 1


def _shape(header: Any, name: str) -> tuple[tuple[int, int, int], int, tuple[Problem, ...]]:
    """The shape of a volume, and how many volumes there are."""
    dim = [int(size) for size in header["dim"]]
    axes = dim[0]
    sizes = dim[1 : axes + 1]
    warnings: tuple[Problem, ...] = ()
    if 3 < axes <= 7 and any(size < 1 for size in sizes[3:]):
        found = f"dimensions {dim[: axes + 1]}"
        warnings = (
            remark(
                name, found, "sizes of at least 1", "read as 1, as the standard's code does", "sizes below 1"
            ),
        )
        sizes = [*sizes[:3], *(max(size, 1) for size in sizes[3:])]
    if not 3 <= axes <= 7 or min(sizes) < 1:
        raise refusal(
            name,
            f"{axes}-D data of shape {tuple(sizes)}",
            "a 3-D volume, or a 4-D file whose channels have an index",
            "store one volume a file",
        )
    return (sizes[0], sizes[1], sizes[2]), math.prod(sizes[3:]), warnings


def _volume_number(index: int | None, volumes: int, name: str) -> int:
    if index is None and volumes == 1:
        return 0
    if index is None:
        raise refusal(
            name,
            f"{volumes} volumes in one file",
            "one volume, or an index that says which",
            f'if they are channels, say which is which: {{ name = "...", index = 0 }} to {volumes - 1}; '
            "else store one "
            "volume a file",
            cause="several volumes in one file",
        )
    if index >= volumes:
        raise refusal(
            name,
            f"{volumes} volume{'s' if volumes > 1 else ''}",
            f"a volume with index {index} (counted from 0)",
            "correct the channel's index",
            cause=f"no volume with index {index}",
        )
    return index


def _start(data: bytes, header: Any, version: int, size: int, name: str) -> tuple[int, tuple[Problem, ...]]:
    """The byte at which the voxels begin."""
    said = header["vox_offset"]
    if not np.isfinite(said):
        raise damaged(name, f"vox_offset is {said}")
    start, first = int(said), FIRST_VOXEL[version]
    warnings = []
    if start < first and start != first - 4:  # without the four bytes: not by the standard, and plain
        found = f"voxels that begin at byte {said:g} (vox_offset), inside the header"
        warnings.append(
            remark(
                name,
                found,
                f"{first} or more",
                f"read from byte {first}, as the standard means it",
                "vox_offset",
            )
        )
        start = first
    if start + size > len(data):
        raise damaged(name, f"{len(data)} of {start + size} bytes")
    if rest := len(data) - start - size:
        warnings.append(
            remark(
                name,
                f"{rest} bytes after the last voxel",
                "as many bytes as shape and data type make",
                "look at the volume: if it looks like noise, the header's data type or shape is wrong",
                "bytes after the last voxel",
            )
        )
    return start, tuple(warnings)


def _scale(header: Any, name: str) -> tuple[float, float, tuple[Problem, ...]]:
    """Slope and intercept. A slope of 0 means that there is neither, and so does NaN, as old nibabel wrote it."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        taken, meant = (1.0, 0.0), "values are taken as they are stored, as the standard means it"
        plain = intercept == 0 or not math.isfinite(intercept)
    elif not math.isfinite(intercept):
        taken, meant, plain = (slope, 0.0), "the intercept is taken as 0", False
    else:
        taken, meant = (slope, intercept), "both are taken, where some tools take none"
        plain = abs(slope) >= SMALLEST_SLOPE
    if plain:
        return *taken, ()
    found = f"a scale of {slope:g} (scl_slope) and {intercept:g} (scl_inter)"
    expected = f"a slope of at least {SMALLEST_SLOPE:g} and a finite intercept, or 0 and 0"
    return *taken, (
        remark(name, found, expected, f"{meant}; correct the header if they are meant", "an odd scale"),
    )


def _intent(header: Any, name: str) -> tuple[Problem, ...]:
    code = int(header["intent_code"])
    if code not in COMPOUND_INTENTS:
        return ()
    found = f"intent_code = {code}, which says that a voxel holds {COMPOUND_INTENTS[code]}"
    meant = "taken as plain numbers, where some tools change their signs; look whether it is the right file"
    return (remark(name, found, "one number per voxel", meant, "intent"),)


def _dtype(header: Any, name: str) -> np.dtype[Any]:
    dtype: np.dtype[Any] = header.get_data_dtype()
    if dtype.kind not in "iuf":
        found = f"data of type {nib.nifti1.data_type_codes.label[int(header['datatype'])]}"
        raise refusal(name, found, "real numbers, one per voxel", "convert the file")
    return dtype


def write_labels(labels_ZYX: NDArray[np.integer], geometry: Geometry) -> bytes:
    """A `.nii.gz` file with a label map on a file's own grid, under that file's header.

    The axes go back by the mapping by which they came (`Geometry.to_canonical`). The bytes depend on the arguments
    only (no time stamp).
    """
    labels = geometry.in_file(labels_ZYX)
    assert labels.shape == geometry.shape_xyz
    binary = base64.b64decode(geometry.header)
    kind = nib.Nifti1Header if len(binary) == NIFTI1_BYTES else nib.Nifti2Header
    header: Any = kind(binary, check=False)  # type: ignore[no-untyped-call]  # nibabel has no types
    dtype = _smallest_dtype(labels_ZYX)
    header.set_data_shape(labels.shape)
    header.set_data_dtype(dtype)
    header["cal_min"] = header["cal_max"] = 0
    header["scl_slope"], header["scl_inter"] = 1, 0
    start = FIRST_VOXEL[1 if kind is nib.Nifti1Header else 2]
    header["vox_offset"] = start
    header["magic"] = b"n+1" if kind is nib.Nifti1Header else b"n+2"
    contents = header.binaryblock + bytes(start - len(binary))
    contents += labels.astype(header.get_data_dtype()).tobytes(order="F")
    return gzip.compress(contents, compresslevel=6, mtime=0)


def _smallest_dtype(labels: NDArray[np.integer]) -> type[np.integer]:
    """The first of the formats that every NIfTI tool reads which holds the values."""
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    dtypes: tuple[type[np.integer], ...] = (np.uint8, np.int16, np.int32, np.int64)
    return next(d for d in dtypes if np.iinfo(d).min <= low and high <= np.iinfo(d).max)


def read_labels(data: bytes, name: str, geometry: Geometry | None = None) -> NDArray[np.integer]:
    """The (Z, Y, X) integers of a label map.

    Args:
        data: The file's contents.
        name: The file's key, for errors.
        geometry: Of the grid that it was written onto by `write_labels`; default: what its own header says.

    Raises:
        DataError: As `read_volume`, or values that are not integral.
    """
    contents, _ = unpacked(data, name)
    volume = read_unpacked(contents, name, index=None, choice=None, geometry=geometry)
    return integral(volume.stored_ZYX(), volume)


def integral(stored_ZYX: NDArray[Any], volume: Volume) -> NDArray[np.integer]:
    """Stored numbers of a volume as integers, scaled; values such as 0.99999997 are integers that a tool rounded.

    Integers that are not scaled never pass through floating point.

    Raises:
        DataError: A value is further than 0.001 from an integer.
    """
    if not volume.is_scaled and stored_ZYX.dtype.kind in "iu":
        return stored_ZYX
    values_ZYX = stored_ZYX.astype(np.float64) * volume.slope + volume.intercept
    rounded = np.rint(values_ZYX)
    with np.errstate(invalid="ignore"):
        off = ~(np.abs(values_ZYX - rounded) <= 1e-3)
    off |= np.abs(rounded) > 2.0**53  # beyond, neighbours are one
    if off.any():
        raise _not_integral(values_ZYX[off], volume)
    return rounded.astype(np.int64)


def _not_integral(values: NDArray[np.float64], volume: Volume) -> DataError:
    remedy, cause = (
        "resample label maps with nearest neighbours; give probabilities a threshold",
        "labels that are not integral",
    )
    found = f"{values.size} voxels that are not integral, e.g. {', '.join(f'{v:g}' for v in np.unique(values)[:3])}"
    if wrong := int(np.count_nonzero(~np.isfinite(values))):
        found, remedy, cause = (
            f"{wrong} voxels that are NaN or infinite",
            "write 0 there if they are background",
            "labels that are not numbers",
        )
    elif volume.is_scaled:
        found += (
            f", where the header multiplies what is stored by {volume.slope:g} (scl_slope) and adds "
            f"{volume.intercept:g} (scl_inter)"
        )
        remedy = "write scl_slope = 1 and scl_inter = 0 into the header if what is stored are the labels"
        cause = "a scaled label map"
    return refusal(volume.name, found, "a label map or mask", remedy, cause=cause)
