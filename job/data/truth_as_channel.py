"""Recognises the truth among the channels of an exam, where it would teach every network what it is tested on."""

from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.contract.cohort import Channel
from job.contract.errors import DataError, Problem
from job.data.nifti import Volume
from job.data.normalisation import region_of
from job.data.plausibility import few_values

SAMPLED = 10_000
"""Voxels that are looked at first: an image has more values among them than a label map."""
MOST_VALUES = 256
"""Of what may be a label map."""
COARSE = (slice(None, None, 4),) * 3
"""Voxels that are looked at next."""
FEW_VALUES = 8
"""Integral values up to which a channel looks like a segmentation."""


class TruthFiles:
    """The files of an exam's truth, as far as they are needed to recognise a copy."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def remember(self, volume: Volume) -> None:
        """Takes a label map, a file of a class or a mask for the truth."""
        self._names[_digest(volume)] = volume.name

    def require_other(self, volume: Volume, channel: Channel) -> None:
        """Refuses a channel with the values of one of them, whatever their data type and order of axes.

        Raises:
            DataError: It is the truth.
        """
        if not _may_be_labels(volume.stored_xyz):
            return
        name = self._names.get(_digest(volume))
        if name is not None:
            raise DataError([_truth(f"the values of {name}", channel, volume.name)])


def like_labels(
    values_ZYX: NDArray[np.float32],
    mask_ZYX: NDArray[np.uint8] | None,
    label_ZYX: NDArray[np.uint8] | None,
    channel: Channel,
    file: str,
) -> list[Problem]:
    """A word where a channel looks like a segmentation.

    Args:
        values_ZYX: The channel, in the file's unit.
        mask_ZYX: The exam's mask.
        label_ZYX: The exam's labels; None: they could not be read.
        channel: The channel.
        file: Its file.

    Raises:
        DataError: It is the truth under other numbers.
    """
    if not _may_be_labels(values_ZYX):
        return []
    inside_ZYX = region_of(values_ZYX, mask_ZYX, channel).inside_ZYX
    if label_ZYX is not None and _follows(values_ZYX, label_ZYX, inside_ZYX):
        raise DataError(
            [_truth("one value for each class of the labels, and one for the rest", channel, file)]
        )
    present = np.unique(values_ZYX[inside_ZYX])
    if present.size > FEW_VALUES or not (present == np.rint(present)).all():
        return []
    return [few_values([int(value) for value in present.tolist()], channel, file)]


def _truth(found: str, channel: Channel, file: str) -> Problem:
    return Problem(
        file=file,
        found=f"{found} (channel {channel.name})",
        expected="an image, from which the truth is to be learnt",
        remedy="correct cohort.pattern or the channel's `files`, which have found the truth; or remove the channel",
        cause=f"the truth as a channel: {channel.name}",
    )


def _may_be_labels(values: NDArray[Any]) -> bool:
    """Whether an array has few values, by a sample; few of an image's voxels tell that it has more."""
    flat = values.ravel(order="K")
    return np.unique(flat[:: max(flat.size // SAMPLED, 1)]).size <= MOST_VALUES


def _digest(volume: Volume) -> str:
    """Of the values along the axes that are nearest to right, anterior and superior."""
    values_ZYX = volume.values_ZYX()
    return sha256(values_ZYX.data).hexdigest()


def _follows(
    values_ZYX: NDArray[np.float32], label_ZYX: NDArray[np.uint8], inside_ZYX: NDArray[np.bool_]
) -> bool:
    """Whether an image has one value in each class inside a region, where more than a voxel or two tell so."""
    if not _one_each(values_ZYX[COARSE][inside_ZYX[COARSE]], label_ZYX[COARSE][inside_ZYX[COARSE]]):
        return False
    labels, values = label_ZYX[inside_ZYX], values_ZYX[inside_ZYX]
    return bool(labels.any()) and values.size > 2 * np.unique(labels).size and _one_each(values, labels)


def _one_each(values: NDArray[np.float32], labels: NDArray[np.uint8]) -> bool:
    return all(np.ptp(values[labels == label]) == 0 for label in np.unique(labels))
