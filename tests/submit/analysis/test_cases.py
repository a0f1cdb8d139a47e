"""Whole studies of a kind: what the verdict said before it was redesigned (in comments), what it says, and why.

Numbers are drawn, from fixed seeds.
"""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from pandas import DataFrame, concat

from submit.analysis.analysis import Analysis, Verdict, analyse
from submit.analysis.design import Design
from submit.analysis.results_table import SCORE_COLUMNS
from tests.submit.analysis.tables import REFERENCE, design, measured

Vector = NDArray[np.float64]

CHANNELS = tuple("abcdefg")
SEVEN = (REFERENCE, *(f"without {name}" for name in CHANNELS))
"""Arms, as the reference study had."""
ARMS = SEVEN[:4]


def study(
    of: Design,
    reference: Vector,
    losses: Mapping[str, Vector],
    *,
    again: Vector | None = None,
    without: range = range(0),
    hd95_mm: Mapping[str, Vector] | None = None,
) -> DataFrame:
    """Dice of the reference, losses by channel (none is 0), and the reference trained again."""
    dice = {REFERENCE: reference} | {
        arm: np.clip(reference - losses.get(arm[-1], 0.0), 0, 1) for arm in of.compared
    }
    distances = None if hd95_mm is None else {arm: [*values] for arm, values in hd95_mm.items()}
    rows = [
        measured(of, {arm: [*values] for arm, values in dice.items()}, without=without, hd95_mm=distances)
    ]
    if again is not None:
        rows.append(measured(of, {REFERENCE: [*again]}, repeat=1, without=without))
    return concat(rows, ignore_index=True)


def found(rows: DataFrame, of: Design) -> Analysis:
    return analyse(rows, of, run="r", manifest="m")


def first(rows: DataFrame, of: Design) -> Verdict:
    return found(rows, of).verdicts[0]


def noise(draw: np.random.Generator, patients: int, sd: float) -> dict[str, Vector]:
    return {name: draw.normal(0, sd, patients) for name in CHANNELS}


# A. Before: needed. A tenth of a millimetre in all of 12 patients is surely there and matters to nobody; nothing is
# needed unless someone has said what matters.


@pytest.fixture(scope="module")
def millimetres() -> tuple[Mapping[str, Vector], Vector]:
    draw = np.random.default_rng(1)
    reference = draw.normal(8, 2, 12)
    distances = {REFERENCE: reference} | {
        f"without {name}": reference
        + (draw.normal(0.1, 0.02, 12) if name == "a" else draw.normal(0, 0.5, 12))
        for name in CHANNELS
    }
    return distances, draw.normal(0.8, 0.05, 12)


@pytest.mark.parametrize(
    ("margin", "verdict"), [(None, "worse"), (0.05, "needed"), (0.1, "worse"), (2.0, "droppable")]
)
def test_a_a_trivial_distance_is_needed_only_beyond_a_stated_margin(
    millimetres: tuple[Mapping[str, Vector], Vector], margin: float | None, verdict: str
) -> None:
    of = design(12, arms=ARMS, metric="hd95_mm", margin=margin)
    a = first(study(of, millimetres[1], {}, hd95_mm=millimetres[0]), of)
    assert (a.verdict, a.leading.patients) == (verdict, 12)
    assert a.leading.loss == pytest.approx(0.1, abs=0.02)
    if margin is None:
        assert a.sentence.endswith("a loss is shown; no margin was stated that would say whether it matters.")


# B. Before: needed, though the estimate was below the study's own margin. Now worse, and it says that it may be less
# than matters.


def test_b_a_loss_below_the_margin_is_worse_and_not_needed() -> None:
    draw, of = np.random.default_rng(2), design(36, arms=ARMS)
    reference = draw.normal(0.8, 0.06, 36)
    losses = noise(draw, 36, 0.02) | {"a": draw.normal(0.013, 0.02, 36)}
    whole = found(study(of, reference, losses, again=reference + draw.normal(0, 0.005, 36)), of)
    a = whole.verdicts[0]
    assert a.verdict == "worse"
    assert a.leading.loss is not None
    assert a.leading.loss < 0.02
    assert "a loss is shown, which may be smaller than the margin, 0.020" in a.sentence
    assert any(
        line.startswith("A loss is shown, which may be smaller than the margin: a (−0.01")
        for line in whole.answer
    )


