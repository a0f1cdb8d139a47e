"""Sums by blocks are numpy's: what is in stores does not depend on how they are taken."""

import numpy as np
import pytest

from job.data.moments import BLOCK, mean_of, sd_of


def test_the_textbook_values_have_the_textbook_moments() -> None:
    values = np.array([2, 4, 4, 4, 5, 5, 7, 9], np.float32)
    assert mean_of(values) == 5
    assert sd_of(values, 5) == 2
    assert sd_of(values, 6) == np.sqrt(5)


@pytest.mark.parametrize("size", [1, 7, 130, BLOCK, BLOCK + 1, 2 * BLOCK + 9, 7 * BLOCK - 1, 1_535_231])
def test_they_are_to_the_last_bit_numpy_s(size: int) -> None:
    values = np.random.default_rng(size).normal(300, 50, size).astype(np.float32)
    exact = values.astype(np.float64)
    assert mean_of(values) == exact.mean()
    assert sd_of(values, mean_of(values)) == exact.std()
