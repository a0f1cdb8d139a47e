"""What stays of a volume when its numbers are rounded, scaled or stored otherwise, or its axes in another order.

A file's axes may run in 48 ways (6 orders, 2 directions of each), and a copy whose header is another one comes to lie
in another way on the canonical grid.
"""

import base64
import math
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import pairwise, permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

BLOCKS = 8
"""Along each axis: a fingerprint is the means of 8 x 8 x 8 blocks, which average out rounding."""
ALIKE = 1e-4
"""1 - correlation of two fingerprints up to which they are of one scan.

Measured, in the likest of the 48 ways: copies that were rounded to 8 bits have up to 1e-5 (3e-5 where a small volume
is nothing but noise), to 16 bits 1e-9, clipped ones 4e-5. Other scans have at least 2e-3 (one patient's, before and
after contrast agent), 5e-3 (FLAIR images of two patients) or 1e-2 (the phantom's visits and maps).
"""
USUAL_SD = 2.0
"""Around the mean of what is inside; values beyond are clipped."""
PLACES = 48
"""Along each axis, of which the limits are taken."""
ROWS_AT_ONCE = 2048


def block_means(image_ZYX: NDArray[np.float32]) -> NDArray[np.float64]:
    """The means of a volume's blocks, none of which share a voxel; not finite where a voxel is not.

    64 bits hold the sums of 32-bit values to the last bit: the means of a constant volume are equal, and a block's
    changes with any of its voxels.
    """
    z, y, x = (np.linspace(0, size, min(BLOCKS, size) + 1).astype(int) for size in image_ZYX.shape)
    with np.errstate(invalid="ignore"):  # infinities that cancel out
        # Slab by slab: reduceat along the first axis is six times as slow.
        slabs = (image_ZYX[start:end].mean(axis=0, dtype=np.float64) for start, end in pairwise(z.tolist()))
        means = np.stack([np.add.reduceat(slab_YX, y[:-1]) for slab_YX in slabs]) / np.diff(y)[:, None]
        means_ZYX: NDArray[np.float64] = np.add.reduceat(means, x[:-1], axis=2) / np.diff(x)
    return means_ZYX


