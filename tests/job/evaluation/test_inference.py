import itertools

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv3d

from job.data.window import Window
from job.evaluation.inference import predict

torch.set_num_threads(1)

VALID = Window(input_zyx=(7, 8, 9), output_zyx=(3, 4, 5), offset_zyx=(2, 2, 2))
SHAPES = [(7, 8, 9), (3, 4, 5), (6, 8, 10), (11, 10, 13), (2, 1, 3), (1, 20, 1)]


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Small whole numbers: convolutions of them are exact in float32, in any order of summation."""
    return torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(seed)).float()


def two_convolutions(image_BCZYX: Tensor) -> Tensor:
    """A network of 2 channels and 3 classes that sees 5 x 5 x 5 voxels; its logits are never equal."""
    hidden = conv3d(image_BCZYX, draw(4, 2, 3, 3, 3, seed=1)).relu()
    return conv3d(hidden, draw(3, 4, 3, 3, 3, seed=2), bias=torch.tensor([0.0, 0.25, 0.5]))


def whole_volume(image_CZYX: Tensor) -> np.ndarray:
    """The labels of one pass over the whole volume, padded by mirroring."""
    padded = np.pad(image_CZYX.numpy(), [(0, 0), (2, 2), (2, 2), (2, 2)], mode="reflect")
    return two_convolutions(torch.from_numpy(padded)[None])[0].argmax(dim=0).numpy()


@pytest.mark.parametrize("volume", SHAPES)
def test_tiles_give_what_one_pass_over_the_mirrored_volume_gives(volume: tuple[int, int, int]) -> None:
    image_CZYX = draw(2, *volume)
    labels_ZYX = predict(two_convolutions, image_CZYX, None, VALID, batch=4)
    assert labels_ZYX.dtype == np.uint8
    np.testing.assert_array_equal(labels_ZYX, whole_volume(image_CZYX))


def test_the_volume_of_the_other_tests_has_all_classes() -> None:
    assert np.unique(whole_volume(draw(2, 11, 10, 13))).tolist() == [0, 1, 2]


@pytest.mark.parametrize("batch", [1, 2, 7, 1000])
def test_the_batch_does_not_change_the_labels(batch: int) -> None:
    image_CZYX = draw(2, 11, 10, 13)
    labels_ZYX = predict(two_convolutions, image_CZYX, None, VALID, batch=batch)
    np.testing.assert_array_equal(labels_ZYX, whole_volume(image_CZYX))


@pytest.mark.parametrize("offset", list(itertools.product((0, 2), repeat=3)))
def test_a_network_may_read_more_on_one_side_than_on_the_other(offset: tuple[int, int, int]) -> None:
    window = Window(input_zyx=(5, 6, 7), output_zyx=(3, 4, 5), offset_zyx=offset)
    z, y, x = (slice(a, a + n) for a, n in zip(offset, window.output_zyx, strict=True))

    def sign(image_BCZYX: Tensor) -> Tensor:
        seen = image_BCZYX[:, :1, z, y, x]
        return torch.cat([-seen, seen], dim=1)

    image_CZYX = draw(1, 8, 8, 8) + 0.5
    labels_ZYX = predict(sign, image_CZYX, None, window, batch=3)
    np.testing.assert_array_equal(labels_ZYX, image_CZYX[0].numpy() > 0)


def test_a_network_that_predicts_all_that_it_reads_needs_no_margin() -> None:
    window = Window(input_zyx=(4, 4, 4), output_zyx=(4, 4, 4), offset_zyx=(0, 0, 0))
    image_CZYX = draw(3, 6, 4, 9) + torch.tensor([0.0, 0.25, 0.5]).reshape(3, 1, 1, 1)
    labels_ZYX = predict(lambda image_BCZYX: image_BCZYX, image_CZYX, None, window, batch=2)
    np.testing.assert_array_equal(labels_ZYX, image_CZYX.argmax(dim=0).numpy())


def test_outside_the_region_of_interest_all_is_background() -> None:
    image_CZYX = draw(2, 11, 10, 13)
    roi_ZYX = torch.zeros(11, 10, 13, dtype=torch.bool)
    roi_ZYX[2:9, 1:5, 3:12] = True
    labels_ZYX = predict(two_convolutions, image_CZYX, roi_ZYX, VALID, batch=4)
    np.testing.assert_array_equal(labels_ZYX, np.where(roi_ZYX.numpy(), whole_volume(image_CZYX), 0))


def test_only_tiles_that_touch_the_region_of_interest_are_computed() -> None:
    batches = []

    def forward(image_BCZYX: Tensor) -> Tensor:
        batches.append(len(image_BCZYX))
        return two_convolutions(image_BCZYX)

    roi_ZYX = torch.zeros(9, 12, 15, dtype=torch.bool)  # 3 x 3 x 3 tiles
    roi_ZYX[2:4, 0, 5] = True  # first and second tile along z, first along y, second along x
    roi_ZYX[8, 11, 14] = True  # last tile
    predict(forward, draw(2, 9, 12, 15), roi_ZYX, VALID, batch=2)
    assert batches == [2, 1]


def test_an_empty_region_of_interest_calls_no_network() -> None:
    def forward(image_BCZYX: Tensor) -> Tensor:
        raise AssertionError("there is nothing to predict")

    roi_ZYX = torch.zeros(5, 5, 5, dtype=torch.bool)
    labels_ZYX = predict(forward, draw(2, 5, 5, 5), roi_ZYX, VALID, batch=2)
    np.testing.assert_array_equal(labels_ZYX, np.zeros((5, 5, 5)))


def test_the_network_gets_float32_from_a_float16_exam_and_keeps_no_gradients() -> None:
    def forward(image_BCZYX: Tensor) -> Tensor:
        assert image_BCZYX.dtype == torch.float32
        logits_BKZYX = two_convolutions(image_BCZYX)
        assert logits_BKZYX.is_inference()
        return logits_BKZYX

    image_CZYX = draw(2, 11, 10, 13)
    labels_ZYX = predict(forward, image_CZYX.half(), None, VALID, batch=4)
    np.testing.assert_array_equal(labels_ZYX, whole_volume(image_CZYX))


def test_an_output_of_another_size_than_planned_is_an_error() -> None:
    window = Window(input_zyx=(7, 8, 9), output_zyx=(3, 4, 4), offset_zyx=(2, 2, 2))
    with pytest.raises(ValueError, match=r"shape \(2, classes, 3, 4, 4\); got \(2, 3, 3, 4, 5\)"):
        predict(two_convolutions, draw(2, 6, 4, 4), None, window, batch=2)


def test_an_image_without_channels_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"\(channels, z, y, x\); got shape \(6, 4, 5\)"):
        predict(two_convolutions, draw(6, 4, 5), None, VALID, batch=2)


def test_a_region_of_interest_on_another_grid_is_an_error() -> None:
    roi_ZYX = torch.ones(5, 4, 6, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"image's shape \(6, 4, 5\); got \(5, 4, 6\)"):
        predict(two_convolutions, draw(2, 6, 4, 5), roi_ZYX, VALID, batch=2)


def test_a_batch_of_no_tiles_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 1 tile; got 0"):
        predict(two_convolutions, draw(2, 6, 4, 5), None, VALID, batch=0)
