"""A NIfTI header's two statements of where the voxels lie, read as the standard means them, and held together.

Sources: the standard's own header file nifti1.h (methods 1 to 3 of orientation; `qfac`; quaternions) and its
reference code nifti1_io.c, which SimpleITK, ANTs and FSL build on. A file that readers take in different ways is
never accepted without a word: nibabel takes the sform first, others the qform, others spacing from `pixdim`.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from job.contract.errors import DataError, Problem

Choice = Literal["sform", "qform", "voxels"]

SPACING_TOLERANCE = 0.01
"""Relative difference of two statements about an edge of a voxel from which they contradict each other."""
ROUNDING = 0.001
"""The same, up to which they are the same number, rounded."""
ANGLE_TOLERANCE_DEGREES = 1.0
"""Between the axes of sform and qform."""
SHEAR_TOLERANCE_DEGREES = 0.1
"""By which the angle between two axes may differ from 90 degrees."""
PLACE_TOLERANCE_VOXELS = 0.1
"""By which sform and qform may place the volume differently."""
LONGEST_QUATERNION = 1.001
"""b² + c² + d² of a rotation is at most 1; what is above by rounding is scaled back, as the standard's code does."""

FARTHEST_MM = 1e9
"""No number of an affine is beyond it; NIfTI-2's doubles could overflow otherwise."""

_REPAIR = "repair the header with the tool that made the file"
_CHOOSE = ', or say which header counts: cohort.geometry = "sform" or "qform"'


@dataclass(frozen=True, kw_only=True)
class _Statements:
    """What a header says, as far as it says anything."""

    sform: NDArray[np.float64] | None
    """(4, 4), where sform_code is above 0."""
    qform: NDArray[np.float64] | None
    """(4, 4), where qform_code is above 0."""
    pixdim: NDArray[np.float64]
    """(3,), mm, as written."""


def affine_of(
    header: Any, name: str, choice: Choice | None
) -> tuple[NDArray[np.float64], tuple[Problem, ...]]:
    """The (4, 4) affine of a file, voxel to mm in RAS+, and what was odd about it.

    Args:
        header: A NIfTI header, by field.
        name: The file's key, for errors.
        choice: Which statement counts where two disagree; None: neither, that is an error.

    Raises:
        DataError: The header states no orientation, an impossible one, or two that contradict each other.
    """
    said = _statements(header, name, choice)
    if said.sform is None and said.qform is None:
        return _without_orientation(said, name, choice)
    from_sform = said.sform is not None and (choice != "qform" or said.qform is None)
    affine = said.sform if from_sform else said.qform
    assert affine is not None
    _require_volume(affine, name, "sform" if from_sform else "qform")
    odd = [
        *_shear(affine, name, allowed=choice == "sform"),
        *_spacing(said, affine, name, choice),
        *_axes(said, name, choice),
    ]
    return affine, tuple(odd)


def _statements(header: Any, name: str, choice: Choice | None) -> _Statements:
    pixdim = np.asarray(header["pixdim"], dtype=np.float64)
    sform = None
    if int(header["sform_code"]) > 0:
        sform = np.eye(4)
        sform[:3] = [np.asarray(header[f"srow_{axis}"], dtype=np.float64) for axis in "xyz"]
    qform = None
    if int(header["qform_code"]) > 0:
        try:
            qform = _qform(header, pixdim, name)
        except DataError:
            if sform is None or choice != "sform":
                raise
    return _Statements(sform=sform, qform=qform, pixdim=pixdim[1:4])