def fingerprint_of(image_ZYX: NDArray[np.float32]) -> str | None:
    """The standardised means of a volume's blocks, of clipped values, as text; None for one without contrast.

    A block has all voxels that it touches, so that the blocks of a flipped volume are the flipped blocks.
    """
    low, high = _usual(image_ZYX)
    means: NDArray[Any] = image_ZYX
    for axis, size in enumerate(image_ZYX.shape):
        count, before = min(BLOCKS, size), (np.s_[:],) * axis
        blocks = [means[*before, n * size // count : -(-(n + 1) * size // count)] for n in range(count)]
        means = np.stack([own.clip(low, high).mean(axis, dtype=np.float64) for own in blocks], axis)
    spread = float(means.std())
    if not np.isfinite(spread) or spread <= 1e-9 * float(np.abs(means).max(initial=0)):
        return None
    standard = ((means - means.mean()) / spread).astype("<f4")
    return f"{'x'.join(map(str, means.shape))}:{base64.b64encode(standard.tobytes()).decode()}"


def _usual(image_ZYX: NDArray[np.float32]) -> tuple[float, float]:
    """Between which values most of what is inside lies: the voxels across the volume's mean from its corners.

    Without these limits two heads within one mask would be alike, so far away is the air around them.
    """
    sample = image_ZYX[np.ix_(*map(_places, image_ZYX.shape))]
    mean, corners = sample.mean(dtype=np.float64), np.median(image_ZYX[np.ix_(*[(0, -1)] * 3)])
    inside = sample[sample > mean if corners <= mean else sample < mean]
    if not inside.size or not (sd := inside.std(dtype=np.float64)):
        return -math.inf, math.inf
    middle = inside.mean(dtype=np.float64)
    return float(middle - USUAL_SD * sd), float(middle + USUAL_SD * sd)


def _places(size: int) -> NDArray[np.intp]:
    """Up to so many places along an axis, the same from either end."""
    count = min(size, PLACES)
    half = np.arange(-(-count // 2)) * size // count
    return np.unique(np.concatenate([half, size - 1 - half]))


def blocks_of(fingerprint: str) -> NDArray[np.float32]:
    """The block means of a fingerprint, the axis with the fewest first."""
    shape, text = fingerprint.split(":")
    means = np.frombuffer(base64.b64decode(text), "<f4").reshape(tuple(map(int, shape.split("x"))))
    return means.transpose(np.argsort(means.shape, kind="stable"))


def distance(one: str, other: str) -> float:
    """1 - correlation of two fingerprints whose axes run alike; 1 where their shapes differ."""
    first, second = blocks_of(one).astype(np.float64), blocks_of(other).astype(np.float64)
    if first.shape != second.shape:
        return 1.0
    return 1 - float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))


def alike(fingerprints: Sequence[str]) -> list[tuple[int, int]]:
    """The pairs of positions whose fingerprints are of one scan in any of the 48 ways, each once, lower one first."""
    blocks = [blocks_of(text) for text in fingerprints]
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for position, own in enumerate(blocks):
        by_shape.setdefault(own.shape, []).append(position)
    pairs = []
    for positions in by_shape.values():
        rows = np.stack([blocks[position] for position in positions])
        rows /= np.linalg.norm(rows.reshape(len(rows), -1), axis=1)[:, None, None, None]
        for one, others in _candidates(rows):
            ways = np.stack([own.ravel() for own in _ways(rows[one].astype(np.float64))])
            likeness = (ways @ rows[others].reshape(len(others), -1).T).max(axis=0)
            pairs += [(positions[one], positions[n]) for n in others[likeness > 1 - ALIKE].tolist()]
    return sorted(pairs)


def _candidates(rows: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """For each row the later ones that may be alike.

    The sizes of a cosine transform's coefficients, averaged over the orders of axes, do not depend on the way of
    storage; and two rows are further apart than these are.
    """
    sizes = np.abs(fft.dctn(rows, axes=(1, 2, 3), norm="ortho"))
    orders = [order for order in permutations((1, 2, 3)) if sizes.transpose(0, *order).shape == sizes.shape]
    total = np.zeros_like(sizes)
    for order in orders:
        total += sizes.transpose(0, *order)
    features = (total / len(orders)).reshape(len(rows), -1)
    square = (features**2).sum(axis=1)
    # The squared distance of two that are just alike is twice as much; the rest is rounding.
    limit = 2.1 * ALIKE
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = features[start : start + ROWS_AT_ONCE]
        apart = square[start : start + len(some), None] + square[start:] - 2 * some @ features[start:].T
        for one, row in enumerate(apart):
            others = np.flatnonzero(row[one + 1 :] < limit)
            if others.size:
                yield start + one, start + one + 1 + others


def _ways(array: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    """An array's axes in each order and direction that keeps its shape."""
    for order in permutations(range(3)):
        turned = array.transpose(order)
        if turned.shape == array.shape:
            for steps in product((1, -1), repeat=3):
                yield turned[tuple(slice(None, None, step) for step in steps)]


def label_digest(label_ZYX: NDArray[np.uint8]) -> str:
    """SHA-256 of a label map, the same in each of the 48 ways; of those without labels it is that of the shape.

    It is that of the way in which the sums over slices come first, or of those ways in which they do.
    """
    if not label_ZYX.any():
        return sha256(repr(sorted(label_ZYX.shape)).encode()).hexdigest()
    sums = [label_ZYX.sum(axis=others, dtype=np.int64).tolist() for others in ((1, 2), (0, 2), (0, 1))]
    ways = {
        (order, steps): [sums[axis][::step] for axis, step in zip(order, steps, strict=True)]
        for order in permutations(range(3))
        for steps in product((1, -1), repeat=3)
    }
    first = min(ways.values())
    digests = []
    for (order, steps), own in ways.items():
        if own == first:
            way = label_ZYX.transpose(order)[tuple(slice(None, None, step) for step in steps)]
            digests.append(sha256(repr(way.shape).encode() + way.tobytes()).hexdigest())
    return min(digests)
