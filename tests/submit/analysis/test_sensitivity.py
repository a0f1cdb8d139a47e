"""Whether the answer hangs on what is missing, on volume, or on the structure."""

import numpy as np
import pytest
from pandas import DataFrame, concat

from submit.analysis.analysis import analyse
from submit.analysis.design import Design
from submit.analysis.differences import Differences
from submit.analysis.pairing import by_arm, differences, paired_block
from submit.analysis.sensitivity import (
    WorstCase,
    agreements,
    structure_contrasts,
    volume_effects,
    volumes,
    worst_cases,
)
from tests.submit.analysis.tables import REFERENCE, Test, design, measured, paired, table

LOSS = [-0.2 - 0.001 * n for n in range(40)]
NONE = [0.002 * (-1) ** n + 0.0001 * n for n in range(40)]


def bounds_of(rows: DataFrame, of: Design) -> tuple[WorstCase, ...]:
    return worst_cases(paired_block(rows, of.repeats), of, dict.fromkeys(of.endpoint_structures))


def bounds(a: list[float | None], b: list[float | None]) -> dict[str, tuple[int, str, str]]:
    rows = table(paired([0.7] * 40, a=a, b=b))
    found = bounds_of(rows, design(40))
    return {each.arm: (each.missing, each.against, each.in_favour) for each in found}


def test_nothing_missing_has_no_bounds() -> None:
    assert bounds([*LOSS], [*NONE]) == {}


def test_a_clear_loss_stays_one_if_a_test_is_missing_and_the_other_arm_s_absence_does_not() -> None:
    found = bounds([*LOSS[:-1], None], [*NONE[:-1], None])
    # One Dice of 1 instead of 0.7 does not turn 39 losses; one of 0 is no longer within the margin.
    assert found["without a"] == (1, "needed", "needed")
    assert found["without b"][:2] == (1, "undecided")


def test_many_missing_tests_leave_everything_open() -> None:
    found = bounds([*LOSS[:3], *([None] * 37)], [*NONE])
    # 37 gains of 0.3 beside three losses of 0.2: every 23rd draw has none of these, and a tail that is not known.
    assert found["without a"] == (37, "needed", "undecided")
    assert found["without b"][0] == 0


def test_an_undefined_number_is_not_missing() -> None:
    tests = paired([0.7] * 40, a=[*LOSS], b=[*NONE])
    tests = [(*test[:4], None) if test[0] == "p03" else test for test in tests]
    rows = table(tests)
    assert bounds_of(rows, design(40)) == ()


def test_a_distance_is_as_bad_as_the_worst_that_was_seen() -> None:
    """Margin 5 mm, losses near 0: one missing distance of 100 mm opens the verdict, one of 6 mm does not."""
    rows = table(paired([0.7] * 40, a=[*NONE[:-1], None], b=[*NONE]))
    of = design(40, metric="hd95_mm", margin=5.0)
    (a, _) = bounds_of(rows, of)
    assert (a.missing, a.against, a.in_favour) == (1, "droppable", "droppable")
    rows.loc[rows["exam"] == "e00", "hd95_mm"] = 100.0
    (a, b) = bounds_of(rows, of)
    assert (a.missing, a.against, a.in_favour) == (1, "undecided", "droppable")
    assert b.missing == 0


def test_a_missing_reference_is_missing_in_every_arm() -> None:
    tests = paired([0.7] * 40, a=[*NONE], b=[*LOSS])
    rows = table(test for test in tests if test[0] != "p03" or test[3] != REFERENCE)
    a, b = bounds_of(rows, design(40))
    assert (a.missing, a.against, a.in_favour) == (1, "undecided", "undecided")  # 0.3 or 0.7 among 40
    assert (b.missing, b.against, b.in_favour) == (1, "needed", "needed")  # one of 40 may gain 0.46
    rows = rows[(rows["patient"] != "p03") | (rows["arm"] == "without a")]
    a, b = bounds_of(rows, design(40))
    assert (a.missing, b.missing) == (1, 1)


def test_a_missing_test_without_a_lesion_is_no_loss() -> None:
    """It may be a false alarm, which is counted and decides nothing."""
    tests = paired([0.7] * 40, a=[*NONE], b=[*NONE])
    tests += [("q", "q", 0, arm, None) for arm in (REFERENCE, "without a")]
    of = design([*((f"p{n:02}", f"e{n:02}") for n in range(40)), ("q", "q")])
    a, b = bounds_of(table(tests), of)
    assert (a.missing, a.against, a.in_favour) == (0, "droppable", "droppable")
    assert (b.missing, b.against, b.in_favour) == (1, "droppable", "droppable")


def test_every_structure_of_the_endpoint_is_as_bad_as_can_be() -> None:
    """The exam that is missing has no tumour and a node: only with the node in the endpoint may it be a loss."""
    of = design(41, structures=("tumour", "node"))
    arm: list[float | None] = [0.7 + loss for loss in NONE]
    tumour: dict[str, list[float | None]] = {
        REFERENCE: [0.7] * 40 + [1.0],
        "without a": [*arm, None],
        "without b": [*arm, 1.0],
    }
    node = {name: [*values[:-1], values[-1] and 0.7] for name, values in tumour.items()}
    rows = concat(
        [measured(of, tumour, without=[40]), measured(of, node, structure="node")], ignore_index=True
    )
    a, b = bounds_of(rows, of)
    assert (a.missing, a.against, a.in_favour) == (1, "droppable", "droppable")
    a, b = bounds_of(rows, design(41, structures=("tumour", "node"), further_structures=("node",)))
    assert (a.missing, a.against, a.in_favour) == (1, "undecided", "droppable")
    assert (b.missing, b.against, b.in_favour) == (0, "droppable", "droppable")


