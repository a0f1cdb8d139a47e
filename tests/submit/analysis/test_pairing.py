"""From tests to one number per patient."""

import pytest
from pandas import isna

from submit.analysis.pairing import by_arm, differences, exams_of_patients
from tests.submit.analysis.tables import REFERENCE, Test, table

VISITS: list[Test] = [
    ("p0", "e0", 0, REFERENCE, 0.8),
    ("p0", "e0", 1, REFERENCE, 0.9),
    ("p0", "e1", 0, REFERENCE, 0.5),
    ("p1", "e2", 0, REFERENCE, 0.7),
    ("p0", "e0", 0, "without a", 0.7),
    ("p0", "e0", 1, "without a", 0.6),
    ("p0", "e1", 0, "without a", 0.4),
    ("p1", "e2", 0, "without a", 0.9),
]


def test_repeats_are_averaged_within_exams_and_exams_within_patients() -> None:
    found = differences(by_arm(table(VISITS), "tumour", "dice"))
    # p0: ((-0.1 - 0.3) / 2 - 0.1) / 2; by tests it would be -0.5 / 3.
    assert found["without a"].to_dict() == {"p0": pytest.approx(-0.15), "p1": pytest.approx(0.2)}


def test_a_test_without_a_partner_counts_for_nothing() -> None:
    lonely: list[Test] = [*VISITS, ("p2", "e3", 0, "without a", 0.1), ("p3", "e4", 0, REFERENCE, 0.1)]
    assert list(differences(by_arm(table(lonely), "tumour", "dice")).index) == ["p0", "p1"]


def test_an_undefined_number_makes_no_pair() -> None:
    undefined: list[Test] = [*VISITS, ("p2", "e3", 0, "without a", None), ("p2", "e3", 0, REFERENCE, 0.9)]
    found = differences(by_arm(table(undefined), "tumour", "dice"))
    assert "p2" not in found.index


def test_arms_may_have_pairs_in_different_patients() -> None:
    more: list[Test] = [*VISITS, ("p1", "e2", 0, "without b", 0.6)]
    found = differences(by_arm(table(more), "tumour", "dice"))
    assert isna(found.loc["p0", "without b"])
    assert found.loc["p1", "without b"] == pytest.approx(-0.1)


def test_without_a_reference_there_is_no_difference() -> None:
    alone = [test for test in VISITS if test[3] != REFERENCE]
    assert differences(by_arm(table(alone), "tumour", "dice")).empty
    assert differences(by_arm(table([]), "tumour", "dice")).empty


def test_only_exams_with_a_pair_are_counted() -> None:
    tests = by_arm(table([*VISITS, ("p1", "e5", 0, REFERENCE, 0.3)]), "tumour", "dice")
    assert exams_of_patients(tests).to_dict() == {"without a": {"p0": 2, "p1": 1}}
    assert exams_of_patients(tests.drop(columns=REFERENCE)).empty
