"""Labels where no channel shows anything, in cohorts without masks: another exam's, flipped, of a wrong header."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from job.contract.cohort import Channel
from job.contract.errors import DataError, Problem
from job.data.labels import WORTH_A_WORD, is_lost
from job.data.normalisation import Region

RIM_MM = 5.0
"""From the body, up to which labels in the air are a rim: cutting out the brain cuts lesions at its surface."""


class Air:
    """The voxels that are background in every channel of an exam, as far as channels were told of."""

    def __init__(self) -> None:
        self._air_ZYX: NDArray[np.bool_] | None = None
        self._may_be = True
        self._has_images = False

    def also(self, region: Region, values_ZYX: NDArray[np.float32], channel: Channel) -> None:
        """Takes a channel's background into account.

        A parameter map has the value 0 where nothing was fitted, which is background only where all other channels
        say so; an image without a background, as in noisy air, shows something everywhere.
        """
        if region.masked or not self._may_be:
            return
        if channel.normalisation in ("fixed", "none"):
            own_ZYX = values_ZYX == np.float32(region.empty)
        else:
            self._may_be = region.background is not None
            self._has_images = True
            own_ZYX = ~region.inside_ZYX
        self._air_ZYX = own_ZYX if self._air_ZYX is None else self._air_ZYX & own_ZYX

    def labelled(
        self,
        label_ZYX: NDArray[np.uint8],
        classes: Sequence[tuple[str, str]],
        spacing_zyx_mm: tuple[float, float, float],
    ) -> list[Problem]:
        """A word for each class of which some lies in the air around the body.

        Zeros inside the body are none of it: a necrosis has a blood volume of 0.

        Args:
            label_ZYX: The labels.
            classes: Of each label from 1, the name and a file that it is in.
            spacing_zyx_mm: Of the grid.

        Raises:
            DataError: More of a class lies there than a rim.
        """
        if self._air_ZYX is None or not self._may_be:
            return []
        voxels, in_air = _counts(label_ZYX, len(classes)), _counts(label_ZYX[self._air_ZYX], len(classes))
        if not any(part > WORTH_A_WORD * all_ for part, all_ in zip(in_air, voxels, strict=True)):
            return []
        around_ZYX = _around(self._air_ZYX)
        in_air = _counts(label_ZYX[around_ZYX], len(classes))
        far_ZYX = around_ZYX & (label_ZYX > 0)
        if far_ZYX.any():
            # Not of labels only: the distance is that to the body.
            far_ZYX &= ndimage.distance_transform_edt(around_ZYX, sampling=spacing_zyx_mm) > RIM_MM
        far = _counts(label_ZYX[far_ZYX], len(classes))
        problems: list[Problem] = []
        warnings: list[Problem] = []
        for (name, file), all_, air, deep in zip(classes, voxels, in_air, far, strict=True):
            if self._has_images and is_lost(deep, all_):
                problems.append(_problem(file, name, all_, air, far=deep))
            elif air > WORTH_A_WORD * all_:
                warnings.append(_problem(file, name, all_, air))
        if problems:
            raise DataError(problems)
        return warnings


def _counts(labels: NDArray[np.uint8], classes: int) -> list[int]:
    """Voxels of each label from 1."""
    counts: list[int] = np.bincount(labels.ravel(), minlength=classes + 1)[1:].tolist()
    return counts


def _around(air_ZYX: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The air that reaches the border of the volume: what is enclosed is in the body."""
    parts_ZYX, _ = ndimage.label(air_ZYX)
    faces = [np.take(parts_ZYX, end, axis).ravel() for axis in range(3) for end in (0, -1)]
    outer = np.unique(np.concatenate(faces))
    around_ZYX: NDArray[np.bool_] = np.isin(parts_ZYX, outer[outer > 0])
    return around_ZYX


def _problem(file: str, name: str, voxels: int, in_air: int, *, far: int = 0) -> Problem:
    found = f"{in_air} of {voxels} voxels of class {name} in the air ({in_air / voxels:.2%})"
    found += ", where every channel is background"
    if far:
        return Problem(
            file=file,
            found=f"{found}; {far} of them are more than {RIM_MM:g} mm from the body",
            expected="labels where the patient is",
            remedy="flipped, under a wrong header, or another exam's? look at the page of `submit check --output`",
            cause=f"labels in the air: {name}",
        )
    return Problem(
        file=file,
        found=found,
        expected="labels where the channels show something",
        remedy="they stay in the truth, where no network can find them; look whether the images were cut off there, "
        "or the labels are shifted",
        cause=f"a rim of labels in the air: {name}",
    )
