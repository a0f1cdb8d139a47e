import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.data.window import Window
from job.evaluation.tiles import Tile, tiles


def square(size: int) -> Window:
    """A window that predicts all that it reads."""
    return Window(input_zyx=(size,) * 3, output_zyx=(size,) * 3, offset_zyx=(0, 0, 0))


def test_tiles_lie_one_output_apart_and_the_last_is_cropped() -> None:
    window = Window(input_zyx=(6, 4, 5), output_zyx=(4, 4, 2), offset_zyx=(1, 0, 2))
    assert tiles((5, 4, 3), window) == [
        Tile(start_zyx=(0, 0, 0), shape_zyx=(4, 4, 2), input_start_zyx=(-1, 0, -2)),
        Tile(start_zyx=(0, 0, 2), shape_zyx=(4, 4, 1), input_start_zyx=(-1, 0, 0)),
        Tile(start_zyx=(4, 0, 0), shape_zyx=(1, 4, 2), input_start_zyx=(3, 0, -2)),
        Tile(start_zyx=(4, 0, 2), shape_zyx=(1, 4, 1), input_start_zyx=(3, 0, 0)),
    ]


@given(st.tuples(*[st.integers(1, 20)] * 3), st.tuples(*[st.integers(1, 9)] * 3))
def test_tiles_predict_each_voxel_exactly_once(
    volume: tuple[int, int, int], output: tuple[int, int, int]
) -> None:
    predictions = np.zeros(volume, dtype=int)
    for tile in tiles(volume, Window(input_zyx=output, output_zyx=output, offset_zyx=(0, 0, 0))):
        predictions[tile.voxels] += 1
        assert predictions[tile.voxels].shape == tile.shape_zyx
    assert (predictions == 1).all()


def test_overlapping_tiles_lie_a_stride_apart_until_one_reaches_the_end() -> None:
    def starts(size: int) -> list[int]:
        return [tile.start_zyx[2] for tile in tiles((1, 1, size), square(4), (4, 4, 2))]

    assert starts(3) == starts(4) == [0]
    assert starts(5) == starts(6) == [0, 2]
    assert starts(7) == starts(8) == [0, 2, 4]


@given(st.tuples(*[st.integers(1, 20)] * 3), st.integers(1, 9), st.tuples(*[st.integers(1, 9)] * 3))
def test_overlapping_tiles_predict_each_voxel_and_none_for_nothing(
    volume: tuple[int, int, int], size: int, stride: tuple[int, int, int]
) -> None:
    stride = tuple(min(s, size) for s in stride)
    predictions = np.zeros(volume, dtype=int)
    for tile in tiles(volume, square(size), stride):
        predictions[tile.voxels] += 1
        assert predictions[tile.voxels].shape == tile.shape_zyx
    assert predictions.min() >= 1
    assert predictions.max() <= np.prod([-(-size // s) for s in stride])


@pytest.mark.parametrize("stride", [(4, 5, 4), (4, 0, 4), (4, -1, 4)])
def test_a_stride_that_leaves_voxels_out_is_an_error(stride: tuple[int, int, int]) -> None:
    words = f"on axis y windows that predict 4 voxels lie {stride[1]} apart; expected 1 to 4"
    with pytest.raises(ValueError, match=words):
        tiles((9, 9, 9), square(4), stride)
