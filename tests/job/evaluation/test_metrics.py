import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from job.contract.metrics import IN_SCORES
from job.contract.results import Score
from job.evaluation.metrics import COMPUTED, Pair, score_exam, score_structure

ISOTROPIC_MM = (1.0, 1.0, 1.0)
SPACING_ZYX_MM = (2.0, 1.0, 0.5)
REAL_MASKS = Path(__file__).parents[3] / "../shared/data/hntsmrg_masks"

Mask = NDArray[np.bool_]


def box(
    start_zyx: tuple[int, int, int], size_zyx: tuple[int, int, int], volume_zyx: tuple[int, int, int]
) -> Mask:
    mask_ZYX = np.zeros(volume_zyx, dtype=bool)
    mask_ZYX[tuple(slice(a, a + n) for a, n in zip(start_zyx, size_zyx, strict=True))] = True
    return mask_ZYX


def structures(*classes: str) -> dict[str, tuple[int, ...]]:
    """Classes by their labels, and their union if there are several."""
    labels = {name: (label,) for label, name in enumerate(classes, start=1)}
    return labels | ({"union": tuple(range(1, len(classes) + 1))} if len(classes) > 1 else {})


def cube(start_zyx: tuple[int, int, int], side: int = 4) -> Mask:
    return box(start_zyx, (side,) * 3, (20, 20, 20))


def assert_says(score: Score, **expected: object) -> None:
    told = score.model_dump()
    assert {key: told[key] for key in expected} == expected


EMPTY = np.zeros((4, 6, 12), dtype=bool)
VOXEL = box((1, 2, 3), (1, 1, 2), (4, 6, 12))
DIAGONAL_13_MM = (1.0, 0.5, 1.0)  # 4 x 6 x 12 voxels: 4, 3 and 12 mm


@pytest.mark.parametrize("gap", [0, 1, 5])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_cubes_apart_are_as_far_as_their_outer_faces(axis: int, gap: int) -> None:
    # From the outer face (at least 7 % of the surface, so beyond the 95th percentile) the nearest point of the
    # other cube is its inner face, one gap and one side of 4 voxels away. By voxels it is the same: from the centres
    # of the outer layer, 32 of 112, to those of the inner one.
    start = [3, 3, 3]
    start[axis] += 4 + gap
    score = score_structure(cube((3, 3, 3)), cube((start[0], start[1], start[2])), SPACING_ZYX_MM)
    assert_says(
        score,
        status="ok",
        dice=0.0,
        hd95_mm=(4 + gap) * SPACING_ZYX_MM[axis],
        hd95_voxels_mm=(4 + gap) * SPACING_ZYX_MM[axis],
        reference_ml=0.064,  # 64 voxels of 1 mm³
        predicted_ml=0.064,
    )


@pytest.mark.parametrize(("axis", "hd95_mm"), [(0, 2.0), (1, 1.0), (2, 0.5)])
def test_cubes_one_voxel_apart_in_position_overlap_by_three_quarters(axis: int, hd95_mm: float) -> None:
    start = [3, 3, 3]
    start[axis] += 1
    score = score_structure(cube((3, 3, 3)), cube((start[0], start[1], start[2])), SPACING_ZYX_MM)
    assert score.values["dice"] == 2 * 48 / (64 + 64)
    assert score.values["hd95_mm"] == hd95_mm


def test_a_structure_is_at_no_distance_from_itself() -> None:
    score = score_structure(cube((3, 3, 3)), cube((3, 3, 3)), SPACING_ZYX_MM)
    assert score.status == "ok"
    assert (score.values["dice"], score.values["hd95_mm"], score.values["hd95_voxels_mm"]) == (1.0, 0.0, 0.0)


def test_one_voxel_is_as_far_from_another_as_its_farther_corners() -> None:
    # Two voxels of 2 mm lie between: 4 of the 8 corners are 4 mm away and 4 are 6 mm away.
    score = score_structure(cube((2, 5, 5), side=1), cube((5, 5, 5), side=1), SPACING_ZYX_MM)
    assert (score.values["dice"], score.values["hd95_mm"]) == (0.0, 6.0)
    assert score.reference_ml == score.predicted_ml == 0.001


def test_one_voxel_is_at_no_distance_from_itself() -> None:
    score = score_structure(cube((5, 5, 5), side=1), cube((5, 5, 5), side=1), SPACING_ZYX_MM)
    assert (score.values["dice"], score.values["hd95_mm"], score.values["hd95_voxels_mm"]) == (1.0, 0.0, 0.0)


