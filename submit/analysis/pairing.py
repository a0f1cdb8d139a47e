"""From tests to one number per patient: what every statistic is computed from.

The patient is the unit. Repeats are averaged within an exam, exams within a patient; patients then weigh equally,
however many visits they had (checklist of ../../docs/statistics.md, point 1).
"""

from pandas import DataFrame, Index

from job.contract.grid import REFERENCE
from job.contract.metrics import METRICS
from submit.analysis.results_table import FOLLOWING

TEST = ["repeat", "patient", "exam"]
"""What identifies a test within an arm: the same in two arms is a pair."""
EXAM = ["patient", "exam"]
FALSE_ALARM, CORRECT_ABSENCE = "false-alarm", "both-empty"
"""Statuses of tests of exams without a lesion."""
MISS, FOUND = "miss", "ok"
"""Statuses of tests of exams with a lesion, of which nothing or some is found."""

DECIMALS = 9
"""Of means: numbers that differ by rounding errors only are ties."""


def paired_block(table: DataFrame, repeats: int) -> DataFrame:
    """The rows of the repeats that every arm has, with a column for each metric."""
    rows = table[table["repeat"] < repeats]
    return rows.assign(**{name: of(rows) for name, of in FOLLOWING.items()})


def metrics_in(table: DataFrame) -> tuple[str, ...]:
    """The metrics that a table has: not those which were thought of after its results were written."""
    return tuple(
        name
        for name, metric in METRICS.items()
        if name in table and (not metric.later or table[name].notna().any())
    )


def by_arm(table: DataFrame, structure: str, metric: str) -> DataFrame:
    """One metric of one structure: a row per test, a column per arm that has one; NaN where it is undefined.

    Dice and HD95 are those of tests with a lesion: two false alarms where nothing is there are no equal results, and
    false alarms are counted instead (`statuses`).

    Args:
        table: Rows as `Results.table` has them, of the repeats that every arm has.
        structure: A class, or the union.
        metric: A column of the table.
    """
    rows = table[table["structure"] == structure]
    values = rows.pivot(index=TEST, columns="arm", values=metric).astype("float64")
    if not METRICS[metric].compares_lesions:
        return values
    return values.mask(rows.pivot(index=TEST, columns="arm", values="status") == FALSE_ALARM)


def statuses(table: DataFrame, structure: str) -> DataFrame:
    """How tests ended, missing where they were not done: the same rows and columns as `by_arm` gives."""
    rows = table[table["structure"] == structure]
    return rows.pivot(index=TEST, columns="arm", values="status").astype("object")


def differences_by_test(tests: DataFrame, statuses: DataFrame | None = None) -> DataFrame:
    """Arm - reference in every test: tests x arms; NaN where an arm has no pair.

    A lesion that both miss is no pair: two failures are no equal results, and would make every loss look smaller.

    Args:
        tests: What `by_arm` gives.
        statuses: How the tests ended; None for a metric that does not compare two lesions.
    """
    if REFERENCE not in tests:
        return tests.iloc[:, :0]
    found = tests.drop(columns=REFERENCE).sub(tests[REFERENCE], axis=0)
    if statuses is None:
        return found
    missed = (statuses == MISS).reindex(index=tests.index, columns=tests.columns, fill_value=False)
    return found.mask(missed.drop(columns=REFERENCE).mul(missed[REFERENCE], axis=0))


def differences(tests: DataFrame, statuses: DataFrame | None = None) -> DataFrame:
    """Arm - reference by patient: a row per patient with a pair, a column per arm; NaN where an arm has no pair.

    Args:
        tests: What `by_arm` gives.
        statuses: As for `differences_by_test`.
    """
    if REFERENCE not in tests:
        return DataFrame(index=Index([], name="patient", dtype="str"), dtype="float64")
    return by_patient(differences_by_test(tests, statuses)).dropna(how="all")


def by_patient(tests: DataFrame) -> DataFrame:
    """Means over repeats within exams, then over exams within patients."""
    return tests.groupby(level=EXAM).mean().groupby(level="patient").mean().round(DECIMALS)


def exams_of_patients(by_test: DataFrame) -> DataFrame:
    """How many exams of each patient have a pair: patients x arms but the reference.

    Args:
        by_test: What `differences_by_test` gives.
    """
    return by_test.notna().groupby(level=EXAM).any().groupby(level="patient").sum()
