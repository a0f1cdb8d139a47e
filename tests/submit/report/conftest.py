"""Reports of made-up results, and what their pages show."""

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from job.contract.manifest import Manifest
from job.storage import Storage
from submit.analysis.aggregate import aggregate
from submit.analysis.analysis import analyse
from submit.analysis.design import Design
from submit.analysis.results_table import collect_results
from submit.report.material import Extras, Report
from submit.report.montage import Montages
from submit.report.pages import write_report

VOID = ("meta", "img", "link", "br")


class Page(HTMLParser):
    """What a browser would show of a page, and what it would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.text: list[str] = []
        self.loads: list[str | None] = []
        self.open: list[str] = []
        self.tags: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data.split()

    def says(self, words: str) -> bool:
        return words in " ".join(self.text)


@pytest.fixture
def report_of(storage: Storage) -> Callable[..., Report]:
    """The report of the results so far."""

    def make(manifest: Manifest, montages: Montages | None = None, **extras: Any) -> Report:
        results = collect_results(storage, manifest)
        return Report(
            manifest=manifest,
            results=results,
            aggregate=aggregate(results, manifest),
            analysis=analyse(results.table, Design.of(manifest), run=manifest.run, manifest=manifest.digest),
            montages=montages or Montages(),
            extras=Extras(**extras),
        )

    return make


@pytest.fixture
def written(storage: Storage, report_of: Callable[..., Report]) -> Callable[..., Page]:
    """The page of the results so far, after writing the whole report."""

    def write(manifest: Manifest, montages: Montages | None = None, **extras: Any) -> Page:
        write_report(storage, report_of(manifest, montages, **extras))
        return Page(storage.read("analysis/report.html").decode())

    return write


@pytest.fixture
def decided(make_manifest: Callable[..., Manifest], write_dice: Callable[..., None]) -> Manifest:
    """A run of 12 patients: `without t2` loses 0.2, `without t1` nothing; the reference once more."""
    manifest = make_manifest(exams=12, sweep={"reference_repeats": 1})
    dice: dict[int, float] = {}
    for exam in range(12):
        own = 0.7 + 0.01 * exam
        dice |= {
            3 * exam: own,
            3 * exam + 1: own - 0.2 - 0.003 * exam,
            3 * exam + 2: own + 0.001 * (-1) ** exam,
        }
        dice[36 + exam] = own + 0.002 * (-1) ** exam
    write_dice(manifest, dice)
    return manifest