# C. Before: all channels could be left out, beside a network that finds nothing. Now nothing can.


def test_c_beside_a_network_that_fails_nothing_can_be_left_out() -> None:
    draw, of = np.random.default_rng(3), design(12, arms=ARMS)
    reference = np.clip(draw.normal(0.07, 0.03, 12), 0.01, 1)
    losses = {name: 0.12 * reference * (name in "ab") + draw.normal(0, 0.003, 12) for name in "abc"}
    whole = found(study(of, reference, losses), of)
    assert {each.verdict for each in whole.verdicts} == {"worse", "undecided"}
    assert "Can be left out: none is shown." in whole.answer
    assert not any("of these at a time" in line for line in whole.answer)
    assert "not shown to segment it well enough (a mean Dice above 0.3)" in whole.verdicts[0].sentence
    assert whole.answer[0].startswith(
        "With all channels too, tumour is not shown to be segmented well enough"
    )
    assert "Can be left out: none is shown." in whole.answer
    assert whole.verdicts[0].leading.margin == pytest.approx(0.25 * reference.mean(), abs=1e-3)


# The other end. A loss of four times the error is not small for being below 0.02.


def test_c_beside_a_network_that_is_nearly_perfect_little_is_much() -> None:
    draw, of = np.random.default_rng(9), design(12, arms=ARMS)
    reference = draw.normal(0.996, 0.0005, 12)
    losses = noise(draw, 12, 0.0002) | {"a": draw.normal(0.012, 0.001, 12)}
    whole = found(study(of, reference, losses), of)
    assert [each.verdict for each in whole.verdicts] == ["needed", "droppable", "droppable"]
    assert whole.verdicts[0].leading.margin == pytest.approx(0.001, abs=1e-4)


# D. Before: droppable, of "20 patients". Eleven lesions that every network misses said that nothing is lost, nine
# times; of the nine that are found each loses 0.022.


def test_d_lesions_that_nobody_finds_do_not_dilute_a_loss() -> None:
    draw, of = np.random.default_rng(4), design(20, arms=ARMS)
    reference = draw.normal(0.8, 0.05, 20)
    reference[:11] = 0
    losses = {name: np.where(reference > 0, draw.normal(0.022, 0.008, 20), 0.0) for name in CHANNELS}
    whole = found(study(of, reference, losses), of)
    assert {each.verdict for each in whole.verdicts} == {"worse"}
    assert {each.leading.patients for each in whole.verdicts} == {9}
    assert all(each.leading.loss and each.leading.loss > 0.015 for each in whole.verdicts)
    misses = whole.verdicts[0].leading.detection.misses
    assert (misses.both, misses.only_arm, misses.p) == (11, 0, None)


# E. Before: undecided, for one more false alarm in ten exams without a lesion: a veto by chance. Now it is counted
# and tested, and the mean decides.


def test_e_one_more_false_alarm_is_counted_and_no_veto() -> None:
    draw, of = np.random.default_rng(5), design(32, arms=ARMS)
    reference = draw.normal(0.8, 0.05, 32)
    reference[20:25], reference[25:] = 0, 1
    losses = {name: np.where(np.arange(32) < 20, draw.normal(0, 0.008, 32), 0.0) for name in CHANNELS}
    losses["a"][25] = 1.0
    whole = found(study(of, reference, losses, without=range(20, 32)), of)
    a, b = whole.verdicts[:2]
    assert (a.verdict, b.verdict) == ("droppable", "droppable")
    assert a.sentence.startswith(
        "False alarms (tumour) in 6 of 12 exams without a lesion, of the reference in 5 (McNemar, p = 1.000)."
    )
    assert "False alarms" not in b.sentence


# F. Before: "about 63,778 patients", "about 364 patients", "if the true difference is the one found". A plan for a
# difference that chance made is a number that chance made; it is now for the margin, and none without one.


