"""Every chart is there twice: as wide as the page, and as wide as a telephone."""

import re

import pytest

from submit.report.charts import charts_of, figures_of
from submit.report.figures import NARROW_INCHES

CHANNELS = ["t2", "t1", "t1c", "t2star", "ktrans", "ve", "adc"]


def width_pt(svg):
    """Of an SVG's page."""
    return float(re.search(rb'<svg [^>]*width="([\d.]+)pt"', svg)[1])


@pytest.fixture
def charts(report_of):
    def make(manifest):
        report = report_of(manifest)
        return charts_of(figures_of(report), report)

    return make


def test_a_chart_has_a_narrow_one_with_the_same_letters(decided, charts):
    for name, chart in charts(decided).items():
        assert width_pt(chart.narrow) == pytest.approx(72 * NARROW_INCHES), name
        assert width_pt(chart.wide) > 72 * NARROW_INCHES, name
        assert chart.least_px is None


def test_a_chart_of_many_arms_is_not_shrunk_until_nobody_can_read_it(make_manifest, write_dice, charts):
    manifest = make_manifest(exams=2, cohort={"channels": CHANNELS}, sweep={"leave_out": "pairs"})
    write_dice(manifest, dict.fromkeys(range(44), 0.75))
    found = charts(manifest)
    assert found["arms"].least_px == round((1.6 + 0.42 * 22) * 96 * 0.7)
    assert found["statuses"].least_px is None