def test_less_than_five_percent_of_the_surface_is_ignored() -> None:
    # A stray voxel has a surface of 1.7 mm² beside the 564 mm² of a cube of 10 voxels.
    with_stray_voxel = cube((1, 1, 1), side=10) | cube((18, 18, 18), side=1)
    assert score_structure(cube((1, 1, 1), side=10), with_stray_voxel, ISOTROPIC_MM).values["hd95_mm"] == 0.0


@pytest.mark.parametrize("swapped", [False, True])
def test_the_worse_direction_counts_where_pooled_distances_would_hide_it(swapped: bool) -> None:
    # Surface elements of a cube of n voxels: 8 corners of sqrt(3)/8 mm², 12 (n - 1) on edges of sqrt(1/2) mm²,
    # 6 (n - 1)² on faces of 1 mm²: 42.7 mm² for the far cube (n = 3), 564.1 mm² for the common one (n = 10).
    # So 7.0 % of one surface is far away: the 95th percentile lies within it. Of both surfaces together it would
    # be 3.6 %, and their pooled 95th percentile 0. Of the far cube 4.9 of the 7.0 % are found up to the 95th:
    # 1 - 5.0 / 7.0 = 29 % of it lie nearer. The nearest face with its edges is 25 %, the next layer of corners
    # (1 voxel further) another 25 %, so the distance is the gap of 4 voxels and 1 more.
    one = cube((1, 1, 1), side=10)
    two = one | cube((15, 5, 5), side=3)
    reference, predicted = (two, one) if swapped else (one, two)
    assert score_structure(reference, predicted, ISOTROPIC_MM).values["hd95_mm"] == 5.0


def test_a_structure_that_touches_the_border_has_a_surface_there() -> None:
    # The reference fills the image; the prediction lacks one layer of 2 mm at the border.
    volume = (4, 4, 4)
    score = score_structure(box((0, 0, 0), volume, volume), box((1, 0, 0), (3, 4, 4), volume), SPACING_ZYX_MM)
    # By voxels: 16 of 100 distances are of the layer that is lacking.
    assert_says(
        score,
        status="ok",
        dice=2 * 48 / (64 + 48),
        hd95_mm=2.0,
        hd95_voxels_mm=2.0,
        reference_ml=0.064,
        predicted_ml=0.048,
    )


def test_every_metric_of_a_score_is_computed() -> None:
    assert tuple(COMPUTED) == IN_SCORES


# Label maps of 4 x 6 x 12 voxels; of two voxels in a row the prediction has the second, and one more.
NOTHING = np.zeros(EMPTY.shape, dtype=np.uint8)
THERE = NOTHING.copy()
THERE[1, 2, 3:5] = 1
MOVED = NOTHING.copy()
MOVED[1, 2, 4:6] = 1
VALUES = {
    # Dice: 2 x 1 / (2 + 2). The surface's far corners are 1 mm away (4 of 12, more than 5 %), and so is the voxel
    # that each has for itself (2 distances of 4; the 95th percentile of 0, 0, 1, 1 is 1).
    "found": (THERE, MOVED, {"dice": 0.5, "hd95_mm": 1.0, "hd95_voxels_mm": 1.0}),
    "miss": (THERE, NOTHING, {"dice": 0.0, "hd95_mm": 13.0, "hd95_voxels_mm": 13.0}),
    "false alarm": (NOTHING, THERE, {"dice": 0.0, "hd95_mm": 13.0, "hd95_voxels_mm": 13.0}),
    "both empty": (NOTHING, NOTHING, {"dice": None, "hd95_mm": None, "hd95_voxels_mm": None}),
}


@pytest.mark.parametrize("metric", IN_SCORES)
@pytest.mark.parametrize("case", VALUES)
def test_each_metric_has_a_number_for_each_way_that_a_test_can_end(case: str, metric: str) -> None:
    reference_ZYX, predicted_ZYX, expected = VALUES[case]
    score = score_exam(reference_ZYX, predicted_ZYX, {"tumour": (1,)}, DIAGONAL_13_MM)["tumour"]
    assert score.values[metric] == expected[metric]


def test_what_several_metrics_need_is_computed_once() -> None:
    pair = Pair(reference_ZYX=cube((3, 3, 3)), predicted_ZYX=cube((4, 3, 3)), spacing_zyx_mm=SPACING_ZYX_MM)
    assert pair.surface_distances is pair.surface_distances
    assert pair.border_distances_mm is pair.border_distances_mm


