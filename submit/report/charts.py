"""The charts of a report, each wide for a page and narrow for a telephone."""

from dataclasses import dataclass

from matplotlib.figure import Figure
from pandas import DataFrame

from submit.analysis.results_table import structures_of
from submit.analysis.wording import METRIC_STYLES
from submit.report.comparison_figures import ranks_figure, slopes_figure, volume_figure
from submit.report.figures import NARROW_INCHES, WIDTH_INCHES, arms_figure, encode, folds_figure
from submit.report.forest import FOREST_INCHES, forest_figure
from submit.report.material import Report
from submit.report.run_figures import curves_figure, status_counts, status_figure, time_figure

LEAST_SCALE = 0.7
"""Below which a chart is not shrunk: it scrolls, as its letters could not be read."""
PIXELS = 96
"""Of a browser, per inch."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart as the page has it."""

    wide: bytes
    """SVG; so is `narrow`."""
    narrow: bytes
    least_px: int | None
    """The least width at which it can be read, where that is more than a telephone has."""


def charts_of(figures: dict[str, Figure], report: Report) -> dict[str, Chart]:
    """The charts of figures that are laid out, by name.

    Args:
        figures: The wide ones.
        report: What is reported.
    """
    charts = {}
    for name, narrow in figures_of(report, NARROW_INCHES).items():
        width = narrow.get_figwidth()
        charts[name] = Chart(
            wide=encode(figures[name], "svg"),
            narrow=encode(narrow, "svg"),
            least_px=round(width * PIXELS * LEAST_SCALE) if width * LEAST_SCALE > NARROW_INCHES else None,
        )
    return charts


def figures_of(report: Report, width_inches: float = WIDTH_INCHES) -> dict[str, Figure]:
    """All figures for which there is something to show, by name, laid out.

    Args:
        report: What is reported.
        width_inches: Of each; the forest plot is no wider than stands beside a table.
    """
    figures = _figures_of_tests(report, width_inches) | _figures_of_training(report, width_inches)
    for figure in figures.values():  # laid out once, and not for each kind of file
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figures


def _figures_of_tests(report: Report, width_inches: float) -> dict[str, Figure]:
    study = report.manifest.study
    structures, endpoint = structures_of(study), study.endpoint
    style = METRIC_STYLES[endpoint.metric]
    label = f"{style.name} of {endpoint.leading}" + (f", {style.unit}" if style.unit else "")
    figures = {
        "folds": folds_figure(report.table, report.arms, structures, width_inches),
        "arms": arms_figure(report.aggregate, report.arms, structures, width_inches),
        "statuses": status_figure(_statuses(report), width_inches),
    }
    if not report.differences.empty:
        losses = report.differences * style.metric.sign
        figures["forest"] = forest_figure(report.analysis, min(width_inches, FOREST_INCHES))
        figures["slopes"] = slopes_figure(report.values, report.compared, label, width_inches)
        figures["volume"] = volume_figure(
            losses, report.volumes, report.compared, f"loss of {label}", width_inches
        )
    if report.analysis.ranks is not None:
        figures["ranks"] = ranks_figure(report.analysis.ranks, report.compared, width_inches)
    return figures


def _figures_of_training(report: Report, width_inches: float) -> dict[str, Figure]:
    figures = {}
    if report.extras.curves:
        figures["curves"] = curves_figure(report.extras.curves, report.arms, width_inches)
    if len(report.results.folds):
        figures["time"] = time_figure(_phases_by_arm(report), width_inches)
    return figures


def _statuses(report: Report) -> dict[str, DataFrame]:
    """How tests ended, by structure."""
    study, table = report.manifest.study, report.table
    planned = len(report.manifest.exams) * study.sweep.repeats
    return {
        structure: status_counts(table[table["structure"] == structure], report.arms, planned)
        for structure in structures_of(study)
    }


def _phases_by_arm(report: Report) -> DataFrame:
    """Arms x phases: mean seconds a fold, without the total."""
    folds = report.results.folds
    phases = [name for name in map(str, folds) if name.endswith("_seconds") and name != "total_seconds"]
    means = folds.groupby("arm")[phases].mean().astype("float64").fillna(0.0)
    means.columns = [name.removesuffix("_seconds") for name in phases]
    return means.reindex([arm for arm in report.arms if arm in means.index])