def _qform(header: Any, pixdim: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Method 2 of the standard: rotation from a quaternion, spacing from pixdim, handedness from pixdim[0]."""
    b, c, d = (float(header[f"quatern_{letter}"]) for letter in "bcd")
    length = b * b + c * c + d * d
    if not length <= LONGEST_QUATERNION:
        raise _wrong(
            name,
            f"a qform whose quaternion ({b:g}, {c:g}, {d:g}) is no rotation",
            "b² + c² + d² of at most 1",
            _REPAIR,
            cause="no rotation",
        )
    if length > 1:
        b, c, d = (value / math.sqrt(length) for value in (b, c, d))
        length = 1.0
    a = math.sqrt(max(1.0 - length, 0.0))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    handedness = -1.0 if pixdim[0] < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = rotation * (pixdim[1:4] * np.array([1.0, 1.0, handedness]))
    affine[:3, 3] = [float(header[f"qoffset_{axis}"]) for axis in "xyz"]
    return affine


def _without_orientation(
    said: _Statements, name: str, choice: Choice | None
) -> tuple[NDArray[np.float64], tuple[Problem, ...]]:
    found, cause = "no orientation (qform_code and sform_code are 0)", "no orientation"
    if choice != "voxels":
        raise _wrong(
            name,
            found,
            "a header that says how the voxels lie in the patient",
            "copy it from a file of the same grid that has one (e.g. FSL's `fslcpgeom`); if no file of any "
            "exam has one "
            'and all are stored alike, say so: cohort.geometry = "voxels"',
            cause=cause,
        )
    affine = np.diag([*said.pixdim, 1.0])
    _require_volume(affine, name, "pixdim")
    return affine, (
        _odd(
            name,
            found,
            "a header that says how the voxels lie in the patient",
            "the axes are taken as right, anterior, superior (cohort.geometry); left and right may be exchanged",
            cause,
        ),
    )


def _require_volume(affine: NDArray[np.float64], name: str, which: str) -> None:
    """Refuses an affine whose voxels have no volume, whatever the unit of length."""
    if not (np.abs(affine) < FARTHEST_MM).all():
        raise _wrong(
            name,
            f"a {which} with the number {affine.flat[np.argmax(~(np.abs(affine) < FARTHEST_MM))]:g}",
            f"finite numbers, in mm and below {FARTHEST_MM:g}",
            _REPAIR,
            cause="numbers of an affine",
        )
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    if which != "sform" and (edges <= 0).any():
        raise _wrong(
            name,
            f"a spacing of {_by(edges)} mm",
            "three edges of a voxel above 0 (pixdim)",
            "write the true spacing into the header",
            cause="spacing 0",
        )
    with np.errstate(all="ignore"):
        directions = affine[:3, :3] / edges
    if not np.isfinite(directions).all() or abs(np.linalg.det(directions)) < 1e-3:
        raise _wrong(
            name,
            f"a {which} that cannot be inverted",
            "a valid sform or qform",
            _REPAIR,
            cause="singular affine",
        )


def _shear(affine: NDArray[np.float64], name: str, *, allowed: bool) -> list[Problem]:
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = [abs(float(directions[:, i] @ directions[:, j])) for i, j in ((0, 1), (0, 2), (1, 2))]
    off = math.degrees(math.asin(min(max(cosines), 1.0)))
    if off <= SHEAR_TOLERANCE_DEGREES:
        return []
    found, expected, cause = (
        f"axes that are {off:.2g} degrees off a right angle (shear)",
        "axes at right angles",
        "shear",
    )
    if not allowed:
        raise _wrong(
            name,
            found,
            expected,
            "resample the exam onto a straight grid (e.g. undo the gantry tilt when converting); "
            'cohort.geometry = "sform" '
            "takes it as it is, with right volumes and distances that are only near",
            cause=cause,
        )
    return [
        _odd(
            name,
            found,
            expected,
            "taken as it is (cohort.geometry); distances are those of a straight grid",
            cause,
        )
    ]


def _spacing(
    said: _Statements, affine: NDArray[np.float64], name: str, choice: Choice | None
) -> list[Problem]:
    """The sform's edges against pixdim, which the qform and many tools take them from."""
    if said.sform is None:
        if (said.pixdim > 0).all():
            return []
        found = f"a spacing of {_by(said.pixdim)} mm"
        raise _wrong(name, found, "edges above 0 (pixdim)", _REPAIR, cause="negative spacing")
    with np.errstate(all="ignore"):
        edges = np.linalg.norm(said.sform[:3, :3], axis=0)
        off = float(np.abs(said.pixdim / edges - 1).max())
    if off <= ROUNDING:
        return []
    found = f"voxels of {_by(edges)} mm by the sform and {_by(said.pixdim)} mm by pixdim"
    if off > SPACING_TOLERANCE or math.isnan(off):
        _contradiction(name, found, "one spacing", choice, said)
    taken = np.linalg.norm(affine[:3, :3], axis=0)
    return [
        _odd(name, found, "one spacing", f"{_by(taken)} mm are taken", "sform and pixdim disagree on spacing")
    ]


def _axes(said: _Statements, name: str, choice: Choice | None) -> list[Problem]:
    """The sform's axes and place against the qform's."""
    if said.sform is None or said.qform is None:
        return []
    with np.errstate(all="ignore"):
        one, other = (
            form[:3, :3] / np.linalg.norm(form[:3, :3], axis=0) for form in (said.sform, said.qform)
        )
        cosines = (one * other).sum(axis=0)
        apart = (
            np.linalg.norm(said.sform[:3, 3] - said.qform[:3, 3])
            / np.linalg.norm(said.sform[:3, :3], axis=0).min()
        )
    angle = (
        math.degrees(math.acos(float(np.clip(cosines.min(), -1, 1))))
        if np.isfinite(cosines).all()
        else math.nan
    )
    counts = "qform" if choice == "qform" else "sform"
    if not angle <= ANGLE_TOLERANCE_DEGREES:
        found = f"sform and qform whose axes are {angle:.3g} degrees apart"
        _contradiction(name, found, "one orientation", choice, said)
        return [
            _odd(name, found, "one orientation", f"the {counts} counts (cohort.geometry)", "sform and qform")
        ]
    if not apart <= PLACE_TOLERANCE_VOXELS:
        return [
            _odd(
                name,
                f"sform and qform that place the volume {apart:.3g} voxels apart",
                "one place",
                f"the {counts} counts; nothing needs to be done if the exam's files agree in it",
                "sform and qform place the volume differently",
            )
        ]
    return []


def _contradiction(name: str, found: str, expected: str, choice: Choice | None, said: _Statements) -> None:
    """Refuses two statements that disagree, unless the study says which counts."""
    if choice in ("sform", "qform"):
        return
    which = _CHOOSE if said.qform is not None else ', or say that the sform counts: cohort.geometry = "sform"'
    raise _wrong(name, found, expected, f"{_REPAIR}{which}", cause=f"two statements of a header: {expected}")


def _by(edges: NDArray[np.float64]) -> str:
    return " x ".join(f"{edge:.4g}" for edge in edges.tolist())


def _odd(name: str, found: str, expected: str, remedy: str, cause: str) -> Problem:
    return Problem(file=name, found=found, expected=expected, remedy=remedy, cause=cause)


def _wrong(name: str, found: str, expected: str, remedy: str, *, cause: str) -> DataError:
    return DataError.of(file=name, found=found, expected=expected, remedy=remedy, cause=cause)
