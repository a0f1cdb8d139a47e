import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from job.data.patches import cut, reflect

SIZES = st.integers(1, 12)
INDICES = st.integers(-50, 50)


def numbered(*shape: int, dtype: torch.dtype = torch.int32) -> Tensor:
    """A volume in which no two voxels are the same."""
    return torch.arange(math.prod(shape)).reshape(shape).to(dtype)


def test_four_voxels_are_mirrored_without_repeating_the_ends() -> None:
    assert [reflect(i, 4) for i in range(-7, 9)] == [1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]


@given(INDICES, SIZES)
def test_a_mirrored_index_is_inside(index: int, size: int) -> None:
    assert 0 <= reflect(index, size) < size


@given(st.data(), SIZES)
def test_an_index_inside_stays_where_it_is(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    assert reflect(index, size) == index


@given(INDICES, SIZES)
def test_both_ends_are_mirrors(index: int, size: int) -> None:
    assert reflect(-index, size) == reflect(index, size)
    assert reflect(size - 1 + index, size) == reflect(size - 1 - index, size)


def test_a_patch_inside_the_volume_is_a_view() -> None:
    image_CZYX = numbered(2, 4, 5, 6)
    patch_CZYX = cut(image_CZYX, (1, 0, 3), (2, 5, 3))
    torch.testing.assert_close(patch_CZYX, image_CZYX[:, 1:3, 0:5, 3:6])
    assert patch_CZYX.untyped_storage().data_ptr() == image_CZYX.untyped_storage().data_ptr()


def test_a_patch_that_leaves_the_volume_is_a_copy_that_leaves_the_volume_untouched() -> None:
    image_CZYX = numbered(1, 4, 5, 6)
    cut(image_CZYX, (-1, 0, 3), (2, 5, 3)).zero_()
    torch.testing.assert_close(image_CZYX, numbered(1, 4, 5, 6))


def test_each_axis_is_mirrored_at_the_end_that_the_patch_leaves() -> None:
    image_CZYX = numbered(1, 3, 1, 4)  # voxel (z, 0, x) is 4 z + x
    assert cut(image_CZYX, (-2, 0, 0), (3, 1, 1)).flatten().tolist() == [8, 4, 0]
    assert cut(image_CZYX, (2, 0, 2), (1, 1, 4)).flatten().tolist() == [10, 11, 10, 9]
    assert cut(image_CZYX, (-1, -1, 3), (2, 3, 2)).flatten().tolist() == [7, 6, 7, 6, 7, 6, 3, 2, 3, 2, 3, 2]


@given(st.data())
def test_any_patch_is_a_part_of_numpys_reflection(data: st.DataObject) -> None:
    volume, start, shape = (
        data.draw(st.tuples(*(st.integers(low, high) for _ in range(3))))
        for low, high in ((1, 5), (-12, 12), (1, 9))
    )
    image_CZYX = numbered(2, *volume)
    padded = np.pad(image_CZYX.numpy(), [(0, 0), (12, 24), (12, 24), (12, 24)], mode="reflect")
    z, y, x = (slice(12 + a, 12 + a + n) for a, n in zip(start, shape, strict=True))
    np.testing.assert_array_equal(cut(image_CZYX, start, shape).numpy(), padded[:, z, y, x])


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float16, torch.float32])
def test_a_patch_keeps_the_volumes_data_type(dtype: torch.dtype) -> None:
    patch_CZYX = cut(numbered(1, 3, 3, 3, dtype=dtype), (-1, -1, -1), (5, 5, 5))
    assert patch_CZYX.dtype == dtype
    assert patch_CZYX[0, 0, 0, 0] == patch_CZYX[0, 2, 2, 2]
