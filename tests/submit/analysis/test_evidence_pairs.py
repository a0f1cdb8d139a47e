"""What counts as evidence: a reference that can see, lesions that either finds, all structures of the endpoint."""

import numpy as np
import pytest
from pandas import DataFrame, concat

from submit.analysis.design import Design
from submit.analysis.sign_flips import SignFlips
from submit.analysis.verdict import decide, decide_all
from tests.submit.analysis.tables import (
    ARMS,
    REFERENCE,
    all_evidence,
    design,
    gathered,
    measured,
    paired,
    table,
)

LITTLE = [0.001 * (-1) ** n for n in range(40)]
"""Differences of a channel that says nothing."""


@pytest.mark.parametrize(
    ("reference", "can_see"),
    [
        ([0.07, 0.05, 0.09, 0.06, 0.08, 0.07], False),
        ([0.25, 0.45] * 3, False),  # a mean of 0.35 with a bound of 0.23
        ([0.34, 0.36] * 3, True),
        ([0.8, 0.0, 0.0, 0.0, 0.0, 0.0], False),
        ([0.3] * 6, False),
    ],
)
def test_a_reference_sees_if_the_bound_of_its_dice_is_above_what_was_set(
    reference: list[float], can_see: bool
) -> None:
    of = design(6)
    rows = measured(of, {REFERENCE: reference} | dict.fromkeys(ARMS[1:], reference))
    assert [each.can_see for each in gathered(rows, of)] == [can_see] * 2
    assert gathered(rows, design(6, smallest_dice=0.0))[0].can_see == (min(reference) > 0)


def test_a_reference_that_cannot_see_proves_nothing_droppable() -> None:
    reference = [0.07 + 0.005 * (n % 5 - 2) for n in range(40)]
    small = [0.0005 * (-1) ** n for n in range(40)]
    losses = [-0.03 - 0.0005 * (n % 5) for n in range(40)]
    for metric, margin in (("dice", 0.02), ("hd95_mm", 2.0)):
        of = design(40, metric=metric, margin=margin)
        a, b = gathered(table(paired(reference, a=[*small], b=[*losses])), of)
        assert a.margin_ruled_out
        assert decide(a) == "undecided"
        assert not b.can_see
    assert decide(gathered(table(paired(reference, a=[*small], b=[*losses])), design(40))[1]) == "needed"


def test_a_reference_that_misses_everything_has_no_pair_with_an_arm_that_does_too() -> None:
    of = design(12, metric="hd95_mm", margin=2.0)
    blind = measured(of, {arm: [0.0] * 12 for arm in ARMS})
    for own in gathered(blind, of):
        assert (own.loss, own.patients, own.can_see, decide(own)) == (None, 0, False, "undecided")


# Lesions that both miss, and exams without one.


def test_lesions_that_both_miss_do_not_dilute_a_loss() -> None:
    """Nine patients lose 0.03; eleven whose lesion nobody finds do not make 0.0135 of it."""
    of = design(20)
    reference = [0.8] * 9 + [0.0] * 11
    arm = [0.77 - 0.001 * n for n in range(9)] + [0.0] * 11
    a, b = gathered(measured(of, {REFERENCE: reference, "without a": arm, "without b": reference}), of)
    assert (a.patients, a.loss) == (9, pytest.approx(0.03 + 0.001 * 4))
    assert (b.patients, b.loss) == (9, 0)
    assert decide(a) == "needed"


def test_a_lesion_that_one_of_them_finds_is_a_pair() -> None:
    of = design(4)
    rows = measured(of, {REFERENCE: [0.8, 0.0, 0.7, 0.0], "without a": [0.0, 0.6, 0.7, 0.0]})
    a, _ = gathered(rows, of)
    assert a.losses == {"p00": pytest.approx(0.8), "p01": pytest.approx(-0.6), "p02": 0.0}


