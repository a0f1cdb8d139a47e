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
from job.data.geometry import farthest_mm

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
"""By which two statements may place a corner of the volume differently."""
LONGEST_QUATERNION = 1.001
"""b² + c² + d² of a rotation is at most 1; what is above by rounding is scaled back, as the standard's code does."""

LARGEST_CODE = 5
"""Of sform_code and qform_code; nibabel takes larger ones for 0, others for any that is above 0."""
FARTHEST_MM = 1e9
"""No number of an affine is beyond it; NIfTI-2's doubles could overflow otherwise."""

SMALLEST_EDGE_MM = 1e-6
"""Of a voxel; less is 0, rounded."""
USUAL_EDGES_MM = (0.01, 100.0)
"""Of a scan of a person; edges beyond are in another unit."""

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
    odd: tuple[Problem, ...] = ()
    """What is said of a statement that is none."""


def affine_of(
    header: Any, shape_xyz: tuple[int, int, int], name: str, choice: Choice | None
) -> tuple[NDArray[np.float64], tuple[Problem, ...]]:
    """The (4, 4) affine of a file, voxel to mm in RAS+, and what was odd about it.

    Args:
        header: A NIfTI header, by field.
        shape_xyz: Of a volume.
        name: The file's key, for errors.
        choice: Which statement counts where two disagree; None: neither, that is an error.

    Raises:
        DataError: The header states no orientation, an impossible one, or two that contradict each other.
    """
    said = _statements(header, name, choice)
    if not has_orientation(header):
        return _without_orientation(said, name, choice)
    from_sform = said.sform is not None and (choice != "qform" or said.qform is None)
    affine = said.sform if from_sform else said.qform
    assert affine is not None
    _require_volume(affine, name, "sform" if from_sform else "qform")
    of_spacing = _spacing(said, affine, name, choice)
    of_axes = _axes(said, name, choice)
    return affine, (
        *said.odd,
        *_size(affine, name),
        *_shear(affine, name, allowed=choice == "sform"),
        *of_spacing,
        *of_axes,
        *([] if of_axes else _place(said, affine, shape_xyz, name, choice, any_edges=bool(of_spacing))),
    )


def has_orientation(header: Any) -> bool:
    """Whether a header says in any way how the voxels lie in the patient."""
    return int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0


def _statements(header: Any, name: str, choice: Choice | None) -> _Statements:
    pixdim = np.asarray(header["pixdim"], dtype=np.float64)
    sform = None
    if int(header["sform_code"]) > 0:
        sform = np.eye(4)
        sform[:3] = [np.asarray(header[f"srow_{axis}"], dtype=np.float64) for axis in "xyz"]
    qform = None
    odd = [
        remark(
            name,
            f"{field} = {int(header[field])}",
            f"0 to {LARGEST_CODE}",
            "taken as one that says how the voxels lie, where some tools take none",
            "a code that the standard does not know",
        )
        for field in ("sform_code", "qform_code")
        if int(header[field]) > LARGEST_CODE
    ]
    if int(header["qform_code"]) > 0 and pixdim[0] not in (-1, 0, 1):
        odd.append(
            remark(
                name,
                f"pixdim[0] = {pixdim[0]:g}",
                "1 or -1, the handedness of the qform",
                f"taken as {_handedness(pixdim):g}, by its sign; some tools take 1",
                "handedness",
            )
        )
    if int(header["qform_code"]) > 0:
        try:
            qform = _qform(header, pixdim, name)
        except DataError as error:
            if sform is None or choice != "sform":
                raise
            found, expected = error.problems[0].found, error.problems[0].expected
            odd.append(remark(name, found, expected, "the sform counts (cohort.geometry)", "no rotation"))
    return _Statements(sform=sform, qform=qform, pixdim=pixdim[1:4], odd=tuple(odd))


