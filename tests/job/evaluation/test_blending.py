"""Windows that overlap: B tiles in a batch, C channels, K classes; Z, Y, X voxels."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from job.data.window import Window
from job.evaluation.blending import Blended, gaussian_weights
from job.evaluation.inference import predict
from job.evaluation.tiles import tiles

torch.set_num_threads(1)

CUBE = Window(input_zyx=(16, 16, 16), output_zyx=(16, 16, 16), offset_zyx=(0, 0, 0))
"""Of a network that pads: it predicts all that it reads."""
STRIDES = [(8, 8, 8), (16, 16, 8), (5, 16, 7)]


class Padding(nn.Module):
    """Three layers of kernel 3, padded with zeros, that find class 1 where the image is 1 all around.

    Each layer averages 27 voxels. In an image of ones the average stays 1, but within 3 voxels of the window's
    edge, where zeros are mixed in: there it is 26/27 at most, and the network sees background.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[nn.Conv3d(n, m, 3, padding=1) for n, m in ((1, 1), (1, 1), (1, 2))])
        for layer in self.layers:
            nn.init.constant_(layer.weight, 1 / 27)
            nn.init.zeros_(layer.bias)
        last = self.layers[2]
        last.weight.data *= torch.tensor([0.0, 100]).reshape(2, 1, 1, 1, 1)
        last.bias.data = torch.tensor([0.0, -99])

    def forward(self, image_BCZYX: Tensor) -> Tensor:
        logits_BKZYX: Tensor = self.layers(image_BCZYX)
        return logits_BKZYX


def near(size: int, *edges: int) -> np.ndarray:
    """Which voxels of an axis lie within 3 of an edge between two voxels."""
    return np.any([(np.arange(size) >= edge - 3) & (np.arange(size) < edge + 3) for edge in edges], axis=0)


