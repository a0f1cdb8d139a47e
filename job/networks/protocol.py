"""What training, inference and reports ask of a network, whichever it is; no tensor exists yet."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from job.contract.shapes import ShapeXYZ, ShapeZYX
from job.data.window import Window

if TYPE_CHECKING:  # importing torch takes seconds, which `submit check` need not wait for
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class NetworkWords:
    """How a network is spoken of."""

    title: str
    """Kind and variant: `deepmedic paper`."""
    layers: str
    """What a methods section says that the network was."""
    patch: str
    """What a methods section calls its patches, with their size: `segments of 25 x 25 x 25 voxels`."""


class NetworkDesign(Protocol):
    """One network of one study: its windows, and how it is built."""

    def training_window(self) -> Window:
        """What it reads and predicts of a training patch."""

    def tile_window(self, volume_zyx: ShapeZYX) -> Window:
        """What it reads and predicts at one position in an exam, no larger than a volume of this size needs."""

    def tile_stride(self, window: Window) -> ShapeZYX:
        """How far positions in an exam lie apart: the output's size, so that they lie side by side; or less.

        A network that is worse at its window's edge, as one that pads is, has windows that overlap: what they
        say of a voxel is blended.
        """

    def receptive_field(self) -> ShapeXYZ:
        """Voxels that it draws on for one that it predicts."""

    def values_read(self, window: Window) -> int:
        """Feature values that all its layers read at one position: what its memory in training is proportional to."""

    def in_words(self) -> NetworkWords:
        """How it is spoken of."""

    def build(self, channels: int, classes: int) -> "nn.Module":
        """The network, called as `network(image_BCZYX, output_zyx)`; it gives logits (B, classes, *output_zyx).

        Its weights are drawn from torch's global generator.

        Args:
            channels: Input channels.
            classes: Classes, the background included.
        """
