"""The numbering of folds is pinned here: these literal values must never change."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.contract.errors import StudyError
from job.contract.grid import Arm, Fold, Grid, leave_out_arms

CHANNELS = ("t2", "t1", "t1c", "t2star", "ktrans", "ve", "adc")
ACQUISITIONS = {c: (c,) for c in CHANNELS if c not in ("ktrans", "ve")} | {"dce": ("ktrans", "ve")}


def make_grid(**changes: Any) -> Grid:
    """Two channels, so three arms; six exams of four patients."""
    settings: dict[str, Any] = {
        "arms": leave_out_arms(("t2", "t1"), {}, "channels"),
        "patients": ("a", "a", "b", "c", "c", "d"),
        "test_unit": "exam",
        "repeats": 1,
        "reference_repeats": 0,
        "seed": 0,
        "validation_patients": 0,
    }
    return Grid(**settings | changes)


def reference_size(**changes: Any) -> Grid:
    """The reference study: 8 arms x 36 exams = 288 folds."""
    arms = leave_out_arms(CHANNELS, ACQUISITIONS, "channels")
    return make_grid(arms=arms, patients=tuple(f"patient{n}" for n in range(36)), **changes)


def folds_of(grid: Grid) -> list[Fold]:
    return [grid.fold(index) for index in range(len(grid))]


GOLDEN = [
    # index, arm, test exams, repeat, training exams, validation exams
    (0, "reference", (0,), 0, (2, 5), (3, 4)),
    (1, "without t2", (0,), 0, (2, 5), (3, 4)),
    (2, "without t1", (0,), 0, (2, 5), (3, 4)),
    (3, "reference", (1,), 0, (2, 5), (3, 4)),
    (4, "without t2", (1,), 0, (2, 5), (3, 4)),
    (5, "without t1", (1,), 0, (2, 5), (3, 4)),
    (6, "reference", (2,), 0, (3, 4, 5), (0, 1)),
    (7, "without t2", (2,), 0, (3, 4, 5), (0, 1)),
    (8, "without t1", (2,), 0, (3, 4, 5), (0, 1)),
    (9, "reference", (3,), 0, (0, 1, 2), (5,)),
    (10, "without t2", (3,), 0, (0, 1, 2), (5,)),
    (11, "without t1", (3,), 0, (0, 1, 2), (5,)),
    (12, "reference", (4,), 0, (0, 1, 5), (2,)),
    (13, "without t2", (4,), 0, (0, 1, 5), (2,)),
    (14, "without t1", (4,), 0, (0, 1, 5), (2,)),
    (15, "reference", (5,), 0, (2, 3, 4), (0, 1)),
    (16, "without t2", (5,), 0, (2, 3, 4), (0, 1)),
    (17, "without t1", (5,), 0, (2, 3, 4), (0, 1)),
    (18, "reference", (0,), 1, (2, 5), (3, 4)),
    (19, "reference", (1,), 1, (3, 4, 5), (2,)),
    (20, "reference", (2,), 1, (0, 1, 3, 4), (5,)),
    (21, "reference", (3,), 1, (2, 5), (0, 1)),
    (22, "reference", (4,), 1, (2, 5), (0, 1)),
    (23, "reference", (5,), 1, (0, 1, 3, 4), (2,)),
]


def test_an_index_means_the_same_thing_for_ever() -> None:
    folds = folds_of(make_grid(reference_repeats=1, validation_patients=1))
    assert [
        (f.index, f.arm.name, f.test_exams, f.repeat, f.training_exams, f.validation_exams) for f in folds
    ] == GOLDEN


@pytest.mark.parametrize(
    ("index", "arm", "exam"),
    [
        (0, "reference", 0),
        (1, "without t2", 0),
        (7, "without adc", 0),
        (8, "reference", 1),
        (100, "without t2star", 12),  # 100 = 12 * 8 + 4
        (151, "without adc", 18),  # 151 = 18 * 8 + 7
        (280, "reference", 35),
        (287, "without adc", 35),
    ],
)
def test_eight_arms_of_36_exams_are_288_folds_in_this_order(index: int, arm: str, exam: int) -> None:
    grid = reference_size()
    assert len(grid) == 288
    assert grid.extent == "8 arms x 36 exams x 1 repeat"
    fold = grid.fold(index)
    assert (fold.index, fold.arm.name, fold.test_exams, fold.repeat) == (index, arm, (exam,), 0)
    assert fold.training_exams == tuple(other for other in range(36) if other != exam)
    assert fold.validation_exams == ()


@pytest.mark.parametrize(
    ("index", "arm", "exam", "repeat"),
    [
        (287, "without adc", 35, 0),
        (288, "reference", 0, 1),
        (575, "without adc", 35, 1),
        (576, "reference", 0, 2),
        (611, "reference", 35, 2),
        (612, "reference", 0, 3),
        (647, "reference", 35, 3),
    ],
)
def test_repeats_follow_each_other_and_those_of_the_reference_come_last(
    index: int, arm: str, exam: int, repeat: int
) -> None:
    grid = reference_size(repeats=2, reference_repeats=2)
    assert (grid.paired_folds, len(grid)) == (576, 648)
    assert grid.extent == "8 arms x 36 exams x 2 repeats + 2 reference repeats x 36 exams"
    fold = grid.fold(index)
    assert (fold.arm.name, fold.test_exams, fold.repeat, fold.unit) == (arm, (exam,), repeat, exam)


def test_a_unit_of_a_patient_is_all_its_exams() -> None:
    grid = make_grid(test_unit="patient")
    assert grid.units == ((0, 1), (2,), (3, 4), (5,))
    assert grid.extent == "3 arms x 4 patients x 1 repeat"
    folds = folds_of(grid)
    assert [(f.arm.name, f.test_exams) for f in folds[5:8]] == [
        ("without t1", (2,)),
        ("reference", (3, 4)),
        ("without t2", (3, 4)),
    ]
    assert [f.training_exams for f in folds[::3]] == [
        (2, 3, 4, 5),
        (0, 1, 3, 4, 5),
        (0, 1, 2, 5),
        (0, 1, 2, 3, 4),
    ]


@pytest.mark.parametrize("index", [-1, 288, 10**9])
def test_an_index_outside_the_grid_names_both(index: int) -> None:
    with pytest.raises(
        StudyError,
        match=re.escape(
            f"fold {index} is outside 0..287 (8 arms x 36 exams x 1 repeat); use an index within 0..287"
        ),
    ):
        reference_size().fold(index)


@pytest.mark.parametrize(("patients", "validation", "needed"), [("aaa", 0, 2), ("ab", 1, 3), ("abcd", 3, 5)])
def test_too_few_patients_are_refused(patients: str, validation: int, needed: int) -> None:
    with pytest.raises(
        ValueError, match=f"the cohort has {len(set(patients))} patients; {needed} are needed: one to test"
    ):
        make_grid(patients=tuple(patients), validation_patients=validation)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Random designs over cohorts whose patients have one to four exams."""
    patients = [f"p{n}" for n in range(draw(st.integers(2, 9)))]
    return Grid(
        arms=leave_out_arms("vwxyz"[: draw(st.integers(2, 5))], {}, "channels"),
        patients=tuple(p for p in patients for _ in range(draw(st.integers(1, 4)))),
        test_unit=draw(st.sampled_from(["exam", "patient"])),
        repeats=draw(st.integers(1, 3)),
        reference_repeats=draw(st.integers(0, 2)),
        seed=draw(st.integers(0, 2**63 - 1)),
        validation_patients=draw(st.integers(0, len(patients) - 2)),
    )


