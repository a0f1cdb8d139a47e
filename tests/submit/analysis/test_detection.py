"""Lesions lost and gained, and false alarms."""

import pytest

from submit.analysis.detection import Detection, detection
from submit.analysis.pairing import statuses
from tests.submit.analysis.tables import ARMS, REFERENCE, design, measured


def seen(
    reference: list[float | None], arm: list[float | None], *, visits: int = 1, without: tuple[int, ...] = ()
) -> Detection:
    """`without a` beside the reference; exams of a patient follow one another."""
    of = design([(f"p{n // visits}", f"e{n}") for n in range(len(reference))])
    rows = measured(of, {REFERENCE: reference, "without a": arm}, without=without)
    return detection(statuses(rows, "tumour"), "without a")


@pytest.mark.parametrize(
    ("lost", "gained", "p"),
    [
        (3, 0, 2 / 2**3),
        (4, 0, 2 / 2**4),
        (0, 5, 2 / 2**5),
        (5, 1, 2 * (1 + 6) / 2**6),
        (2, 2, 1.0),
        (6, 2, 2 * (1 + 8 + 28) / 2**8),
    ],
)
def test_mcnemar_s_p_is_that_computed_by_hand(lost: int, gained: int, p: float) -> None:
    """Of as many discordant patients, tails of a fair coin; patients in whom both find it do not count."""
    reference = [0.8] * lost + [0.0] * gained + [0.8] * 4
    arm = [0.0] * lost + [0.8] * gained + [0.7] * 4
    found = seen([*reference], [*arm])
    assert (found.lost, found.gained, found.found_by_reference) == (lost, gained, lost + 4)
    assert found.misses.p == pytest.approx(p)


def test_where_no_patient_differs_there_is_no_p() -> None:
    found = seen([0.8, 0.0, 0.6], [0.7, 0.0, 0.9])
    assert (found.misses.only_arm, found.misses.only_reference, found.misses.both) == (0, 0, 1)
    assert (found.misses.arm, found.misses.reference, found.misses.tests) == (1, 1, 3)
    assert found.misses.p is None
    assert found.false_alarms.tests == 0


def test_a_patient_counts_once_however_many_visits_are_lost() -> None:
    """p0 loses three lesions, p1 one and gains one, p2 one of three: two patients of one direction, p = 1/2."""
    reference = [0.8, 0.8, 0.8, 0.8, 0.0, 0.8, 0.8, 0.8, 0.8]
    arm = [0.0, 0.0, 0.0, 0.0, 0.8, 0.7, 0.0, 0.7, 0.7]
    found = seen([*reference], [*arm], visits=3)
    assert (found.lost, found.gained) == (5, 1)
    assert (found.misses.more, found.misses.fewer, found.misses.patients) == (2, 0, 3)
    assert found.misses.p == pytest.approx(2 / 2**2)


def test_false_alarms_are_those_of_exams_without_a_lesion() -> None:
    """Exams 0 to 4: two false alarms of both, one of the arm alone, one of the reference alone, one of none."""
    found = seen([0.0, 0.0, 1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0, 1.0, 0.8], without=(0, 1, 2, 3, 4))
    alarms = found.false_alarms
    assert (alarms.only_arm, alarms.only_reference, alarms.both, alarms.tests) == (1, 1, 2, 5)
    assert (alarms.arm, alarms.reference, alarms.p) == (3, 3, 1.0)
    assert (alarms.more, alarms.fewer, alarms.patients) == (1, 1, 5)
    assert (found.misses.tests, found.gained) == (1, 1)


def test_a_test_that_one_of_them_did_not_do_counts_for_nothing() -> None:
    found = seen([0.8, None, 0.8, 0.8], [None, 0.0, 0.0, 0.7])
    assert (found.lost, found.found_by_reference, found.misses.tests) == (1, 2, 2)


def test_an_arm_without_any_test_has_seen_nothing() -> None:
    rows = measured(design(2), {REFERENCE: [0.8, 0.7]})
    nothing = detection(statuses(rows, "tumour"), "without a")
    assert (nothing.misses.tests, nothing.false_alarms.tests, nothing.lost) == (0, 0, 0)
    assert nothing.misses.p is nothing.false_alarms.p is None
    alone = measured(design(2), {arm: [0.8, 0.7] for arm in ARMS[1:]})
    assert detection(statuses(alone, "tumour"), "without a") == nothing