def test_f_there_is_no_plan_for_a_difference_that_chance_made() -> None:
    draw, of = np.random.default_rng(6), design(10, arms=ARMS, metric="hd95_mm", margin=None)
    reference = 30 + np.exp(draw.normal(2, 0.8, 10))
    distances = {REFERENCE: reference} | {
        f"without {name}": np.abs(reference + draw.normal(0, 12, 10)) for name in CHANNELS
    }
    whole = found(study(of, draw.normal(0.75, 0.08, 10), {}, hd95_mm=distances), of)
    assert {each.verdict for each in whole.verdicts} == {"undecided"}
    assert {each.leading.plan for each in whole.verdicts} == {None}
    assert all(each.sentence.endswith("no loss can be ruled out.") for each in whole.verdicts)


@pytest.mark.parametrize(("sd", "most"), [(0.15, None), (0.03, 100)])
def test_f_a_plan_is_for_the_margin_or_says_that_none_is_within_reach(sd: float, most: int | None) -> None:
    """Before, with an SD of 0.15: between 113 and 1,101 patients, as the mean happened to fall."""
    draw, of = np.random.default_rng(16), design(10, arms=ARMS)
    losses = noise(draw, 10, sd)
    whole = found(study(of, draw.normal(0.75, 0.05, 10), losses), of)
    plans = [each.leading.plan for each in whole.verdicts if each.verdict == "undecided"]
    assert plans
    for verdict in whole.verdicts:
        plan = verdict.leading.plan
        if plan is None:
            continue
        assert plan.margin == 0.02
        if most is None:
            assert plan.patients is None
            assert verdict.sentence.endswith("from none would take more than 10 times this cohort.")
        else:
            assert plan.patients is not None
            assert 10 < plan.patients <= most
            assert plan.patients <= 20 or plan.patients % 5 == 0


# G. Before: undecided, "so few patients cannot show any difference over 7 arms, however large". Holm over seven exact
# tests asks for p < 0.007, and eight patients have 0.0078. With the largest t it is 2 of 256 for whoever is far off.


def test_g_eight_patients_who_all_lose_the_lesion_s_half_are_needed() -> None:
    draw, of = np.random.default_rng(7), design(8, arms=SEVEN)
    reference = draw.normal(0.85, 0.03, 8)
    losses = noise(draw, 8, 0.01) | {"a": draw.normal(0.6, 0.05, 8)}
    whole = found(study(of, reference, losses, again=reference + draw.normal(0, 0.01, 8)), of)
    a = whole.verdicts[0]
    assert (a.verdict, a.leading.p) == ("needed", 2 / 256)
    assert a.leading.low is not None
    assert a.leading.low > 0.5
    assert whole.answer[0].startswith("Most influential: a; ")
    assert "Needed: a." in whole.answer
    assert all(each.verdict not in ("needed", "worse") for each in whole.verdicts[1:])


# H. Before: undecided with a mean of -0.247, and not a word of lesions; with one more repeat of the reference, which
# lost one too, the floor swallowed other arms. Now lesions come first; and what retraining does is said with its own
# interval, and only where it is most of the arm's scatter.


@pytest.mark.parametrize(("lost", "p"), [(3, "p = 0.250"), (4, "p = 0.125"), (6, "p = 0.031")])
def test_h_lost_lesions_are_named_first(lost: int, p: str) -> None:
    draw, of = np.random.default_rng(8), design(10, arms=ARMS)
    reference = draw.normal(0.85, 0.03, 10)
    losses = {name: draw.normal(0.005, 0.01, 10) for name in CHANNELS}
    losses["a"][:lost] = 1.0
    again = reference + draw.normal(0, 0.01, 10)
    again[9] = 0
    a = first(study(of, reference, losses, again=again), of)
    assert a.sentence.startswith(
        f"Loses {lost} of 10 lesions (tumour) that the reference finds (McNemar, {p}). "
    )
    assert (a.leading.detection.lost, a.leading.detection.found_by_reference) == (lost, 10)
    assert f"{a.leading.beyond_margin} of 10 patients lose more than the margin." in a.sentence
    # The mean of three lost of ten may be chance, of six it is not; the lesions are told all the same.
    assert a.verdict == ("needed" if lost == 6 else "undecided")
    assert a.harmed == (
        ("detection, HD95 and absolute volume error" if lost == 6 else "HD95") + " of tumour",
    )
    assert a.suspected == (() if lost == 6 else ("detection of tumour",))


