"""The safety screen: what is worse beside the endpoint is named, and nothing else is."""

from collections.abc import Mapping

import numpy as np
import pytest
from pandas import concat
from scipy import stats

from submit.analysis.analysis import Analysis, analyse
from submit.analysis.comparisons import Comparison
from submit.analysis.harms import harm_text, harmed, harms_of, is_worse
from submit.analysis.sign_flips import SignFlips
from tests.submit.analysis.tables import REFERENCE, design, measured

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


def test_the_endpoint_and_other_arms_are_no_harms() -> None:
    of = design(9, structures=("T", "N"), further_structures=("N",))
    found = [*worse("T", "dice", "hd95_mm"), *worse("N", "dice", "absolute_volume_error_ml")]
    other = [each.model_copy(update={"arm": "without b"}) for each in found]
    named = harms_of("without a", [*found, *other], of)
    assert [each.endpoint for each in named] == [("T", "hd95_mm"), ("N", "absolute_volume_error_ml")]
    alone = harms_of("without a", found, design(9, structures=("T", "N")))
    assert [each.endpoint for each in alone] == [
        ("T", "hd95_mm"),
        ("N", "dice"),
        ("N", "absolute_volume_error_ml"),
    ]


def test_a_harm_is_told_with_its_numbers() -> None:
    assert harm_text(comparison("N", "dice", -0.4, -0.2)) == "Dice of N −0.300 (−0.400 to −0.200)"
    assert harm_text(comparison("N", "hd95_mm", 1.0, 2.0)) == "HD95 of N +1.5 mm (+1.0 to +2.0)"


@pytest.mark.parametrize(
    ("harms", "named"),
    [
        ([], []),
        (worse("N", "dice"), ["N"]),
        (worse("N", "dice", "hd95_mm"), ["N"]),
        (worse("N", "hd95_mm"), ["HD95 of N"]),
        (worse("T", "hd95_mm", "absolute_volume_error_ml"), ["HD95 and absolute volume error of T"]),
        (worse("T", "hd95_mm", "hd95_voxels_mm"), ["HD95 of T"]),
        (worse("T", "hd95_voxels_mm"), ["HD95 (voxels) of T"]),
        (worse("N", "dice") + worse("union", "dice"), ["N"]),
        (worse("union", "dice"), ["union"]),
        # The union's Dice is worse, and no class's is: it may not hide behind a distance.
        (worse("T", "hd95_mm") + worse("union", "dice"), ["HD95 of T", "union"]),
        (worse("N", "dice") + worse("union", "hd95_mm"), ["N", "HD95 of union"]),
    ],
)
def test_a_headline_names_every_structure_that_is_worse(harms: list[Comparison], named: list[str]) -> None:
    assert harmed(harms, design(9, structures=("T", "N", "union"))) == named


def test_of_the_endpoint_s_structure_the_metric_is_named() -> None:
    """ "As far as HD95 of T goes, with harm to T" would say nothing."""
    of = design(9, structures=("T", "N"), metric="hd95_mm", margin=2.0)
    assert harmed(worse("T", "dice"), of) == ["Dice of T"]
    assert harmed(worse("N", "dice"), of) == ["N"]


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
    assert "N (Dice) is worse without a." in found.answer
    assert "Can be left out, one of these at a time: b." in found.answer
    assert (
        found.answer[-1] == "Look elsewhere first, although T loses nothing that matters: a (with harm to N)."
    )


@pytest.mark.parametrize("nodes", [3, 4, 5])
def test_harm_to_fewer_patients_than_flips_can_tell_of_is_named_too(nodes: int) -> None:
    found = screened(0.3, nodes=nodes).verdicts[0]
    assert found.harmed == ("N",)


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
