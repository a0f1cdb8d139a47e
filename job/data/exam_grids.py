"""Whether the files of an exam hold the same voxels, and which of them is the odd one out where they do not."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from nibabel.orientations import inv_ornt_aff
from numpy.typing import NDArray

from job.contract.errors import DataError, Problem
from job.contract.wording import dimensions, first_of
from job.data.geometry import AxisMap, Geometry

LEAST_OVERLAP = 0.5
"""Of the smaller of two volumes, that lies in the other: files that overlap less do not show one place."""
MAY_BE_RESAMPLED = 0.8
"""The same, from which it may be right to resample one onto the other: a slab within a head lies in it as a whole."""
CENTRES_APART = 0.7
"""In half edges of the larger volume, up to which the same may be right. A header that was lost puts a corner where
the centre was: 0.87 or more, where the voxels are of half the size or larger."""
LATTICE = 12
"""Points along each axis that stand for a volume."""
EXAMS_NAMED = 2
"""Of those that have the grid of another exam's file."""
AT_ORIGIN = 1e-3
"""In voxel edges: a first voxel that is nearer to the world's origin is on it."""


@dataclass(frozen=True, kw_only=True)
class OtherGrid(Problem):
    """A file whose voxels are not those of its exam."""

    own: str
    """Its grid, as `grid_name` has it."""
    usual: str
    """The grid of the exam's other files."""


class Grid:
    """The grid that the files of an exam share: that of one of them, which names it in errors."""

    def __init__(self, name: str, geometry: Geometry) -> None:
        self.name = name
        self.geometry = geometry

    def require_like(self, name: str, geometry: Geometry) -> None:
        """Refuses a file that says how its voxels lie where this grid's does not, or the other way round.

        Raises:
            DataError: Nothing tells how one lies in the other.
        """
        if geometry.has_orientation == self.geometry.has_orientation:
            return
        words = {True: "an orientation", False: "no orientation (qform_code and sform_code are 0)"}
        raise DataError.of(
            file=name,
            found=f"{words[geometry.has_orientation]}, where {self.name} has {words[not geometry.has_orientation]}",
            expected="an orientation in all files of an exam, or in none",
            remedy="copy it to the files that have none from one whose voxels are stored alike (e.g. FSL's "
            "`fslcpgeom`), and look at the two together",
            cause="an orientation in some files of an exam only",
        )

    def axes_of(self, name: str, geometry: Geometry) -> AxisMap:
        """How another file's axes become those of this grid's file.

        Raises:
            DataError: The file's voxels are not those of the grid; `OtherGrid`.
        """
        axes = geometry.axes_onto(self.geometry)
        if axes is None:
            raise DataError([_elsewhere(name, geometry, [self.name], self.geometry)])
        return axes

    def axes_or_resampled(self, name: str, geometry: Geometry) -> AxisMap | None:
        """The same where the study resamples: None for a file that has a grid of its own.

        Raises:
            DataError: A grid of its own that cannot be of the same exam; `OtherGrid`.
        """
        axes = geometry.axes_onto(self.geometry)
        if axes is None and not _may_be_of_one_exam(geometry, self.geometry):
            raise DataError([_elsewhere(name, geometry, [self.name], self.geometry)])
        return axes


def told_apart(problems: Sequence[Problem], geometries: Mapping[str, Geometry], grid: Grid) -> list[Problem]:
    """The problems of an exam, where those of its grids name the odd ones out.

    Most files are right, whichever of them names the grid: it may be the label map that lost its header. Of groups of
    one size the one that has not lost it is right, and then the grid's.

    Args:
        problems: All that is wrong with the exam.
        geometries: Of its files, as far as they could be read, by name.
        grid: What they were held against.
    """
    found = [problem for problem in problems if isinstance(problem, OtherGrid)]
    if not found:
        return list(problems)
    concerned = {grid.name, *(problem.file for problem in found)}
    concerned |= {name for name, own in geometries.items() if own.axes_onto(grid.geometry) is not None}
    groups: list[dict[str, Geometry]] = []  # where files are resampled, those are left out that may be
    for name, own in geometries.items():
        if name in concerned:
            same = next((g for g in groups if own.axes_onto(next(iter(g.values()))) is not None), None)
            if same is None:
                groups.append({name: own})
            else:
                same[name] = own
    usual = max(groups, key=lambda g: (len(g), not _is_lost(next(iter(g.values()))), grid.name in g))
    first = grid.name if grid.name in usual else next(iter(usual))
    names = [first, *(name for name in usual if name != first)]
    odd = [
        _elsewhere(name, own, names, usual[first])
        for group in groups
        if group is not usual
        for name, own in group.items()
    ]
    return [*(problem for problem in problems if not isinstance(problem, OtherGrid)), *odd]


