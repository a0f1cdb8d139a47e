"""Intensity normalisation of one channel of one exam."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from job.contract.cohort import Channel

DEFAULT_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True, kw_only=True)
class ChannelStatistics:
    """A channel's intensities before normalisation, over the region, in the file's unit."""

    voxels: int
    mean: float
    sd: float
    minimum: float
    maximum: float


def statistics(image_ZYX: NDArray[np.float32], region_ZYX: NDArray[np.bool_]) -> ChannelStatistics:
    """Mean, SD (population) and range over a region that holds at least one voxel."""
    values = image_ZYX[region_ZYX].astype(np.float64)
    return ChannelStatistics(
        voxels=values.size,
        mean=float(values.mean()),
        sd=float(values.std()),
        minimum=float(values.min()),
        maximum=float(values.max()),
    )


def normalise(
    image_ZYX: NDArray[np.float32], region_ZYX: NDArray[np.bool_], channel: Channel
) -> NDArray[np.float32]:
    """The channel as the study says (`Channel.normalisation`), 0 outside the region.

    Raises:
        ValueError: The region is empty, or its values are too equal to be scaled.
    """
    if not region_ZYX.any():
        raise ValueError("no voxel in the region (mask, or voxels that are not 0)")
    if channel.normalisation == "none":
        return np.where(region_ZYX, image_ZYX, np.float32(0))
    if channel.normalisation == "zscore":
        stats = statistics(image_ZYX, region_ZYX)
        offset, scale, spread = stats.mean, stats.sd, "SD"
    else:
        low, high = channel.range or DEFAULT_PERCENTILES
        if channel.normalisation == "percentile":
            low, high = np.percentile(image_ZYX[region_ZYX], (low, high)).tolist()
        image_ZYX = np.clip(image_ZYX, low, high)
        offset, scale, spread = low, high - low, "range"
    if scale <= 1e-6 * max(abs(offset), 1e-30):
        raise ValueError(f"hardly any contrast in the region: {spread} {scale:g} at {offset:g}")
    return np.where(region_ZYX, (image_ZYX - np.float32(offset)) / np.float32(scale), np.float32(0))
