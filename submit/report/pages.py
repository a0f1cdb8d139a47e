"""Writes the report of a run: a page, its figures, and the tables behind them."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from io import BytesIO
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from matplotlib.figure import Figure
from pandas import DataFrame

from job.contract import layout
from job.contract.cohort import Channel
from job.contract.fold_ranges import format_folds
from job.contract.grid import REFERENCE
from job.contract.manifest import Manifest
from job.storage import Storage
from submit.analysis.aggregate import Aggregate, arms_table
from submit.analysis.analysis import Analysis
from submit.analysis.comparisons import Comparison
from submit.analysis.design import HIGHER_IS_BETTER
from submit.analysis.pairing import by_arm, by_patient, differences, metrics_in, paired_block, statuses
from submit.analysis.results_table import Results, structures_of
from submit.analysis.sensitivity import StructureContrast, volumes
from submit.analysis.wording import METRIC_STYLES, number, percent, probability
from submit.report.comparison_figures import forest_figure, ranks_figure, slopes_figure, volume_figure
from submit.report.figures import arms_figure, encode, folds_figure
from submit.report.material import Extras, PatientRow, arm_costs, patient_rows
from submit.report.methods import methods
from submit.report.montage import Montages
from submit.report.run_figures import curves_figure, status_counts, status_figure, time_figure
from submit.wording import counted

PATIENTS_IN_PAGE = 100
"""More patients are in the CSV only."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that a report is made from."""

    manifest: Manifest
    results: Results
    aggregate: Aggregate
    analysis: Analysis
    montages: Montages = field(default_factory=Montages)
    extras: Extras = field(default_factory=Extras)

    @cached_property
    def table(self) -> DataFrame:
        """Rows of the repeats that every arm has."""
        return paired_block(self.results.table, self.manifest.study.sweep.repeats)

    @cached_property
    def values(self) -> DataFrame:
        """The primary endpoint: patients x arms."""
        return by_patient(self._tests)

    @cached_property
    def differences(self) -> DataFrame:
        """Arm - reference in the primary endpoint: patients x arms."""
        structure = self.manifest.study.endpoint.leading
        return differences(self._tests, statuses(self.table, structure))

    @cached_property
    def volumes(self) -> DataFrame:
        """Volume of the primary endpoint's structure by patient, ml."""
        return volumes(self.table, self.manifest.study.endpoint.leading)

    @cached_property
    def _tests(self) -> DataFrame:
        endpoint = self.manifest.study.endpoint
        return by_arm(self.table, endpoint.leading, endpoint.metric)

    @property
    def compared(self) -> list[str]:
        """Names of the arms but the reference."""
        return [arm for arm in self.manifest.arms if arm != REFERENCE]


def write_report(storage: Storage, report: Report) -> None:
    """Writes `analysis/` of a run; the page is written last. The same results give the same files.

    Args:
        storage: Rooted at the run.
        report: What is reported.
    """
    figures = figures_of(report)
    for figure in figures.values():  # laid out once, and not for each kind of file
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    svg = {name: encode(figure, "svg") for name, figure in figures.items()}
    table = report.results.table
    files = {
        "report.json": report.aggregate.to_json(),
        "verdict.json": report.analysis.to_json(),
        "results.csv": table.to_csv(index=False).encode(),
        "results.parquet": _parquet(table),
        "arms.csv": arms_table(report.aggregate).to_csv(index=False).encode(),
        "comparisons.csv": _comparisons_table(report.analysis).to_csv(index=False).encode(),
        "patients.csv": _patients_table(report).to_csv(index=False).encode(),
        **{f"figure-{name}.svg": data for name, data in svg.items()},
        **{f"figure-{name}.pdf": encode(figure, "pdf") for name, figure in figures.items()},
        **{f"figure-{name}.png": encode(figures[name], "png") for name in ("folds", "arms")},
        "report.html": page(report, svg).encode(),
    }
    for name, data in files.items():
        storage.write(f"{layout.ANALYSIS}/{name}", data)
    stale = {item.key for item in storage.list(f"{layout.ANALYSIS}/figure-")} - {
        f"{layout.ANALYSIS}/{name}" for name in files
    }
    for key in sorted(stale):  # of an earlier report, of which there were other results
        storage.delete(key)


def figures_of(report: Report) -> dict[str, Figure]:
    """All charts for which there is something to show, by name."""
    manifest, study = report.manifest, report.manifest.study
    structures = structures_of(study)
    label = _label(study.endpoint.leading, study.endpoint.metric)
    figures = {
        "folds": folds_figure(report.table, manifest.arms, structures),
        "arms": arms_figure(report.aggregate, structures),
        "statuses": status_figure(_statuses(report)),
    }
    if not report.differences.empty:
        sign = -1 if HIGHER_IS_BETTER[study.endpoint.metric] else 1
        losses = report.differences * sign
        figures["forest"] = forest_figure(report.analysis)
        figures["slopes"] = slopes_figure(report.values, report.compared, label)
        figures["volume"] = volume_figure(losses, report.volumes, report.compared, f"loss of {label}")
    if report.analysis.ranks is not None:
        figures["ranks"] = ranks_figure(report.analysis.ranks)
    if report.extras.curves:
        figures["curves"] = curves_figure(report.extras.curves)
    if len(report.results.folds):
        figures["time"] = time_figure(_phases_by_arm(report))
    return figures


