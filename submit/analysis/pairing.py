"""From tests to one number per patient: what every statistic is computed from.

The patient is the unit. Repeats are averaged within an exam, exams within a patient; patients then weigh equally,
however many visits they had (checklist of ../../docs/statistics.md, point 1).
"""

from pandas import DataFrame, Index

from job.contract.grid import REFERENCE

TEST = ["repeat", "patient", "exam"]
"""What identifies a test within an arm: the same in two arms is a pair."""
EXAM = ["patient", "exam"]


def by_arm(table: DataFrame, structure: str, metric: str) -> DataFrame:
    """One metric of one structure: a row per test, a column per arm that has one; NaN where it is undefined.

    Args:
        table: Rows as `Results.table` has them, of the repeats that every arm has.
        structure: A class, or the union.
        metric: A column of the table.
    """
    rows = table[table["structure"] == structure]
    return rows.pivot(index=TEST, columns="arm", values=metric).astype("float64")


def done_by_arm(table: DataFrame, structure: str) -> DataFrame:
    """Which tests were done, whether or not they have a number: the same rows and columns as `by_arm` gives."""
    rows = table[table["structure"] == structure]
    return rows.pivot(index=TEST, columns="arm", values="fold").notna()


def differences(tests: DataFrame) -> DataFrame:
    """Arm - reference by patient: a row per patient with a pair, a column per arm; NaN where an arm has no pair.

    Args:
        tests: What `by_arm` gives.
    """
    if REFERENCE not in tests:
        return DataFrame(index=Index([], name="patient", dtype="str"), dtype="float64")
    by_test = tests.drop(columns=REFERENCE).sub(tests[REFERENCE], axis=0)
    return by_patient(by_test).dropna(how="all")


def by_patient(tests: DataFrame) -> DataFrame:
    """Means over repeats within exams, then over exams within patients."""
    return tests.groupby(level=EXAM).mean().groupby(level="patient").mean()


def exams_of_patients(tests: DataFrame) -> DataFrame:
    """How many exams of each patient have a pair: patients x arms but the reference.

    Args:
        tests: What `by_arm` gives.
    """
    if REFERENCE not in tests:
        return DataFrame()
    paired = tests.drop(columns=REFERENCE).notna().mul(tests[REFERENCE].notna(), axis=0)
    return paired.groupby(level=EXAM).any().groupby(level="patient").sum()
