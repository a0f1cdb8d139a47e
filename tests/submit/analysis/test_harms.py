"""The safety screen: what is worse beside the endpoint is named, and nothing else is."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pytest
from pandas import concat
from scipy import stats

from submit.analysis.analysis import Analysis, Verdict, analyse
from submit.analysis.comparisons import Comparison
from submit.analysis.design import Design
from submit.analysis.detection import Detection, detection
from submit.analysis.harms import Harm, harms_of, is_worse, names_of
from submit.analysis.pairing import statuses
from submit.analysis.sign_flips import SignFlips
from tests.submit.analysis.tables import ARMS, REFERENCE, design, measured

NOTHING = dict.fromkeys(
    ("mean", "relative", "sd", "d_z", "rank_biserial", "p", "p_adjusted", "p_wilcoxon", "low", "high")
)
INTERVALS = {"better": (-2.0, -1.0), "none": (-1.0, 1.0), "worse": (1.0, 2.0)}
"""Of a distance."""


def comparison(
    structure: str, metric: str, low: float | None = None, high: float | None = None, arm: str = "without a"
) -> Comparison:
    mean = None if low is None or high is None else (low + high) / 2
    counts = {"patients": 9, "exams": 9, "pairs": 9, "false_alarms": (0, 0), "misses": (0, 0)}
    return Comparison(
        arm=arm,
        structure=structure,
        metric=metric,
        adjustment="Benjamini-Hochberg",
        **counts,
        **NOTHING | {"mean": mean, "low": low, "high": high},
    )


def worse(structure: str, *metrics: str) -> list[Comparison]:
    return [
        comparison(structure, metric, *((-2.0, -1.0) if metric == "dice" else (1.0, 2.0)))
        for metric in metrics
    ]


@pytest.mark.parametrize("metric", ["hd95_mm", "hd95_voxels_mm", "absolute_volume_error_ml", "dice"])
def test_worse_is_an_interval_beyond_0_on_the_side_that_is_worse_for_the_metric(metric: str) -> None:
    sign = -1 if metric == "dice" else 1
    for name, (low, high) in INTERVALS.items():
        ends = sorted((sign * low, sign * high))
        assert is_worse(comparison("tumour", metric, *ends)) == (name == "worse")
    at_zero = sorted((0.0, sign * 1.0))
    assert not is_worse(comparison("tumour", metric, *at_zero))
    assert not is_worse(comparison("tumour", metric))


def harms(found: list[Comparison], of: Design, **detections: Detection) -> tuple[Harm, ...]:
    return harms_of("without a", found, detections, of)


def places(found: Sequence[Harm]) -> list[tuple[str, str]]:
    return [(each.structure, each.what) for each in found]


def test_the_endpoint_and_other_arms_are_no_harms() -> None:
    of = design(9, structures=("T", "N"), further_structures=("N",))
    found = [*worse("T", "dice", "hd95_mm"), *worse("N", "dice", "absolute_volume_error_ml")]
    other = [each.model_copy(update={"arm": "without b"}) for each in found]
    named = harms([*found, *other], of)
    assert places(named) == [("T", "hd95_mm"), ("N", "absolute_volume_error_ml")]
    assert {each.arm for each in named} == {"without a"}
    alone = harms(found, design(9, structures=("T", "N")))
    assert places(alone) == [("T", "hd95_mm"), ("N", "dice"), ("N", "absolute_volume_error_ml")]


def test_a_harm_is_told_with_its_numbers() -> None:
    of = design(9, structures=("T", "N"))
    without_end = comparison("N", "hd95_mm", 1.0, 7.0).model_copy(update={"high": None})
    without_interval = comparison("N", "dice").model_copy(update={"mean": -0.06})
    told = {
        "Dice of N −0.300 (−0.400 to −0.200)": comparison("N", "dice", -0.4, -0.2),
        "HD95 of N +1.5 mm (+1.0 to +2.0)": comparison("N", "hd95_mm", 1.0, 2.0),
        "HD95 of N +4.0 mm (+1.0 mm and more)": without_end,
        "Dice of N −0.100 (−0.400 to +0.200); large, not shown": comparison("N", "dice", -0.4, 0.2),
        "Dice of N −0.060 (no interval); large, not shown": without_interval,
    }
    for text, each in told.items():
        (harm,) = harms([each], of)
        assert harm.told == text
        assert harm.shown == ("not shown" not in text)


def test_a_loss_of_dice_is_large_from_0_05() -> None:
    of = design(9, structures=("T", "N"))
    for low, large in ((-0.101, True), (-0.099, False)):  # a mean of -0.0505 or -0.0495
        assert bool(harms([comparison("N", "dice", low, 0.0)], of)) == large


@pytest.mark.parametrize(
    ("metric", "low", "high", "named"),
    [
        ("hd95_mm", 0.01, 0.08, False),  # a mean of 0.045 mm is printed as 0.0 mm
        ("hd95_mm", 0.01, 0.12, True),
        ("dice", -0.0008, -0.0001, False),
        ("dice", -0.0012, -0.0001, True),
    ],
)
def test_what_is_printed_as_0_is_no_harm(metric: str, low: float, high: float, named: bool) -> None:
    of = design(9, structures=("T", "N"))
    assert bool(harms([comparison("N", metric, low, high)], of)) == named


@pytest.mark.parametrize(
    ("found", "named"),
    [
        ([], ()),
        (worse("N", "dice"), ("N",)),
        (worse("N", "dice", "hd95_mm"), ("N",)),
        (worse("N", "hd95_mm"), ("HD95 of N",)),
        (worse("T", "hd95_mm", "absolute_volume_error_ml"), ("HD95 and absolute volume error of T",)),
        (worse("T", "hd95_mm", "hd95_voxels_mm"), ("HD95 of T",)),
        (worse("T", "hd95_voxels_mm"), ("HD95 (voxels) of T",)),
        (worse("N", "dice") + worse("union", "dice"), ("N",)),
        (worse("union", "dice"), ("union",)),
        # The union's Dice is worse, and no class's is: it may not hide behind a distance.
        (worse("T", "hd95_mm") + worse("union", "dice"), ("HD95 of T", "union")),
        (worse("N", "dice") + worse("union", "hd95_mm"), ("N", "HD95 of union")),
        # Nor behind what is not shown of a class.
        ([comparison("N", "dice", -0.4, 0.2), *worse("union", "dice")], ("N", "union")),
        ([*worse("N", "dice"), comparison("union", "dice", -0.4, 0.2)], ("N",)),
    ],
)
def test_a_headline_names_every_structure_that_is_worse_and_none_twice(
    found: list[Comparison], named: tuple[str, ...]
) -> None:
    of = design(9, structures=("T", "N", "union"))
    assert names_of(harms(found, of), of.endpoint_structures) == named


def test_of_the_endpoint_s_structure_it_is_named_what_is_worse() -> None:
    """ "As far as HD95 of T goes, with harm to T" would say nothing."""
    of = design(9, structures=("T", "N"), metric="hd95_mm", margin=2.0)
    assert names_of(harms(worse("T", "dice"), of), of.endpoint_structures) == ("Dice of T",)
    assert names_of(harms(worse("N", "dice"), of), of.endpoint_structures) == ("N",)
    both = harms(worse("T", "dice", "hd95_voxels_mm"), of, T=lost(6, of=24))
    assert names_of(both, of.endpoint_structures) == ("detection, Dice and HD95 (voxels) of T",)
    assert names_of(harms([], of, N=lost(6, of=24)), of.endpoint_structures) == ("N",)
    assert names_of(harms([], of, N=alarmed(6, of=10)), of.endpoint_structures) == ("false-alarm rate of N",)


# Lesions lost, and false alarms.


def lost(patients: int, *, of: int, gained: int = 0) -> Detection:
    """So many patients lose the lesion, of so many in whom the reference finds it; some gain one."""
    reference, arm = [0.8] * of + [0.0] * gained, [0.0] * patients + [0.8] * (of - patients + gained)
    return seen(reference, arm)


def alarmed(patients: int, *, of: int, fewer: int = 0) -> Detection:
    """So many of the exams without a lesion have a false alarm, and some no longer one."""
    reference = [0.0] * fewer + [1.0] * (of - fewer)
    arm = [1.0] * fewer + [0.0] * patients + [1.0] * (of - fewer - patients)
    return seen(reference, arm, without=range(of))


def seen(reference: list[float], arm: list[float], *, without: Iterable[int] = ()) -> Detection:
    rows = measured(design(len(arm)), {REFERENCE: reference, "without a": arm}, without=without)
    return detection(statuses(rows, "tumour"), "without a")


ALARMS = "false alarms in {} of {} exams without N, of the reference in {} (McNemar, p = {})"


@pytest.mark.parametrize(
    ("found", "told"),
    [
        # Exact McNemar: 2 / 2^6 = 0.031, 2 / 2^5 = 0.0625.
        (lost(6, of=24), "loses 6 of 24 lesions of N (McNemar, p = 0.031)"),
        (lost(5, of=24), "loses 5 of 24 lesions of N (McNemar, p = 0.062); large, not shown"),
        # Nine to one: 2 (1 + 10) / 2^10.
        (lost(9, of=24, gained=1), "loses 9 of 24 lesions of N, gains 1 (McNemar, p = 0.021)"),
        # Two more are a tenth of 20, and not of 21; one more is never much.
        (lost(2, of=20), "loses 2 of 20 lesions of N (McNemar, p = 0.500); large, not shown"),
        (
            lost(3, of=20, gained=1),
            "loses 3 of 20 lesions of N, gains 1 (McNemar, p = 0.625); large, not shown",
        ),
        (lost(2, of=21), None),
        (lost(1, of=3), None),
        (lost(1, of=20, gained=9), None),
        (alarmed(6, of=10), ALARMS.format(6, 10, 0, "0.031")),
        (alarmed(2, of=20, fewer=0), ALARMS.format(2, 20, 0, "0.500") + "; large, not shown"),
        (alarmed(2, of=21), None),
        (alarmed(0, of=20, fewer=9), None),
    ],
)
def test_lost_lesions_and_false_alarms_are_harms_where_mcnemar_shows_them_or_they_are_many(
    found: Detection, told: str | None
) -> None:
    own = harms([], design(9, structures=("T", "N", "union")), T=lost(0, of=9), N=found)
    assert [each.told for each in own] == ([] if told is None else [told])
    for each in own:
        assert each.what == ("misses" if "loses" in each.text else "false_alarms")
        assert each.shown == ("not shown" not in each.told)


def test_a_patient_loses_once_however_many_visits_and_repeats() -> None:
    """Six visits of one patient, in two repeats, are one patient of four, and not many; with another one they are."""
    of = design([*(("p0", f"v{n}") for n in range(6)), ("p1", "a"), ("p2", "b"), ("p3", "c")], repeats=2)
    for others, told in (
        (0, ()),
        (1, ("loses 14 of 18 lesions of tumour in 2 repeats (McNemar, p = 0.500)",)),
    ):
        dice = {REFERENCE: [0.8] * 9, "without a": [0.0] * (6 + others) + [0.8] * (3 - others)}
        rows = concat([measured(of, dice, repeat=repeat) for repeat in (0, 1)], ignore_index=True)
        found = detection(statuses(rows, "tumour"), "without a")
        assert (found.lost, found.misses.more, found.misses.patients) == (12 + 2 * others, 1 + others, 4)
        assert tuple(each.text for each in harms([], of, tumour=found)) == told


def test_lesions_come_first_and_the_union_s_are_those_of_its_classes() -> None:
    of = design(9, structures=("T", "N", "union"))
    six = dict.fromkeys(("T", "N", "union"), lost(6, of=9))
    found = harms([*worse("T", "hd95_mm"), *worse("N", "dice")], of, **six)
    assert places(found) == [("T", "misses"), ("T", "hd95_mm"), ("N", "misses"), ("N", "dice")]
    other = harms([], of, N=alarmed(6, of=9), union=lost(6, of=9))
    assert places(other) == [("N", "false_alarms"), ("union", "misses")]


def screened(node_loss: float, *, patients: int = 13, nodes: int = 7, seed: int = 3) -> Analysis:
    """Without a the tumour loses nothing, and nodes, which some patients have, lose much."""
    of = design(patients, structures=("T", "N", "union"), margin=0.02)
    draw = np.random.default_rng(seed)
    tumour, node = draw.normal(0.86, 0.03, patients), draw.normal(0.65, 0.05, patients)
    little = draw.normal(0, 0.004, (3, patients))

    def with_nodes(dice: np.ndarray) -> list[float | None]:
        return [*dice[:nodes], *([1.0] * (patients - nodes))]

    lost = draw.normal(node_loss, 0.04, patients)
    values: Mapping[str, Mapping[str, list[float | None]]] = {
        "T": {
            REFERENCE: [*tumour],
            "without a": [*(tumour + little[0])],
            "without b": [*(tumour + little[1])],
        },
        "N": {
            REFERENCE: with_nodes(node),
            "without a": with_nodes(node - lost),
            "without b": with_nodes(node + little[2]),
        },
    }
    rows = [
        measured(of, values["T"], structure="T"),
        measured(of, values["N"], structure="N", without=range(nodes, patients)),
        measured(of, values["T"], structure="union"),
    ]
    return analyse(concat(rows, ignore_index=True), of, run="r", manifest="m")


@pytest.mark.parametrize("node_loss", [0.1, 0.3])
def test_harm_to_a_few_patients_is_named_beside_droppable(node_loss: float) -> None:
    """Seven of 13 patients have nodes. Adjusted for all endpoints nothing of seven could ever be shown."""
    found = screened(node_loss)
    a, b = found.verdicts
    assert (a.verdict, b.verdict) == ("droppable", "droppable")
    assert a.harmed == ("N",)
    assert a.harms[0].startswith("Dice of N −0.")
    assert found.answer[0] == "No channel is shown to be missed for T. The largest loss is without b."
    assert any(line.startswith("Dice of N (7 patients) is lower without a (−0.") for line in found.answer)
    assert "Can be left out, one of these at a time: b." in found.answer
    assert found.answer[-1] == "Not needed for T, but something else is worse without it: a (with harm to N)."


@pytest.mark.parametrize("nodes", [3, 4, 5])
def test_harm_to_fewer_patients_than_flips_can_tell_of_is_named_too(nodes: int) -> None:
    found = screened(0.3, nodes=nodes).verdicts[0]
    assert found.harmed == ("N",)


def two_harms(lost_nodes: int, alarms: int) -> Verdict:
    """24 patients have a tumour, which loses nothing, and nodes, of which without a loses some; ten have neither.

    Nodes that are not lost are drawn better, so that nothing of Dice is shown.
    """
    of = design(34, structures=("T", "N"))
    draw = np.random.default_rng(9)
    tumour, node = draw.normal(0.8, 0.05, 24), draw.normal(0.5, 0.05, 24)
    little = draw.normal(0, 0.004, (2, 24))
    without_a = node + 0.1
    without_a[:lost_nodes] = 0.0
    dice = {
        "T": {REFERENCE: tumour, "without a": tumour + little[0], "without b": tumour + little[1]},
        "N": {REFERENCE: node, "without a": without_a, "without b": node},
    }
    rows = []
    for structure, own in dice.items():
        absent = dict.fromkeys(ARMS, [1.0] * 10)
        if structure == "T":
            absent["without a"] = [0.0] * alarms + [1.0] * (10 - alarms)
        values = {arm: [*own[arm], *absent[arm]] for arm in ARMS}
        rows.append(measured(of, values, structure=structure, without=range(24, 34)))
    return analyse(concat(rows, ignore_index=True), of, run="r", manifest="m").verdicts[0]


def test_lesions_lost_beside_the_endpoint_and_false_alarms_in_it_are_named() -> None:
    """Both were no harm: the mean Dice of nodes says nothing, and exams without a lesion have none."""
    found = two_harms(6, 0)
    assert (found.verdict, found.harmed) == ("droppable", ("N",))
    assert "loses 6 of 24 lesions of N (McNemar, p = 0.031)" in found.harms
    alarms = two_harms(0, 10)
    assert alarms.verdict == "droppable"
    assert alarms.harmed[0].startswith("false-alarm rate")
    text = "false alarms in 10 of 10 exams without T, of the reference in 0 (McNemar, p = 0.002)"
    assert alarms.harms[0] == text


def test_what_is_large_and_not_shown_is_suspected() -> None:
    found = two_harms(5, 2)
    assert [each.told for each in found.found_harms] == [*found.harms]
    large = [each for each in found.found_harms if not each.shown]
    assert [(each.structure, each.what) for each in large][:2] == [("T", "false_alarms"), ("N", "misses")]
    assert found.suspected == ("false-alarm rate of T", "N")


def test_every_secondary_that_is_worse_is_named_and_no_other() -> None:
    found = screened(0.1)
    of = {(each.arm, *each.endpoint): each for each in found.comparisons}
    assert len(of) == 2 * 3 * 3  # arms, structures, metrics
    for verdict in found.verdicts:
        expected = []
        for (arm, structure, metric), each in of.items():
            if arm != verdict.arm or (structure, metric) == ("T", "dice") or each.low is None:
                continue
            assert each.high is not None
            if (each.high < 0) if metric == "dice" else (each.low > 0):
                expected.append(f"{structure} ")
        assert len(verdict.harms) == len(expected)
        assert all(place in text for place, text in zip(expected, verdict.harms, strict=True))


def test_the_interval_of_a_harm_is_not_adjusted() -> None:
    """By sign flips of the node's seven patients alone; of four by t."""
    draw = np.random.default_rng(0)
    for nodes in (7, 4):
        of = design(nodes, structures=("T", "N"))
        lost = draw.normal(0.05, 0.04, nodes)
        node = [0.6] * nodes
        dice = {REFERENCE: node, "without a": [*(0.6 - lost)], "without b": [*(0.6 + lost)]}
        rows = concat([measured(of, dice, structure=name) for name in ("T", "N")], ignore_index=True)
        found = analyse(rows, of, run="r", manifest="m")
        (own,) = (
            each for each in found.comparisons if (each.arm, *each.endpoint) == ("without a", "N", "dice")
        )
        if nodes == 7:
            expected = SignFlips(-lost[:, None], 0).interval(0)
        else:
            by_t = stats.ttest_1samp(-lost, 0).confidence_interval(0.95)
            expected = (by_t.low, by_t.high)
        assert (own.low, own.high) == pytest.approx(expected, abs=1e-7)