def test_one_more_false_alarm_does_not_keep_a_channel() -> None:
    """Forty patients; in twelve exams without a lesion the arm has six false alarms, the reference five."""
    of = design(52)
    without = range(40, 52)
    reference = [0.8] * 40 + [0.0] * 5 + [1.0] * 7
    arm = [0.8 + x for x in LITTLE] + [0.0] * 6 + [1.0] * 6
    rows = measured(of, {REFERENCE: reference, "without a": arm, "without b": arm}, without=without)
    assert [(decide(own), own.patients) for own in gathered(rows, of)] == [("droppable", 40)] * 2


def test_false_alarms_of_both_are_no_equal_results() -> None:
    """Ten patients lose 0.03; fifteen without a lesion, in whom every arm has a false alarm, do not dilute that."""
    of = design(25)
    reference = [0.7] * 10 + [0.0] * 15
    arm = [0.67 - 0.001 * n for n in range(10)] + [0.0] * 15
    rows = measured(of, {REFERENCE: reference, "without a": arm, "without b": arm}, without=range(10, 25))
    a, _ = gathered(rows, of)
    assert (len(a.exams), a.loss) == (10, pytest.approx(0.0345))
    assert decide(a) == "needed"


# Several structures.


def two(node_loss: float, patients: int = 40) -> tuple[DataFrame, Design]:
    """Tumour and node; without a the node loses, and the tumour nothing; without b nothing at all."""
    of = design(patients, structures=("tumour", "node"), further_structures=("node",))
    spread = [0.002 * (n % 5 - 2) for n in range(patients)]
    node = [-node_loss + x for x in spread]
    rows = [
        table(paired([0.8] * patients, a=[*LITTLE[:patients]], b=[*LITTLE[:patients]])),
        table(paired([0.7] * patients, a=[*node], b=[*spread]), structure="node"),
    ]
    return concat(rows, ignore_index=True), of


@pytest.mark.parametrize(("node_loss", "verdict"), [(0.1, "needed"), (0.0, "droppable"), (0.02, "worse")])
def test_all_structures_of_the_endpoint_must_pass(node_loss: float, verdict: str) -> None:
    rows, of = two(node_loss)
    a, b = all_evidence(rows, of).values()
    assert [own.structure for own in a] == ["tumour", "node"]
    assert decide(a[0]) == "droppable"
    assert decide(a[1]) == decide_all(a) == verdict
    assert decide_all(b) == "droppable"


def test_the_family_is_that_of_all_arms_and_structures() -> None:
    draw = np.random.default_rng(4)
    tumour, node = (draw.normal(-0.02, 0.02, (2, 8)).round(6) for _ in range(2))
    of = design(8, structures=("tumour", "node"), further_structures=("node",))
    rows = concat(
        [
            table(paired([0.8] * 8, a=[*tumour[0]], b=[*tumour[1]])),
            table(paired([0.8] * 8, a=[*node[0]], b=[*node[1]]), structure="node"),
        ],
        ignore_index=True,
    )
    found = all_evidence(rows, of)
    flips = SignFlips(-np.concatenate([tumour, node]).T, 0)
    places = {("without a", 0): 0, ("without b", 0): 1, ("without a", 1): 2, ("without b", 1): 3}
    for (arm, structure), column in places.items():
        assert found[arm][structure].p == pytest.approx(flips.p(column, range(4)))
    assert of.shared_level == 0.05 / 4


def rare(nodes: int, *, patients: int = 36, arms: int = 7, loss: float = 0.0) -> dict[str, DataFrame]:
    """Tumours of all patients, nodes of some of them: without a tumours lose, else nothing does, by 0.004."""
    draw = np.random.default_rng(1)
    names = [chr(ord("a") + n) for n in range(arms)]
    reference = {"tumour": draw.normal(0.8, 0.03, patients), "node": draw.normal(0.7, 0.03, patients)}
    rows = {}
    for structure, dice in reference.items():
        gains = {name: draw.normal(0.0, 0.004, patients) for name in names}
        gains["a"] -= loss * (structure == "tumour")
        some = patients if structure == "tumour" else nodes
        own = {name: [*gain[:some], *[None] * (patients - some)] for name, gain in gains.items()}
        rows[structure] = table(paired([*dice], **own), structure=structure)
    return rows


