"""What stays of a volume when its numbers are rounded, scaled or stored in another type or order of axes."""

import base64
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

BLOCKS = 8
"""Along each axis: a fingerprint is the means of 8 x 8 x 8 blocks, which average out rounding."""
ALIKE = 1e-4
"""1 - correlation of two fingerprints up to which they are of one scan.

Measured: copies that were rounded to 8 bits have up to 2e-6 (3e-5 where a small volume is nothing but noise), to 16
bits 1e-9. Other scans have at least 2e-3 (one patient's, before and after contrast agent) or 5e-3 (the phantom's
visits; T1 images of two patients). A copy that was clipped (1e-3), or scaled apart from its background, is not found.
"""
ROWS_AT_ONCE = 2048


def block_means(image_ZYX: NDArray[np.float32]) -> NDArray[np.float64]:
    """The means of a volume's blocks; not finite where a voxel is not.

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


def fingerprint_of(means_ZYX: NDArray[np.float64]) -> str | None:
    """Block means, standardised, as text; None of a volume without contrast."""
    spread = float(means_ZYX.std())
    if not np.isfinite(spread) or spread <= 1e-9 * float(np.abs(means_ZYX).max(initial=0)):
        return None
    standard = ((means_ZYX - means_ZYX.mean()) / spread).astype("<f4")
    return base64.b64encode(standard.tobytes()).decode()


def alike(fingerprints: Sequence[str]) -> list[tuple[int, int]]:
    """The pairs of positions whose fingerprints are of one scan, each pair once, lower position first."""
    by_length: dict[int, list[int]] = {}
    for position, text in enumerate(fingerprints):
        by_length.setdefault(len(text), []).append(position)
    pairs = []
    for positions in by_length.values():
        rows = np.stack([np.frombuffer(base64.b64decode(fingerprints[p]), "<f4") for p in positions])
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            correlations = rows[start : start + ROWS_AT_ONCE] @ rows[start:].T
            for one, other in np.argwhere(correlations > 1 - ALIKE).tolist():
                if other > one and _correlation(rows[start + one], rows[start + other]) > 1 - ALIKE:
                    pairs.append((positions[start + one], positions[start + other]))
    return sorted(pairs)


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """In double precision: single has 1e-7, too near to the limit."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))
