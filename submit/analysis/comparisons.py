"""Every arm against the reference arm: differences, intervals, effect sizes, tests."""

from collections.abc import Mapping
from math import inf, isinf
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pandas import concat
from scipy import stats

from job.contract.metrics import METRICS
from job.contract.results import Record
from submit.analysis.adjustment import adjusted
from submit.analysis.design import ALPHA, Design
from submit.analysis.differences import Differences
from submit.analysis.paired_tests import signed_rank
from submit.analysis.pairing import EXAM
from submit.analysis.sign_flips import SignFlips
from submit.analysis.verdict import Evidence

FEWEST_FOR_T = 3
"""Patients of whom a t-interval is given, where there are too few for sign flips."""
NEAR = 1e-6
"""In the metric's unit; an end as near to where the metric ends is there by itself."""


class Comparison(Record):
    """An arm against the reference in one metric of one structure; numbers are None where there are no pairs."""

    arm: str
    structure: str
    metric: str
    patients: int
    """With a pair: the n of everything below."""
    exams: int
    pairs: int
    """Same exam, same repeat; a lesion that both miss is no pair."""
    false_alarms: tuple[int, int]
    """Of the arm and of the reference, in tests that both did; exams without a lesion have no pair."""
    misses: tuple[int, int]
    """Of the arm and of the reference, in tests that both did."""
    mean: float | None
    """Mean over patients of arm - reference, in the metric's unit."""
    low: float | None
    """Of its 95 % interval: simultaneous over the arms for the primary endpoint, else of this comparison alone."""
    high: float | None
    """None also where a distance has no upper end."""
    cut: bool = False
    """Whether an end lies where the metric ends (a Dice of 1, a distance of 0), and not where the data say."""
    relative: float | None
    """`mean` divided by the mean of the reference over the same pairs; None where that is 0."""
    sd: float | None
    """Of the patients' differences (n - 1)."""
    d_z: float | None
    """`mean` / `sd`; None without a spread."""
    rank_biserial: float | None
    """Matched-pairs rank-biserial correlation, -1 to 1."""
    p: float | None
    """Sign flips, two-sided, of this comparison alone."""
    p_adjusted: float | None
    adjustment: Literal["max-t", "Benjamini-Hochberg"]
    """The largest t over the arms of the primary endpoint, Benjamini-Hochberg over all others together."""
    p_wilcoxon: float | None
    """Wilcoxon's signed-rank test, exact, two-sided, zeros after Pratt; not adjusted: a sensitivity analysis."""

    @property
    def endpoint(self) -> tuple[str, str]:
        """Structure and metric."""
        return (self.structure, self.metric)


def compare(
    found: Differences, design: Design, evidence: Mapping[str, tuple[Evidence, ...]]
) -> tuple[Comparison, ...]:
    """All comparisons: those of the primary endpoint first, by structure and in the order of the arms."""
    primary = design.endpoints
    keys = [*primary, *(key for key in found.tests if key not in primary)]
    flips = _Alone(found, design)
    raw = {(key, arm): _compare(found, key, arm, flips) for key in keys for arm in design.compared}
    decided = {((own.structure, design.metric), arm): own for arm, every in evidence.items() for own in every}
    others = adjusted({column: each.p for column, each in raw.items() if column not in decided}, "fdr_bh")
    return tuple(
        _primary(each, decided[column], design, found)
        if column in decided
        else each.model_copy(update={"p_adjusted": others[column]})
        for column, each in raw.items()
    )


def _primary(each: Comparison, own: Evidence, design: Design, found: Differences) -> Comparison:
    """With the interval and the p that decide."""
    low, high = own.low, own.high
    if low is not None:
        high = inf if high is None else high
        low, high = (-high, -low) if design.sign < 0 else (low, high)
    ends = _cut(low, high, found.reference(each.endpoint, each.arm) or 0.0, each.metric)
    return each.model_copy(update={**ends, "p_adjusted": own.p, "adjustment": "max-t"})


class _Alone:
    """Sign flips of every comparison by itself; of metrics of the same patients, with the same flips."""

    def __init__(self, found: Differences, design: Design) -> None:
        self._flips: dict[tuple[tuple[str, str], str], tuple[SignFlips, int]] = {}
        alike: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        for key, own in found.by_patient.items():
            if not own.empty:
                alike.setdefault(tuple(map(str, own.index)), []).append(key)
        for keys in alike.values():
            values = concat([found.by_patient[key] for key in keys], axis=1).to_numpy(dtype=np.float64)
            flips = SignFlips(values, design.seed)
            columns = [(key, str(arm)) for key in keys for arm in found.by_patient[key]]
            self._flips |= {column: (flips, number) for number, column in enumerate(columns)}

    def p_and_interval(
        self, key: tuple[str, str], arm: str, values: NDArray[np.float64]
    ) -> tuple[float | None, tuple[float, float] | None]:
        """P that the mean difference is 0, and its interval; of too few patients for flips, those of t."""
        flips, column = self._flips[key, arm]
        p, interval = flips.p(column), flips.interval(column)
        if interval is None and len(values) >= FEWEST_FOR_T and np.ptp(values) > 0:
            low, high = stats.ttest_1samp(values, 0.0).confidence_interval(1 - ALPHA)
            interval = (float(low), float(high))
        return p, interval


def _compare(found: Differences, key: tuple[str, str], arm: str, flips: _Alone) -> Comparison:
    structure, metric = key
    own = found.by_patient[key]
    values = own[arm].dropna().to_numpy(dtype=np.float64) if arm in own else np.empty(0)
    seen = found.detection(structure, arm)
    empty = Comparison(
        arm=arm,
        structure=structure,
        metric=metric,
        patients=len(values),
        exams=0,
        pairs=0,
        false_alarms=(seen.false_alarms.arm, seen.false_alarms.reference),
        misses=(seen.misses.arm, seen.misses.reference),
        **dict.fromkeys(("mean", "low", "high", "relative", "sd", "d_z", "rank_biserial", "p", "p_wilcoxon")),
        p_adjusted=None,
        adjustment="Benjamini-Hochberg",
    )
    if not len(values):
        return empty
    pairs = found.by_test[key][arm].dropna()
    mean, reference = float(values.mean()), found.reference(key, arm) or 0.0
    sd = float(values.std(ddof=1)) if len(values) > 1 else None
    p, interval = flips.p_and_interval(key, arm, values)
    low, high = interval or (None, None)
    ranks = signed_rank(values)
    return empty.model_copy(
        update={
            "exams": len(pairs.reset_index()[EXAM].drop_duplicates()),
            "pairs": len(pairs),
            "mean": mean,
            **_cut(low, high, reference, metric),
            "relative": mean / reference if reference else None,
            "sd": sd,
            "d_z": mean / sd if sd else None,
            "rank_biserial": ranks.rank_biserial,
            "p": p,
            "p_wilcoxon": ranks.p,
        }
    )


def _cut(low: float | None, high: float | None, reference: float, metric: str) -> dict[str, object]:
    """An interval where the mean can be: no metric is below 0, so no mean falls by more than the reference has.

    Without an upper end where it has none, and the metric has none.
    """
    if low is None or high is None:
        return {"low": None, "high": None}
    highest = METRICS[metric].highest
    least, most = -reference, (inf if highest is None else highest) - reference
    cut = least - low > NEAR or high - min(high, most) > NEAR
    end = min(high, most)
    return {"low": max(low, least), "high": None if isinf(end) else end, "cut": cut}