@given(grids())
def test_a_fold_never_trains_or_validates_on_its_test_patient(grid: Grid) -> None:
    for fold in folds_of(grid):
        tested = {grid.patients[exam] for exam in fold.test_exams}
        trained = {grid.patients[exam] for exam in fold.training_exams}
        validated = {grid.patients[exam] for exam in fold.validation_exams}
        assert len(tested) == 1
        assert tested.isdisjoint(trained | validated)
        assert trained.isdisjoint(validated)
        assert trained
        assert len(validated) == grid.validation_patients
        others = [exam for exam, patient in enumerate(grid.patients) if patient not in tested]
        assert sorted(fold.training_exams + fold.validation_exams) == others


@given(grids())
def test_consecutive_folds_form_complete_paired_comparisons(grid: Grid) -> None:
    folds = folds_of(grid)
    for first in range(0, grid.paired_folds, len(grid.arms)):
        comparison = folds[first : first + len(grid.arms)]
        assert tuple(fold.arm for fold in comparison) == grid.arms
        alike = [replace(fold, index=0, arm=grid.arms[0]) for fold in comparison]
        assert alike == alike[:1] * len(grid.arms)
    assert all(fold.arm.name == "reference" for fold in folds[grid.paired_folds :])


@given(grids())
def test_every_arm_of_every_unit_and_repeat_has_one_index(grid: Grid) -> None:
    wanted = {
        (arm.name, u, r) for arm in grid.arms for u in range(len(grid.units)) for r in range(grid.repeats)
    }
    wanted |= {
        ("reference", u, grid.repeats + r)
        for u in range(len(grid.units))
        for r in range(grid.reference_repeats)
    }
    found = [(fold.arm.name, fold.unit, fold.repeat) for fold in folds_of(grid)]
    assert len(found) == len(wanted)
    assert set(found) == wanted


