"""The table of metrics, as a whole: what holds of every row."""

import re

import pytest

from job.contract.metrics import IN_SCORES, METRICS, Metric


def test_the_metrics_of_old_reports_keep_their_order_whatever_is_added() -> None:
    first = ("dice", "hd95_mm", "hd95_voxels_mm", "absolute_volume_error_ml")
    assert tuple(name for name in METRICS if name in first) == first
    assert tuple(name for name in IN_SCORES if name in first) == first[:3]


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_a_metric_agrees_with_itself(metric: Metric) -> None:
    assert METRICS[metric.name] is metric
    assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)  # a column, and a key of a file
    assert metric.name.endswith(f"_{metric.unit}" if metric.unit else "")
    assert not (metric.formula and metric.definition)
    assert metric.highest is not None or not metric.higher_is_better  # the best that a missing test could be
    assert metric.higher_is_better == (metric.one_empty == "zero")  # a miss is the worst that there is


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_a_variant_is_of_a_metric_that_is_none_itself_and_like_it(metric: Metric) -> None:
    if metric.variant_of is not None:
        first = METRICS[metric.variant_of]
        assert first.variant_of is None
        assert (first.unit, first.sign, first.decimals) == (metric.unit, metric.sign, metric.decimals)
        assert first.definition
        assert metric.definition
        assert list(METRICS).index(first.name) < list(METRICS).index(metric.name)


def test_an_endpoint_is_a_metric_that_every_result_has() -> None:
    endpoints = [metric for metric in METRICS.values() if metric.may_be_endpoint]
    assert [metric.name for metric in endpoints] == ["dice", "hd95_mm"]
    assert all(metric.in_scores and metric.compares_lesions and not metric.later for metric in endpoints)
    assert [metric.default_margin for metric in endpoints] == [0.02, None]


def test_a_loss_is_above_0_whichever_way_a_metric_points() -> None:
    # Dice falls by 0.2, HD95 grows by 3 mm: both are losses.
    assert METRICS["dice"].sign * -0.2 == 0.2
    assert METRICS["hd95_mm"].sign * 3.0 == 3.0
