"""The page in a real browser: no window is too narrow for it, and its table can be sorted."""

import html
import re
import shutil
import subprocess

import pytest

from job.storage.local import LocalStorage
from submit.check.page import Check, write_pages

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
WIDTHS = (320, 400, 740, 960, 1280)
MEASURE = """<script>
onload = () => {
    const measured = [...document.querySelectorAll('iframe')].map(frame =>
        `${frame.clientWidth}:${frame.contentDocument.documentElement.scrollWidth}`);
    document.body.innerHTML = measured.join(' ');
};
</script>"""
SORT = """<script>
onload = () => {
    const page = document.querySelector('iframe').contentDocument;
    const first = () => [...page.querySelectorAll('.sortable tbody th')].map(cell => cell.textContent).join();
    const head = name => [...page.querySelectorAll('.sortable button')].find(b => b.textContent === name);
    const seen = [];
    for (const name of ['t1', 't1', 'patient', 'core, ml']) {
        head(name).click();
        seen.push(first());
    }
    page.getElementById('marked-rows').click();
    seen.push([...page.querySelectorAll('.sortable tbody tr')].filter(row => row.offsetHeight).length);
    document.body.innerHTML = seen.join(' ');
};
</script>"""

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]


@pytest.fixture
def body_of(tmp_path):
    """What a page of frames says after its script ran."""

    def run(frames, script):
        file = tmp_path / "frames.html"
        file.write_text(f"<!DOCTYPE html><body>{frames}{script}")
        shown = subprocess.run(
            [
                *(str(CHROMIUM), "--headless", "--hide-scrollbars", "--no-sandbox", "--disable-gpu"),
                *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
                *("--disable-sync", "--disable-quic", f"--user-data-dir={tmp_path / 'profile'}"),
                *("--dump-dom", file.as_uri()),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout
        return shown.partition("<body>")[2].partition("</body>")[0]

    return run


@pytest.fixture
def page_of(make_checked_study, findings_of, tmp_path):
    """The page of exams, as the source of a frame."""

    def make(exams, **found):
        check = Check(study=make_checked_study(), found=findings_of(exams, **found), pictures={})
        write_pages(LocalStorage(tmp_path / "page"), check)
        return html.escape((tmp_path / "page" / "check.html").read_text())

    return make


def test_nothing_is_wider_than_the_window(page_of, body_of, make_exam):
    long = "a-patient-with-a-very-long-name-of-the-hospital-" * 2
    exams = [make_exam(f"{long}{n}", spacing=(1, 1, 1 + n)) for n in range(6)]
    page = page_of(
        exams, problems={f"{long}/{long}.nii.gz": long}, warnings={exams[0].label_file: "odd " * 50}
    )
    frames = "".join(f'<iframe style="width:{width}px" srcdoc="{page}"></iframe>' for width in WIDTHS)
    widths = [tuple(map(int, pair)) for pair in re.findall(r"(\d+):(\d+)", body_of(frames, MEASURE))]
    assert widths == [(width, width) for width in WIDTHS]


def test_a_click_on_a_head_sorts_by_numbers_or_names_and_only_marked_exams_can_be_shown(
    page_of, body_of, make_exam
):
    # By median: p9 90, p10 100, p1 110 and so on; as texts 1,000 would come first.
    medians = {"p9": 90, "p10": 100, "p1": 110, "p2": 105, "p3": 95, "p4": 1000}
    exams = [make_exam(patient, t1=(median, 200)) for patient, median in medians.items()]
    up, down, by_name, unsorted, marked = body_of(
        f'<iframe style="width:1200px" srcdoc="{page_of(exams)}"></iframe>', SORT
    ).split()
    assert up == "p9,p3,p10,p2,p1,p4"
    assert down == "p4,p1,p2,p10,p3,p9"
    assert by_name == unsorted == "p1,p2,p3,p4,p9,p10"
    assert marked == "1"
