"""What a network reads and predicts at one position: training cuts by it, inference tiles by it."""

from dataclasses import dataclass

from job.contract.shapes import ShapeZYX


@dataclass(frozen=True, kw_only=True)
class Window:
    """What a network reads and what it predicts at one position, in voxels.

    Raises:
        ValueError: Nothing is predicted, or something that is not read.
    """

    input_zyx: ShapeZYX
    """Voxels that it reads."""
    output_zyx: ShapeZYX
    """Voxels that it predicts."""
    offset_zyx: ShapeZYX
    """First predicted voxel within the input; 0 where the network predicts all that it reads."""

    def __post_init__(self) -> None:
        axes = zip("zyx", self.input_zyx, self.output_zyx, self.offset_zyx, strict=True)
        for axis, read, predicted, offset in axes:
            if predicted < 1 or offset < 0 or offset + predicted > read:
                raise ValueError(
                    f"on axis {axis} a window reads {read} voxels, predicts {predicted} from voxel {offset}; "
                    "expected at least 1 predicted voxel, and all of them within the input"
                )