def test_both_empty_is_undefined() -> None:
    score = score_structure(EMPTY, EMPTY, DIAGONAL_13_MM)
    assert_says(
        score,
        status="both-empty",
        dice=None,
        hd95_mm=None,
        hd95_voxels_mm=None,
        reference_ml=0.0,
        predicted_ml=0.0,
    )


def test_a_false_alarm_costs_the_diagonal_of_the_image() -> None:
    score = score_structure(EMPTY, VOXEL, DIAGONAL_13_MM)
    assert_says(
        score,
        status="false-alarm",
        dice=0.0,
        hd95_mm=13.0,
        hd95_voxels_mm=13.0,
        reference_ml=0.0,
        predicted_ml=0.001,
    )


def test_a_miss_costs_the_diagonal_of_the_image() -> None:
    score = score_structure(VOXEL, EMPTY, DIAGONAL_13_MM)
    assert_says(
        score,
        status="miss",
        dice=0.0,
        hd95_mm=13.0,
        hd95_voxels_mm=13.0,
        reference_ml=0.001,
        predicted_ml=0.0,
    )


def test_no_structure_is_farther_than_a_missed_one() -> None:
    opposite_corners = (box((0, 0, 0), (1, 1, 1), EMPTY.shape), box((3, 5, 11), (1, 1, 1), EMPTY.shape))
    hd95_mm = score_structure(*opposite_corners, DIAGONAL_13_MM).values["hd95_mm"]
    assert hd95_mm is not None
    assert hd95_mm <= 13.0


@pytest.mark.parametrize(
    ("shift_zyx", "distance_mm"), [((3, 0, 0), 6.0), ((0, 3, 0), 3.0), ((0, 0, 3), 1.5), ((2, 3, 0), 5.0)]
)
def test_by_voxels_one_is_as_far_from_another_as_their_centres(
    shift_zyx: tuple[int, int, int], distance_mm: float
) -> None:
    z, y, x = shift_zyx
    score = score_structure(cube((2, 5, 5), side=1), cube((2 + z, 5 + y, 5 + x), side=1), SPACING_ZYX_MM)
    assert score.values["hd95_voxels_mm"] == pytest.approx(distance_mm)


def test_by_voxels_both_directions_count_together() -> None:
    # A cube of 4 voxels in the middle of one of 10: their borders have 56 and 488 voxels. Of 544 distances the
    # largest are those of the outer cube's 8 corners, sqrt(3² + 3² + 3²), then of 24 voxels beside them,
    # sqrt(3² + 3² + 2²): the 95th percentile, between the 28th and the 29th, is the latter.
    score = score_structure(cube((3, 3, 3), side=10), cube((6, 6, 6), side=4), ISOTROPIC_MM)
    assert score.values["hd95_voxels_mm"] == pytest.approx(math.sqrt(22))


@pytest.mark.parametrize("swapped", [False, True])
def test_by_voxels_pooled_distances_hide_the_worse_direction(swapped: bool) -> None:
    # The far cube has 26 border voxels: 5.1 % of the 514 of one structure, and 2.6 % of the 1002 of both.
    one = cube((1, 1, 1), side=10)
    two = one | cube((15, 5, 5), side=3)
    reference, predicted = (two, one) if swapped else (one, two)
    assert score_structure(reference, predicted, ISOTROPIC_MM).values["hd95_voxels_mm"] == 0.0


MASKS = hnp.arrays(bool, (3, 4, 5))


def medpy_hd95_mm(one: Mask, two: Mask, spacing_zyx_mm: tuple[float, ...]) -> float:
    """MedPy's definition, voxel by voxel: every distance between borders, both directions pooled."""

    def border_mm(mask_ZYX: Mask) -> NDArray[np.float64]:
        padded = np.pad(mask_ZYX, 1)
        steps = [np.roll(np.eye(3, dtype=int)[0] * sign, axis) for axis in range(3) for sign in (-1, 1)]
        voxels = np.argwhere(padded)
        outside = [any(not padded[tuple(voxel + step)] for step in steps) for voxel in voxels]
        return np.array(voxels[outside] * np.array(spacing_zyx_mm), dtype=float)

    first, second = border_mm(one), border_mm(two)
    distances_mm = np.sqrt(((first[:, None] - second[None]) ** 2).sum(axis=2))
    return float(np.percentile(np.concatenate([distances_mm.min(axis=1), distances_mm.min(axis=0)]), 95))


