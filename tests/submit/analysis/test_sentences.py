"""Verdicts in words."""

import pytest
from pandas import DataFrame, concat

from submit.analysis.analysis import analyse
from submit.analysis.design import Design
from tests.submit.analysis.tables import REFERENCE, design, measured, paired, table


def told(rows: DataFrame, of: Design) -> list[str]:
    """The sentences of a study, by arm."""
    return [each.sentence for each in analyse(rows, of, run="r", manifest="m").verdicts]


LITTLE = [0.001 * (-1) ** n + 0.0001 * n for n in range(12)]


def test_lesions_that_are_lost_come_before_any_mean() -> None:
    of = design(10)
    reference = [0.8] * 9 + [0.0]
    dice = {
        REFERENCE: reference,
        "without a": [0.0] * 3 + [0.79] * 6 + [0.5],
        "without b": [0.81] * 9 + [0.4],
    }
    a, b = told(measured(of, dice), of)
    assert a.startswith(
        "Loses 3 of 9 lesions (tumour) that the reference finds, and finds 1 that the reference misses "
        "(McNemar, p = 0.625). Dice of tumour changes by "
    )
    assert b.startswith("Finds 1 lesion (tumour) that the reference misses (McNemar, p = 1.000). Dice of")


def test_how_well_lesions_are_drawn_is_told_apart_from_whether_they_are_found() -> None:
    """Of ten, three are lost by 0.8 each; the other seven lose 0.01: the mean is -0.247."""
    of = design(10)
    dice = {REFERENCE: [0.8] * 10, "without a": [0.0] * 3 + [0.79] * 7, "without b": [0.8] * 10}
    a, b = told(measured(of, dice), of)
    assert "Dice of tumour changes by −0.247" in a
    assert "Where both find the lesion (7 patients) it changes by −0.010." in a
    assert "both find" not in b


def test_false_alarms_are_told_of_exams_without_a_lesion() -> None:
    of = design(17)
    dice = {
        REFERENCE: [0.8] * 12 + [0.0, 1.0, 1.0, 1.0, 1.0],
        "without a": [0.8 + x for x in LITTLE] + [0.0, 0.0, 0.0, 1.0, 1.0],
        "without b": [0.8 + x for x in LITTLE] + [0.0, 1.0, 1.0, 1.0, 1.0],
    }
    a, b = told(measured(of, dice, without=range(12, 17)), of)
    assert a.startswith(
        "False alarms (tumour) in 3 of 5 exams without a lesion, of the reference in 1 (McNemar, p = 0.500). "
        "Dice of tumour changes by"
    )
    assert b.startswith("Dice of tumour changes by")


def test_lesions_are_counted_in_every_repeat_and_it_is_said() -> None:
    of = design(4, repeats=2)
    dice = {REFERENCE: [0.8] * 4, "without a": [0.0, 0.7, 0.7, 0.7], "without b": [0.8] * 4}
    rows = concat([measured(of, dice, repeat=repeat) for repeat in (0, 1)], ignore_index=True)
    a, _ = told(rows, of)
    assert a.startswith(
        "Loses 2 of 8 lesions (tumour) that the reference finds in 2 repeats (McNemar, p = 1.000)."
    )


def test_an_arm_without_a_pair_has_no_number() -> None:
    a, b = told(table(paired([0.7] * 3, a=[0.0, 0.01, 0.02])), design(3))
    assert a.startswith("Dice of tumour changes by +0.010 (+1.4 %; 3 patients), p = 0.500: ")
    assert b == "Dice of tumour has no pair of tests: there is none without a lesion, nor where both miss it."


def test_one_patient_beyond_the_margin_loses_and_two_lose() -> None:
    one, two = told(table(paired([0.7] * 12, a=[-0.3, *LITTLE[1:]], b=[-0.3, -0.2, *LITTLE[2:]])), design(12))
    assert "1 of 12 patients loses more than the margin." in one
    assert "2 of 12 patients lose more than the margin." in two


def test_a_gain_is_better_without_it_however_the_margin_s_own_test_ends() -> None:
    """Eight patients gain, by 0.03 to 0.55: surely better, and not as surely as eight must rule a loss out."""
    gain = [0.03, 0.05, 0.08, 0.2, 0.3, 0.4, 0.5, 0.55]
    a, _ = told(table(paired([0.4] * 8, a=[*gain], b=[*LITTLE[:8]])), design(8))
    assert ": better without it." in a


def test_a_blind_reference_is_said_to_be_one() -> None:
    sentence, _ = told(table(paired([0.1] * 12, a=[*LITTLE], b=[*LITTLE])), design(12))
    assert "a difference is not shown" in sentence
    assert sentence.endswith(
        "The reference itself is not shown to segment it well enough (a mean Dice above 0.3) that anything could be "
        "called droppable beside it."
    )


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (0.9984, "a loss of 0.0004 "),
        (
            1.0,
            "a difference is not shown, and beside a reference that is perfect, or finds nothing, no loss is small.",
        ),
    ],
)
def test_beside_a_reference_that_is_nearly_perfect_no_margin_is_printed_as_0(
    reference: float, words: str
) -> None:
    sentence, _ = told(table(paired([reference] * 12, a=[0.0] * 12, b=[0.0] * 12)), design(12))
    assert words in sentence
    assert "0.000 or more" not in sentence
    assert "loss of 0.000 " not in sentence
