"""Reads an exam's files onto one grid: as they lie on it, or resampled where the study says so."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.contract.cohort import Channel, Cohort
from job.contract.errors import DataError, Problem
from job.data.cohort_files import ExamFiles
from job.data.exam_grids import Grid, grid_name, told_apart
from job.data.file_kinds import unpacked
from job.data.geometry import IDENTITY, AxisMap, Geometry
from job.data.labels import mask_of
from job.data.nifti import Volume, read_unpacked
from job.data.normalisation import background_of
from job.data.resampling import kept_volumes, resampled, resampled_labels
from job.storage import Storage, StoredObject


def grid_file(files: ExamFiles, cohort: Cohort) -> tuple[StoredObject, int | None]:
    """The file whose grid an exam gets, and the volume of it: the first label map, or a channel by the study."""
    if cohort.resample_to is None:
        return files.first_label, None
    position = cohort.channel_names.index(cohort.resample_to)
    return files.channels[position], cohort.channels[position].index


class GridReader:
    """Reads an exam's files onto one grid, remembering what was odd about them, and their digests if asked to."""

    def __init__(self, source: Storage, cohort: Cohort, *, digests: bool) -> None:
        self._source = source
        self._cohort = cohort
        self._digests = digests
        self._last: tuple[str, bytes, tuple[Problem, ...]] | None = None
        self._mask_key: str | None = None
        self.grid: Grid | None = None
        self.geometries: dict[str, Geometry] = {}
        """Of the files, by name, as far as they can be held against the grid."""
        self.sha256: dict[str, str] = {}
        self.warnings: list[Problem] = []

    def set_grid(self, files: ExamFiles) -> None:
        """Takes the grid of the label map, or of the channel that `cohort.resample_to` names."""
        self._mask_key = None if files.mask is None else files.mask.key
        item, index = grid_file(files, self._cohort)
        volume = self.volume(item.key, index)
        self.grid = Grid(volume.name, volume.geometry)
        self.geometries[volume.name] = volume.geometry

    def volume(self, key: str, index: int | None = None) -> Volume:
        """A volume as its file has it."""
        try:
            if self._last is None or self._last[0] != key:
                data = self._source.read(key)
                if self._digests:
                    self.sha256[key] = sha256(data).hexdigest()
                self._last = (key, *unpacked(data, key))
            _, contents, odd_packing = self._last
            return read_unpacked(contents, key, index=index, choice=self._cohort.geometry, odd=odd_packing)
        except Exception as error:
            error.add_note(f"while reading {key}")
            raise

    def stored(self, key: str) -> tuple[NDArray[Any], Volume]:
        """A file of names (labels, mask): its stored numbers on the exam's canonical grid, and the file.

        Where that is another grid than the file's, on the file's own: what is made of them can be `placed`.
        """
        volume = self._noted(self.volume(key))
        axes = self._axes(volume)
        if axes is None or self.grid is None:
            return volume.stored_ZYX(), volume
        # In order, since all that is made of a flipped view takes three times as long.
        return np.ascontiguousarray(volume.stored_ZYX(axes, self.grid.geometry)), volume

    def placed(
        self, names_ZYX: NDArray[np.uint8], volume: Volume, classes: Sequence[str] = ()
    ) -> NDArray[np.uint8]:
        """Labels or a mask on the exam's canonical grid.

        Args:
            names_ZYX: What was made of the numbers that `stored` gave.
            volume: The volume.
            classes: Names of the labels, from 1.

        Raises:
            DataError: Resampling takes a class away.
        """
        if self.grid is None or self._axes(volume) is not None:
            return names_ZYX
        source, target = volume.geometry, self.grid.geometry
        placed_xyz, outside = resampled_labels(source.in_file(names_ZYX), source, target)
        if classes:
            self.warnings += [_cut_off(volume.name, outside, self.grid.name)] if outside else []
            self.warnings += kept_volumes(
                names_ZYX, placed_xyz, source, target, classes=classes, name=volume.name
            )
        placed_ZYX: NDArray[np.uint8] = np.ascontiguousarray(target.canonical(placed_xyz))
        return placed_ZYX

    def values(
        self, key: str, channel: Channel, mask_ZYX: NDArray[np.uint8] | None
    ) -> tuple[Volume, NDArray[np.float32], int]:
        """A channel, its scaled values on the exam's canonical grid, and how many were filled to be resampled.

        Args:
            key: The file.
            channel: The channel.
            mask_ZYX: The exam's mask; None where there is none, or it is reported.

        Raises:
            DataError: Values that are to be resampled are not finite where they count.
        """
        volume = self._noted(self.volume(key, channel.index))
        axes = self._axes(volume)
        if self.grid is None or (mask_ZYX is None) != (self._mask_key is None):  # which is reported
            return volume, volume.values_ZYX(), 0
        source, target = volume.geometry, self.grid.geometry
        if axes is not None:
            return volume, volume.values_ZYX(axes, target), 0
        values_ZYX = volume.values_ZYX()
        known_ZYX, known_xyz, filled = np.isfinite(values_ZYX), None, 0
        outside = background_of(values_ZYX) if known_ZYX.all() else None
        if not known_ZYX.all():
            mask = None if self._mask_key is None else self._mask_on(source, self._mask_key)
            known_xyz, filled = source.in_file(known_ZYX), filled_outside(values_ZYX, mask, key)
        if outside is None:
            outside = float(values_ZYX.min(where=known_ZYX, initial=np.inf))
        image_xyz, covered_xyz = resampled(
            source.in_file(values_ZYX), source, target, outside=outside, known_xyz=known_xyz
        )
        lacking_ZYX = ~target.canonical(covered_xyz)
        self.warnings += _uncovered(key, lacking_ZYX, mask_ZYX, channel, outside)
        return volume, np.ascontiguousarray(target.canonical(image_xyz)), filled

    def told_apart(self, problems: Sequence[Problem]) -> list[Problem]:
        """The problems of an exam that was read, where those of its grids name the odd ones out."""
        return list(problems) if self.grid is None else told_apart(problems, self.geometries, self.grid)

    def own_grid(self, volume: Volume) -> str | None:
        """The name of the grid of a file that is resampled; None for one that lies on the exam's."""
        return grid_name(volume.geometry) if self._axes(volume) is None else None

    def _axes(self, volume: Volume) -> AxisMap | None:
        """How a file's axes become the grid's; None: it has a grid of its own, and is resampled."""
        if self.grid is None:
            return IDENTITY
        if self._cohort.resample_to is None:
            return self.grid.axes_of(volume.name, volume.geometry)
        return self.grid.axes_or_resampled(volume.name, volume.geometry)

    def _mask_on(self, geometry: Geometry, key: str) -> NDArray[np.uint8]:
        """The mask on the grid of a file that is to be resampled: from its own, since the exam's may be coarser."""
        volume = self.volume(key)
        mask_xyz = volume.geometry.in_file(mask_of(volume.stored_ZYX(), volume))
        return geometry.canonical(resampled_labels(mask_xyz, volume.geometry, geometry)[0])

    def _noted(self, volume: Volume) -> Volume:
        """The volume, whose oddities are remembered, and which can be held against the grid."""
        self.warnings += [warning for warning in volume.warnings if warning not in self.warnings]
        if self.grid is not None:
            self.grid.require_like(volume.name, volume.geometry)
            self.geometries[volume.name] = volume.geometry
        return volume


