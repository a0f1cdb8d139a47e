"""Reports of made-up results, and what their pages show."""

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from job.contract import layout
from job.contract.manifest import Manifest
from job.run import Run
from job.storage import Storage
from submit.analysis.aggregate import aggregate
from submit.analysis.analysis import analyse
from submit.analysis.design import Design
from submit.analysis.results_table import collect_results
from submit.report.charts import Chart
from submit.report.material import Extras, Report
from submit.report.montage import Montages
from submit.report.pages import page, write_report

VOID = ("meta", "img", "link", "br", "source")
EMPTY = Chart(wide=b"", narrow=b"", least_px=None)
"""A chart, where only the words around it count."""
CHARTS = ("folds", "arms", "statuses", "forest", "slopes", "volume", "ranks", "curves", "time")


class Page(HTMLParser):
    """What a browser would show of a page, and what it would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.text: list[str] = []
        self.loads: list[str | None] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.tags: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = {name: value or "" for name, value in attrs}
        if found.get("href", "").startswith("#"):
            self.links.append(found.pop("href").removeprefix("#"))
        self.loads += [value for name, value in found.items() if name in ("src", "href", "srcset")]
        self.ids += [value for name, value in found.items() if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data.split()

    def says(self, words: str) -> bool:
        return words in " ".join(self.text)


@pytest.fixture
def report_of(storage: Storage) -> Callable[..., Report]:
    """The report of the results so far."""

    def make(manifest: Manifest, montages: Montages | None = None, **extras: Any) -> Report:
        results = collect_results(Run(storage, manifest))
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
def page_of(report_of: Callable[..., Report]) -> Callable[..., Page]:
    """The page of the results so far, with empty charts: all are there but those of which there is nothing."""

    def show(manifest: Manifest, montages: Montages | None = None, **extras: Any) -> Page:
        report = report_of(manifest, montages, **extras)
        absent = {
            "ranks": report.analysis.ranks is None,
            "curves": not report.extras.curves,
            **dict.fromkeys(("forest", "slopes", "volume"), report.differences.empty),
        }
        return Page(page(report, {name: EMPTY for name in CHARTS if not absent.get(name)}))

    return show


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


@pytest.fixture
def write_scores(storage: Storage, make_result: Callable[..., Any]) -> Callable[..., None]:
    """Writes results of 12 exams and three arms: scores by structure, of the arm's and the exam's number."""

    def write(manifest: Manifest, scores: Callable[[int, int], dict[str, Any]]) -> None:
        for fold in range(36):
            exam, arm = divmod(fold, 3)
            own = scores(arm, exam)
            storage.write(layout.result(fold), make_result(manifest, fold, own).to_json())

    return write


@pytest.fixture
def harmful(make_manifest: Callable[..., Manifest], score: Callable[..., Any], write_scores: Any) -> Manifest:
    """`without t2` loses the tumour 0.2; `without t1` does not, but it loses the node 0.1."""
    manifest = make_manifest(exams=12, cohort={"classes": {"tumour": 1, "node": 2}})
    write_scores(manifest, lambda arm, exam: _of_two(score, arm, exam))
    return manifest


@pytest.fixture
def two_structures(
    make_manifest: Callable[..., Manifest], score: Callable[..., Any], write_scores: Any
) -> Manifest:
    """The same with an endpoint of both structures."""
    endpoint = {"class": ["tumour", "node"], "metric": "dice"}
    manifest = make_manifest(
        exams=12, cohort={"classes": {"tumour": 1, "node": 2}}, sweep={"endpoint": endpoint}
    )
    write_scores(manifest, lambda arm, exam: _of_two(score, arm, exam))
    return manifest


def _of_two(score: Callable[..., Any], arm: int, exam: int) -> dict[str, Any]:
    wobble = 0.001 * (-1) ** (exam + arm)
    tumour = 0.7 + 0.01 * exam - (0.2 + 0.003 * exam) * (arm == 1) + wobble
    node = 0.6 + 0.01 * exam - (0.1 + 0.002 * exam) * (arm == 2) + wobble
    return {"tumour": score(tumour), "node": score(node), "union": score((tumour + node) / 2)}


@pytest.fixture
def without_margin(
    make_manifest: Callable[..., Manifest], score: Callable[..., Any], write_scores: Any
) -> Manifest:
    """Of a distance: `without t2` loses 5 mm."""
    manifest = make_manifest(exams=12, sweep={"endpoint": {"class": "tumour", "metric": "hd95_mm"}})
    write_scores(
        manifest,
        lambda arm, exam: {
            "tumour": score(
                0.7, hd95_mm=9.0 + 0.1 * exam + (5.0 + 0.1 * exam) * (arm == 1) + 0.1 * (-1) ** exam * arm
            )
        },
    )
    return manifest


@pytest.fixture
def distances(
    make_manifest: Callable[..., Manifest], score: Callable[..., Any], write_scores: Any
) -> Manifest:
    """`without t1` loses 5 mm by one definition of HD95 and nothing by the other."""
    manifest = make_manifest(exams=12)
    write_scores(
        manifest,
        lambda arm, exam: {
            "tumour": score(
                0.7 + 0.001 * arm * (-1) ** exam,
                hd95_mm=9.0 + (5.0 + 0.1 * exam) * (arm == 2),
                hd95_voxels_mm=9.0 + 0.1 * arm * (-1) ** exam,
            )
        },
    )
    return manifest
