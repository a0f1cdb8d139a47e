"""Dense inference: label every voxel of an exam, tile by tile.

Shapes: B = tiles in a batch, C = channels, K = classes with background; Z, Y, X = voxels.

Tiles lie side by side from voxel 0, one output apart, so that each voxel is predicted exactly once. Those at
the far end may overhang the volume; what they predict outside is dropped. (Shifting them back inside would
cost as many passes, predict voxels twice, and leave volumes smaller than a tile as a special case.) Where the
input of a tile reaches outside the volume it sees the mirrored image, as in github deepmedic/deepmedic
(Kamnitsas et al., Med Image Anal 2017;36:61-78).
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from job.contract.shapes import ShapeZYX
from job.data.patches import cut
from job.data.window import Window

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One position of the network in a volume."""

    start_zyx: ShapeZYX
    """First voxel of the volume that it predicts."""
    shape_zyx: ShapeZYX
    """Voxels that it predicts: the window's output, less what overhangs the volume."""
    input_start_zyx: ShapeZYX
    """First voxel that it reads; negative where that lies before the volume."""

    @property
    def voxels(self) -> tuple[slice, slice, slice]:
        """Where its prediction belongs in the volume."""
        z, y, x = (slice(a, a + n) for a, n in zip(self.start_zyx, self.shape_zyx, strict=True))
        return z, y, x


def tiles(volume_zyx: ShapeZYX, window: Window) -> list[Tile]:
    """The tiles that predict each voxel of a volume exactly once; the order is z, y, x, with x fastest."""
    axes = zip(volume_zyx, window.output_zyx, window.offset_zyx, strict=True)
    positions = [
        [(start, min(step, size - start), start - offset) for start in range(0, size, step)]
        for size, step, offset in axes
    ]
    return [
        Tile(
            start_zyx=ShapeZYX((z[0], y[0], x[0])),
            shape_zyx=ShapeZYX((z[1], y[1], x[1])),
            input_start_zyx=ShapeZYX((z[2], y[2], x[2])),
        )
        for z, y, x in itertools.product(*positions)
    ]


def predict(
    forward: Forward, image_CZYX: Tensor, roi_ZYX: Tensor | None, window: Window, *, batch: int
) -> NDArray[np.uint8]:
    """The class of every voxel, (Z, Y, X): the one with the largest logit; 0 outside the region of interest.

    Args:
        forward: a network in evaluation mode: from (B, C, *window.input_zyx), float32, overwritten after the
            call, to logits (B, K, *window.output_zyx).
        image_CZYX: the exam, float16 or float32, on the network's device.
        roi_ZYX: bool; tiles without any voxel of it are skipped. None: the whole volume.
        window: what the network reads and predicts at one position.
        batch: tiles per pass, at most; up to rounding in the network it does not change the result.

    Raises:
        ValueError: shapes do not fit each other.
    """
    volume_zyx = _volume(image_CZYX, roi_ZYX, batch)
    wanted = _tiles_with_roi(tiles(volume_zyx, window), roi_ZYX)
    batch_shape = (min(batch, len(wanted)), image_CZYX.shape[0], *window.input_zyx)
    buffer_BCZYX = torch.empty(batch_shape, dtype=torch.float32, device=image_CZYX.device)
    labels_ZYX = torch.zeros(volume_zyx, dtype=torch.uint8, device=image_CZYX.device)
    with torch.inference_mode():
        for first in range(0, len(wanted), batch):
            now = wanted[first : first + batch]
            for input_CZYX, tile in zip(buffer_BCZYX[: len(now)], now, strict=True):
                input_CZYX.copy_(cut(image_CZYX, tile.input_start_zyx, window.input_zyx))
            logits_BKZYX = forward(buffer_BCZYX[: len(now)])
            _check_logits(logits_BKZYX, len(now), window)
            labels_BZYX = logits_BKZYX.max(dim=1).indices  # argmax is several times slower on a CPU
            for label_ZYX, tile in zip(labels_BZYX, now, strict=True):
                z, y, x = tile.shape_zyx
                labels_ZYX[tile.voxels] = label_ZYX[:z, :y, :x]
        if roi_ZYX is not None:
            labels_ZYX *= roi_ZYX.to(labels_ZYX.device)
    return labels_ZYX.numpy(force=True)


def _tiles_with_roi(candidates: list[Tile], roi_ZYX: Tensor | None) -> list[Tile]:
    """The tiles that predict a voxel of the region of interest."""
    if roi_ZYX is None:
        return candidates
    roi = roi_ZYX.numpy(force=True)  # on the host: asking the device would wait for it at each tile
    return [tile for tile in candidates if roi[tile.voxels].any()]


def _volume(image_CZYX: Tensor, roi_ZYX: Tensor | None, batch: int) -> ShapeZYX:
    """The volume's shape (z, y, x), once image and region of interest fit each other."""
    if image_CZYX.ndim != 4:
        raise ValueError(f"the image must be (channels, z, y, x); got shape {tuple(image_CZYX.shape)}")
    _, z, y, x = image_CZYX.shape
    if roi_ZYX is not None and roi_ZYX.shape != (z, y, x):
        raise ValueError(
            f"the region of interest must have the image's shape {(z, y, x)}; got {tuple(roi_ZYX.shape)}"
        )
    if batch < 1:
        raise ValueError(f"batch must be at least 1 tile; got {batch}")
    return ShapeZYX((z, y, x))


def _check_logits(logits_BKZYX: Tensor, batch: int, window: Window) -> None:
    """Refuses an output that is not what the window says."""
    if (
        logits_BKZYX.ndim != 5
        or logits_BKZYX.shape[0] != batch
        or tuple(logits_BKZYX.shape[2:]) != window.output_zyx
    ):
        raise ValueError(
            f"for {batch} tiles of {window.input_zyx} voxels the network must return logits of shape "
            f"({batch}, classes, {', '.join(map(str, window.output_zyx))}); got {tuple(logits_BKZYX.shape)}; "
            "correct the window's output_zyx"
        )
