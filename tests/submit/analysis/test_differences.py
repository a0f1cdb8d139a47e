"""The patients' differences, apart from whether lesions are found."""

import pytest

from submit.analysis.analysis import analyse
from submit.analysis.differences import BothFound, Differences
from submit.analysis.pairing import paired_block
from tests.submit.analysis.tables import ARMS, REFERENCE, design, measured


def test_where_both_found_the_lesion_patients_weigh_equally() -> None:
    """p0 has three visits: -0.1 and -0.3 where both found it, one that the arm lost; p1 -0.05; p2 was gained.

    The mean is that of -0.2 and -0.05; distances are 10 mm less 10 mm for each Dice.
    """
    of = design([("p0", "a"), ("p0", "b"), ("p0", "c"), ("p1", "d"), ("p2", "e"), ("p3", "f")])
    dice = {
        REFERENCE: [0.8, 0.8, 0.8, 0.7, 0.0, 0.0],
        "without a": [0.7, 0.5, 0.0, 0.65, 0.6, 0.0],
    }
    rows = measured(of, dice)
    found = Differences(paired_block(rows, 1), of)
    dice_, distance = found.both_found("tumour", "without a")
    assert dice_ == BothFound(metric="dice", patients=2, mean=pytest.approx(-0.125))
    assert distance == BothFound(metric="hd95_mm", patients=2, mean=pytest.approx(1.25))
    assert found.by_patient["tumour", "dice"]["without a"].mean() == pytest.approx((-0.4 - 0.05 + 0.6) / 3)
    assert found.both_found("tumour", "without b")[0] == BothFound(metric="dice", patients=0, mean=None)
    (of_a,) = analyse(rows, of, run="r", manifest="m").verdicts[0].structures
    assert of_a.both_found == (dice_, distance)


def test_exams_without_the_lesion_are_none_that_both_found() -> None:
    of = design(3)
    rows = measured(of, {arm: [0.8, 0.0, 1.0] for arm in ARMS}, without=(1, 2))
    found = Differences(paired_block(rows, 1), of)
    assert [each.patients for each in found.both_found("tumour", "without a")] == [1, 1]


def test_without_any_test_nothing_was_found() -> None:
    of = design(2)
    found = Differences(paired_block(measured(of, {"without a": [0.8, 0.7]}), 1), of)
    assert {(each.patients, each.mean) for each in found.both_found("tumour", "without a")} == {(0, None)}
