"""What the folds of a run say about each arm: pure functions of the results' table.

Only the paired block of the grid counts: the further repeats of the reference arm have no partner in the
other arms, and would weigh the exams differently in one arm than in the others.

No mean hides a mixture of cases: an undefined number (`both-empty`) is left out, a miss and a false alarm
count with the number that they were scored, and the counts of each status stand beside (after "Metrics
Reloaded", Maier-Hein, Reinke et al., Nat Methods 2024, doi 10.1038/s41592-023-02151-z).
"""

from collections.abc import Mapping
from typing import Literal, get_args

from pandas import DataFrame

from job.contract.grid import REFERENCE, Arm
from job.contract.manifest import Manifest
from job.contract.metrics import METRICS
from job.contract.results import Failure, Record, Status
from submit.analysis.pairing import (
    TEST,
    by_arm,
    by_patient,
    differences_by_test,
    metrics_in,
    paired_block,
    statuses,
)
from submit.analysis.results_table import Results, structures_of

STATUSES: tuple[Status, ...] = get_args(Status)


class Summary(Record):
    """One metric of one structure over the tests of an arm."""

    n: int
    """Tests in which the metric is defined."""
    mean: float | None
    """None where `n` is 0; so is the median."""
    sd: float | None
    """Standard deviation between tests, of a sample (n - 1); None below two."""
    median: float | None
    status: dict[Status, int]
    """Tests of each status; all of them together are the arm's `n`."""


class Difference(Record):
    """An arm against the reference arm, over the tests in which both are defined: the same as in `comparisons`."""

    n: int
    """Pairs: same exam, same repeat; a lesion that both miss is no pair."""
    mean: float | None
    """Mean over patients of arm - reference, in the metric's unit; None without a pair."""
    relative: float | None
    """`mean` divided by the mean of the reference over the same pairs; None if that is 0."""


class ArmAggregate(Record):
    """One arm."""

    arm: str
    left_out: tuple[str, ...]
    n: int
    """Tests that are done: an exam counts once per repeat."""
    metrics: dict[str, dict[str, Summary]]
    """By structure, then by metric."""
    difference: dict[str, dict[str, Difference]]
    """The same; empty for the reference arm."""


class FoldCounts(Record):
    """How far the run is: `done`, `missing` and `failed` make up `total`."""

    total: int
    done: int
    missing: tuple[int, ...]
    failed: tuple[int, ...]
    failures: tuple[Failure, ...]
    """How the last attempt of each failed fold ended."""
    left_out: tuple[str, ...]
    """Files that are damaged or of another manifest, with what is wrong; their folds are among the missing."""


class Aggregate(Record):
    """All arms of a run, the reference first; `to_json` gives `analysis/report.json`."""

    run: str
    manifest: str
    """Digest of the manifest."""
    endpoint: dict[Literal["class", "metric"], str]
    """Primary endpoint; `class` may be the union."""
    folds: FoldCounts
    arms: tuple[ArmAggregate, ...]


def aggregate(results: Results, manifest: Manifest) -> Aggregate:
    """Every arm of a run, those without a result included."""
    table = paired_block(results.table, manifest.study.sweep.repeats)
    structures = structures_of(manifest.study)
    metrics = metrics_in(table)
    tests = {(structure, m): _pairs(table, structure, m) for structure in structures for m in metrics}
    return Aggregate(
        run=manifest.run,
        manifest=manifest.digest,
        endpoint={"class": manifest.study.endpoint.leading, "metric": manifest.study.endpoint.metric},
        folds=FoldCounts(
            total=manifest.folds,
            done=len(results.done),
            missing=results.missing,
            failed=tuple(failure.fold for failure in results.failed),
            failures=results.failed,
            left_out=tuple(str(problem) for problem in results.problems),
        ),
        arms=tuple(_arm(table, tests, arm, structures, metrics) for arm in manifest.study.arms),
    )


def _arm(
    table: DataFrame,
    tests: Mapping[tuple[str, str], tuple[DataFrame, DataFrame]],
    arm: Arm,
    structures: tuple[str, ...],
    metrics: tuple[str, ...],
) -> ArmAggregate:
    rows = table[table["arm"] == arm.name]
    compared = () if arm.name == REFERENCE else structures
    return ArmAggregate(
        arm=arm.name,
        left_out=arm.left_out,
        n=len(rows[TEST].drop_duplicates()),
        metrics={
            structure: {m: _summary(rows[rows["structure"] == structure], m) for m in metrics}
            for structure in structures
        },
        difference={
            structure: {m: _difference(*tests[structure, m], arm.name) for m in metrics}
            for structure in compared
        },
    )


def _summary(rows: DataFrame, metric: str) -> Summary:
    values = rows[metric].dropna()
    n = len(values)
    return Summary(
        n=n,
        mean=float(values.mean()) if n else None,
        sd=float(values.std(ddof=1)) if n > 1 else None,
        median=float(values.median()) if n else None,
        status={status: int((rows["status"] == status).sum()) for status in STATUSES},
    )


def _pairs(table: DataFrame, structure: str, metric: str) -> tuple[DataFrame, DataFrame]:
    """Of a structure and a metric, tests x arms: the values, and what each arm has more than the reference."""
    tests = by_arm(table, structure, metric)
    ended = statuses(table, structure) if METRICS[metric].compares_lesions else None
    return tests, differences_by_test(tests, ended)


def _difference(tests: DataFrame, differences: DataFrame, arm: str) -> Difference:
    """Of what `_pairs` gives."""
    pairs = differences[arm].dropna() if arm in differences else DataFrame()
    if pairs.empty:
        return Difference(n=0, mean=None, relative=None)
    means = by_patient(DataFrame({"difference": pairs, REFERENCE: tests.loc[pairs.index, REFERENCE]})).mean()
    mean, reference = float(means["difference"]), float(means[REFERENCE])
    return Difference(n=len(pairs), mean=mean, relative=mean / reference if reference else None)


def arms_table(aggregate: Aggregate) -> DataFrame:
    """The aggregate as a table with a row per arm, structure and metric."""
    rows = []
    for arm in aggregate.arms:
        for structure, metrics in arm.metrics.items():
            for metric, summary in metrics.items():
                difference = arm.difference.get(structure, {}).get(metric)
                rows.append(
                    {"arm": arm.arm, "left_out": ", ".join(arm.left_out), "tests": arm.n}
                    | {"structure": structure, "metric": metric}
                    | summary.model_dump(exclude={"status"})
                    | summary.status
                    | {
                        "difference": difference and difference.mean,
                        "relative_difference": difference and difference.relative,
                        "pairs": difference.n if difference else 0,
                    }
                )
    return DataFrame(rows)