def page(report: Report, figures: Mapping[str, bytes]) -> str:
    """The report as one HTML file that needs nothing else.

    Args:
        report: What is reported.
        figures: SVG of the figures, by name.
    """
    manifest, results, analysis = report.manifest, report.results, report.analysis
    endpoint = (manifest.study.endpoint.leading, manifest.study.endpoint.metric)
    combinations = [
        (structure, metric)
        for structure in structures_of(manifest.study)
        for metric in metrics_in(report.table)
    ]
    provenance: dict[str, Mapping[str, Sequence[int]]] = {
        "precision": _folds_by(results.folds, "precision"),
        "conditions": _folds_by(results.folds, "conditions"),
        **results.versions,
    }
    versions = {package: next(iter(found)) for package, found in results.versions.items() if len(found) == 1}
    costs = arm_costs(results.folds, manifest.arms, report.extras.price)
    return _template().render(
        manifest=manifest,
        patients=analysis.patients,
        results=results,
        whole=report.aggregate,
        analysis=analysis,
        endpoint=endpoint,
        other_endpoints=[pair for pair in combinations if pair != endpoint],
        adjustment={(each.structure, each.metric): each.adjustment for each in analysis.comparisons},
        answer=analysis.answer,
        contrasts={each.arm: each for each in (analysis.model.contrasts if analysis.model else ())},
        compared=report.compared,
        patient_rows=_patient_rows(report) if analysis.patients <= PATIENTS_IN_PAGE else [],
        styles=METRIC_STYLES,
        figures=figures,
        montages=report.montages,
        phases=_phases(results.folds),
        devices=_folds_by(results.folds, "device"),
        hours=float(results.folds["total_seconds"].sum()) / 3600,
        arm_costs=costs,
        dollars_note=_dollars_note(costs, results),
        curve_folds=report.extras.curve_folds,
        methods=methods(manifest, analysis, versions),
        provenance=provenance,
        differing={name: found for name, found in provenance.items() if len(found) > 1},
        settings=_settings(manifest),
    )


def _template() -> Template:
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
    }
    return environment.get_template("page.html")


def _interval(found: Comparison | StructureContrast, metric: str) -> str:
    style = METRIC_STYLES[metric]
    if found.low is None or found.high is None:
        return "–"
    return f"{style.text(found.low, signed=True)} to {style.text(found.high, signed=True)}"


def _label(structure: str, metric: str) -> str:
    style = METRIC_STYLES[metric]
    return f"{style.name} of {structure}" + (f", {style.unit}" if style.unit else "")


def _patients_table(report: Report) -> DataFrame:
    """The primary endpoint: a row for each patient; what `PatientRow` says, a column for each arm's difference."""
    rows = [asdict(row) for row in _patient_rows(report)]
    columns = ["patient", "exams", "volume_ml", "reference", *report.compared]
    own = [{**row, **row["differences"], "volume_ml": row["volume"]} for row in rows]
    return DataFrame(own, columns=columns)


def _patient_rows(report: Report) -> list[PatientRow]:
    exams: dict[str, int] = {}
    for entry in report.manifest.exams:
        exams[entry.patient] = exams.get(entry.patient, 0) + 1
    return patient_rows(report.values, report.differences, report.volumes, exams, report.compared)


def _statuses(report: Report) -> dict[str, DataFrame]:
    """How tests ended, by structure."""
    study, table = report.manifest.study, report.table
    planned = len(report.manifest.exams) * study.sweep.repeats
    return {
        structure: status_counts(table[table["structure"] == structure], report.manifest.arms, planned)
        for structure in structures_of(study)
    }


def _phases_by_arm(report: Report) -> DataFrame:
    """Arms x phases: mean seconds a fold, without the total."""
    folds = report.results.folds
    phases = [name for name in map(str, folds) if name.endswith("_seconds") and name != "total_seconds"]
    means = folds.groupby("arm")[phases].mean().astype("float64").fillna(0.0)
    means.columns = [name.removesuffix("_seconds") for name in phases]
    return means.reindex([arm for arm in report.manifest.arms if arm in means.index])


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
    network = {"name": study.network.name, "variant": study.network.variant}
    sections = {
        "cohort": cohort,
        "sweep": study.sweep.model_dump(mode="json", by_alias=True),
        "network": network | asdict(study.network.architecture),
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