def test_a_missing_test_is_no_pair_where_its_partner_missed_the_lesion() -> None:
    """As bad as can be is a miss, and two misses are no equal results: eight losses of 0.03 are not diluted."""
    of = design(16)
    dice: dict[str, list[float | None]] = {
        REFERENCE: [0.8] * 8 + [0.0] * 8,
        "without a": [0.77 - 0.001 * n for n in range(8)] + [None] * 8,
        "without b": [0.8] * 8 + [0.0] * 8,
    }
    a, b = bounds_of(measured(of, dice), of)
    assert (a.missing, a.against) == (8, "needed")
    assert b.missing == 0


def test_the_effect_of_volume_is_spearman_s_correlation() -> None:
    tests = paired([0.7] * 6, a=[-0.01, -0.02, -0.03, -0.05, -0.04, -0.06], b=[-0.1] * 6)
    rows = table(tests)
    for n in range(6):
        rows.loc[rows["patient"] == f"p{n:02}", "reference_ml"] = 10.0 * (n + 1)
    rows.loc[(rows["patient"] == "p00") & (rows["arm"] != REFERENCE), "reference_ml"] = (
        900.0  # of the reference only
    )
    losses = -differences(by_arm(rows, "tumour", "dice"))
    a, b = volume_effects(losses, volumes(rows, "tumour"), design(6))
    assert a.rho == pytest.approx(1 - 6 * 2 / (6 * 35))  # two neighbours are exchanged
    assert a.p_adjusted == pytest.approx(2 * (a.p or 0))
    assert (b.patients, b.rho, b.p) == (6, None, None)  # every patient loses the same


def test_an_arm_may_lose_more_in_one_class_than_in_the_other() -> None:
    one = table(paired([0.7] * 8, a=[-0.2 - 0.01 * n for n in range(8)], b=[0.0] * 8), structure="T")
    other = table(paired([0.7] * 8, a=[-0.1] * 8, b=[0.0] * 8), structure="Ln")
    rows = concat([one, other], ignore_index=True).assign(absolute_volume_error_ml=1.0)
    of = design(8, structures=("T", "Ln"))
    a, b = structure_contrasts(Differences(rows, of), ("T", "Ln"), of)
    assert (a.arm, a.structures, a.patients) == ("without a", ("T", "Ln"), 8)
    assert a.mean == pytest.approx(0.1 + 0.01 * 3.5)
    assert a.low is not None
    assert a.low > 0.1
    assert a.p == pytest.approx(2 / 256)
    assert a.p_adjusted == pytest.approx(4 / 256)
    assert (b.mean, b.p) == (pytest.approx(0), 1)


def test_endpoints_that_order_the_arms_alike_have_a_tau_of_1() -> None:
    arms = [REFERENCE, "without a", "without b", "without c"]
    tests: list[Test] = [
        (f"p{n}", f"e{n}", 0, arm, 0.8 - 0.1 * place) for n in range(3) for place, arm in enumerate(arms)
    ]
    rows = table(tests).assign(absolute_volume_error_ml=lambda each: each["dice"])
    of = design([(f"p{n}", f"e{n}") for n in range(3)], arms=arms)
    found = {each.other: each.tau for each in agreements(Differences(rows, of), of)}
    assert found["tumour", "hd95_mm"] == pytest.approx(1)
    assert found["tumour", "absolute_volume_error_ml"] == pytest.approx(-1)


def test_arms_that_lose_nothing_have_no_order() -> None:
    rows = table(paired([0.7] * 3, a=[0.0] * 3, b=[0.0] * 3)).assign(absolute_volume_error_ml=1.0)
    of = design(3)
    assert {each.tau for each in agreements(Differences(rows, of), of)} == {None}
    assert not np.isnan([each.tau or 0 for each in agreements(Differences(rows, of), of)]).any()


def test_visits_without_a_lesion_have_no_volume() -> None:
    rows = table(
        [("p0", "e0", 0, REFERENCE, 0.7), ("p0", "e1", 0, REFERENCE, None), ("p1", "e2", 0, REFERENCE, None)]
    )
    rows.loc[rows["exam"] != "e0", "reference_ml"] = 0.0
    assert volumes(rows, "tumour")["volume_ml"].to_dict() == {"p0": 10.0}


def test_three_patients_have_no_correlation() -> None:
    losses = DataFrame({"without a": [0.1, 0.2, 0.4, 0.3]}, index=[f"p{n}" for n in range(4)])
    volume = DataFrame({"volume_ml": [1.0, 2.0, 3.0, 4.0]}, index=losses.index)
    of = design(4, arms=(REFERENCE, "without a"))
    assert [each.rho for each in volume_effects(losses[:3], volume, of)] == [None]
    assert [each.rho for each in volume_effects(losses, volume, of)] == [pytest.approx(0.8)]


def test_two_missing_tests_without_a_lesion_are_no_pair() -> None:
    """That there is no lesion is known from the other arm."""
    tests = paired([0.7] * 40, a=[*NONE], b=[*NONE])
    tests += [("q", "q", 0, "without b", None)]
    of = design([*((f"p{n:02}", f"e{n:02}") for n in range(40)), ("q", "q")])
    a, b = bounds_of(table(tests), of)
    assert (a.missing, a.against, a.in_favour) == (1, "droppable", "droppable")
    found = analyse(table(tests), of, run="r", manifest="m")
    assert found.missing_tests == 2
    assert (b.missing, b.in_favour) == (1, "droppable")
