"""The geometry of a phantom exam: tissues, tumours and their look-alikes, on any grid.

Lengths are millimetres in a field of view of fixed size, and random fields live on lattices of fixed pitch, so
that two grids show the same patient at two resolutions. Points and semi-axes are (z, y, x), arrays (Z, Y, X);
x runs to the patient's left, y to the back, z to the head.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from job.contract.randomness import stream_key
from job.contract.shapes import ShapeXYZ

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

CLASSES = {"GTV-T": 1, "GTV-Ln": 2}
NODE_FREE_EVERY = 3
"""Patients 3, 6, 9, ... have no lymph node involved: their exams lack GTV-Ln."""
FIELD_OF_VIEW_MM = np.array([96.0, 168.0, 168.0])
EDGE_MM = 4.0
"""Width of the ramp between two tissues: partial volume and point spread."""
SHRINKAGE = 0.9
"""A lesion's radius at one visit relative to the visit before: therapy works."""
RADIUS_MM = {"GTV-T": 26.0, "GTV-Ln": 13.5}
FAT_MM = 7.0


@dataclass(frozen=True)
class LookAlike:
    """A region with a tumour's signal in every channel but those that betray it."""

    structure: str
    betrayed_by: tuple[str, ...]
    """The channels that show muscle here. Any one is enough, so only leaving out all of them costs."""
    share: float
    """Volume relative to the structure's: what is mistaken for it once no channel is left that tells."""


LOOK_ALIKES = (
    LookAlike("GTV-T", ("t2star",), 0.45),
    LookAlike("GTV-T", ("ktrans", "ve"), 0.25),
    LookAlike("GTV-T", ("t2",), 0.15),
    LookAlike("GTV-T", ("t1c",), 0.08),
    LookAlike("GTV-Ln", ("t2star",), 0.8),
    LookAlike("GTV-Ln", ("t2star",), 0.8),
    LookAlike("GTV-Ln", ("adc",), 0.5),
    LookAlike("GTV-Ln", ("ktrans", "ve"), 0.5),
)


@dataclass(frozen=True)
class ExamKey:
    """Names the random streams of an exam; visit 0 stands for what a patient keeps through all visits."""

    seed: int
    patient: int
    visit: int

    def stream(self, purpose: str) -> np.random.Generator:
        """Random numbers that depend on seed, patient, visit and purpose, and on nothing drawn elsewhere."""
        key = stream_key(self.seed, f"phantom {purpose}", self.patient, self.visit)
        return np.random.Generator(np.random.Philox(key=key))


@dataclass(frozen=True)
class Region:
    """A tissue, how much of each voxel it fills (0-1, ZYX), and the channels that show muscle in its place."""

    tissue: str
    cover: Floats
    betrayed_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Anatomy:
    """Regions in painting order, each hiding those before it, and the masks (Z, Y, X) that follow."""

    regions: tuple[Region, ...]
    label: NDArray[np.uint8]
    mask: NDArray[np.uint8]


@dataclass(frozen=True)
class Ellipsoid:
    """A tissue's place before the patient's warp and the surface make it irregular."""

    tissue: str
    centre_mm: Doubles
    semi_axes_mm: Doubles
    betrayed_by: tuple[str, ...] = ()

    def depth_mm(self, points_mm: Floats, bulge: Floats | float = 0.0) -> Floats:
        """How far inside the surface each point (3, Z, Y, X) lies; a bulge of 0.1 adds a tenth to the radius."""
        centre, semi_axes = (
            v.astype(np.float32)[:, None, None, None] for v in (self.centre_mm, self.semi_axes_mm)
        )
        radius = np.sqrt((((points_mm - centre) / semi_axes) ** 2).sum(axis=0))
        depth: Floats = (1 + bulge - radius) * semi_axes.min()
        return depth


# Columns run through the whole field of view: their z semi-axis is far longer.
ORGANS = tuple(
    Ellipsoid(tissue, np.array(centre_mm), np.array(semi_axes_mm))
    for tissue, centre_mm, semi_axes_mm in (
        ("bone", (0, 36, 0), (900, 14, 16)),
        ("fluid", (0, 36, 0), (900, 5, 5)),
        ("airway", (0, -24, 0), (900, 10, 8)),
        ("gland", (20, 4, -50), (24, 18, 10)),
        ("gland", (20, 4, 50), (24, 18, 10)),
        ("vessel", (0, 8, -34), (900, 4.5, 4.5)),
        ("vessel", (0, 8, 34), (900, 4.5, 4.5)),
        ("vessel", (0, 16, -42), (900, 6, 5)),
        ("vessel", (0, 16, 42), (900, 6, 5)),
    )
)


