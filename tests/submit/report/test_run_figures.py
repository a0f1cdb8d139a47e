"""Charts of the run itself, and what they are made from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pandas import DataFrame

from job.contract import layout
from job.contract.manifest import Manifest
from job.run import Run
from job.storage import LocalStorage
from submit.analysis.results_table import Results, collect_results
from submit.report.material import FOLDS_A_CURVE, POINTS, arm_costs, read_curves
from submit.report.run_figures import curves_figure, status_counts, status_figure, time_figure

ARMS = ["reference", "without a"]


def test_tests_are_counted_by_status_and_those_that_are_not_there_are_missing() -> None:
    rows = DataFrame({"arm": ["reference"] * 3, "status": ["ok", "ok", "miss"]})
    counts = status_counts(rows, ARMS, 4)
    assert counts.loc["reference"].to_dict() == {
        "ok": 2,
        "miss": 1,
        "false-alarm": 0,
        "both-empty": 0,
        "missing": 1,
    }
    assert counts.loc["without a", "missing"] == 4
    figure = status_figure({"T": counts, "Ln": counts})
    assert [axes.get_title() for axes in figure.axes] == ["T", "Ln"]
    assert sorted(text.get_text() for text in figure.axes[0].texts) == ["1", "1", "2", "4"]


def history(run: LocalStorage, fold: int, losses: list[float]) -> None:
    lines = [json.dumps({"step": n, "loss": loss}) for n, loss in enumerate(losses, start=1)]
    run.write(layout.history(fold), "\n".join(lines).encode())


def test_curves_are_read_of_some_folds_of_each_arm(tmp_path: Path) -> None:
    run = LocalStorage(tmp_path)
    for fold in range(100):
        history(run, fold, [1.0, 0.5, 0.25 + fold])
    folds = DataFrame({"fold": range(100), "arm": ["reference"] * 100})
    curves, count = read_curves(Run(run), folds, ARMS)
    steps, losses = curves["reference"]
    assert count == FOLDS_A_CURVE == len(losses)
    assert steps.tolist() == [1, 2, 3]
    assert losses[0].tolist() == [1.0, 0.5, 0.25]
    assert losses[-1].tolist() == [1.0, 0.5, 99.25]


def test_long_histories_are_averaged_between_points(tmp_path: Path) -> None:
    run = LocalStorage(tmp_path)
    history(run, 0, [float(step) for step in range(1, 1001)])
    curves, _ = read_curves(Run(run), DataFrame({"fold": [0], "arm": ["reference"]}), ARMS)
    steps, losses = curves["reference"]
    assert len(steps) == POINTS
    assert steps[-1] == 1000
    assert losses[0, -1] == pytest.approx(np.arange(steps[-2] + 1, 1001).mean())


def test_histories_that_are_gone_or_damaged_are_left_out(tmp_path: Path) -> None:
    run = LocalStorage(tmp_path)
    history(run, 0, [1.0, 0.5])
    run.write(layout.history(1), b"{broken")
    folds = DataFrame({"fold": [0, 1, 2], "arm": ["reference"] * 3})
    curves, count = read_curves(Run(run), folds, ARMS)
    assert (list(curves), count) == (["reference"], 1)


def test_a_curve_is_the_median_over_folds_with_the_reference_s_behind() -> None:
    steps = np.array([1, 2])
    curves = {
        "reference": (steps, np.array([[1.0, 0.5]])),
        "without a": (steps, np.array([[1.0, 0.6], [2.0, 0.8], [3.0, np.nan]])),
    }
    reference, other = curves_figure(curves, ARMS).axes
    assert [line.get_ydata().tolist() for line in reference.lines] == [[1.0, 0.5]]
    assert [line.get_ydata().tolist() for line in other.lines] == [
        [1.0, 0.5],
        [2.0, pytest.approx(0.7)],
    ]


@pytest.mark.parametrize(("seconds", "unit"), [(50.0, "seconds"), (500.0, "minutes"), (9000.0, "hours")])
def test_times_are_in_a_unit_that_fits(seconds: float, unit: str) -> None:
    (axes,) = time_figure(DataFrame({"train": [seconds], "test": [seconds / 10]}, index=["reference"])).axes
    assert axes.get_xlabel() == f"{unit} a fold, mean"
    assert axes.patches[0].get_width() == pytest.approx(
        seconds / {"seconds": 1, "minutes": 60, "hours": 3600}[unit]
    )


@pytest.fixture
def results(
    storage: LocalStorage, make_manifest: Callable[..., Manifest], write_dice: Callable[..., None]
) -> Results:
    manifest = make_manifest()
    write_dice(manifest, {0: 0.5, 1: 0.4, 3: 0.6})
    return collect_results(Run(storage, manifest))


def test_an_arm_costs_the_hours_of_its_folds(results: Results) -> None:
    reference, other = arm_costs(results.folds, ["reference", "without t2", "without t1"], None)
    assert (reference.folds, other.folds) == (2, 1)
    assert reference.hours == pytest.approx(2 / 60)
    assert reference.minutes == pytest.approx(1)
    assert reference.usd is None


def test_dollars_are_those_of_the_machines_or_not_known(results: Results) -> None:
    on_aws: Any = results.folds.assign(machine=["g4dn.xlarge spot eu-central-1a"] * 3)
    prices = {"g4dn.xlarge spot eu-central-1a": 0.6}
    (reference, _) = arm_costs(on_aws, ["reference", "without t2"], prices.get)
    assert reference.usd == pytest.approx(2 / 60 * 0.6)
    assert arm_costs(on_aws, ["reference"], {}.get)[0].usd is None
    mixed = on_aws.assign(machine=["g4dn.xlarge spot eu-central-1a", None, None])
    assert arm_costs(mixed, ["reference"], prices.get)[0].usd is None


def test_bars_are_stacked_on_one_another() -> None:
    counts = DataFrame(
        [{"ok": 2, "miss": 1, "false-alarm": 0, "both-empty": 3, "missing": 1}], index=["reference"]
    )
    (axes,) = status_figure({"T": counts}).axes
    bars = [(bar.get_x(), bar.get_width()) for bar in axes.patches]
    assert bars == [(0, 2), (2, 1), (3, 0), (3, 3), (6, 1)]
    (axes,) = time_figure(
        DataFrame([{"load": 10.0, "forward": 30.0, "backward": 20.0}], index=["reference"])
    ).axes
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 10), (10, 30), (40, 20)]


def test_the_band_of_curves_is_the_10th_to_the_90th_percentile() -> None:
    losses = np.arange(1.0, 12.0)[:, None] * np.ones((1, 3))  # 1, 2, …, 11
    (axes,) = curves_figure({"reference": (np.array([1, 2, 3]), losses)}, ARMS).axes
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (2.0, 10.0)
    assert axes.lines[0].get_ydata().tolist() == [6.0, 6.0, 6.0]


def test_an_arm_of_which_a_fold_does_not_tell_its_time_has_no_sum() -> None:
    folds = DataFrame({"arm": ["reference"] * 2, "total_seconds": [3600.0, None], "machine": ["m", "m"]})
    (cost,) = arm_costs(folds, ["reference"], lambda machine: 1.0)
    assert (cost.folds, cost.hours, cost.minutes, cost.usd) == (2, None, 60.0, None)


def test_a_narrow_figure_has_its_panels_below_one_another() -> None:
    counts = DataFrame(
        [{"ok": 2, "miss": 1, "false-alarm": 0, "both-empty": 3, "missing": 1}], index=["reference"]
    )
    wide, narrow = (status_figure({"T": counts, "Ln": counts}, width) for width in (9.0, 4.2))
    places = [[axes.get_subplotspec().rowspan.start for axes in figure.axes] for figure in (wide, narrow)]
    assert places == [[0, 0], [0, 1]]
    assert (wide.get_figwidth(), narrow.get_figwidth()) == (9.0, 4.2)