def filled_outside(values_ZYX: NDArray[np.float32], mask_ZYX: NDArray[np.uint8] | None, name: str) -> int:
    """Makes what is not finite outside the mask 0, in place; how many voxels that were.

    Raises:
        DataError: There are such voxels inside, or no mask.
    """
    finite_ZYX = np.isfinite(values_ZYX)
    if finite_ZYX.all():
        return 0
    wrong_ZYX = ~finite_ZYX
    inside = wrong_ZYX if mask_ZYX is None else wrong_ZYX & (mask_ZYX > 0)
    if count := int(np.count_nonzero(inside)):
        where = (
            "" if mask_ZYX is None else f" inside the mask ({count / np.count_nonzero(mask_ZYX):.2%} of it)"
        )
        raise DataError.of(
            file=name,
            found=f"{count} voxels that are NaN, infinite or beyond 32-bit floats{where}",
            expected="finite values" + ("" if mask_ZYX is None else " inside the mask"),
            remedy="replace them (e.g. by 0)"
            + (
                ", or give cohort.mask: outside of it they do not matter"
                if mask_ZYX is None
                else ", or correct the mask"
            ),
            cause="voxels that are not finite",
        )
    values_ZYX[wrong_ZYX] = 0
    return int(np.count_nonzero(wrong_ZYX))


def _uncovered(
    key: str,
    lacking_ZYX: NDArray[np.bool_],
    mask_ZYX: NDArray[np.uint8] | None,
    channel: Channel,
    outside: float,
) -> list[Problem]:
    where, size = ("grid", lacking_ZYX.size) if mask_ZYX is None else ("mask", np.count_nonzero(mask_ZYX))
    lacking = np.count_nonzero(lacking_ZYX if mask_ZYX is None else lacking_ZYX & (mask_ZYX > 0))
    if not lacking:
        return []
    return [
        Problem(
            file=key,
            found=f"a volume that lacks {lacking} voxels ({lacking / size:.2%}) of the {where} that it is "
            f"resampled onto (channel {channel.name})",
            expected="one that covers the exam",
            remedy=f"what is not covered is {outside:.4g}, its background or else its smallest value; choose another "
            "channel for cohort.resample_to, or give a mask of what all cover",
            cause=f"a channel that covers a part only: {channel.name}",
        )
    ]


def _cut_off(key: str, share: float, onto: str) -> Problem:
    return Problem(
        file=key,
        found=f"{share:.1%} of the labelled voxels outside the grid of {onto}, onto which it is resampled",
        expected="labels inside the grid",
        remedy="they are cut off; choose a channel that covers them for cohort.resample_to",
        cause="labels outside the grid that they are resampled onto",
    )