def spacing_mm(shape: ShapeXYZ) -> tuple[float, float, float]:
    """Voxel size along (x, y, z); the field of view is the same on every grid."""
    z, y, x = (float(extent) for extent in FIELD_OF_VIEW_MM)
    return x / shape[0], y / shape[1], z / shape[2]


def smooth_field(shape: ShapeXYZ, pitch_mm: float, stream: np.random.Generator) -> Floats:
    """Smooth random field (Z, Y, X), mean 0 and deviation 1: cubic B-splines with random coefficients."""
    bases = [
        _spline_basis(voxels, extent_mm / pitch_mm)
        for voxels, extent_mm in zip(shape[::-1], FIELD_OF_VIEW_MM, strict=True)
    ]
    coefficients = stream.standard_normal([basis.shape[1] for basis in bases])
    field: Doubles = np.einsum("zi,yj,xk,ijk->zyx", *bases, coefficients, optimize=True)
    field = (field - field.mean()) / field.std()
    return field.astype(np.float32)


def exam_anatomy(key: ExamKey, shape: ShapeXYZ) -> Anatomy:
    """Regions, label and body mask of one exam.

    A patient keeps body and lesions through all visits; a visit has its own position on the table, smaller
    lesions and slightly different surfaces.
    """
    patient = ExamKey(key.seed, key.patient, visit=0)
    surface = patient.stream("surface")
    warp_mm = 4.0 * np.stack([smooth_field(shape, 40.0, surface) for _ in "zyx"])
    points_mm = _voxel_centres_mm(shape) + warp_mm
    points_mm += key.stream("position").normal(0.0, 1.0, (3, 1, 1, 1)).astype(np.float32)
    bulge = 0.13 * smooth_field(shape, 14.0, surface)
    bulge += 0.04 * smooth_field(shape, 14.0, key.stream("surface"))

    body = Ellipsoid(
        "fat", np.zeros(3), np.array([90, 66, 74]) * patient.stream("body").uniform(0.95, 1.05, 3)
    )
    body_depth_mm = body.depth_mm(points_mm)
    regions = [Region("fat", _cover(body_depth_mm)), Region("muscle", _cover(body_depth_mm - FAT_MM))]
    regions += [Region(organ.tissue, _cover(organ.depth_mm(points_mm))) for organ in ORGANS]
    label = np.zeros(shape[::-1], np.uint8)
    mask = (body_depth_mm > 0).astype(np.uint8)
    for lesion in _lesions(patient, body, shrinkage=SHRINKAGE ** (key.visit - 1)):
        depth_mm = lesion.depth_mm(points_mm, bulge)
        regions.append(Region(lesion.tissue, _cover(depth_mm), lesion.betrayed_by))
        if not lesion.betrayed_by:
            label[depth_mm > 0] = CLASSES[lesion.tissue]
    return Anatomy(tuple(regions), label * mask, mask)


def _lesions(patient: ExamKey, body: Ellipsoid, shrinkage: float) -> list[Ellipsoid]:
    """A patient's look-alikes, then the tumours, which hide them where they meet."""
    stream = patient.stream("lesions")
    room_mm = np.minimum(body.semi_axes_mm, FIELD_OF_VIEW_MM / 2) - FAT_MM
    nodes = 0 if patient.patient % NODE_FREE_EVERY == 0 else int(stream.integers(1, 3))
    tumours: list[Ellipsoid] = []
    for structure in ("GTV-T", *nodes * ["GTV-Ln"]):
        semi_axes_mm = _semi_axes_mm(RADIUS_MM[structure] * stream.uniform(0.93, 1.07), stream)
        centre_mm = _clear_centre_mm(_anywhere_mm(room_mm, stream), semi_axes_mm, tumours, room_mm)
        tumours.append(Ellipsoid(structure, centre_mm, semi_axes_mm))
    lesions = _look_alikes(tumours, room_mm, stream) + tumours
    return [replace(lesion, semi_axes_mm=shrinkage * lesion.semi_axes_mm) for lesion in lesions]


