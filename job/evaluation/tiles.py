"""Where a network looks in a volume so that each voxel is predicted: the positions of its window.

The first position predicts from voxel 0 on, and the last reaches the end or overhangs it; what is predicted
outside is dropped. (Shifting the last one back inside would cost as many passes, predict voxels more often, and
leave volumes smaller than a window as a special case.)
"""

import itertools
from dataclasses import dataclass

from job.contract.shapes import ShapeZYX
from job.data.window import Window


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


def tiles(volume_zyx: ShapeZYX, window: Window, stride_zyx: ShapeZYX | None = None) -> list[Tile]:
    """The tiles that predict a volume; the order is z, y, x, with x fastest.

    Args:
        volume_zyx: the volume's size.
        window: what the network reads and predicts at one position.
        stride_zyx: how far positions lie apart; by default the window's output, so that each voxel is predicted
            exactly once.

    Raises:
        ValueError: The stride leaves voxels out, or leads nowhere.
    """
    stride_zyx = stride_zyx or window.output_zyx
    for axis, stride, output in zip("zyx", stride_zyx, window.output_zyx, strict=True):
        if not 1 <= stride <= output:
            raise ValueError(
                f"on axis {axis} windows that predict {output} voxels lie {stride} apart; expected 1 to {output}"
            )
    axes = zip(volume_zyx, window.output_zyx, window.offset_zyx, stride_zyx, strict=True)
    positions = [
        [(start, min(output, size - start), start - offset) for start in _starts(size, output, stride)]
        for size, output, offset, stride in axes
    ]
    return [
        Tile(
            start_zyx=ShapeZYX((z[0], y[0], x[0])),
            shape_zyx=ShapeZYX((z[1], y[1], x[1])),
            input_start_zyx=ShapeZYX((z[2], y[2], x[2])),
        )
        for z, y, x in itertools.product(*positions)
    ]


def _starts(size: int, output: int, stride: int) -> range:
    """First voxels from 0 on, until one reaches the end."""
    return range(0, max(size - output, 0) + stride, stride)