@given(MASKS, MASKS)
def test_hd95_by_voxels_is_medpys(one: Mask, two: Mask) -> None:
    score = score_structure(one, two, SPACING_ZYX_MM)
    if score.status == "ok":
        assert score.values["hd95_voxels_mm"] == pytest.approx(medpy_hd95_mm(one, two, SPACING_ZYX_MM))
    else:
        assert score.values["hd95_voxels_mm"] == score.values["hd95_mm"]


def test_hd95_by_voxels_is_medpys_of_balls_that_touch_the_border() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(18)] * 3, indexing="ij"))
    one, two = (
        ((grid - np.array(centre)[:, None, None, None]) ** 2).sum(axis=0) < radius**2
        for centre, radius in (((7, 8, 9), 6), ((9, 9, 12), 8))
    )
    for masks in ((one, two), (two, one), (one & two, one | two)):
        score = score_structure(*masks, SPACING_ZYX_MM)
        assert score.values["hd95_voxels_mm"] == pytest.approx(medpy_hd95_mm(*masks, SPACING_ZYX_MM))


@given(MASKS, MASKS)
def test_reference_and_prediction_are_treated_alike(one: Mask, two: Mask) -> None:
    score, swapped = score_structure(one, two, SPACING_ZYX_MM), score_structure(two, one, SPACING_ZYX_MM)
    opposite = {"miss": "false-alarm", "false-alarm": "miss"}
    assert swapped.status == opposite.get(score.status, score.status)
    assert swapped.values == score.values
    assert (swapped.reference_ml, swapped.predicted_ml) == (score.predicted_ml, score.reference_ml)


@given(MASKS, MASKS, st.tuples(*[st.integers(0, 3)] * 6))
def test_empty_space_around_a_structure_changes_nothing_but_the_diagonal(
    one: Mask, two: Mask, margins: tuple[int, ...]
) -> None:
    score = score_structure(one, two, SPACING_ZYX_MM)
    around = [(margins[0], margins[1]), (margins[2], margins[3]), (margins[4], margins[5])]
    padded = score_structure(np.pad(one, around), np.pad(two, around), SPACING_ZYX_MM)
    assert (padded.status, padded.values["dice"]) == (score.status, score.values["dice"])
    assert padded.reference_ml == score.reference_ml
    if score.status == "ok":
        assert padded.values == score.values


def test_an_exam_has_a_score_for_each_class_and_for_their_union() -> None:
    reference_ZYX = 1 * cube((1, 1, 1)).astype(np.uint8) + 2 * cube((10, 10, 10)).astype(np.uint8)
    predicted_ZYX = 1 * cube((1, 1, 1)).astype(np.uint8) + 3 * cube((11, 10, 10)).astype(np.uint8)
    scores = score_exam(
        reference_ZYX, predicted_ZYX, structures("core", "edema", "cyst", "necrosis"), SPACING_ZYX_MM
    )
    diagonal_mm = math.sqrt(40**2 + 20**2 + 10**2)
    assert {name: (s.status, s.values["dice"], s.values["hd95_mm"]) for name, s in scores.items()} == {
        "core": ("ok", 1.0, 0.0),
        "edema": ("miss", 0.0, diagonal_mm),
        "cyst": ("false-alarm", 0.0, diagonal_mm),
        "necrosis": ("both-empty", None, None),
        "union": (
            "ok",
            2 * (64 + 48) / (128 + 128),
            2.0,
        ),  # the moved face is 1/14 of a surface, its edges more
    }
    assert list(scores) == ["core", "edema", "cyst", "necrosis", "union"]


def test_the_only_class_is_its_own_union() -> None:
    labels_ZYX = cube((1, 1, 1)).astype(np.uint8)
    assert list(score_exam(labels_ZYX, labels_ZYX, structures("tumour"), ISOTROPIC_MM)) == ["tumour"]


def test_an_exam_without_any_structure_is_empty_in_all() -> None:
    empty_ZYX = np.zeros((3, 3, 3), dtype=np.uint8)
    scores = score_exam(empty_ZYX, empty_ZYX, structures("core", "edema"), ISOTROPIC_MM)
    assert [score.status for score in scores.values()] == ["both-empty"] * 3