def _look_alikes(
    tumours: Sequence[Ellipsoid], room_mm: Doubles, stream: np.random.Generator
) -> list[Ellipsoid]:
    """One ellipsoid per look-alike.

    Those of the primary tumour touch it, so that neither size nor place tells them apart; those of the nodes lie
    anywhere, as nodes do.
    """
    primary, *nodes = tumours
    placed: list[Ellipsoid] = []
    for twin in LOOK_ALIKES:
        semi_axes_mm = _semi_axes_mm(RADIUS_MM[twin.structure] * math.cbrt(twin.share), stream)
        if twin.structure == primary.tissue:
            reach_mm = primary.semi_axes_mm + 0.6 * semi_axes_mm
            candidates_mm = primary.centre_mm + reach_mm * _directions(stream)
            centre_mm = _clear_centre_mm(candidates_mm, semi_axes_mm, nodes + placed, room_mm)
        else:
            candidates_mm = _anywhere_mm(room_mm, stream)
            centre_mm = _clear_centre_mm(candidates_mm, semi_axes_mm, [primary, *nodes, *placed], room_mm)
        placed.append(Ellipsoid(twin.structure, centre_mm, semi_axes_mm, twin.betrayed_by))
    return placed


def _clear_centre_mm(
    candidates_mm: Doubles, semi_axes_mm: Doubles, lesions: Sequence[Ellipsoid], room_mm: Doubles
) -> Doubles:
    """The first candidate (N, 3) clear of lesions, bone, airway and the room's edge, else the clearest."""
    stiff = [organ for organ in ORGANS if organ.tissue in ("bone", "airway")]
    from_middle_mm = np.linalg.norm(candidates_mm, axis=1)
    gaps_mm = [from_middle_mm * (1 / np.linalg.norm(candidates_mm / room_mm, axis=1) - 1)]
    for obstacle in (*stiff, *lesions):
        radii = np.linalg.norm((candidates_mm - obstacle.centre_mm) / obstacle.semi_axes_mm, axis=1)
        gaps_mm.append((radii - 1) * obstacle.semi_axes_mm.min())
    clearance_mm = np.min(gaps_mm, axis=0) - semi_axes_mm.mean()
    chosen: Doubles = candidates_mm[np.argmax(np.minimum(clearance_mm, 0.0))]
    return chosen


def _semi_axes_mm(radius_mm: float, stream: np.random.Generator) -> Doubles:
    """Semi-axes of an ellipsoid with the volume of a ball of this radius."""
    ratios: Doubles = stream.uniform(0.85, 1.15, 3)
    return radius_mm * ratios / math.cbrt(ratios.prod())


def _anywhere_mm(room_mm: Doubles, stream: np.random.Generator) -> Doubles:
    """Points (N, 3) spread evenly over an ellipsoid with these semi-axes."""
    directions = _directions(stream)
    return room_mm * np.cbrt(stream.uniform(size=(len(directions), 1))) * directions


def _directions(stream: np.random.Generator) -> Doubles:
    """Unit vectors (N, 3), enough of them to find a clear place."""
    directions: Doubles = stream.standard_normal((300, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions


def _voxel_centres_mm(shape: ShapeXYZ) -> Floats:
    """Positions (3, Z, Y, X) relative to the middle of the field of view."""
    axes = [
        ((np.arange(voxels) + 0.5) / voxels - 0.5) * extent_mm
        for voxels, extent_mm in zip(shape[::-1], FIELD_OF_VIEW_MM, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


def _cover(depth_mm: Floats) -> Floats:
    """Part of each voxel that lies inside a surface: half of it on the surface, where the label ends."""
    cover: Floats = np.clip(depth_mm / EDGE_MM + 0.5, 0, 1)
    return cover


def _spline_basis(voxels: int, intervals: float) -> Doubles:
    """Uniform cubic B-splines (voxels, splines) that cover this many knot intervals."""
    positions = (np.arange(voxels) + 0.5) / voxels * intervals
    distance: Doubles = np.abs(positions[:, None] - np.arange(-1, np.ceil(intervals) + 2))
    near = 2 / 3 - distance**2 + distance**3 / 2
    return np.where(distance < 1, near, np.clip(2 - distance, 0, None) ** 3 / 6)
