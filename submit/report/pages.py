"""Writes the report of a run: a page, its figures, and the tables behind them."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import BytesIO
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from pandas import DataFrame

from job.contract import layout
from job.contract.cohort import Channel
from job.contract.fold_ranges import format_folds
from job.contract.manifest import Manifest
from job.storage import Storage
from submit.analysis.aggregate import Aggregate, aggregate, arms_table, paired_block
from submit.analysis.design import METRICS
from submit.analysis.results_table import Results, structures_of
from submit.analysis.wording import METRIC_STYLES, number, percent
from submit.report.figures import arms_figure, encode, folds_figure
from submit.report.montage import Montages


def write_report(storage: Storage, manifest: Manifest, results: Results, montages: Montages) -> Aggregate:
    """Writes `analysis/` of a run; the page is written last. The same results give the same files.

    Args:
        storage: Rooted at the run.
        manifest: What the run is.
        results: What there is of it.
        montages: Pictures for the page.

    Returns:
        What `report.json` holds.
    """
    whole = aggregate(results, manifest)
    structures = structures_of(manifest.study)
    figures = {
        "folds": folds_figure(paired_block(results.table, manifest), manifest.arms, structures),
        "arms": arms_figure(whole, structures),
    }
    svg = {name: encode(figure, "svg") for name, figure in figures.items()}
    files = {
        "report.json": whole.to_json(),
        "results.csv": results.table.to_csv(index=False).encode(),
        "results.parquet": _parquet(results.table),
        "arms.csv": arms_table(whole).to_csv(index=False).encode(),
        **{f"figure-{name}.svg": data for name, data in svg.items()},
        **{f"figure-{name}.png": encode(figure, "png") for name, figure in figures.items()},
        "report.html": page(manifest, results, whole, svg, montages).encode(),
    }
    for name, data in files.items():
        storage.write(f"{layout.ANALYSIS}/{name}", data)
    return whole


def page(
    manifest: Manifest,
    results: Results,
    whole: Aggregate,
    figures: Mapping[str, bytes],
    montages: Montages,
) -> str:
    """The report as one HTML file that needs nothing else.

    Args:
        manifest: What the run is.
        results: What there is of it.
        whole: Its aggregate.
        figures: SVG of the figures `folds` and `arms`.
        montages: Pictures of exams.
    """
    endpoint = (manifest.study.endpoint.structure, manifest.study.endpoint.metric)
    combinations = [(structure, metric) for structure in structures_of(manifest.study) for metric in METRICS]
    provenance: dict[str, Mapping[str, Sequence[int]]] = {
        "precision": _folds_by(results.folds, "precision"),
        "conditions": _folds_by(results.folds, "conditions"),
        **results.versions,
    }
    return _template().render(
        manifest=manifest,
        patients=len({entry.patient for entry in manifest.exams}),
        results=results,
        whole=whole,
        endpoint=endpoint,
        other_endpoints=[pair for pair in combinations if pair != endpoint],
        styles=METRIC_STYLES,
        figures=figures,
        montages=montages,
        phases=_phases(results.folds),
        devices=_folds_by(results.folds, "device"),
        hours=float(results.folds["total_seconds"].sum()) / 3600,
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
        "folds": format_folds,
        "data_url": _data_url,
    }
    return environment.get_template("page.html")


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
