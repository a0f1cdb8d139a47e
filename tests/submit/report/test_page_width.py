"""No window is too narrow for the page: a browser lays it out in frames of several widths."""

import html
import re

import pytest

from tests.submit.report.browser import CHROMIUM, body_of

NAME_HEIGHT = 100
"""Pixels of an arm's name in the map: a few lines, and not a letter each."""
WIDTHS = (320, 390, 600, 740, 800, 960, 1100, 1280)
MEASURE = """<script>
onload = () => {
    const measured = [...document.querySelectorAll('iframe')].map(frame => {
        const page = frame.contentDocument.documentElement;
        page.querySelectorAll('details').forEach(each => each.open = true);
        const names = [...page.querySelectorAll('.map th[scope]')].map(each => each.clientHeight);
        return `${frame.clientWidth}:${page.scrollWidth}:${Math.max(...names)}`;
    });
    document.body.innerHTML = measured.join(' ');
};
</script>"""
SECTIONS = {
    "many arms": {
        "cohort": {"channels": ["t2", "t1", "t1c", "t2star", "ktrans", "ve", "adc"]},
        "sweep": {"leave_out": "pairs"},
    },
    "long names": {
        "cohort": {"channels": [f"dynamic_contrast_enhanced_{n}" for n in range(8)]},
        "sweep": {"leave_out": "only-one-in"},
    },
}


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("kind", SECTIONS)
def test_nothing_is_wider_than_the_window(kind, make_manifest, write_dice, written, tmp_path):
    manifest = make_manifest(
        [(f"visit-of-september-{n}", f"patient-{n:04}") for n in range(6)], **SECTIONS[kind]
    )
    write_dice(manifest, {n: 0.7 + 0.2 * (n * 7 % 10) / 10 for n in range(manifest.folds - 3)})
    page = html.escape(written(manifest).html)
    frames = "".join(f'<iframe style="width:{width}px" srcdoc="{page}"></iframe>' for width in WIDTHS)
    file = tmp_path / "frames.html"
    file.write_text(f"<!DOCTYPE html><body>{frames}{MEASURE}")

    body = body_of(file, tmp_path / "profile")

    measured = [tuple(map(int, each)) for each in re.findall(r"(\d+):(\d+):(\d+)", body)]
    assert [frame for frame, _, _ in measured] == list(WIDTHS)
    assert [page for _, page, _ in measured] == list(WIDTHS)
    assert all(height <= NAME_HEIGHT for _, _, height in measured)
