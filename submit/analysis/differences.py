"""The tests of a run and the patients' differences in every structure and metric, computed once."""

from dataclasses import dataclass

from pandas import DataFrame, Series

from job.contract.grid import REFERENCE
from job.contract.metrics import METRICS
from submit.analysis.design import Design
from submit.analysis.detection import Detection, detection
from submit.analysis.pairing import (
    FOUND,
    by_arm,
    by_patient,
    differences_by_test,
    metrics_in,
    statuses,
)


@dataclass(frozen=True, kw_only=True)
class BothFound:
    """How much worse or better lesions are drawn, where arm and reference both found them."""

    metric: str
    patients: int
    mean: float | None
    """Mean over patients of arm - reference, in the metric's unit; None without a patient."""


class Differences:
    """All that is compared, by (structure, metric)."""

    def __init__(self, table: DataFrame, design: Design) -> None:
        self.statuses = {structure: statuses(table, structure) for structure in design.structures}
        """How tests ended, by structure."""
        keys = [(structure, metric) for structure in design.structures for metric in metrics_in(table)]
        self.tests = {key: by_arm(table, *key) for key in keys}
        """Values: tests x arms."""
        self.by_test = {
            (structure, metric): differences_by_test(
                self.tests[structure, metric],
                self.statuses[structure] if METRICS[metric].compares_lesions else None,
            )
            for structure, metric in keys
        }
        """Arm - reference: tests x arms."""
        self.by_patient = {key: by_patient(own).dropna(how="all") for key, own in self.by_test.items()}
        """Arm - reference: patients x arms."""
        self._detections: dict[tuple[str, str], Detection] = {}
        self._references: dict[tuple[str, str], dict[str, float]] = {}

    def reference(self, key: tuple[str, str], arm: str) -> float | None:
        """Mean of the reference over an arm's pairs, patients weighing equally; None without a pair."""
        if key not in self._references:
            pairs = self.by_test[key].notna()
            tests = DataFrame({each: self.tests[key][REFERENCE].where(pairs[each]) for each in pairs})
            means = by_patient(tests).mean().dropna() if len(tests.columns) else Series(dtype="float64")
            self._references[key] = {str(arm): float(mean) for arm, mean in means.items()}
        return self._references[key].get(arm)

    def detection(self, structure: str, arm: str) -> Detection:
        """Lesions found and false alarms of an arm beside the reference."""
        if (structure, arm) not in self._detections:
            self._detections[structure, arm] = detection(self.statuses[structure], arm)
        return self._detections[structure, arm]

    def both_found(self, structure: str, arm: str) -> tuple[BothFound, ...]:
        """Dice and distances over the lesions that arm and reference both found, patients weighing equally."""
        found = (self.statuses[structure] == FOUND).reindex(columns=[arm, REFERENCE], fill_value=False)
        drawn = []
        for name, metric in METRICS.items():
            if metric.compares_lesions and (structure, name) in self.by_test:
                pairs = self.by_test[structure, name].reindex(columns=[arm])[found.all(axis=1)]
                values = by_patient(pairs)[arm].dropna()
                mean = float(values.mean()) if len(values) else None
                drawn.append(BothFound(metric=name, patients=len(values), mean=mean))
        return tuple(drawn)
