"""Writes the report of a run: a page, its figures, and the tables behind them."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from io import BytesIO
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from pandas import DataFrame

from job.contract import layout
from job.contract.cohort import Channel
from job.contract.fold_ranges import format_folds
from job.contract.grid import REFERENCE
from job.contract.manifest import Manifest
from job.storage import Storage
from submit.analysis.adjustment import adjusted
from submit.analysis.aggregate import arms_table
from submit.analysis.analysis import Analysis, Verdict
from submit.analysis.comparisons import Comparison
from submit.analysis.headline import (
    endpoint_name,
    harmful_arms,
    headline,
    in_order,
    short_name,
    verdict_words,
    warning,
)
from submit.analysis.pairing import metrics_in
from submit.analysis.results_table import Results, structures_of
from submit.analysis.sensitivity import StructureContrast
from submit.analysis.verdict import LOSSES
from submit.analysis.wording import METRIC_STYLES, number, percent, probability
from submit.report.charts import Chart, charts_of, figures_of
from submit.report.convergence import Convergence, convergence, in_words
from submit.report.definitions import defined, flips, overlaps
from submit.report.effect_map import effect_map
from submit.report.exam_detection import exam_detection
from submit.report.figures import encode
from submit.report.material import PatientRow, Report, arm_costs, patient_rows, reference_in_words
from submit.report.methods import methods
from submit.wording import counted

PATIENTS_IN_PAGE = 100
"""More patients are in the CSV only, and more exams with something missed."""


def write_report(storage: Storage, report: Report) -> None:
    """Writes `analysis/` of a run; the page is written last. The same results give the same files.

    Args:
        storage: Rooted at the run.
        report: What is reported.
    """
    figures = figures_of(report)
    charts = charts_of(figures, report)
    table = report.results.table
    files = {
        "report.json": report.aggregate.to_json(),
        "verdict.json": report.analysis.to_json(),
        "results.csv": table.to_csv(index=False).encode(),
        "results.parquet": _parquet(table),
        "arms.csv": arms_table(report.aggregate).to_csv(index=False).encode(),
        "comparisons.csv": _comparisons_table(report.analysis).to_csv(index=False).encode(),
        "patients.csv": _patients_table(report).to_csv(index=False).encode(),
        **{f"figure-{name}.svg": chart.wide for name, chart in charts.items()},
        **{f"figure-{name}.pdf": encode(figure, "pdf") for name, figure in figures.items()},
        **{f"figure-{name}.png": encode(figures[name], "png") for name in ("folds", "arms")},
        "report.html": page(report, charts).encode(),
    }
    for name, data in files.items():
        storage.write(layout.analysis(name), data)
    stale = {item.key for item in storage.list(layout.analysis("figure-"))} - {
        layout.analysis(name) for name in files
    }
    for key in sorted(stale):  # of an earlier report, of which there were other results
        storage.delete(key)


def page(report: Report, charts: Mapping[str, Chart]) -> str:
    """The report as one HTML file that needs nothing else.

    Args:
        report: What is reported.
        charts: By name.
    """
    manifest, results, analysis = report.manifest, report.results, report.analysis
    shown, metrics = _answer(report) | _tables(report) | _run(report), metrics_in(report.table)
    return _template(analysis).render(
        manifest=manifest,
        results=results,
        whole=report.aggregate,
        analysis=analysis,
        styles=METRIC_STYLES,
        defined=defined(metrics),
        overlaps=overlaps(metrics),
        charts=charts,
        titles=_titles(report, charts, shown),
        **shown,
    )


def _answer(report: Report) -> dict[str, Any]:
    """What the first screen has."""
    analysis, endpoint = report.analysis, report.manifest.study.endpoint
    return {
        "endpoint": (endpoint.leading, endpoint.metric),
        "endpoint_name": endpoint_name(analysis),
        "verdicts": in_order(analysis),
        "of_structure": {
            (each.arm, each.structure): each
            for each in analysis.comparisons
            if each.metric == endpoint.metric
        },
        "headline": headline(analysis),
        "harms": harmful_arms(analysis),
        "warning": warning(analysis),
        "losses": LOSSES,
        "wilcoxon": _wilcoxon(analysis),
        "lesions_differ": any(
            own.detection.lost or own.detection.gained
            for each in analysis.verdicts
            for own in each.structures
        ),
        "margin_level": _margin_level(analysis),
        "margin_in_effect": _margin_in_effect(analysis),
        "map": effect_map(analysis),
    }


def _tables(report: Report) -> dict[str, Any]:
    """What the tables are made from, arms in the order of their loss."""
    manifest, analysis = report.manifest, report.analysis
    structures, metric = structures_of(manifest.study), manifest.study.endpoint.metric
    by_arm = {each.arm: each for each in report.aggregate.arms}
    place = {arm: number for number, arm in enumerate(report.compared)}
    compared_in: dict[tuple[str, str], list[Comparison]] = {}
    for each in _by_loss(place, analysis.comparisons):
        compared_in.setdefault(each.endpoint, []).append(each)
    endpoints = [(structure, each) for structure in structures for each in metrics_in(report.table)]
    primary = [(structure, metric) for structure in analysis.structures]
    return {
        "compared": report.compared,
        "arm_names": report.arms,
        "arms_in_order": [by_arm[arm] for arm in report.arms],
        "compared_in": compared_in,
        "other_endpoints": [pair for pair in endpoints if pair not in primary],
        "adjustment": {each.endpoint: each.adjustment for each in analysis.comparisons},
        "flips": flips(analysis),
        "contrasts": {each.arm: each for each in (analysis.model.contrasts if analysis.model else ())},
        "patient_rows": _patient_rows(report) if analysis.patients <= PATIENTS_IN_PAGE else [],
        "detection": exam_detection(report.table, structures, report.arms, PATIENTS_IN_PAGE)
        if len(report.table)
        else [],
    }


def _run(report: Report) -> dict[str, Any]:
    """What is said of the run itself: training, cost, methods, where the numbers come from."""
    manifest, results = report.manifest, report.results
    provenance: dict[str, Mapping[str, Sequence[int]]] = {
        "precision": _folds_by(results.folds, "precision"),
        "conditions": _folds_by(results.folds, "conditions"),
        **results.versions,
    }
    versions = {package: next(iter(found)) for package, found in results.versions.items() if len(found) == 1}
    costs = arm_costs(results.folds, report.arms, report.extras.price)
    ends = convergence(report.extras.curves)
    return {
        "montages": report.montages,
        "changes": report.extras.changes,
        "convergence": ends,
        "unsettled": _unsettled(ends, report.arms),
        "reference_words": reference_in_words(report.aggregate, report.analysis),
        "convergence_words": in_words(ends),
        "curve_folds": report.extras.curve_folds,
        "phases": _phases(results.folds),
        "devices": _folds_by(results.folds, "device"),
        "hours": float(results.folds["total_seconds"].sum()) / 3600,
        "arm_costs": costs,
        "dollars_note": _dollars_note(costs, results),
        "methods": methods(manifest, report.analysis, versions),
        "provenance": provenance,
        "differing": {name: found for name, found in provenance.items() if len(found) > 1},
        "settings": _settings(manifest),
    }


def _unsettled(ends: Sequence[Convergence], arms: Sequence[str]) -> str:
    """The arms whose loss was still falling at the end; `every arm`, where all are."""
    falling = [each.arm for each in ends if each.falls]
    return "every arm" if len(falling) == len(arms) else ", ".join(falling)


def _titles(report: Report, charts: Mapping[str, Chart], shown: Mapping[str, Any]) -> dict[str, str]:
    """The sections that there are, by anchor."""
    done = report.aggregate.folds.done == report.aggregate.folds.total
    titles = {
        "answer": f"{'Answer' if done else 'Interim answer'}: {shown['endpoint_name']}",
        "map": "Map: every arm in every endpoint",
        "verdicts": f"Verdicts: {shown['endpoint_name']}",
        "reading": "How to read",
        "numbers": f"Primary endpoint: {shown['endpoint_name']}",
        "detection": "Found and missed: by exam" if shown["detection"] else "",
        "patients": "Patients" if "slopes" in charts else "",
        "tests": "All tests",
        "sensitivity": "Sensitivity analyses",
        "others": "Other endpoints" if shown["other_endpoints"] else "",
        "exams": "Pictures of exams" if report.montages.shown else "",
        "training": "Training" if "curves" in charts else "",
        "cost": "Cost",
        "methods": "Methods",
        "reproducibility": "Reproducibility",
    }
    return {anchor: title for anchor, title in titles.items() if title}


def _template(analysis: Analysis) -> Template:
    loader = PackageLoader("submit", "report")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.filters |= {
        "number": number,
        "percent": percent,
        "probability": probability,
        "p": lambda value: "–" if value is None else probability(value).removeprefix("p ").removeprefix("= "),
        "interval": _interval,
        "counted": counted,
        "folds": format_folds,
        "data_url": _data_url,
        "verdict_name": partial(short_name, analysis=analysis),
        "verdict_words": partial(verdict_words, analysis=analysis),
        "verdict_class": _verdict_class,
        "by_loss": partial(_by_loss, {each.arm: n for n, each in enumerate(in_order(analysis))}),
    }
    return environment.get_template("page.html")


def _by_loss(place: Mapping[str, int], rows: Sequence[Any]) -> list[Any]:
    """Rows that have an arm, in the order of the report."""
    return sorted(rows, key=lambda each: place[each.arm])


def _verdict_class(verdict: Verdict) -> str:
    """What a verdict is coloured by: nothing is green without which something else is worse."""
    if not verdict.complete:
        return "unfinished"
    spared = verdict.verdict not in LOSSES
    return "harmed" if verdict.harmed and spared else verdict.verdict.replace(" ", "-")


def _wilcoxon(analysis: Analysis) -> dict[tuple[str, str], float | None]:
    """By arm and structure of the endpoint, p of the signed-rank test, adjusted over all of them."""
    metric = analysis.endpoint["metric"]
    own = [
        each for each in analysis.comparisons if each.endpoint in {(s, metric) for s in analysis.structures}
    ]
    return adjusted({(each.arm, each.structure): each.p_wilcoxon for each in own}, "holm")


def _margin_level(analysis: Analysis) -> str:
    """Below which p a loss of the margin is ruled out; empty without a margin."""
    levels = sorted(
        {each.leading.margin_level for each in analysis.verdicts if each.leading.p_not_worse is not None}
    )
    return " to ".join(f"{level:.2g}" for level in dict.fromkeys((levels[0], levels[-1]))) if levels else ""


def _margin_in_effect(analysis: Analysis) -> str:
    """The margin as it is beside the reference, where it is smaller than the stated one; empty where it is not."""
    margins = [each.margin for verdict in analysis.verdicts for each in verdict.structures]
    own = sorted({round(margin, 6) for margin in margins if margin is not None})
    if not own or analysis.margin is None or own[0] >= round(analysis.margin, 6):
        return ""
    return f"{own[0]:.2g}" if own[0] == own[-1] else f"{own[0]:.2g} to {own[-1]:.2g}"


def _interval(found: Comparison | StructureContrast, metric: str) -> str:
    style = METRIC_STYLES[metric]
    if found.low is None:
        return "–"
    cut = ", cut" if isinstance(found, Comparison) and found.cut else ""
    return f"{style.interval(found.low, found.high)}{cut}"


def _patients_table(report: Report) -> DataFrame:
    """The primary endpoint: a row for each patient; what `PatientRow` says, a column for each arm's difference."""
    rows = [asdict(row) for row in _patient_rows(report)]
    arms = [arm for arm in report.manifest.arms if arm != REFERENCE]
    columns = ["patient", "exams", "volume_ml", "reference", *arms]
    own = [{**row, **row["differences"], "volume_ml": row["volume"]} for row in rows]
    return DataFrame(own, columns=columns)


