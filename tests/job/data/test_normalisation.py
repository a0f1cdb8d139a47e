"""Normalisation against numbers worked out by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from job.contract.cohort import Channel
from job.data.channel_statistics import statistics
from job.data.normalisation import Region, normalise

VALUES = np.array([[[0, 2, 4, 4, 4, 5, 5, 7, 9, 100]]], np.float32)
"""Values 2 to 9 (eight of them, as in every textbook) have mean 5 and population SD 2."""
INSIDE = (VALUES > 0) & (VALUES < 100)


def region_in(values: NDArray[np.float32], inside: NDArray[np.bool_]) -> Region:
    return Region(inside_ZYX=inside, values=values[inside], background=None)


def channel(normalisation: str, **settings: Any) -> Channel:
    return Channel.model_validate({"name": "t1", "normalisation": normalisation, **settings})


def normalised(
    normalisation: str,
    values: NDArray[np.float32] = VALUES,
    region: NDArray[np.bool_] = INSIDE,
    **settings: Any,
) -> list[float]:
    over = region_in(values, region)
    result = over.image(normalise(over, channel(normalisation, **settings)))
    assert result.dtype == np.float32
    assert result.shape == values.shape
    numbers: list[float] = result.ravel().tolist()
    return numbers


def test_the_textbook_values_have_the_textbook_statistics() -> None:
    region = region_in(VALUES, INSIDE)
    result = statistics(region, (region.values - 5) / 2, channel("zscore"))
    assert (result.voxels, result.mean, result.sd, result.minimum, result.maximum) == (8, 5, 2, 2, 9)
    assert result.normalised_sd == 1


def test_zscores_are_taken_over_the_region_and_0_outside() -> None:
    assert normalised("zscore") == [0, -1.5, -0.5, -0.5, -0.5, 0, 0, 1, 2, 0]


def test_percentiles_become_0_and_1_and_values_beyond_are_clipped() -> None:
    """Of eight sorted values the 1/7 quantile is the second and the 6/7 quantile the seventh: 4 and 7."""
    assert normalised("percentile", range=(100 / 7, 600 / 7)) == pytest.approx(
        [0, 0, 0, 0, 0, 1 / 3, 1 / 3, 1, 1, 0], abs=1e-6
    )


def test_percentiles_are_half_a_percent_from_the_ends_by_default() -> None:
    """Of 0 to 1000 they are 5 and 995: 500 stays in the middle, 50 comes to 45/990."""
    values = np.arange(1001, dtype=np.float32).reshape(1, 7, 143)
    result = normalised("percentile", values, np.ones(values.shape, bool))
    assert (result[0], result[5], result[995], result[1000]) == (0, 0, 1, 1)
    assert (result[500], result[50]) == pytest.approx((0.5, 45 / 990))


def test_a_fixed_range_becomes_0_and_1_whatever_the_exam() -> None:
    assert normalised("fixed", range=(4, 8)) == [0, 0, 0, 0, 0, 0.25, 0.25, 0.75, 1, 0]
    assert normalised("fixed", range=(-10, 10))[1:9] == pytest.approx(
        [0.6, 0.7, 0.7, 0.7, 0.75, 0.75, 0.85, 0.95]
    )


def test_none_keeps_the_values_of_the_region() -> None:
    assert normalised("none") == [0, 2, 4, 4, 4, 5, 5, 7, 9, 0]
    assert normalised("none", VALUES - 300)[1] == -298


@pytest.mark.parametrize("normalisation", ["zscore", "percentile"])
@pytest.mark.parametrize("value", [0.0, 1.0, -5.0, 1e-20, 1e20])
def test_a_constant_channel_cannot_be_scaled(normalisation: str, value: float) -> None:
    with pytest.raises(ValueError, match=r"hardly any contrast in the region: (SD|range) 0 at "):
        normalised(normalisation, np.full_like(VALUES, value))


def test_percentiles_that_coincide_cannot_be_scaled_though_some_values_differ() -> None:
    values = np.zeros((1, 20, 20), np.float32)
    values[0, 0, 0] = 7
    with pytest.raises(ValueError, match="hardly any contrast in the region: range 0 at 0"):
        normalised("percentile", values, np.ones(values.shape, bool))


def test_rounding_noise_on_a_constant_is_no_contrast() -> None:
    values = np.float32(1000) + np.array([[[0, 6.1e-5, -6.1e-5]]], np.float32)
    with pytest.raises(ValueError, match="hardly any contrast"):
        normalised("zscore", values, np.ones(values.shape, bool))


def test_a_parameter_map_may_be_constant() -> None:
    assert normalised("fixed", np.full_like(VALUES, 2), range=(0, 4))[1:3] == [0.5, 0.5]


@pytest.mark.parametrize("normalisation", ["zscore", "percentile", "none"])
def test_an_empty_region_is_an_error(normalisation: str) -> None:
    with pytest.raises(
        ValueError, match=r"no voxel in the region \(mask, or voxels that are not background\)"
    ):
        normalised(normalisation, region=np.zeros(VALUES.shape, bool))


@settings(deadline=None)
@given(
    shift=st.floats(-1000, 1000, width=32),
    factor=st.floats(1 / 64, 1000, width=32),
    normalisation=st.sampled_from(["zscore", "percentile"]),
)
def test_the_scanner_s_unit_does_not_matter(shift: float, factor: float, normalisation: str) -> None:
    draws = np.random.default_rng(0)
    values = draws.uniform(0, 1, (2, 5, 7)).astype(np.float32)
    region = draws.random(values.shape) < 0.7
    other = (values * factor + shift).astype(np.float32)
    resolution = np.spacing(np.float32(abs(shift) + factor)) / factor
    np.testing.assert_allclose(
        normalised(normalisation, other, region),
        normalised(normalisation, values, region),
        atol=20 * resolution + 1e-5,
    )


def test_the_input_is_not_changed() -> None:
    values = VALUES.copy()
    for normalisation, keys in (
        ("zscore", {}),
        ("percentile", {}),
        ("fixed", {"range": (0, 1)}),
        ("none", {}),
    ):
        normalised(normalisation, values, **keys)
    np.testing.assert_array_equal(values, VALUES)
