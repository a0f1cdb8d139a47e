"""Small cohorts of NIfTI files, written to temporary folders."""

import gzip
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from job.contract.study import Study
from job.storage.local import LocalStorage
from job.study_file import parse_study

SHAPE_XYZ = (20, 18, 10)
"""Neither a multiple of the block nor smaller than one."""
AFFINE = np.array([[-0.9, 0, 0, 9], [0, -0.8, 0, 7], [0, 0, 2.5, -12], [0, 0, 0, 1]])
"""LPS, as scanners write it, of anisotropic voxels."""
STUDY: dict[str, Any] = {
    "name": "small",
    "preset": "smoke",
    "cohort": {
        "root": "cohort",
        "pattern": "{patient}/{channel}.nii.gz",
        "labels": "{patient}/label.nii.gz",
        "mask": "{patient}/mask.nii.gz",
        "channels": ["t1", "t2", {"name": "adc", "normalisation": "fixed", "range": [0.0, 3000.0]}],
        "classes": {"GTV-T": 1, "GTV-Ln": 2},
    },
    "store": {"block_shape": [8, 7, 4]},
}

FileContents = NDArray[Any] | bytes | None


@pytest.fixture(params=("local", "s3"))
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a storage of each kind may be made."""
    if request.param == "local":
        return str(tmp_path / "root")
    bucket: str = request.getfixturevalue("s3_bucket")
    return f"{bucket}/{uuid4().hex}/root"


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Study]:
    """A study; keywords change keys of its tables."""

    def make(**changes: Mapping[str, Any]) -> Study:
        tables = {section: {**STUDY.get(section, {}), **own} for section, own in changes.items()}
        return parse_study(STUDY | tables, source="study.toml")

    return make


@pytest.fixture(scope="session")
def nifti_bytes() -> Callable[..., bytes]:
    """A `.nii` file: data along (x, y, z) of the file's own axes, and its affine."""

    def make(data: NDArray[Any], affine: NDArray[np.float64] = AFFINE, **header: Any) -> bytes:
        image = nib.Nifti1Image(data, affine, dtype=data.dtype)
        for field, value in header.items():
            image.header[field] = value
        contents: bytes = image.to_bytes()
        return contents

    return make


@pytest.fixture
def make_cohort(tmp_path: Path, nifti_bytes: Callable[..., bytes]) -> Callable[..., LocalStorage]:
    """A cohort of one exam a patient, drawn from the patient's position.

    `changes` replaces files by key: an array or a whole file's bytes, or None to leave the file out.
    """

    def packed(data: NDArray[Any]) -> bytes:
        return gzip.compress(nifti_bytes(data), compresslevel=1, mtime=0)

    def make(
        patients: Sequence[str] = ("p1", "p2"),
        changes: Mapping[str, FileContents] | None = None,
        *,
        folder: str = "cohort",
        shape_xyz: tuple[int, int, int] = SHAPE_XYZ,
    ) -> LocalStorage:
        source = LocalStorage(tmp_path / folder)
        files: dict[str, FileContents] = {}
        for seed, patient in enumerate(patients):
            files |= {f"{patient}/{name}": data for name, data in exam_files(seed, shape_xyz).items()}
        for key, contents in {**files, **(changes or {})}.items():
            if contents is not None:
                source.write(key, contents if isinstance(contents, bytes) else packed(contents))
        return source

    return make


def exam_files(seed: int, shape_xyz: tuple[int, int, int]) -> dict[str, NDArray[Any]]:
    """The files of an exam by name, along (x, y, z) of their own axes."""
    draws = np.random.default_rng(seed)
    label = draws.choice(np.array([0, 0, 0, 1, 2], np.uint8), shape_xyz)
    mask = (draws.random(shape_xyz) < 0.8).astype(np.uint8)
    return {
        "t1.nii.gz": draws.normal(300, 50, shape_xyz).astype(np.float32),
        "t2.nii.gz": draws.integers(0, 1000, shape_xyz).astype(np.int16),
        "adc.nii.gz": draws.uniform(0, 3500, shape_xyz).astype(np.float32),
        "label.nii.gz": label * mask,
        "mask.nii.gz": mask,
    }
