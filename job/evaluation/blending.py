"""The labels of a volume from what its tiles predict: written side by side, or blended where tiles overlap.

Shapes: B = tiles in a batch, K = classes with background; Z, Y, X = voxels.

Blending takes the class with the largest sum of weighted probabilities. The weight is a Gaussian over the window
with an SD of 1/8 of its edge, as in MONAI 1.6.1 (monai/data/utils.py, compute_importance_map) and nnU-Net at 09eef55
(nnunetv2/inference/sliding_window_prediction.py, compute_gaussian); TorchIO (GridAggregator) has a Hann window, which
falls less steeply. All three sum what the network gives, as a rule logits, and divide by the sum of weights. Here:

- probabilities, which are bounded: a voxel at a window's edge, where a network that pads may be wrong and very sure
  of it, counts no more than its weight. The largest of K is at least 1/K, so that no sum vanishes;
- no division, since the sum of weights is the same for all classes of a voxel;
- float32 (nnU-Net: float16), K numbers for each voxel of the volume, on the device.
"""

from collections.abc import Sequence
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from job.contract.shapes import ShapeZYX
from job.evaluation.tiles import Tile

SD_OF_EDGE = 1 / 8
"""SD of the weights, as a share of the window's edge."""


class Merger(Protocol):
    """Takes what tiles predict, in any order, and gives the labels of the volume."""

    def add(self, logits_BKZYX: Tensor, batch: Sequence[Tile]) -> None:
        """Takes the logits of some tiles."""

    def labels(self) -> Tensor:
        """The (Z, Y, X) labels, uint8; 0 where no tile was."""


class SideBySide:
    """For tiles that do not overlap: the class with the largest logit is written down at once.

    Args:
        volume_zyx: the volume's size.
        device: of the network.
    """

    def __init__(self, volume_zyx: ShapeZYX, device: torch.device) -> None:
        self._labels_ZYX = torch.zeros(volume_zyx, dtype=torch.uint8, device=device)

    def add(self, logits_BKZYX: Tensor, batch: Sequence[Tile]) -> None:
        """Writes the labels of some tiles."""
        labels_BZYX = logits_BKZYX.max(dim=1).indices  # argmax is several times slower on a CPU
        for label_ZYX, tile in zip(labels_BZYX, batch, strict=True):
            z, y, x = tile.shape_zyx
            self._labels_ZYX[tile.voxels] = label_ZYX[:z, :y, :x]

    def labels(self) -> Tensor:
        """The labels that were written."""
        return self._labels_ZYX


class Blended:
    """For tiles that overlap: weighted probabilities are summed, float32 on the device, K numbers a voxel.

    Args:
        volume_zyx: the volume's size.
        output_zyx: voxels that a tile predicts.
        device: of the network.
    """

    def __init__(self, volume_zyx: ShapeZYX, output_zyx: ShapeZYX, device: torch.device) -> None:
        self._volume_zyx = volume_zyx
        self._weight_ZYX = gaussian_weights(output_zyx).to(device)
        self._sum_KZYX: Tensor | None = None

    def add(self, logits_BKZYX: Tensor, batch: Sequence[Tile]) -> None:
        """Adds what some tiles say of their voxels."""
        if self._sum_KZYX is None:
            shape = (logits_BKZYX.shape[1], *self._volume_zyx)
            self._sum_KZYX = torch.zeros(shape, dtype=torch.float32, device=logits_BKZYX.device)
        weighted_BKZYX = logits_BKZYX.float().softmax(dim=1).mul_(self._weight_ZYX)
        for weighted_KZYX, tile in zip(weighted_BKZYX, batch, strict=True):
            z, y, x = tile.shape_zyx
            self._sum_KZYX[:, *tile.voxels] += weighted_KZYX[:, :z, :y, :x]

    def labels(self) -> Tensor:
        """The classes with the largest sums."""
        if self._sum_KZYX is None:
            return torch.zeros(self._volume_zyx, dtype=torch.uint8, device=self._weight_ZYX.device)
        return self._sum_KZYX.max(dim=0).indices.to(torch.uint8)


def gaussian_weights(output_zyx: ShapeZYX) -> Tensor:
    """What each voxel of a window counts, (Z, Y, X), largest in the middle: exp(-d²/2) with d in SDs of each axis."""
    along: list[Tensor] = []
    for dim, size in enumerate(output_zyx):
        deviations = (torch.arange(size, dtype=torch.float32) - (size - 1) / 2) / (SD_OF_EDGE * size)
        along.append(torch.exp(-(deviations**2) / 2).reshape([-1 if d == dim else 1 for d in range(3)]))
    return prod(along[1:], start=along[0])