def test_h_the_floor_is_what_was_measured_and_says_how_well() -> None:
    """Ten further trainings, one of which lost a lesion: the floor's own interval is wide, and it is printed."""
    draw, of = np.random.default_rng(8), design(10, arms=ARMS)
    reference = draw.normal(0.85, 0.03, 10)
    losses = noise(draw, 10, 0.01)
    again = reference + draw.normal(0, 0.01, 10)
    floors = []
    for lost in (False, True):
        again[9] = 0 if lost else reference[9]
        floors.append(first(study(of, reference, losses, again=again), of).leading.floor)
    little, much = floors
    assert little is not None
    assert much is not None
    assert much.value > 10 * little.value
    # Chi-square of ten degrees: 20.483 and 3.247 have 2.5 % beyond them.
    assert much.low == pytest.approx(much.value * (10 / 20.483) ** 0.5, rel=1e-3)
    assert much.high == pytest.approx(much.value * (10 / 3.247) ** 0.5, rel=1e-3)


# M. Before: droppable in 12 of 12 studies, and the harm named in none: Benjamini-Hochberg over all secondary
# endpoints let nothing of seven patients be shown. Now each is named, or the endpoint holds both structures.


def with_nodes(seed: int, loss: float, **changes: object) -> tuple[DataFrame, Design]:
    """Ten patients, seven with nodes; without a nodes lose Dice, and the tumour does not."""
    draw = np.random.default_rng(seed)
    of = design(10, arms=ARMS[:3], structures=("T", "N"), **changes)
    tumour, node = draw.normal(0.86, 0.03, 10), draw.normal(0.65, 0.05, 10)
    little = draw.normal(0, 0.003, (2, 10))
    lost = (draw.normal(loss, 0.04, 10), draw.normal(0, 0.04, 10))

    def dice(reference: Vector, arms: tuple[Vector, ...], present: int) -> dict[str, list[float | None]]:
        values = (reference, *(reference - each for each in arms))
        return {
            arm: [*own[:present], *([1.0] * (10 - present))] for arm, own in zip(of.arms, values, strict=True)
        }

    rows = [
        measured(of, dice(tumour, tuple(little), 10), structure="T"),
        measured(of, dice(node, lost, 7), structure="N", without=range(7, 10)),
    ]
    return concat(rows, ignore_index=True), of


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_m_harm_to_another_structure_is_never_hidden(seed: int, loss: float) -> None:
    whole = found(*with_nodes(seed, loss))
    a = whole.verdicts[0]
    assert a.verdict == "droppable"
    assert a.harmed == ("N",)
    assert any(line.startswith("Dice of N (") and "is lower without a (−" in line for line in whole.answer)
    assert "Not needed for T, but something else is worse without it: a (with harm to N)." in whole.answer


def test_m_an_endpoint_of_both_structures_does_not_let_it_go() -> None:
    whole = found(*with_nodes(0, 0.3, further_structures=("N",)))
    a = whole.verdicts[0]
    assert [each.verdict for each in a.structures] == ["droppable", "needed"]
    assert a.verdict == "needed"
    assert a.sentence.count(" changes by ") == 2
    assert whole.structures == ("T", "N")
    # A loss of 0.1 of seven patients is shown, perhaps below the margin of so scattered a structure.
    assert found(*with_nodes(0, 0.1, further_structures=("N",))).verdicts[0].verdict in ("needed", "worse")


# The tables of shared/cases are made with a constructor of their own.


def test_a_design_needs_neither_classes_nor_further_structures() -> None:
    of = Design(
        arms=("reference", "without a"),
        left_out=((), ("a",)),
        structures=("T",),
        structure="T",
        metric="dice",
        margin=0.02,
        exams=tuple((f"p{n}", f"p{n}v0") for n in range(8)),
        repeats=1,
        seed=0,
    )
    assert of.endpoint_structures == ("T",)
    assert of.endpoints == (("T", "dice"),)
    rows = measured(
        of, {"reference": [0.8] * 8, "without a": [0.2 + 0.01 * n for n in range(8)]}, structure="T"
    )
    assert list(rows.columns) == list(SCORE_COLUMNS)  # without HD95 by voxels
    whole = found(rows, of)
    assert whole.answer == ["Needed: a.", "Can be left out: none is shown."]
    assert {each.metric for each in whole.comparisons} == {"dice", "hd95_mm", "absolute_volume_error_ml"}
    assert whole.structure_contrasts == ()
