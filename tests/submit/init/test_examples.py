import numpy as np
import pytest

from submit.init.examples import example_of, voxels_by_value
from tests.submit.init.layouts import nifti

SHAPE = (4, 3, 2)


def array(*values: float, dtype: type = np.uint8) -> np.ndarray:
    filled = np.zeros(24, dtype)
    filled[: len(values)] = values
    return filled.reshape(SHAPE)


def test_labels_are_few_whole_numbers() -> None:
    found = example_of(nifti(array(1, 1, 2)), "x")
    assert found.values == {0: 21, 1: 2, 2: 1}
    assert found.is_label_like
    assert not found.is_binary
    assert found.inside == pytest.approx(3 / 24)


def test_a_mask_that_a_tool_rounded_is_binary() -> None:
    found = example_of(nifti(array(0.99999997, 0.99999997, dtype=np.float32)), "x")
    assert found.is_binary
    assert found.values == {0: 22, 1: 2}


def test_an_image_has_no_values_but_a_span() -> None:
    found = example_of(nifti(np.linspace(1.5, 99.5, 24, dtype=np.float32).reshape(SHAPE)), "x")
    assert found.values is None
    assert not found.is_label_like
    assert (found.low, found.high) == (pytest.approx(1.99), pytest.approx(99.01))  # half a percent of 98


def test_values_below_0_are_no_labels() -> None:
    assert not example_of(nifti(array(-1, 1, dtype=np.int16)), "x").is_label_like


def test_a_constant_file_says_nothing() -> None:
    assert example_of(nifti(array()), "x").is_constant


def test_volumes_of_a_4d_file_are_counted() -> None:
    assert example_of(nifti(np.zeros((*SHAPE, 5), np.float32)), "x").volumes == 5
    assert example_of(nifti(np.zeros((*SHAPE, 1), np.float32)), "x").volumes == 1


def test_labels_far_apart_are_counted_one_by_one() -> None:
    values = array(16777216, 16777217, dtype=np.int32)
    assert voxels_by_value(values) == {0: 22, 16777216: 1, 16777217: 1}
    assert example_of(nifti(values), "x").values == {0: 22, 16777216: 1, 16777217: 1}


def test_a_header_that_contradicts_itself_is_read_and_told() -> None:
    odd = np.diag([4.0, 2, 3, 1])
    found = example_of(nifti(array(1), qform=odd), "x")
    assert found.values == {0: 23, 1: 1}
    assert "by the sform" in found.faults[0]


@pytest.mark.parametrize("values", [(0.4, 0.8), (float("nan"),)])
def test_probabilities_are_no_labels(values: tuple[float, ...]) -> None:
    found = example_of(nifti(array(*values, dtype=np.float32)), "x")
    assert found.values is None
    assert not found.is_label_like
