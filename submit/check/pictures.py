"""Pictures of exams, made while they are read: a slice of every channel, and two of other directions.

Of each exam only slices are kept. They are of the normalised image, as the network gets it, black outside the mask.
Shapes and directions as in `submit.slices`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from job.data.cohort_files import ExamFiles
from job.data.exam import ChannelSeen
from job.data.geometry import Geometry
from submit.slices import as_seen, box_around, fullest_slice

Plane = Literal["axial", "coronal", "sagittal"]
AXES: Mapping[Plane, int] = {"axial": 0, "coronal": 1, "sagittal": 2}
"""Across which a slice of each plane lies."""
MOST_PIXELS = 256
"""Along each side of a picture; of larger slices, neighbours are averaged."""
QUALITY = 80
"""Of WebP: about 5 kB a picture, and no difference that an eye finds."""
GREY_PERCENTILES = (1, 99)
"""Of the voxels that are not 0: black and white."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A slice of an exam, cropped to what is not background."""

    plane: Plane
    number: int
    """From 1; from below, behind or the left."""
    slices: int
    shape: tuple[int, int]
    """Rows and columns, in voxels."""
    size_mm: tuple[float, float]
    """Height and width."""
    images: Mapping[int, bytes]
    """WebP by the channel's position."""
    outlines: Mapping[int, str]
    """By label, the largest area first, so that what it holds is drawn over it: `outline`s."""


class Album:
    """The pictures of all exams that were read, by name: axial with every channel, then the others with the first."""

    def __init__(self) -> None:
        self.exams: dict[str, tuple[View, ...]] = {}

    @contextmanager
    def watch(self, files: ExamFiles) -> Iterator[ChannelSeen]:
        """Who sees the channels of an exam; its pictures are there afterwards, also if some channels were wrong."""
        slices = _Slices()
        try:
            yield slices.keep
        finally:
            if slices.seen:
                self.exams[files.exam] = tuple(slices.view(plane) for plane in AXES)


class _Slices:
    """The slices of one exam, through most of its labels; through the middle where there are none."""

    def __init__(self) -> None:
        self.seen: dict[Plane, dict[int, NDArray[np.float32]]] = {}
        self._labels: dict[Plane, NDArray[np.uint8]] = {}
        self._places: dict[Plane, int] = {}
        self._shape: tuple[int, ...] = ()
        self._geometry: Geometry | None = None

    def keep(
        self,
        position: int,
        normalised_ZYX: NDArray[np.float32],
        label_ZYX: NDArray[np.uint8],
        geometry: Geometry,
    ) -> None:
        """Takes the slices of a channel; of all but the first only the axial one."""
        if self._geometry is None:
            self._begin(label_ZYX, geometry)
        planes: tuple[Plane, ...] = ("axial",) if self.seen else tuple(AXES)
        for plane in planes:
            self.seen.setdefault(plane, {})[position] = self._slice(normalised_ZYX, plane)

    def _begin(self, label_ZYX: NDArray[np.uint8], geometry: Geometry) -> None:
        self._shape, self._geometry = label_ZYX.shape, geometry
        for plane, axis in AXES.items():
            fullest = fullest_slice(label_ZYX, axis)
            self._places[plane] = label_ZYX.shape[axis] // 2 if fullest is None else fullest
            self._labels[plane] = self._slice(label_ZYX, plane)

    def _slice(self, volume_ZYX: NDArray[Any], plane: Plane) -> NDArray[Any]:
        return np.array(np.take(volume_ZYX, self._places[plane], AXES[plane]))  # a view would hold the volume

    def view(self, plane: Plane) -> View:
        """What was kept of a plane."""
        assert self._geometry is not None
        labels, images = self._labels[plane], self.seen[plane]
        inside = labels > 0
        for image in images.values():
            inside |= image != 0
        box = box_around(inside)
        areas = [(-np.count_nonzero(labels == label), int(label)) for label in np.unique(labels[labels > 0])]
        rows, columns = labels[box].shape
        row_mm, column_mm = (
            mm for axis, mm in enumerate(self._geometry.spacing_zyx_mm) if axis != AXES[plane]
        )
        return View(
            plane=plane,
            number=self._places[plane] + 1,
            slices=self._shape[AXES[plane]],
            shape=(rows, columns),
            size_mm=(rows * row_mm, columns * column_mm),
            images={position: encoded(as_seen(image[box])) for position, image in images.items()},
            outlines={label: outline(as_seen(labels[box] == label)) for _, label in sorted(areas)},
        )


def encoded(image_YX: NDArray[np.float32]) -> bytes:
    """A slice as a grey WebP picture; what is exactly 0 is black, since it is background."""
    inside = image_YX != 0
    grey = np.zeros(image_YX.shape, np.uint8)
    if inside.any():
        low, high = np.percentile(image_YX[inside], GREY_PERCENTILES)
        scaled = (image_YX[inside] - low) / max(high - low, np.finfo(np.float32).tiny)
        grey[inside] = np.clip(255 * scaled, 0, 255).astype(np.uint8)
    picture = Image.fromarray(grey)
    rows, columns = image_YX.shape
    picture = picture.reduce((-(-columns // MOST_PIXELS), -(-rows // MOST_PIXELS)))
    file = BytesIO()
    picture.save(file, "WEBP", quality=QUALITY, method=2)
    return file.getvalue()


def outline(inside_YX: NDArray[np.bool_]) -> str:
    """The border of an area along its voxels' edges, as a path of SVG; the upper left corner is (0, 0)."""
    padded = np.pad(inside_YX, 1)
    across = padded[1:, 1:-1] != padded[:-1, 1:-1]  # edge above each row, and below the last
    along = padded[1:-1, 1:] != padded[1:-1, :-1]
    rows = [f"M{start} {row}h{length}" for row, start, length in _runs(across)]
    columns = [f"M{column} {start}v{length}" for column, start, length in _runs(along.T)]
    return "".join([*rows, *columns])


def _runs(edges: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Line, first place and length of each unbroken run of edges."""
    steps = np.diff(np.pad(edges, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    starts, ends = np.argwhere(steps == 1), np.argwhere(steps == -1)
    return [
        (line, start, end - start)
        for (line, start), (_, end) in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
