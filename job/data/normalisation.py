"""Intensity normalisation of one channel of one exam."""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from job.contract.cohort import Channel

DEFAULT_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True, kw_only=True)
class ChannelStatistics:
    """A channel of an exam over its region; in the file's unit, before normalisation, where not said otherwise."""

    voxels: int
    mean: float
    sd: float
    minimum: float
    maximum: float
    normalised_sd: float
    """After normalisation."""
    sha256: str
    """Of all voxels as float32 on the canonical grid: the same for the same image in another file."""


def statistics(
    image_ZYX: NDArray[np.float32], normalised_ZYX: NDArray[np.floating], region_ZYX: NDArray[np.bool_]
) -> ChannelStatistics:
    """Statistics of a channel over a region that holds at least one voxel; SDs are of a population."""
    values = image_ZYX[region_ZYX].astype(np.float64)
    return ChannelStatistics(
        voxels=values.size,
        mean=float(values.mean()),
        sd=float(values.std()),
        minimum=float(values.min()),
        maximum=float(values.max()),
        normalised_sd=float(normalised_ZYX[region_ZYX].std(dtype=np.float64)),
        sha256=sha256(np.ascontiguousarray(image_ZYX).data).hexdigest(),
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
        values = image_ZYX[region_ZYX].astype(np.float64)
        offset, scale, spread = float(values.mean()), float(values.std()), "SD"
    else:
        low, high = channel.range or DEFAULT_PERCENTILES
        if channel.normalisation == "percentile":
            low, high = np.percentile(image_ZYX[region_ZYX], (low, high)).tolist()
        image_ZYX = np.clip(image_ZYX, low, high)
        offset, scale, spread = low, high - low, "range"
    if scale <= 1e-6 * max(abs(offset), 1e-30):
        raise ValueError(f"hardly any contrast in the region: {spread} {scale:g} at {offset:g}")
    return np.where(region_ZYX, (image_ZYX - np.float32(offset)) / np.float32(scale), np.float32(0))