def test_scores_are_plain_numbers_where_the_header_holds_float32() -> None:
    spacing = np.array([2.0, 0.1, 0.1], dtype=np.float32)
    score = score_structure(cube((3, 3, 3)), cube((4, 3, 3)), spacing)  # type: ignore[arg-type]
    assert {type(value) for value in score.model_dump().values()} == {str, float}


def test_a_label_without_a_name_is_an_error() -> None:
    labels_ZYX = np.full((2, 2, 2), 3, dtype=np.uint8)
    with pytest.raises(
        ValueError, match=r"the prediction has label 3; expected 0 \(background\) to 2 \(core, ed"
    ):
        score_exam(np.zeros_like(labels_ZYX), labels_ZYX, structures("core", "edema"), ISOTROPIC_MM)


def test_masks_on_different_grids_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"one shape \(z, y, x\); got \(4, 6, 12\) and \(4, 12, 6\)"):
        score_structure(EMPTY, EMPTY.transpose(0, 2, 1), ISOTROPIC_MM)


@pytest.mark.parametrize(
    "spacing", [(1.0, 0.0, 1.0), (1.0, -1.0, 1.0), (1.0, math.nan, 1.0), (1.0, math.inf, 1.0), (1.0, 1.0)]
)
def test_a_spacing_that_is_not_three_positive_numbers_is_an_error(spacing: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="3 positive numbers of mm"):
        score_structure(EMPTY, EMPTY, spacing)


def surface_voxels_hd95_mm(one: Mask, two: Mask, spacing_zyx_mm: tuple[float, ...]) -> float:
    """HD95 between the centres of the voxels at the surfaces, all of the same weight (as MONAI defines it)."""
    crop = ndimage.find_objects((one | two).astype(np.uint8))[0]
    one, two = np.pad(one[crop], 1), np.pad(two[crop], 1)
    edge_one, edge_two = (mask & ~ndimage.binary_erosion(mask) for mask in (one, two))

    def directed(start: Mask, end: Mask) -> Any:
        distance_mm = ndimage.distance_transform_edt(~end, sampling=spacing_zyx_mm)
        return np.percentile(distance_mm[start], 95)

    return float(max(directed(edge_one, edge_two), directed(edge_two, edge_one)))


def load(path: Path) -> tuple[NDArray[np.uint8], tuple[float, ...]]:
    image = nib.Nifti1Image.from_filename(path)
    return np.asarray(image.dataobj).T.astype(np.uint8), tuple(map(float, image.header.get_zooms()[::-1]))


@pytest.mark.real_data
@pytest.mark.skipif(not REAL_MASKS.exists(), reason="the real masks are not beside this checkout")
@pytest.mark.parametrize(
    "patient", ["8", "77", "78", "80", "81", "84", "86", "88", "90", "91", "93", "94", "95", "96", "99"]
)
def test_scores_of_real_masks_agree_with_an_independent_implementation(patient: str) -> None:
    reference_ZYX, spacing = load(REAL_MASKS / patient / "label_midRT.nii.gz")
    predicted_ZYX, _ = load(REAL_MASKS / patient / "preRT_mask_registered.nii.gz")
    masks = {
        "primary": (reference_ZYX == 1, predicted_ZYX == 1),
        "nodes": (reference_ZYX == 2, predicted_ZYX == 2),
        "union": (reference_ZYX != 0, predicted_ZYX != 0),
    }
    scores = score_exam(reference_ZYX, predicted_ZYX, structures("primary", "nodes"), spacing)
    assert list(scores) == list(masks)
    for name, (reference, predicted) in masks.items():
        score = scores[name]
        present = (bool(reference.any()), bool(predicted.any()))
        assert (
            score.status
            == {
                (True, True): "ok",
                (True, False): "miss",
                (False, True): "false-alarm",
                (False, False): "both-empty",
            }[present]
        )
        assert score.reference_ml == pytest.approx(reference.sum() * np.prod(spacing) / 1000)
        assert score.predicted_ml == pytest.approx(predicted.sum() * np.prod(spacing) / 1000)
        if score.status == "ok":
            only_one = np.count_nonzero(reference != predicted)
            assert score.values["dice"] == pytest.approx(1 - only_one / (reference.sum() + predicted.sum()))
            # Corners of voxels weighted by area on one side, centres of voxels on the other: a point of either
            # surface moves by half a voxel's diagonal.
            expected_mm = surface_voxels_hd95_mm(reference, predicted, spacing)
            assert score.values["hd95_mm"] == pytest.approx(expected_mm, abs=math.hypot(*spacing))
