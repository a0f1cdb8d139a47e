"""What a report is made from, as data: results, rows by patient, curves, costs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame
from pydantic import BaseModel, ValidationError

from job.contract.grid import REFERENCE
from job.contract.manifest import Manifest
from job.run import Run
from job.storage.concurrency import map_files
from submit.analysis.aggregate import Aggregate
from submit.analysis.analysis import Analysis
from submit.analysis.headline import in_order
from submit.analysis.pairing import by_arm, by_patient, differences, paired_block, statuses
from submit.analysis.results_table import Results
from submit.analysis.sensitivity import volumes
from submit.analysis.wording import METRIC_STYLES
from submit.report.montage import Montages
from submit.report.run_figures import Curves
from submit.wording import counted

FOLDS_A_CURVE = 40
"""Histories that are read for each arm, evenly spread over its folds."""
POINTS = 200
"""Steps at which curves are drawn."""

Price = Callable[[str], float | None]
"""USD an hour of a fold on a machine, as `job.ec2.machine` names it."""


@dataclass(frozen=True, kw_only=True)
class ArmCost:
    """What the folds of an arm took."""

    arm: str
    folds: int
    hours: float | None
    """None if a fold does not say how long it took."""
    minutes: float | None
    """A fold, mean."""
    usd: float | None
    """None where prices are not known, or machines were one's own."""


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What is not in the table of results."""

    curves: Curves = field(default_factory=dict)
    curve_folds: int = 0
    price: Price | None = None
    changes: Sequence[str] = ()
    """In what the cohort's files are others than those that the run was made of."""


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
        """Names of the arms but the reference, the largest loss first."""
        return [each.arm for each in in_order(self.analysis)]

    @property
    def arms(self) -> list[str]:
        """Names of all arms in the order of the report, the reference first."""
        return [REFERENCE, *self.compared]


def read_curves(run: Run, folds: DataFrame, arms: Sequence[str]) -> tuple[Curves, int]:
    """Training losses of some folds of every arm, and how many folds those are.

    Args:
        run: The run.
        folds: Columns `fold` and `arm` of the folds that are done.
        arms: Names, in the order of the panels.
    """
    chosen: dict[str, list[int]] = {}
    for arm in arms:
        done = folds.loc[folds["arm"] == arm, "fold"].to_numpy()
        if len(done):
            places = np.linspace(0, len(done) - 1, min(len(done), FOLDS_A_CURVE)).round().astype(int)
            chosen[arm] = [int(fold) for fold in done[places]]
    numbers = [fold for own in chosen.values() for fold in own]
    histories = dict(zip(numbers, map_files(_history(run), numbers), strict=True))
    curves: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
    for arm, own in chosen.items():
        found = [histories[fold] for fold in own if histories[fold]]
        if found:
            last = max(max(each) for each in found)
            steps = np.unique(np.linspace(1, last, min(POINTS, last)).round().astype(np.int64))
            losses = np.array([_at(steps, each) for each in found])
            curves[arm] = (steps, losses)
    return curves, sum(len(losses) for _, losses in curves.values())


class _Step(BaseModel):
    """A line of a history, as far as curves need it."""

    step: int
    loss: float


def _history(run: Run) -> Callable[[int], dict[int, float]]:
    """Reads the loss by step of a fold; empty if its history is gone or damaged, which no result hangs on."""

    def read(fold: int) -> dict[int, float]:
        try:
            data = run.fold(fold).history.read()
        except FileNotFoundError:
            return {}
        try:
            lines = [_Step.model_validate_json(line) for line in data.splitlines()]
        except ValidationError:
            return {}
        return {line.step: line.loss for line in lines}

    return read


def _at(steps: NDArray[np.int64], history: dict[int, float]) -> NDArray[np.float64]:
    """Losses at steps, averaged since the step before; NaN beyond what the fold has."""
    own = np.array(sorted(history))
    values = np.array([history[step] for step in own])
    bins = np.searchsorted(steps, own)
    sums = np.bincount(bins, weights=values, minlength=len(steps))
    counts = np.bincount(bins, minlength=len(steps))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def arm_costs(folds: DataFrame, arms: Sequence[str], price: Price | None) -> list[ArmCost]:
    """What each arm took.

    Args:
        folds: `Results.folds`.
        arms: Names.
        price: Of machines; None: not to be asked.
    """
    costs = []
    for arm in arms:
        own = folds[folds["arm"] == arm]
        if len(own):
            hours = own["total_seconds"].dropna().to_numpy(dtype=np.float64) / 3600
            whole = len(hours) == len(own)
            costs.append(
                ArmCost(
                    arm=arm,
                    folds=len(own),
                    hours=float(hours.sum()) if whole else None,
                    minutes=float(hours.mean() * 60) if len(hours) else None,
                    usd=_usd(own["machine"].tolist(), hours.tolist(), price) if whole else None,
                )
            )
    return costs


def _usd(machines: Sequence[Any], hours: Sequence[float], price: Price | None) -> float | None:
    """Of folds on these machines; None if any price is not known."""
    total = 0.0
    for machine, time in zip(machines, hours, strict=True):
        rate = price(machine) if price is not None and isinstance(machine, str) else None
        if rate is None:
            return None
        total += rate * time
    return total


@dataclass(frozen=True, kw_only=True)
class PatientRow:
    """A patient in the primary endpoint."""

    patient: str
    exams: int
    volume: float | None
    """Of the structure in the truth, ml, mean over exams."""
    reference: float | None
    differences: dict[str, float | None]
    """By arm: arm - reference."""


def patient_rows(
    values: DataFrame, differences: DataFrame, volume: DataFrame, exams: dict[str, int], arms: Sequence[str]
) -> list[PatientRow]:
    """A row for each patient whom the reference arm has tested.

    Args:
        values: Patients x arms.
        differences: Patients x arms but the reference.
        volume: Column `volume_ml` by patient.
        exams: Of each patient.
        arms: Names of the arms but the reference.
    """
    if REFERENCE not in values:
        return []
    return [
        PatientRow(
            patient=str(patient),
            exams=exams.get(str(patient), 0),
            volume=_number(volume, patient, "volume_ml"),
            reference=_number(values, patient, REFERENCE),
            differences={arm: _number(differences, patient, arm) for arm in arms},
        )
        for patient in values.index
        if _number(values, patient, REFERENCE) is not None
    ]


def _number(table: DataFrame, row: Any, column: str) -> float | None:
    if row not in table.index or column not in table:
        return None
    number: Any = table.at[row, column]
    value = float(number)
    return None if np.isnan(value) else value


def reference_in_words(whole: Aggregate, analysis: Analysis) -> str:
    """How well all channels together do in the primary endpoint, and the margin."""
    structure, metric = whole.endpoint["class"], whole.endpoint["metric"]
    style, reference = METRIC_STYLES[metric], whole.arms[0].metrics[structure][metric]
    return (
        f"{style.name} of {structure}: {style.with_unit(reference.mean)} ± {style.text(reference.sd)} with all "
        f"channels ({counted(reference.n, 'test')}); "
        + ("no margin" if analysis.margin is None else f"margin {style.with_unit(analysis.margin)}")
    )
