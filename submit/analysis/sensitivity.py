"""Whether the answer hangs on what is missing, on the lesion's volume, or on the structure."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from pandas import DataFrame, MultiIndex, Series, concat
from scipy import stats

from job.contract.grid import REFERENCE
from job.contract.metrics import METRICS
from job.contract.results import Record
from submit.analysis.adjustment import adjusted
from submit.analysis.bootstrap import Bootstrap
from submit.analysis.design import Design
from submit.analysis.differences import Differences
from submit.analysis.evidence import gather
from submit.analysis.noise import Noise
from submit.analysis.paired_tests import signed_rank
from submit.analysis.pairing import CORRECT_ABSENCE, FALSE_ALARM, MISS, TEST, by_patient, metrics_in, statuses
from submit.analysis.verdict import VerdictName, decide_all


class WorstCase(Record):
    """The verdict of an arm if what is missing were as unfavourable as can be."""

    arm: str
    missing: int
    """Tests that are missing, of the arm or of its partner."""
    against: VerdictName
    """If the arm had failed in all of them (Dice 0), and the reference been perfect (Dice 1); of a distance, which
    has no end, the worst that was seen, and 0."""
    in_favour: VerdictName
    """The other way round."""


def worst_cases(table: DataFrame, design: Design, noise: Mapping[str, Noise | None]) -> tuple[WorstCase, ...]:
    """The bounds that missing tests leave to the verdicts; none if no test is missing.

    A number that is undefined (nothing there, nothing predicted) is not missing. In an exam without a lesion a
    missing test counts as a false alarm, or as a correct absence.

    Args:
        table: Rows of the repeats that every arm has.
        design: The design.
        noise: Of retraining, by structure.
    """
    planned = [(repeat, patient, exam) for repeat in range(design.repeats) for patient, exam in design.exams]
    done = statuses(table, design.structure).reindex(
        index=MultiIndex.from_tuples(planned, names=TEST), columns=list(design.arms)
    )
    missing = done.isna()
    if not missing.to_numpy().any():
        return ()
    verdicts = {}
    for name, arms_are_good in (("against", False), ("in_favour", True)):
        filled = concat([table, _filled(table, missing, design, arms_are_good=arms_are_good)])
        evidence = gather(Differences(filled, design), design, noise)
        verdicts[name] = {arm: decide_all(own) for arm, own in evidence.items()}
    return tuple(
        WorstCase(
            arm=arm,
            missing=int((missing[arm] | missing[REFERENCE]).sum()),
            against=verdicts["against"][arm],
            in_favour=verdicts["in_favour"][arm],
        )
        for arm in design.compared
    )


def _filled(table: DataFrame, missing: DataFrame, design: Design, *, arms_are_good: bool) -> DataFrame:
    """Rows for the tests that are missing, as good or as bad as they can be."""
    rows = []
    for structure in design.structures:
        own = table[table["structure"] == structure]
        absent = set(own.loc[own["status"].isin((FALSE_ALARM, CORRECT_ABSENCE)), "exam"])
        ends = {metric: _ends(own[metric].astype("float64"), metric) for metric in metrics_in(table)}
        for arm in design.arms:
            good = arms_are_good != (arm == REFERENCE)
            for repeat, patient, exam in missing.index[missing[arm]]:
                empty = exam in absent
                values = {metric: None if empty and good else end[not good] for metric, end in ends.items()}
                status = (CORRECT_ABSENCE if good else FALSE_ALARM) if empty else "ok" if good else MISS
                rows.append(
                    {"arm": arm, "repeat": repeat, "patient": patient, "exam": exam, "structure": structure}
                    | {"status": status}
                    | values
                )
    return DataFrame(rows).astype(dict.fromkeys(metrics_in(table), "Float64"))


def _ends(values: Series, metric: str) -> tuple[float, float]:
    """The best and the worst that a metric can be; of one without an end, the most that was seen."""
    own, most = METRICS[metric], values.max()
    if own.highest is not None:
        most = own.highest
    elif most != most:
        most = 0.0
    return (float(most), 0.0) if own.higher_is_better else (0.0, float(most))


class VolumeEffect(Record):
    """Whether the loss of an arm goes with the lesion's volume."""

    arm: str
    patients: int
    rho: float | None
    """Spearman's rank correlation of loss and volume; None for fewer than four patients or without a spread."""
    p: float | None
    p_adjusted: float | None
    """Benjamini-Hochberg over the arms."""


