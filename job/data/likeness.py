"""Numbers of an exam that hardly depend on the patient: how its channels and its labels go together.

Two images of one head lie in one place and differ by tissue alike in every patient, and a structure is as much
brighter or darker than the rest. What was exchanged, flipped or another patient's has other numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from job.data.channel_statistics import ChannelStatistics
from job.data.normalisation import Region, places_of

LEAST_VOXELS = 50
"""Of a class, whose contrast is measured; of fewer, chance and partial volumes decide."""
DIGITS = 6
"""After the point."""
CLASS_SAMPLED = 20_000
"""Voxels of a class, of which the median is taken."""
SD_PER_RANGE = 1 / 3.29
"""Of a normal distribution, from the 5th to the 95th percentile."""


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How the channels and the labels of an exam go together; None: not defined."""

    correlations: tuple[float | None, ...] = ()
    """By pair of channels, as `combinations` has them: of values inside both bodies, clipped to the middle 90 %."""
    overlaps: tuple[float | None, ...] = ()
    """By pair of channels: Dice of their bodies, which is where they are not background."""
    contrasts: tuple[tuple[float | None, ...], ...] = ()
    """By class and channel: the class's median less the region's, in the region's robust SDs."""


class ExamLikeness:
    """Takes up the channels of an exam one by one, some voxels of each."""

    def __init__(self, label_ZYX: NDArray[np.uint8], classes: int) -> None:
        voxels = label_ZYX.size
        self._places = places_of(voxels)
        labels = label_ZYX.ravel()
        inside = np.flatnonzero(labels)
        own = [inside[labels[inside] == label] for label in range(1, classes + 1)]
        self._classes = [places[:: max(places.size // CLASS_SAMPLED, 1)] for places in own]
        self._values: list[NDArray[np.float32]] = []
        self._bodies: list[NDArray[np.bool_]] = []
        self._inside: list[NDArray[np.bool_]] = []
        self._contrasts: list[list[float | None]] = []

    def take(self, values_ZYX: NDArray[np.float32], region: Region, found: ChannelStatistics) -> None:
        """Takes the next channel, in the file's unit, with its region and statistics."""
        flat, low, high = values_ZYX.ravel(), found.percentiles[0], found.percentiles[-1]
        sampled = flat[self._places]
        body = sampled != np.float32(_empty(values_ZYX, region, found))
        inside = body & region.inside_ZYX.ravel()[self._places]
        self._values.append(sampled.clip(low, high))
        self._bodies.append(body)
        self._inside.append(inside)
        sd, middle = (high - low) * SD_PER_RANGE, found.percentiles[len(found.percentiles) // 2]
        self._contrasts.append(
            [
                float((np.median(flat[places]) - middle) / sd)
                if places.size >= LEAST_VOXELS and sd > 0
                else None
                for places in self._classes
            ]
        )

    def numbers(self) -> Likeness:
        """Of the channels that were taken."""
        pairs = list(combinations(range(len(self._values)), 2))
        return Likeness(
            correlations=tuple(self._correlation(one, other) for one, other in pairs),
            overlaps=tuple(_dice(self._bodies[one], self._bodies[other]) for one, other in pairs),
            contrasts=tuple(zip(*self._contrasts, strict=True)),
        )

    def _correlation(self, one: int, other: int) -> float | None:
        both = self._inside[one] & self._inside[other]
        if np.count_nonzero(both) < LEAST_VOXELS:
            return None
        x, y = (self._values[channel][both].astype(np.float64) for channel in (one, other))
        x, y = x - x.mean(), y - y.mean()
        size = float(np.sqrt((x * x).sum() * (y * y).sum()))
        return _rounded(float((x * y).sum()) / size) if size > 0 else None


def _empty(values_ZYX: NDArray[np.float32], region: Region, found: ChannelStatistics) -> float:
    """The value of what is not the body; where a mask decides the region, that of most corners."""
    return float(np.median(values_ZYX[np.ix_(*[(0, -1)] * 3)])) if region.masked else found.empty


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float | None:
    total = np.count_nonzero(one) + np.count_nonzero(other)
    return _rounded(2 * int(np.count_nonzero(one & other)) / int(total)) if total else None


def _rounded(value: float) -> float:
    """Without the last bits, which another processor may have otherwise: records are compared by their bytes."""
    return round(value, DIGITS)


def pair_names(channels: Sequence[str]) -> list[tuple[str, str]]:
    """The channels of each pair, in the order of the numbers."""
    return list(combinations(channels, 2))
