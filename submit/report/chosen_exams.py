"""Which tests are shown as pictures: where harm beside the endpoint is largest, then the endpoint's extremes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pandas import DataFrame, isna

from job.contract.grid import REFERENCE
from job.contract.manifest import Manifest
from job.contract.metrics import METRICS
from submit.analysis.results_table import FOLLOWING

Tests = Mapping[int, Mapping[str, Any]]
"""By number of the exam and by arm, rows of the table of results."""
Endpoint = tuple[str, str]
"""Structure and metric."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A test that is shown."""

    exam: int
    """Its number in the manifest."""
    arm: str | None
    """Beside the reference; None: the reference alone."""
    difference: float | None
    """Arm - reference in the endpoint."""
    structure: str
    """Of the endpoint that the test was chosen by; so is `metric`."""
    metric: str


def chosen_exams(
    tests_of: Callable[[str], Tests], primary: Endpoint, harms: Sequence[tuple[str, Endpoint]], limit: int
) -> list[Choice]:
    """The tests to be shown, each exam once for each arm at most.

    First, for each harm, the exam in which it is largest; then the exams that each arm hurts most and helps most by
    the primary endpoint. As long as there is no difference, exams spread evenly over those that the reference has
    tested.

    Args:
        tests_of: Tests by structure, as `rows_by_exam` gives them.
        primary: The leading structure of the primary endpoint, and its metric.
        harms: Arms and what is worse in them beside the endpoint.
        limit: At most so many.
    """
    found = [
        choice
        for arm, endpoint in harms
        if (choice := _worst(tests_of(endpoint[0]), arm, endpoint)) is not None
    ]
    tests = tests_of(primary[0])
    found += extremes(tests, primary) or _spread(tests, limit, primary)
    once = {(choice.exam, choice.arm): choice for choice in reversed(found)}
    return [choice for choice in found if once[choice.exam, choice.arm] is choice][:limit]


def rows_by_exam(table: DataFrame, manifest: Manifest, structure: str) -> dict[int, dict[str, Any]]:
    """For each exam that the reference arm has tested: its number, and by arm the row of a structure."""
    rows = table[(table["repeat"] == 0) & (table["structure"] == structure)]
    tests: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows.itertuples():
        tests.setdefault((str(row.patient), str(row.exam)), {})[str(row.arm)] = row
    numbered = [(n, tests.get((e.patient, e.exam), {})) for n, e in enumerate(manifest.exams)]
    return {number: by_arm for number, by_arm in numbered if REFERENCE in by_arm}


def extremes(tests: Tests, endpoint: Endpoint) -> list[Choice]:
    """For each arm the exam in which it is worst beside the reference, and the one in which it is best.

    The largest differences come first.
    """
    ends = {
        (end, arm)
        for arm in dict.fromkeys(arm for rows in tests.values() for arm in rows)
        if (found := _differences(tests, arm, endpoint[1]))
        for end in (min(found), max(found))
    }
    ordered = sorted(ends, key=lambda each: (-abs(each[0][0]), each[1], each[0][1]))
    return [_choice(end, arm, endpoint) for end, arm in ordered]


def _worst(tests: Tests, arm: str, endpoint: Endpoint) -> Choice | None:
    """The exam in which an arm is worst."""
    found = _differences(tests, arm, endpoint[1])
    if not found:
        return None
    return _choice((min if METRICS[endpoint[1]].higher_is_better else max)(found), arm, endpoint)


def _differences(tests: Tests, arm: str, metric: str) -> list[tuple[float, int]]:
    """Arm - reference, with the number of the exam; none of the reference itself."""
    found = []
    for number, rows in tests.items():
        if arm in rows and arm != REFERENCE:
            value, reference = value_of(rows[arm], metric), value_of(rows[REFERENCE], metric)
            if not isna(value) and not isna(reference):
                found.append((float(value) - float(reference), number))
    return found


def value_of(row: Any, metric: str) -> Any:
    """Of a row of the table of results."""
    return FOLLOWING[metric](row) if metric in FOLLOWING else getattr(row, metric)


def _choice(end: tuple[float, int], arm: str, endpoint: Endpoint) -> Choice:
    difference, exam = end
    return Choice(exam=exam, arm=arm, difference=difference, structure=endpoint[0], metric=endpoint[1])


def _spread(tests: Tests, limit: int, endpoint: Endpoint) -> list[Choice]:
    numbers = list(tests)
    places = np.linspace(0, len(numbers) - 1, min(limit, len(numbers))).round().astype(int)
    structure, metric = endpoint
    return [
        Choice(exam=numbers[place], arm=None, difference=None, structure=structure, metric=metric)
        for place in places
    ]