def volumes(table: DataFrame, structure: str) -> DataFrame:
    """Mean volume of a structure by patient, over exams that have it, in ml, from the truth: a column `volume_ml`."""
    there = (table["structure"] == structure) & (table["arm"] == REFERENCE) & (table["reference_ml"] > 0)
    rows = table[there]
    return by_patient(rows.set_index(TEST)[["reference_ml"]].astype("float64")).rename(
        columns={"reference_ml": "volume_ml"}
    )


def volume_effects(losses: DataFrame, volume: DataFrame, design: Design) -> tuple[VolumeEffect, ...]:
    """Spearman's correlation of every arm's loss with the lesion's volume, over patients.

    Args:
        losses: Patients x arms.
        volume: What `volumes` gives.
        design: The design.
    """
    found: dict[str, tuple[int, float | None, float | None]] = {}
    for arm in design.compared:
        both = losses[[arm]].join(volume).dropna() if arm in losses else DataFrame()
        values = both.to_numpy(dtype=np.float64)
        if len(values) < 4 or (np.ptp(values, axis=0) == 0).any():
            found[arm] = (len(values), None, None)
        else:
            rho, p = stats.spearmanr(values[:, 0], values[:, 1])
            found[arm] = (len(values), float(rho), float(p))
    p_adjusted = adjusted({arm: p for arm, (_, _, p) in found.items()}, "fdr_bh")
    return tuple(
        VolumeEffect(arm=arm, patients=n, rho=rho, p=p, p_adjusted=p_adjusted[arm])
        for arm, (n, rho, p) in found.items()
    )


class StructureContrast(Record):
    """Whether an arm loses more in one class than in another (arm x structure)."""

    arm: str
    structures: tuple[str, str]
    patients: int
    mean: float | None
    """Mean over patients of the loss in the first class less that in the second."""
    low: float | None
    """Of the 95 % interval (cluster bootstrap); so is `high`."""
    high: float | None
    p: float | None
    """Wilcoxon's signed-rank test."""
    p_adjusted: float | None
    """Benjamini-Hochberg over all of them."""


def structure_contrasts(
    found: Differences, classes: tuple[str, ...], design: Design
) -> tuple[StructureContrast, ...]:
    """Contrasts of each two neighbouring classes in the metric of the primary endpoint, for every arm."""
    columns: dict[tuple[str, str, str], Series] = {}
    for one, other in pairwise(classes):
        first, second = (
            found.by_patient[structure, design.metric] * design.sign for structure in (one, other)
        )
        for arm in design.compared:
            there = arm in first and arm in second
            columns[arm, one, other] = (
                (first[arm] - second[arm]).dropna() if there else Series(dtype="float64")
            )
    if not columns:
        return ()
    values = concat(columns.values(), axis=1).to_numpy(dtype=np.float64)
    lows, highs = Bootstrap(values, design.seed).intervals()
    bounds = dict(zip(columns, zip(lows, highs, strict=True), strict=True))
    p = {
        column: signed_rank(own.to_numpy(dtype=np.float64)).p if len(own) else None
        for column, own in columns.items()
    }
    p_adjusted = adjusted(p, "fdr_bh")
    return tuple(
        StructureContrast(
            arm=arm,
            structures=(one, other),
            patients=len(own),
            mean=float(own.mean()) if len(own) else None,
            low=_defined(bounds[arm, one, other][0]),
            high=_defined(bounds[arm, one, other][1]),
            p=p[arm, one, other],
            p_adjusted=p_adjusted[arm, one, other],
        )
        for (arm, one, other), own in columns.items()
    )


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


class Agreement(Record):
    """How alike two endpoints order the arms."""

    one: tuple[str, str]
    """Structure and metric."""
    other: tuple[str, str]
    tau: float | None
    """Kendall's tau-b of the arms' mean losses; None where it is not defined."""


def agreements(found: Differences, design: Design) -> tuple[Agreement, ...]:
    """Kendall's tau of the primary endpoint with every other one."""
    means = {
        key: differences.mean().reindex(list(design.compared)) * METRICS[key[1]].sign
        for key, differences in found.by_patient.items()
    }
    agreements = []
    for key, other in means.items():
        if key != design.endpoint:
            pairs = DataFrame({"one": means[design.endpoint], "other": other}).dropna()
            tau = stats.kendalltau(pairs["one"], pairs["other"]).statistic if len(pairs) > 1 else float("nan")
            agreements.append(
                Agreement(one=design.endpoint, other=key, tau=float(tau) if tau == tau else None)
            )
    return tuple(agreements)
