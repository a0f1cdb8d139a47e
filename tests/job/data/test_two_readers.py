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
from tests.job.data.odd_files import CHOICES, changed_files, sound_files

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
    return Reading(values, image.affine)


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
    return Reading(values, LPS_TO_RAS @ affine)


def volume_of(reading: Reading, index: int | None) -> Reading:
    """One volume of a file; without an index it must be the only one."""
    values = reading.values_xyz
    volumes = values.reshape((*values.shape[:3], -1), order="F")
    if index is None and volumes.shape[-1] == 1:
        index = 0
    return Reading(values if index is None else volumes[..., index], reading.affine)


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


@pytest.mark.slow
@fuzzed(500)
@given(
    data=changed_files(sound_files()),
    packed=st.booleans(),
    choice=CHOICES,
    index=st.sampled_from([None, None, 0, 1]),
)
def test_what_two_readers_read_differently_is_not_taken_without_a_word(
    data: bytes, packed: bool, choice: Any, index: int | None
) -> None:
    try:
        volume = read_volume(gzip.compress(data, 1) if packed else data, "f", choice=choice, index=index)
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
            assert difference(ours, volume_of(theirs, index)) == "", name