def endpoint(patients: int, arms: int, *structures: str) -> Design:
    names = (REFERENCE, *(f"without {chr(ord('a') + n)}" for n in range(arms)))
    return design(patients, arms=names, structures=structures, further_structures=structures[1:])


@pytest.mark.parametrize("nodes", [2, 4, 5])
def test_a_structure_of_too_few_patients_takes_nothing_from_another_one(nodes: int) -> None:
    """A loss of 0.03 of 36 patients had p = 0.50 and no interval, as t of the two with nodes was infinite."""
    rows = rare(nodes, loss=0.03)
    beside = all_evidence(concat(rows.values(), ignore_index=True), endpoint(36, 7, "tumour", "node"))
    alone = all_evidence(rows["tumour"], endpoint(36, 7, "tumour"))
    assert alone["without a"][0].p == 1 / 10_000
    assert decide(beside["without a"][0]) == "needed"
    for arm, (own,) in alone.items():
        tumour, node = beside[arm]
        assert (tumour.p, tumour.low, tumour.high) == (own.p, own.low, own.high)
        assert (node.low, node.p_not_worse, decide(node)) == (None, None, "undecided")


def test_an_arm_of_few_tests_takes_nothing_from_others() -> None:
    draw = np.random.default_rng(3)
    a, b = draw.normal(-0.03, 0.02, 36), draw.normal(0.0, 0.02, 36)
    found = [
        gathered(table(paired([0.8] * 36, a=[*a], b=[*b[:tests], *[None] * (36 - tests)])), design(36))[0]
        for tests in (0, 2, 5)
    ]
    assert found[0].p == 1 / 10_000
    assert len({(own.p, own.low, own.high, own.p_not_worse) for own in found}) == 1


@pytest.mark.parametrize(("patients", "nodes", "arms"), [(36, 10, 7), (80, 10, 15)])
def test_patients_without_a_structure_say_nothing_of_it(patients: int, nodes: int, arms: int) -> None:
    """Ten patients with nodes rule a loss of the margin out, whether others were studied too or not.

    At the level of ten patients, 0.10 %, for which the draws must suffice: of 15 arms 10,000 gave p = 0.0015.
    """
    rows = rare(nodes, patients=patients, arms=arms)
    with_nodes = rows["node"][rows["node"]["exam"].isin([f"e{n:02}" for n in range(nodes)])]
    beside = all_evidence(
        concat(rows.values(), ignore_index=True), endpoint(patients, arms, "tumour", "node")
    )
    alone = all_evidence(with_nodes, endpoint(nodes, arms, "node"))
    for arm, (own,) in alone.items():
        node = beside[arm][1]
        assert (node.patients, node.margin_level) == (nodes, own.margin_level)
        assert node.p_not_worse == own.p_not_worse
        assert decide_all(beside[arm]) == decide(node) == decide(own) == "droppable"


def test_of_a_structure_that_never_occurs_nothing_is_decided() -> None:
    of = design(40, structures=("tumour", "node"), further_structures=("node",))
    tumour = table(paired([0.8] * 40, a=[*LITTLE], b=[*LITTLE]))
    node = measured(of, {arm: [1.0] * 40 for arm in ARMS}, structure="node", without=range(40))
    for every in all_evidence(concat([tumour, node], ignore_index=True), of).values():
        assert [decide(own) for own in every] == ["droppable", "undecided"]
        assert (every[1].patients, every[1].loss, every[1].can_see) == (0, None, True)
        assert decide_all(every) == "undecided"
