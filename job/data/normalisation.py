"""Intensity normalisation of one channel of one exam, and the region that it is measured over."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from job.contract.cohort import Channel
from job.data.moments import mean_of, sd_of

DEFAULT_PERCENTILES = (0.5, 99.5)
BORDER_SHARE = 0.5
"""Of the voxels on the faces of a volume; a value that more of them have may be its background."""
NEAR = 0.01
"""Of the 99th percentile of all voxels' distance to a value; what is nearer is near it."""
EXACT_SHARE = 0.95
"""Of the voxels near its background that have the very value; fewer are a tail of noise, or of a spline's waves.

Measured: at least 0.989 on brains cut out and the phantom's maps, at most 0.89 after cubic interpolation of them.
"""
SAMPLED = 100_000
"""Voxels that stand for all of a volume."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """The voxels that a channel is scaled over."""

    inside_ZYX: NDArray[np.bool_]
    values: NDArray[np.float32]
    """The channel's, of these voxels in their order."""
    background: float | None
    """The value of the voxels that were left out for it; None: a mask decides, or no value is the background."""
    masked: bool = False
    """Whether a mask decides."""
    empty: float = 0.0
    """The value of voxels that tell nothing, inside the region."""

    @cached_property
    def moments(self) -> tuple[float, float]:
        """Mean and SD (of a population)."""
        mean = mean_of(self.values)
        return mean, sd_of(self.values, mean)

    def image(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The (Z, Y, X) volume that has these values in the region, and 0 outside."""
        image_ZYX = np.zeros(self.inside_ZYX.shape, np.float32)
        image_ZYX[self.inside_ZYX] = values
        return image_ZYX


def region_of(image_ZYX: NDArray[np.float32], mask_ZYX: NDArray[np.uint8] | None, channel: Channel) -> Region:
    """The mask's voxels; without a mask those that are not background, or all where the scale is given."""
    background, empty = None, 0.0
    if mask_ZYX is not None:
        inside_ZYX = mask_ZYX > 0
    elif channel.normalisation in ("fixed", "none"):
        inside_ZYX = np.ones(image_ZYX.shape, bool)  # 0 is a value like any other
        empty = background_of(image_ZYX) or 0.0
    else:
        background = background_of(image_ZYX)
        inside_ZYX = image_ZYX != (background or 0)
    return Region(
        inside_ZYX=inside_ZYX,
        values=image_ZYX[inside_ZYX],
        background=background,
        masked=mask_ZYX is not None,
        empty=empty,
    )


def background_of(image_ZYX: NDArray[np.float32]) -> float | None:
    """The value that surrounds the body; None where no one value does by itself, as in noisy air, rounded or not.

    It need not be 0: a file that was scaled and rounded again has its background near 0.
    """
    faces = [np.take(image_ZYX, end, axis).ravel() for axis in range(3) for end in (0, -1)]
    values, counts = np.unique(np.concatenate(faces), return_counts=True)
    most = int(counts.argmax())
    if counts[most] <= BORDER_SHARE * counts.sum():
        return None
    off = np.abs(sample_of(image_ZYX) - values[most])
    near = np.count_nonzero(off <= NEAR * np.percentile(off, 99))
    return float(values[most]) if np.count_nonzero(off == 0) >= EXACT_SHARE * near else None


def sample_of(image_ZYX: NDArray[np.float32]) -> NDArray[np.float32]:
    """Some of a volume's voxels, those of `places_of`."""
    values = image_ZYX.ravel()
    return values if values.size <= SAMPLED else values[places_of(values.size)]


def places_of(voxels: int) -> NDArray[np.intp]:
    """Some of so many voxels, spread by a golden-ratio sequence: no stride that might follow a volume's rows."""
    if voxels <= SAMPLED:
        return np.arange(voxels)
    return (np.arange(SAMPLED) * 0.6180339887498949 % 1 * voxels).astype(np.intp)


def normalise(region: Region, channel: Channel) -> NDArray[np.float32]:
    """The region's values as the study says (`Channel.normalisation`).

    Raises:
        ValueError: The region is empty, or its values are too equal to be scaled.
    """
    values = region.values
    if not values.size:
        raise ValueError("no voxel in the region (mask, or voxels that are not background)")
    if channel.normalisation == "none":
        return values
    if channel.normalisation == "zscore":
        offset, scale = region.moments
        spread = "SD"
    else:
        low, high = channel.range or DEFAULT_PERCENTILES
        if channel.normalisation == "percentile":
            low, high = np.percentile(values, (low, high)).tolist()
        values = np.clip(values, low, high)
        offset, scale, spread = low, high - low, "range"
    if scale <= 1e-6 * max(abs(offset), 1e-30):
        raise ValueError(f"hardly any contrast in the region: {spread} {scale:g} at {offset:g}")
    scaled: NDArray[np.float32] = values - np.float32(offset)
    scaled /= np.float32(scale)
    return scaled