def _patient_rows(report: Report) -> list[PatientRow]:
    exams: dict[str, int] = {}
    for entry in report.manifest.exams:
        exams[entry.patient] = exams.get(entry.patient, 0) + 1
    return patient_rows(report.values, report.differences, report.volumes, exams, report.compared)


def _comparisons_table(analysis: Analysis) -> DataFrame:
    return DataFrame([each.model_dump() for each in analysis.comparisons])


def _dollars_note(costs: Sequence[Any], results: Results) -> str:
    if any(cost.usd is not None for cost in costs):
        return (
            "USD: hours on each machine at today's price of its kind, without starts of machines and disks."
        )
    if results.folds["machine"].notna().any():
        return (
            "USD: AWS did not say the prices of all machines; `submit report` asks for them with your rights."
        )
    return "USD: the folds ran on machines of one's own."


def _parquet(table: DataFrame) -> bytes:
    file = BytesIO()
    table.to_parquet(file, index=False)
    return file.getvalue()


def _data_url(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{b64encode(data).decode()}"


def _phases(folds: DataFrame) -> list[dict[str, Any]]:
    """Mean and longest seconds of each phase that any fold has, the total last."""
    names = [name for name in folds.columns if name.endswith("_seconds") and folds[name].count()]
    names.sort(key=lambda name: name == "total_seconds")
    return [
        {
            "name": name.removesuffix("_seconds"),
            "folds": int(folds[name].count()),
            "mean": float(folds[name].mean()),
            "longest": float(folds[name].max()),
        }
        for name in names
    ]


def _folds_by(folds: DataFrame, column: str) -> dict[str, list[int]]:
    """The folds that have each value of a column."""
    return {str(value): group["fold"].tolist() for value, group in folds.groupby(column)}


def _settings(manifest: Manifest) -> dict[str, dict[str, str]]:
    """The study as resolved from its file, by section; what is not set is left out."""
    study = manifest.study
    cohort = {
        "channels": "; ".join(_channel(channel) for channel in study.cohort.channels),
        "acquisitions": study.cohort.acquisitions,
        "classes": study.cohort.classes,
        "excluded": study.cohort.exclude,
    }
    sections = {
        "cohort": cohort,
        "sweep": study.sweep.model_dump(mode="json", by_alias=True),
        "network": study.network.resolved,
        "training": study.training.model_dump(mode="json"),
        "evaluation": study.evaluation.model_dump(mode="json"),
    }
    return {
        section: {
            key.replace("_", " "): value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for key, value in values.items()
            if value not in (None, (), {}, [])
        }
        for section, values in sections.items()
    }


def _channel(channel: Channel) -> str:
    span = "" if channel.range is None else f" {channel.range[0]:g} to {channel.range[1]:g}"
    return f"{channel.name} ({channel.normalisation}{span})"
