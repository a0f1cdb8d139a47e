"""Every arm against the reference arm: differences, intervals, effect sizes, tests."""

from collections.abc import Hashable, Mapping
from math import inf, isnan
from typing import Literal, TypeVar

import numpy as np
from pandas import DataFrame, concat
from statsmodels.stats.multitest import multipletests

from job.contract.grid import REFERENCE
from job.contract.results import Record
from submit.analysis.bootstrap import bootstrap_means
from submit.analysis.design import LIMITS, METRICS, Design
from submit.analysis.paired_tests import signed_rank
from submit.analysis.pairing import EXAM, by_arm, by_patient, differences, false_alarms, statuses

K = TypeVar("K", bound=Hashable)


class Comparison(Record):
    """An arm against the reference in one metric of one structure; numbers are None where there are no pairs."""

    arm: str
    structure: str
    metric: str
    patients: int
    """With a pair: the n of everything below."""
    exams: int
    pairs: int
    """Same exam, same repeat."""
    false_alarms: tuple[int, int]
    """Of the arm and of the reference, in tests that both did; exams without a lesion have no pair."""
    mean: float | None
    """Mean over patients of arm - reference, in the metric's unit."""
    low: float | None
    """Of its 95 % interval (cluster bootstrap by patient); None for fewer than about four patients."""
    high: float | None
    relative: float | None
    """`mean` divided by the mean of the reference over the same pairs; None where that is 0."""
    sd: float | None
    """Of the patients' differences (n - 1)."""
    d_z: float | None
    """`mean` / `sd`; None without a spread."""
    rank_biserial: float | None
    """Matched-pairs rank-biserial correlation, -1 to 1."""
    p: float | None
    """Wilcoxon's signed-rank test, two-sided, zeros after Pratt."""
    test: Literal["exact", "normal approximation"] | None
    p_adjusted: float | None
    adjustment: Literal["Holm", "Benjamini-Hochberg"]
    """Holm over the arms of the primary endpoint, Benjamini-Hochberg over all others together."""


class Differences:
    """The patients' differences in every structure and metric, computed once."""

    def __init__(self, table: DataFrame, design: Design) -> None:
        self.tests = {
            (structure, metric): by_arm(table, structure, metric)
            for structure in design.structures
            for metric in METRICS
        }
        self.statuses = {structure: statuses(table, structure) for structure in design.structures}
        self.by_patient = {key: differences(tests) for key, tests in self.tests.items()}


def compare(found: Differences, design: Design) -> tuple[Comparison, ...]:
    """All comparisons: those of the primary endpoint first, in the order of the arms."""
    keys = sorted(found.tests, key=lambda key: key != design.endpoint)
    intervals = _intervals(found, design.seed)
    raw = {
        (key, arm): _compare(found, key, arm, intervals.get((key, arm)))
        for key in keys
        for arm in design.compared
    }
    holm = adjusted({column: each.p for column, each in raw.items() if column[0] == design.endpoint}, "holm")
    others = adjusted({column: each.p for column, each in raw.items() if column not in holm}, "fdr_bh")
    return tuple(
        each.model_copy(update={"p_adjusted": holm[column], "adjustment": "Holm"})
        if column in holm
        else each.model_copy(update={"p_adjusted": others[column], "adjustment": "Benjamini-Hochberg"})
        for column, each in raw.items()
    )


def adjusted(p: Mapping[K, float | None], method: Literal["holm", "fdr_bh"]) -> dict[K, float | None]:
    """Adjusted p of each comparison; those that could not be made (None) count as if they showed nothing."""
    if not p:
        return {}
    _, values, _, _ = multipletests([1.0 if each is None else each for each in p.values()], method=method)
    return {
        key: None if raw is None else float(value)
        for (key, raw), value in zip(p.items(), values, strict=True)
    }


Key = tuple[str, str]
"""Structure and metric."""


def _intervals(found: Differences, seed: int) -> dict[tuple[Key, str], tuple[float, float]]:
    """Bootstrap intervals of all means; of metrics of the same patients, from the same draws."""
    alike: dict[tuple[str, ...], list[Key]] = {}
    for key, own in found.by_patient.items():
        if not own.empty:
            alike.setdefault(tuple(own.index), []).append(key)
    intervals: dict[tuple[Key, str], tuple[float, float]] = {}
    for keys in alike.values():
        values = concat([found.by_patient[key] for key in keys], axis=1).to_numpy(dtype=np.float64)
        columns = [(key, str(arm)) for key in keys for arm in found.by_patient[key]]
        bounds = bootstrap_means(values, seed).intervals()
        intervals |= {
            column: (float(low), float(high))
            for column, low, high in zip(columns, *bounds, strict=True)
            if not isnan(low)
        }
    return intervals


def _compare(found: Differences, key: Key, arm: str, interval: tuple[float, float] | None) -> Comparison:
    structure, metric = key
    own = found.by_patient[key]
    values = own[arm].dropna().to_numpy(dtype=np.float64) if arm in own else np.empty(0)
    empty = Comparison(
        arm=arm,
        structure=structure,
        metric=metric,
        patients=len(values),
        exams=0,
        pairs=0,
        false_alarms=false_alarms(found.statuses[structure], arm),
        **dict.fromkeys(("mean", "low", "high", "relative", "sd", "d_z", "rank_biserial", "p", "test")),
        p_adjusted=None,
        adjustment="Holm",
    )
    if not len(values):
        return empty
    pairs = found.tests[key][[REFERENCE, arm]].dropna()
    mean, reference = float(values.mean()), float(by_patient(pairs)[REFERENCE].mean())
    sd = float(values.std(ddof=1)) if len(values) > 1 else None
    if interval is not None:  # no metric is below 0, and so no mean falls by more than the reference has
        interval = (max(interval[0], -reference), min(interval[1], LIMITS.get(metric, inf) - reference))
    tested = signed_rank(values)
    return empty.model_copy(
        update={
            "exams": len(pairs.reset_index()[EXAM].drop_duplicates()),
            "pairs": len(pairs),
            "mean": mean,
            "low": interval and interval[0],
            "high": interval and interval[1],
            "relative": mean / reference if reference else None,
            "sd": sd,
            "d_z": mean / sd if sd else None,
            "rank_biserial": tested.rank_biserial,
            "p": tested.p,
            "test": tested.method,
        }
    )
