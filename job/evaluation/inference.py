"""Dense inference: label every voxel of an exam, tile by tile.

Shapes: B = tiles in a batch, C = channels, K = classes with background; Z, Y, X = voxels.

Tiles lie side by side, one output apart, so that each voxel is predicted exactly once; or closer, for networks that
are worse at their window's edge, and are blended. Where the input of a tile reaches outside the volume it sees the
mirrored image, as in github deepmedic/deepmedic (Kamnitsas et al., Med Image Anal 2017;36:61-78).
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from job.contract.shapes import ShapeZYX
from job.data.patches import cut
from job.data.window import Window
from job.evaluation.blending import Blended, Merger, SideBySide
from job.evaluation.tiles import Tile, tiles

Forward = Callable[[Tensor], Tensor]


def predict(
    forward: Forward,
    image_CZYX: Tensor,
    roi_ZYX: Tensor | None,
    window: Window,
    *,
    batch: int,
    stride_zyx: ShapeZYX | None = None,
) -> NDArray[np.uint8]:
    """The class of every voxel, (Z, Y, X), by the network; 0 outside the region of interest.

    Args:
        forward: a network in evaluation mode: from (B, C, *window.input_zyx), float32, overwritten after the
            call, to logits (B, K, *window.output_zyx).
        image_CZYX: the exam, float16 or float32, on the network's device.
        roi_ZYX: bool; tiles without any voxel of it are skipped. None: the whole volume.
        window: what the network reads and predicts at one position.
        batch: tiles per pass, at most; up to rounding in the network it does not change the result.
        stride_zyx: how far tiles lie apart; by default the window's output. Where it is less, they overlap and
            are blended, as `job.evaluation.blending` says.

    Raises:
        ValueError: shapes do not fit each other.
    """
    volume_zyx = _volume(image_CZYX, roi_ZYX, batch)
    wanted = _tiles_with_roi(tiles(volume_zyx, window, stride_zyx), roi_ZYX)
    batch_shape = (min(batch, len(wanted)), image_CZYX.shape[0], *window.input_zyx)
    buffer_BCZYX = torch.empty(batch_shape, dtype=torch.float32, device=image_CZYX.device)
    with torch.inference_mode():
        merger = _merger(volume_zyx, window, stride_zyx, image_CZYX.device)
        for first in range(0, len(wanted), batch):
            now = wanted[first : first + batch]
            logits_BKZYX = forward(_cut_tiles(image_CZYX, now, buffer_BCZYX[: len(now)]))
            _check_logits(logits_BKZYX, len(now), window)
            merger.add(logits_BKZYX, now)
        labels_ZYX = merger.labels()
        if roi_ZYX is not None:
            labels_ZYX *= roi_ZYX.to(labels_ZYX.device)
    return labels_ZYX.numpy(force=True)


def _cut_tiles(image_CZYX: Tensor, batch: Sequence[Tile], into_BCZYX: Tensor) -> Tensor:
    """What the network reads of some tiles, in memory that is used again."""
    z, y, x = into_BCZYX.shape[2:]
    for input_CZYX, tile in zip(into_BCZYX, batch, strict=True):
        input_CZYX.copy_(cut(image_CZYX, tile.input_start_zyx, ShapeZYX((z, y, x))))
    return into_BCZYX


def _merger(
    volume_zyx: ShapeZYX, window: Window, stride_zyx: ShapeZYX | None, device: torch.device
) -> Merger:
    """What makes labels of tiles that lie a stride apart."""
    if stride_zyx is None or stride_zyx == window.output_zyx:
        return SideBySide(volume_zyx, device)
    return Blended(volume_zyx, window.output_zyx, device)


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
