"""The map of all arms in all endpoints, by numbers that are computed by hand."""

import pytest
from pandas import concat

from submit.analysis.analysis import Analysis, analyse
from submit.report.effect_map import Cell, EffectMap, effect_map, mark_of
from tests.submit.analysis.tables import design, paired, table

TUMOUR = {
    "a": [-0.10, -0.12, -0.14, -0.10, -0.12, -0.14, -0.12],
    "b": [0.01, -0.01, 0.02, -0.02, 0.01, -0.01, 0.0],
}
NODE = {"a": [0.0] * 7, "b": [-0.05, -0.06, -0.07, -0.05, -0.06, -0.07, -0.06]}


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    """Of seven patients: `without a` loses the tumour 0.12, `without b` loses the node 0.06."""
    rows = [
        table(paired([0.7] * 7, **arms), structure=structure)
        for structure, arms in (("tumour", TUMOUR), ("node", NODE))
    ]
    return analyse(
        concat(rows, ignore_index=True), design(7, structures=("tumour", "node")), run="r", manifest="m"
    )


@pytest.fixture(scope="module")
def found(analysis: Analysis) -> EffectMap:
    return effect_map(analysis)


def cell(found: EffectMap, arm: str, structure: str, metric: str) -> Cell:
    (one,) = (
        each
        for name, row in found.rows
        for each in row
        if (name, *each.found.endpoint) == (arm, structure, metric)
    )
    return one


def test_the_endpoint_comes_first_and_every_structure_has_every_metric(found: EffectMap) -> None:
    metrics = ("dice", "hd95_mm", "absolute_volume_error_ml")
    assert found.columns == (("tumour", metrics), ("node", metrics))
    assert [arm for arm, _ in found.rows] == ["without a", "without b"]
    assert all(
        [each.found.endpoint for each in row] == [(s, m) for s, own in found.columns for m in own]
        for _, row in found.rows
    )


def test_a_loss_is_in_sds_of_the_patients_differences_and_above_0_in_every_metric(found: EffectMap) -> None:
    # Losses 0.10, 0.12, 0.14 twice and 0.12: mean 0.12; deviations 0.02 four times, SD sqrt(4 * 0.0004 / 6).
    assert cell(found, "without a", "tumour", "dice").loss == pytest.approx(0.12 / (0.0016 / 6) ** 0.5)
    # HD95 is 10 mm less 10 mm for each Dice: the same loss in SDs.
    assert cell(found, "without a", "tumour", "hd95_mm").loss == pytest.approx(0.12 / (0.0016 / 6) ** 0.5)
    # Half of it, of deviations half as large: 0.06 / sqrt(4 * 0.0001 / 6).
    assert cell(found, "without b", "node", "dice").loss == pytest.approx(0.06 / (0.0004 / 6) ** 0.5)
    assert cell(found, "without b", "tumour", "dice").loss == pytest.approx(0.0)


def test_no_difference_at_all_is_a_loss_of_0(found: EffectMap) -> None:
    own = cell(found, "without a", "node", "dice")
    assert (own.loss, own.mark, own.shade) == (0.0, None, "none")


def test_what_excludes_0_is_marked_on_its_side(analysis: Analysis, found: EffectMap) -> None:
    assert cell(found, "without a", "tumour", "dice").mark == "worse"
    assert cell(found, "without a", "tumour", "hd95_mm").mark == "worse"
    assert cell(found, "without b", "node", "dice").mark == "worse"
    assert cell(found, "without b", "tumour", "dice").mark is None
    gain = analysis.comparisons[0].model_copy(update={"low": 0.1, "high": 0.2})
    assert mark_of(gain) == "better"
    assert mark_of(gain.model_copy(update={"low": 0.0})) is None
    assert mark_of(gain.model_copy(update={"low": None, "high": None})) is None


@pytest.mark.parametrize(
    ("loss", "shade"),
    [
        (None, "none"),
        (0.0, "none"),
        (0.19, "none"),
        (0.2, "worse-1"),
        (0.5, "worse-2"),
        (0.8, "worse-3"),
        (1.2, "worse-4"),
        (9.0, "worse-4"),
        (-0.2, "better-1"),
        (-1.3, "better-4"),
    ],
)
def test_darker_is_more_on_either_side(analysis: Analysis, loss: float | None, shade: str) -> None:
    assert Cell(found=analysis.comparisons[0], loss=loss, mark=None).shade == shade


def test_an_arm_without_pairs_has_cells_without_numbers() -> None:
    rows = table(paired([0.7] * 6, a=[-0.1, -0.2, -0.1, -0.2, -0.1, -0.3]))
    own = effect_map(analyse(rows, design(6), run="r", manifest="m"))
    assert [(each.loss, each.mark, each.shade) for each in own.rows[1][1]] == [(None, None, "none")] * 3


def test_one_in_forty_of_the_secondary_cells_is_worse_by_chance(analysis: Analysis) -> None:
    secondary = [
        each for each in analysis.comparisons if each.endpoint != ("tumour", "dice") and each.low is not None
    ]
    # Two arms x five secondary endpoints; of volumes, which are all alike, there is an interval too.
    assert len(secondary) == 10
    assert analysis.named_by_chance == pytest.approx(0.25)