def anywhere(z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return z[:, None, None] | y[:, None] | x


def test_side_by_side_a_network_that_pads_is_wrong_at_every_edge_of_its_window_blended_only_at_the_volume_s() -> (
    None
):
    image_CZYX = torch.ones(1, 16, 24, 40)
    plain_ZYX = predict(Padding().eval(), image_CZYX, None, CUBE, batch=3)
    wrong = anywhere(near(16, 0, 16), near(24, 0, 16), near(40, 0, 16, 32))
    np.testing.assert_array_equal(plain_ZYX == 0, wrong)

    blended_ZYX = predict(Padding().eval(), image_CZYX, None, CUBE, batch=3, stride_zyx=(8, 8, 8))
    np.testing.assert_array_equal(
        blended_ZYX == 0, anywhere(near(16, 0, 16), near(24, 0, 24), near(40, 0, 40))
    )


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("volume", [(16, 16, 16), (19, 33, 21), (3, 20, 16)])
def test_where_the_output_does_not_depend_on_the_window_blended_and_plain_are_the_same(
    volume: tuple[int, int, int], stride: tuple[int, int, int]
) -> None:
    generator = torch.Generator().manual_seed(0)
    image_CZYX = torch.randint(-3, 4, (2, *volume), generator=generator).float()
    pointwise = nn.Conv3d(2, 3, 1)
    pointwise.weight.data = torch.tensor([[1.0, 0], [0, 1], [1, 1]]).reshape(3, 2, 1, 1, 1)
    pointwise.bias.data = torch.tensor([0.0, 0.25, 0.5])  # so that no two logits are equal
    plain_ZYX = predict(pointwise, image_CZYX, None, CUBE, batch=2)
    assert np.unique(plain_ZYX).tolist() == [0, 1, 2]
    for batch in (1, 5):
        blended_ZYX = predict(pointwise, image_CZYX, None, CUBE, batch=batch, stride_zyx=stride)
        assert blended_ZYX.dtype == np.uint8
        np.testing.assert_array_equal(blended_ZYX, plain_ZYX)


def test_a_stride_of_the_output_is_the_same_as_none() -> None:
    image_CZYX = torch.rand(1, 16, 24, 40, generator=torch.Generator().manual_seed(0)) * 2
    plain_ZYX = predict(Padding().eval(), image_CZYX, None, CUBE, batch=3)
    np.testing.assert_array_equal(
        predict(Padding().eval(), image_CZYX, None, CUBE, batch=3, stride_zyx=CUBE.output_zyx), plain_ZYX
    )


def test_outside_the_region_of_interest_all_is_background_and_tiles_without_it_are_skipped() -> None:
    passes = []

    def forward(image_BCZYX: Tensor) -> Tensor:
        passes.append(len(image_BCZYX))
        return torch.cat([-image_BCZYX, image_BCZYX], dim=1)

    roi_ZYX = torch.zeros(16, 16, 40, dtype=torch.bool)
    roi_ZYX[2:9, 1:5, 10] = True  # in the tiles that begin at 0 and 8, not in those at 16 and 24
    labels_ZYX = predict(forward, torch.ones(1, 16, 16, 40), roi_ZYX, CUBE, batch=4, stride_zyx=(16, 16, 8))
    np.testing.assert_array_equal(labels_ZYX, roi_ZYX.numpy())
    assert passes == [2]

    nothing_ZYX = predict(
        forward, torch.ones(1, 16, 16, 40), ~(roi_ZYX | True), CUBE, batch=4, stride_zyx=(8, 8, 8)
    )
    np.testing.assert_array_equal(nothing_ZYX, np.zeros((16, 16, 40)))
    assert passes == [2]


def test_weights_fall_from_the_middle_by_a_gaussian_of_an_eighth_of_the_edge() -> None:
    """Along x 4 voxels with an SD of 1/2, 1 or 3 SDs off the middle; along y 2 with one of 1/4, both 2 SDs off."""
    weight_ZYX = gaussian_weights((1, 2, 4))
    along_x = [math.exp(-9 / 2), math.exp(-1 / 2), math.exp(-1 / 2), math.exp(-9 / 2)]
    expected = [[math.exp(-4 / 2) * value for value in along_x]] * 2
    torch.testing.assert_close(weight_ZYX, torch.tensor([expected]))


def test_a_voxel_gets_the_class_with_the_largest_sum_of_weighted_probabilities() -> None:
    """Two tiles of 4 voxels, 2 apart: of voxel 2 the first says class 1 with 0.9, the second background with 0.6.

    For the first, the voxel lies 1 SD off its middle, for the second 3 SDs: exp(-1/2) 0.9 + exp(-9/2) 0.4 is more
    than exp(-1/2) 0.1 + exp(-9/2) 0.6. Of voxel 3 it is the other way round.
    """
    window = Window(input_zyx=(1, 1, 4), output_zyx=(1, 1, 4), offset_zyx=(0, 0, 0))
    merger = Blended((1, 1, 6), (1, 1, 4), torch.device("cpu"))
    shares = torch.tensor([[0.1, 0.9], [0.6, 0.4]]).log()  # by tile and class; softmax gives them back
    logits_BKZYX = shares[:, :, None, None, None].expand(2, 2, 1, 1, 4)
    merger.add(logits_BKZYX, tiles((1, 1, 6), window, (1, 1, 2)))
    assert merger.labels().flatten().tolist() == [1, 1, 1, 0, 0, 0]


def test_a_voxel_at_the_corner_of_a_single_tile_gets_its_class_though_its_weight_is_tiny() -> None:
    window = Window(input_zyx=(64, 64, 64), output_zyx=(64, 64, 64), offset_zyx=(0, 0, 0))
    assert gaussian_weights(window.output_zyx).min() < 1e-9
    labels_ZYX = predict(
        lambda image_BCZYX: torch.cat([-image_BCZYX, image_BCZYX], dim=1),
        torch.ones(1, 64, 64, 64),
        None,
        window,
        batch=1,
        stride_zyx=(32, 32, 32),
    )
    assert (labels_ZYX == 1).all()
