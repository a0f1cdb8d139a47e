"""Cut a patch out of a volume, with a mirrored border: what the sampler and the inference both read through.

Shapes: C = channels (1 for labels); Z, Y, X = voxels.
"""

import torch
from torch import Tensor

from job.contract.shapes import ShapeZYX


def reflect(index: int, size: int) -> int:
    """The voxel in 0..size-1 that lies at `index` when an axis is mirrored at both ends, again and again.

    The voxels at the ends are not repeated: with 4 voxels, -2 -1 0 1 2 3 4 5 6 reads 2 1 0 1 2 3 2 1 0. This
    is `numpy.pad`'s mode "reflect"; an axis of one voxel repeats it.
    """
    period = max(2 * (size - 1), 1)
    index %= period
    return min(index, period - index)


def cut(image_CZYX: Tensor, start_zyx: ShapeZYX, shape_zyx: ShapeZYX) -> Tensor:
    """The patch (C, *shape_zyx) whose first voxel is `start_zyx`; voxels outside the volume are mirrored.

    The start may be negative and the patch may be larger than the volume. A patch inside the volume is a view
    of it; any other is a copy, for which only the voxels that it shows are read.
    """
    patch_CZYX = image_CZYX
    mirrored: list[tuple[int, list[int]]] = []
    for axis, (start, length) in enumerate(zip(start_zyx, shape_zyx, strict=True), start=1):
        size = image_CZYX.shape[axis]
        if 0 <= start <= size - length:
            patch_CZYX = patch_CZYX.narrow(axis, start, length)
        else:
            index = [reflect(i, size) for i in range(start, start + length)]
            first = min(index)
            patch_CZYX = patch_CZYX.narrow(axis, first, max(index) - first + 1)
            mirrored.append((axis, [i - first for i in index]))
    # Only now, when the patch is narrow on all axes, is anything copied.
    for axis, index in mirrored:
        patch_CZYX = patch_CZYX.index_select(axis, torch.tensor(index, device=patch_CZYX.device))
    return patch_CZYX