def test_the_validation_patients_depend_on_seed_repeat_and_unit() -> None:
    grid = reference_size(repeats=3, validation_patients=5)
    other_seed = reference_size(repeats=3, validation_patients=5, seed=1)
    drawn = {fold.validation_exams for g in (grid, other_seed) for fold in folds_of(g)}
    assert len(drawn) == 2 * 3 * 36  # of the same draw, only the arms


def test_every_patient_is_as_likely_to_validate() -> None:
    grid = make_grid(patients=tuple("abcdefgh"), validation_patients=2, repeats=1000)
    chosen = [grid.fold(index).validation_exams for index in range(0, len(grid), len(grid.arms))]
    for exam in range(8):
        share = sum(exam in exams for exams in chosen) / len(chosen)
        assert share == pytest.approx(0.25, abs=0.02)  # 2 of 8; 8000 draws: 4 standard errors are 0.02


@pytest.mark.parametrize("test_unit", ["exam", "patient"])
def test_the_units_of_a_large_cohort_are_worked_out_once(test_unit: Any) -> None:
    """Anew for each fold, they would take minutes for these 4800."""
    grid = replace(reference_size(), patients=tuple(f"p{n}" for n in range(600)), test_unit=test_unit)
    assert len(folds_of(grid)) == 4800
    assert grid.units is grid.units


def test_arms_that_leave_out_channels() -> None:
    arms = leave_out_arms(CHANNELS, ACQUISITIONS, "channels")
    assert [arm.name for arm in arms] == [
        "reference",
        "without t2",
        "without t1",
        "without t1c",
        "without t2star",
        "without ktrans",
        "without ve",
        "without adc",
    ]
    assert arms[0] == Arm(name="reference", channels=(0, 1, 2, 3, 4, 5, 6), left_out=())
    assert arms[4] == Arm(name="without t2star", channels=(0, 1, 2, 4, 5, 6), left_out=("t2star",))


def test_arms_that_leave_out_acquisitions() -> None:
    groups = {"t2": ("t2",), "dce": ("ktrans", "ve"), "adc": ("adc",)}
    assert leave_out_arms(("t2", "ktrans", "adc", "ve"), groups, "acquisitions") == (
        Arm(name="reference", channels=(0, 1, 2, 3), left_out=()),
        Arm(name="without t2", channels=(1, 2, 3), left_out=("t2",)),
        Arm(name="without dce", channels=(0, 2), left_out=("ktrans", "ve")),
        Arm(name="without adc", channels=(0, 1, 3), left_out=("adc",)),
    )


def test_arms_that_leave_out_pairs() -> None:
    assert leave_out_arms(("t2", "t1", "adc"), {}, "pairs") == (
        Arm(name="reference", channels=(0, 1, 2), left_out=()),
        Arm(name="without t2 and t1", channels=(2,), left_out=("t2", "t1")),
        Arm(name="without t2 and adc", channels=(1,), left_out=("t2", "adc")),
        Arm(name="without t1 and adc", channels=(0,), left_out=("t1", "adc")),
    )
    assert len(leave_out_arms(CHANNELS, ACQUISITIONS, "pairs")) == 1 + 21


def test_arms_that_keep_one_channel() -> None:
    assert leave_out_arms(("t2", "t1", "adc"), {}, "only-one-in") == (
        Arm(name="reference", channels=(0, 1, 2), left_out=()),
        Arm(name="only t2", channels=(0,), left_out=("t1", "adc")),
        Arm(name="only t1", channels=(1,), left_out=("t2", "adc")),
        Arm(name="only adc", channels=(2,), left_out=("t2", "t1")),
    )


@pytest.mark.parametrize(
    ("channels", "groups", "leave_out", "message"),
    [
        (
            ["t2"],
            {},
            "channels",
            'arm "without t2" would have no channel (leave_out = "channels", channels: t2)',
        ),
        (["t2"], {}, "only-one-in", '"only-one-in" gives no arm beside the reference (channels: t2)'),
        (["t2"], {}, "pairs", '"pairs" gives no arm beside the reference (channels: t2)'),
        (["t2", "t1"], {}, "pairs", 'arm "without t2 and t1" would have no channel'),
        (["t2", "t1"], {"mr": ("t2", "t1")}, "acquisitions", 'arm "without mr" would have no channel'),
        (
            ["a", "a and b", "b and c", "c"],
            {},
            "pairs",
            'two arms would be called "without a and b and c"; rename a channel',
        ),
    ],
)
def test_a_sweep_that_compares_nothing_is_refused(
    channels: list[str], groups: dict[str, tuple[str, ...]], leave_out: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        leave_out_arms(channels, groups, leave_out)