def exchanged(
    problems: Sequence[Problem], exams: Mapping[str, str], grids: Mapping[str, str]
) -> list[Problem]:
    """The problems of a cohort, where those of a file on the grid of another exam say so.

    Args:
        problems: All that is wrong with the exams.
        exams: By file, the exam that it is of.
        grids: By exam that is in order, its grid, as `grid_name` has it.
    """
    odd = [problem for problem in problems if isinstance(problem, OtherGrid)]
    of_exam = dict(grids) | {exams[problem.file]: problem.usual for problem in odd if problem.file in exams}
    said: list[Problem] = []
    for problem in problems:
        own = exams.get(problem.file)
        if isinstance(problem, OtherGrid) and own is not None:
            theirs = sorted(exam for exam, grid in of_exam.items() if grid == problem.own and exam != own)
            back = [o.file for o in odd if exams.get(o.file) in theirs and o.own == problem.usual]
            said.append(_of_another(problem, theirs, back, own) if theirs else problem)
        else:
            said.append(problem)
    return said


@dataclass(frozen=True, kw_only=True)
class Resampled:
    """A channel of an exam that was brought from a grid of its own."""

    exam: str
    channel: str
    file: str
    grid: str
    """As `grid_name` has it."""


def from_other_exams(resampled: Sequence[Resampled], grids: Mapping[str, str]) -> list[Problem]:
    """A word for each channel that comes from the very grid of one or two other exams.

    Only where those have a file from its exam's grid in turn, or where the channel is hardly ever resampled: else
    some protocol has this grid.

    Args:
        resampled: The channels that were resampled.
        grids: By exam, the grid that it was given.
    """
    often = Counter(each.channel for each in resampled)
    warnings = []
    for each in resampled:
        theirs = sorted(exam for exam, grid in grids.items() if grid == each.grid)
        back = [o.file for o in resampled if o.exam in theirs and o.grid == grids[each.exam]]
        if 0 < len(theirs) <= EXAMS_NAMED and (back or often[each.channel] <= max(len(grids) // 5, 1)):
            in_turn = f"; and {first_of(back, EXAMS_NAMED)} has that of exam {each.exam}" if back else ""
            warnings.append(
                Problem(
                    file=each.file,
                    found=f"the grid of exam {first_of(theirs, EXAMS_NAMED)}{in_turn} (channel {each.channel})",
                    expected=f"a grid of exam {each.exam}",
                    remedy="exchanged? It was resampled onto its exam's grid: look at the page of `submit check "
                    "--output`",
                    cause="resampled from the grid of another exam",
                )
            )
    return warnings


def _of_another(problem: OtherGrid, theirs: Sequence[str], back: Sequence[str], own: str) -> OtherGrid:
    found = f"{problem.found}, which is the grid of exam {first_of(theirs, EXAMS_NAMED)}"
    if back:
        found += f"; and {first_of(back, EXAMS_NAMED)} has that of exam {own}: exchanged?"
    remedy = "put each where it belongs" if back else f"put it where it belongs, or {problem.remedy}"
    return replace(problem, found=found, remedy=remedy, cause=f"{problem.cause}, as in another exam")


def grid_name(geometry: Geometry) -> str:
    """A text that is the same for files of one grid, however their axes are stored."""
    canonical = geometry.affine @ inv_ornt_aff(np.array(geometry.to_canonical, float), geometry.shape_xyz)
    numbers = np.round(canonical[:3], 3) + 0.0  # no -0.0
    return f"{dimensions(map(str, reversed(geometry.shape_zyx)))} {numbers.ravel().tolist()}"


def overlap(one: Geometry, other: Geometry) -> float:
    """The share of the smaller of two volumes that lies in the other."""
    return max(_share_inside(one, other), _share_inside(other, one))


def _elsewhere(name: str, own: Geometry, names: Sequence[str], usual: Geometry) -> OtherGrid:
    """The problem of a file that is not on the grid of the files of these names."""
    apart, same = own.distance_voxels(usual), _same_voxels(own, usual)
    away = "" if math.isinf(apart) else f", {apart:.3g} voxels away"
    shape, usual_shape = (dimensions(map(str, each.shape_xyz)) for each in (own, usual))
    if _lost_one(own, usual) and _is_lost(own):
        away = ", with straight axes that begin at 0, 0, 0"
    others = len(names) - 1
    shared = f" and {others} other file{'s' if others > 1 else ''} of the exam" if others else ""
    return OtherGrid(
        file=name,
        found=(f"the same {shape} voxels under another header{away}" if same else f"{shape} voxels{away}")
        + f" ({own.orientation})",
        expected=f"{'' if same else f'{usual_shape}, '}the grid of {names[0]}{shared} ({usual.orientation})",
        remedy=_remedy(own, usual, name, names[0]),
        cause=f"{'a header that is lost' if _lost_one(own, usual) else 'another grid'} in some files of an exam",
        own=grid_name(own),
        usual=grid_name(usual),
    )


def _remedy(own: Geometry, usual: Geometry, name: str, usual_name: str) -> str:
    same, shared = _same_voxels(own, usual), overlap(own, usual)
    lost, kept = (usual_name, name) if _lost_one(own, usual) and _is_lost(usual) else (name, usual_name)
    copy = f"if {lost} has lost its header, copy that of {kept} (e.g. FSL's `fslcpgeom`) and look at the two together"
    if same and _lost_one(own, usual):
        return copy
    if _lost_one(own, usual) or shared < LEAST_OVERLAP:
        look = f"look whether it is of this exam: {shared:.0%} of its volume and that of {usual_name} overlap"
        return f"{look}; {copy}" if same else look
    may_be = shared >= MAY_BE_RESAMPLED and _centres_apart(own, usual) <= CENTRES_APART
    resample = "resample the exam's files onto one grid" + (
        ", or let cohort.resample_to name the channel whose grid all files get" if may_be else ""
    )
    return f"{copy}; else {resample}" if same else resample


def _may_be_of_one_exam(own: Geometry, target: Geometry) -> bool:
    """Whether resampling a file can be right: it is hardly, if one header is lost or the volumes lie elsewhere."""
    return not _lost_one(own, target) and overlap(own, target) >= LEAST_OVERLAP


def _same_voxels(one: Geometry, other: Geometry) -> bool:
    """Whether two volumes have one shape, as their files have it or in the world."""
    return one.shape_xyz == other.shape_xyz or not math.isinf(one.distance_voxels(other))


def _lost_one(one: Geometry, other: Geometry) -> bool:
    """Whether the same voxels, in some order of axes, have a header in one of two files only."""
    return sorted(one.shape_xyz) == sorted(other.shape_xyz) and _is_lost(one) != _is_lost(other)


def _is_lost(geometry: Geometry) -> bool:
    """Whether a header says no more than voxel edges, as scripts write it that make a file of an array."""
    edges, first = np.abs(geometry.affine[:3, :3]), geometry.affine[:3, 3]
    straight = np.count_nonzero(edges > AT_ORIGIN * edges.max()) == 3 and np.diagonal(edges).all()
    return bool(straight and np.abs(first).max() < AT_ORIGIN * edges.max())


def _share_inside(one: Geometry, other: Geometry) -> float:
    """The share of a volume that lies in another one."""
    x, y, z = ((np.arange(LATTICE) + 0.5) / LATTICE * size - 0.5 for size in one.shape_xyz)
    points = np.array([[*point, 1] for point in product(x, y, z)]).T
    positions = (np.linalg.inv(other.affine) @ one.affine @ points)[:3].T
    inside = (positions >= -0.5) & (positions <= np.array(other.shape_xyz) - 0.5)
    return float(inside.all(axis=1).mean())


def _centres_apart(one: Geometry, other: Geometry) -> float:
    """Of two volumes, in half edges of the larger one."""
    smaller, larger = sorted((one, other), key=lambda own: math.prod(own.shape_xyz) * own.voxel_ml)
    offset: NDArray[np.float64] = (np.linalg.inv(larger.affine) @ _centre(smaller))[:3]
    half = np.array(larger.shape_xyz) / 2
    return float(np.linalg.norm((offset - (half - 0.5)) / half))


def _centre(geometry: Geometry) -> NDArray[np.float64]:
    centre: NDArray[np.float64] = geometry.affine @ np.array([*(np.array(geometry.shape_xyz) / 2 - 0.5), 1])
    return centre
