"""A second network, as somebody would add one: three layers that pad with zeros, and windows that overlap."""

from math import prod

from torch import Tensor, nn

from job.contract.shapes import ShapeXYZ, ShapeZYX
from job.data.window import Window
from job.networks.protocol import NetworkWords

WINDOW_ZYX = ShapeZYX((6, 12, 12))
WINDOW = Window(input_zyx=WINDOW_ZYX, output_zyx=WINDOW_ZYX, offset_zyx=ShapeZYX((0, 0, 0)))
FEATURES = 6


class Padding(nn.Module):
    """Logits of all voxels that it reads."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(channels, FEATURES, 3, padding=1),
            nn.ReLU(),
            nn.Conv3d(FEATURES, FEATURES, 3, padding=1),
            nn.ReLU(),
            nn.Conv3d(FEATURES, classes, 3, padding=1),
        )

    def forward(self, image_BCZYX: Tensor, output_zyx: ShapeZYX) -> Tensor:
        assert image_BCZYX.shape[2:] == output_zyx
        logits_BKZYX: Tensor = self.layers(image_BCZYX)
        return logits_BKZYX


class PaddingDesign:
    """The same window wherever it looks, however small the volume: what is outside is mirrored."""

    def training_window(self) -> Window:
        return WINDOW

    def tile_window(self, volume_zyx: ShapeZYX) -> Window:
        return WINDOW

    def tile_stride(self, window: Window) -> ShapeZYX:
        z, y, x = (size // 2 for size in window.output_zyx)
        return ShapeZYX((z, y, x))

    def receptive_field(self) -> ShapeXYZ:
        return ShapeXYZ((7, 7, 7))

    def values_read(self, window: Window) -> int:
        return 3 * FEATURES * prod(window.input_zyx)

    def in_words(self) -> NetworkWords:
        return NetworkWords(title="padding", layers="three layers", patch="patches")

    def build(self, channels: int, classes: int) -> nn.Module:
        return Padding(channels, classes)