def _qform(header: Any, pixdim: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Method 2 of the standard: rotation from a quaternion, spacing from pixdim, handedness from pixdim[0]."""
    b, c, d = (float(header[f"quatern_{letter}"]) for letter in "bcd")
    length = b * b + c * c + d * d
    if not length <= LONGEST_QUATERNION:
        raise refusal(
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
    affine = np.eye(4)
    with np.errstate(all="ignore"):  # an edge may be anything, and is looked at later
        affine[:3, :3] = rotation * (pixdim[1:4] * np.array([1.0, 1.0, _handedness(pixdim)]))
    affine[:3, 3] = [float(header[f"qoffset_{axis}"]) for axis in "xyz"]
    return affine


def _handedness(pixdim: NDArray[np.float64]) -> float:
    return -1.0 if pixdim[0] < 0 else 1.0


def _without_orientation(
    said: _Statements, name: str, choice: Choice | None
) -> tuple[NDArray[np.float64], tuple[Problem, ...]]:
    found, cause = "no orientation (qform_code and sform_code are 0)", "no orientation"
    if choice != "voxels":
        raise refusal(
            name,
            found,
            "a header that says how the voxels lie in the patient",
            "copy it from a file of the same grid that has one (e.g. FSL's `fslcpgeom`); if no file of any "
            "exam has one "
            'and all are stored alike, say so: cohort.geometry = "voxels"',
            cause=cause,
        )
    if (said.pixdim < 0).any():
        raise refusal(
            name,
            f"a spacing of {_by(said.pixdim)} mm",
            "edges above 0 (pixdim)",
            _REPAIR,
            cause="negative spacing",
        )
    affine = np.diag([*said.pixdim, 1.0])
    _require_volume(affine, name, "pixdim")
    return affine, (
        remark(
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
        raise refusal(
            name,
            f"a {which} with the number {affine.flat[np.argmax(~(np.abs(affine) < FARTHEST_MM))]:g}",
            f"finite numbers, in mm and below {FARTHEST_MM:g}",
            _REPAIR,
            cause="numbers of an affine",
        )
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    if which != "sform" and (edges < SMALLEST_EDGE_MM).any():
        raise refusal(
            name,
            f"a spacing of {_by(edges)} mm",
            "three edges of a voxel above 0 (pixdim)",
            "write the true spacing into the header",
            cause="spacing 0",
        )
    with np.errstate(all="ignore"):
        directions = affine[:3, :3] / edges
    if (edges < SMALLEST_EDGE_MM).any() or abs(np.linalg.det(directions)) < 1e-3:
        raise refusal(
            name,
            f"a {which} that cannot be inverted",
            "a valid sform or qform",
            _REPAIR,
            cause="singular affine",
        )


def _size(affine: NDArray[np.float64], name: str) -> list[Problem]:
    """A word about edges that no scan has: by the header's unit, they are in mm."""
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    low, high = USUAL_EDGES_MM
    if low <= edges.min() and edges.max() <= high:
        return []
    return [
        remark(
            name,
            f"voxels of {_by(edges)} mm",
            f"edges of {low:g} to {high:g} mm",
            "taken as it is said; correct the header if its numbers are in metres or micrometres: volumes and "
            "distances are wrong by as much",
            "edges beyond those of scans",
        )
    ]


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
        raise refusal(
            name,
            found,
            expected,
            "resample the exam onto a straight grid (e.g. undo the gantry tilt when converting); "
            'cohort.geometry = "sform" '
            "takes it as it is, with right volumes and distances that are only near",
            cause=cause,
        )
    return [
        remark(
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
        raise refusal(name, found, "edges above 0 (pixdim)", _REPAIR, cause="negative spacing")
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
        remark(
            name, found, "one spacing", f"{_by(taken)} mm are taken", "sform and pixdim disagree on spacing"
        )
    ]


def _axes(said: _Statements, name: str, choice: Choice | None) -> list[Problem]:
    """The sform's axes against the qform's."""
    if said.sform is None or said.qform is None:
        return []
    with np.errstate(all="ignore"):
        one, other = (
            form[:3, :3] / np.linalg.norm(form[:3, :3], axis=0) for form in (said.sform, said.qform)
        )
        cosines = (one * other).sum(axis=0)
    angle = math.nan
    if np.isfinite(cosines).all():
        angle = math.degrees(math.acos(float(np.clip(cosines.min(), -1, 1))))
    if angle <= ANGLE_TOLERANCE_DEGREES:
        return []
    counts = "qform" if choice == "qform" else "sform"
    found = (
        "a sform or qform without axes"
        if math.isnan(angle)
        else f"sform and qform whose axes are {angle:.3g} degrees apart"
    )
    _contradiction(name, found, "one orientation", choice, said)
    return [
        remark(name, found, "one orientation", f"the {counts} counts (cohort.geometry)", "sform and qform")
    ]


def _place(
    said: _Statements,
    affine: NDArray[np.float64],
    shape_xyz: tuple[int, int, int],
    name: str,
    choice: Choice | None,
    *,
    any_edges: bool,
) -> list[Problem]:
    """Where other tools see the volume's corners: by the other form, or by the sform's axes and pixdim's edges.

    With `any_edges`, as they would see them with this affine's: that the edges differ is said already.
    """
    if said.sform is None:
        return []
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    others = {"sform and qform": said.sform if choice == "qform" else said.qform}
    with np.errstate(all="ignore"):
        if choice != "qform" and not any_edges:
            others["sform and pixdim"] = _with_edges(said.sform, said.pixdim)
        seen = {
            names: _with_edges(other, edges) if any_edges else other
            for names, other in others.items()
            if other is not None
        }
        apart = {names: farthest_mm(affine, other, shape_xyz) / edges.min() for names, other in seen.items()}
    names = max(apart, key=lambda each: np.nan_to_num(apart[each], nan=np.inf), default="")
    if not names or apart[names] <= PLACE_TOLERANCE_VOXELS:
        return []
    return [
        remark(
            name,
            f"{names} that place the volume {apart[names]:.3g} voxels apart",
            "one place",
            f"the {'qform' if choice == 'qform' else 'sform'} counts; nothing needs to be done if the "
            "exam's files agree in it",
            f"{names} place the volume differently",
        )
    ]


def _with_edges(affine: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """The affine whose voxels have these edges, around the first of them."""
    scaled: NDArray[np.float64] = affine @ np.diag([*edges / np.linalg.norm(affine[:3, :3], axis=0), 1.0])
    return scaled


def _contradiction(name: str, found: str, expected: str, choice: Choice | None, said: _Statements) -> None:
    """Refuses two statements that disagree, unless the study says which counts."""
    if choice in ("sform", "qform"):
        return
    which = _CHOOSE if said.qform is not None else ', or say that the sform counts: cohort.geometry = "sform"'
    raise refusal(name, found, expected, f"{_REPAIR}{which}", cause=f"two statements of a header: {expected}")


def _by(edges: NDArray[np.float64]) -> str:
    return " x ".join(f"{edge:.4g}" for edge in edges.tolist())


def remark(name: str, found: str, expected: str, remedy: str, cause: str) -> Problem:
    """What is said of a file that is read all the same."""
    return Problem(file=name, found=found, expected=expected, remedy=remedy, cause=cause)


def refusal(name: str, found: str, expected: str, remedy: str, *, cause: str = "") -> DataError:
    """The error of a file that is not read."""
    return DataError.of(file=name, found=found, expected=expected, remedy=remedy, cause=cause)
