"""All statistics of a run together."""

from math import ceil

import numpy as np
import pytest
from pandas import concat

from submit.analysis.adjustment import adjusted
from submit.analysis.analysis import Analysis, analyse
from submit.analysis.bootstrap import Bootstrap, draws_for
from submit.analysis.paired_tests import equivalence
from submit.analysis.pairing import by_arm, differences
from submit.analysis.plan import patients_for_margin, rounded
from submit.analysis.power import detectable
from submit.analysis.verdict import margin_level
from tests.submit.analysis.tables import REFERENCE, Test, design, paired, table

ARMS = (REFERENCE, "without a", "without b", "without c", "without d")
EFFECTS = {"without a": -0.15, "without b": 0.0, "without c": -0.03, "without d": 0.06}


def simulated(patients: int = 20, *, seed: int = 1, noise: float = 0.004, further: int = 2) -> list[Test]:
    """Two visits of every third patient; `without b` differs by retraining alone, `without c` by patients too."""
    draw = np.random.default_rng(seed)
    tests: list[Test] = []
    for patient in range(patients):
        own = draw.normal(0.7, 0.05)
        varies = draw.normal(0, 0.06)
        for visit in range(1 + (patient % 3 == 0)):
            name = (f"p{patient:02}", f"e{patient:02}.{visit}")
            tests += [(*name, 1 + n, REFERENCE, own + draw.normal(0, noise)) for n in range(further)]
            for arm in ARMS:
                shift = EFFECTS.get(arm, 0.0) + (varies if arm == "without c" else 0.0)
                tests.append((*name, 0, arm, own + shift + draw.normal(0, noise)))
    return tests


def analysed(tests: list[Test], **changes: object) -> Analysis:
    exams = list(dict.fromkeys((patient, exam) for patient, exam, *_ in tests))
    return analyse(table(tests), design(exams, arms=ARMS, **changes), run="r", manifest="m")


@pytest.fixture(scope="module")
def whole() -> Analysis:
    return analysed(simulated())


def test_each_planted_effect_gets_its_verdict(whole: Analysis) -> None:
    assert [each.verdict for each in whole.verdicts] == ["needed", "droppable", "undecided", "droppable"]
    assert [each.left_out for each in whole.verdicts] == [("a",), ("b",), ("c",), ("d",)]
    assert whole.answer == [
        "Most influential: a; least: d.",
        "With patients drawn anew from these 20, a comes first 100 times of 100.",
        "Needed: a.",
        "Can be left out, one of these at a time: d, b.",
        "That is about the mean; a large loss that none of 20 patients had may still happen in up to 14 of 100 "
        "others (95 % bound).",
        "Undecided: c (with harm to HD95 of tumour).",
    ]


def test_every_verdict_has_its_numbers_in_a_sentence(whole: Analysis) -> None:
    needed, droppable, undecided, better = (each.sentence for each in whole.verdicts)
    assert needed.startswith("Dice of tumour changes by −0.1")
    assert "20 patients), p < 0.001: a loss of more than the margin, 0.020" in needed
    assert needed.endswith("is shown. 20 of 20 patients lose more than the margin.")
    assert "a loss of 0.020 or more is ruled out, p = 0.00035 (one-sided; below 0.0017)" in droppable
    assert "a difference is not shown, and a loss of 0.020 is not ruled out." in undecided
    assert "a loss of 0.020 or more is ruled out" in better


def test_it_says_what_would_decide_and_only_for_what_is_undecided(whole: Analysis) -> None:
    plans = [each.leading.plan for each in whole.verdicts]
    assert [plan is None for plan in plans] == [True, True, False, True]
    assert plans[2] is not None
    assert plans[2].patients is not None
    sd = whole.of_endpoint["without c"].sd
    assert sd is not None
    exact = patients_for_margin(0.02, sd, alpha=0.05 / 4)
    assert exact is not None
    assert plans[2].patients == rounded(exact)
    assert plans[2].exams == rounded(ceil(exact * 27 / 20))
    assert plans[2].repeats is None  # patients differ, and no repeat makes them alike
    assert whole.verdicts[2].sentence.endswith(
        f"To tell a loss of 0.020 from none would take about {plans[2].patients} patients "
        f"({plans[2].exams} exams)."
    )


def test_where_retraining_explains_all_an_arm_is_not_distinguishable() -> None:
    found = analysed(simulated(12, noise=0.06, seed=2)).verdicts[1]
    floor = found.leading.floor
    assert floor is not None
    assert found.verdict == "not distinguishable"
    assert (
        f"training the same network again changes it by up to ±{floor.value:.3f} ({floor.low:.3f} to "
        f"{floor.high:.3f}), which is {100 * floor.share:.0f} % of the scatter." in found.sentence
    )


def test_counts_are_of_patients_exams_and_tests(whole: Analysis) -> None:
    assert (whole.patients, whole.exams, whole.repeats, whole.missing_tests) == (20, 27, 1, 0)
    assert whole.worst_cases == ()
    assert not any(each.depends_on_missing for each in whole.verdicts)
    assert whole.noise is not None
    assert whole.noise.degrees_of_freedom == 2 * 27


def test_a_study_without_further_repeats_has_no_floor_and_says_nothing_of_it() -> None:
    found = analysed(simulated(further=0))
    assert found.noise is None
    assert {each.leading.floor for each in found.verdicts} == {None}
    assert not found.has_floor
    assert "training" not in "".join(each.sentence for each in found.verdicts)


def test_a_partial_run_is_analysed_and_says_on_what_it_hangs() -> None:
    tests = [test for test in simulated() if not (test[0] in ("p18", "p19") and test[3] == "without b")]
    found = analysed(tests)
    assert found.missing_tests == 3  # p18 has two visits
    assert [each.missing for each in found.worst_cases] == [0, 3, 0, 0]
    assert [each.depends_on_missing for each in found.verdicts] == [False, True, False, False]


def test_the_first_comparison_alone_is_analysed() -> None:
    found = analysed(simulated()[:7])
    assert {each.verdict for each in found.verdicts} <= {"undecided", "not distinguishable"}
    assert found.friedman is None
    assert found.detectable is None


@pytest.mark.parametrize("metric", ["dice", "hd95_mm"])
def test_nothing_at_all_is_undecided(metric: str) -> None:
    found = analyse(table([]), design(5, arms=ARMS, metric=metric), run="r", manifest="m")
    assert {each.verdict for each in found.verdicts} == {"undecided"}
    assert "has no pair of tests" in found.verdicts[0].sentence
    assert found.missing_tests == 25


def test_a_distance_without_a_margin_is_never_needed_and_droppable_only_if_better() -> None:
    found = analysed(simulated(12, seed=2), metric="hd95_mm", margin=None)
    worse, alike, _, better = found.verdicts
    assert [each.verdict for each in (worse, alike, better)] == ["worse", "not distinguishable", "droppable"]
    assert worse.sentence.startswith("HD95 of tumour changes by +1.5 mm (95 % interval +1.5 to +1.5; ")
    assert worse.sentence.endswith("a loss is shown; no margin was stated that would say whether it matters.")
    assert "better without it" in better.sentence
    assert {each.verdict for each in found.verdicts} & {"needed"} == set()


def test_a_distance_with_a_margin_is_needed_beyond_it() -> None:
    found = analysed(simulated(12, seed=2), metric="hd95_mm", margin=1.0).verdicts[0]
    assert found.verdict == "needed"
    assert "a loss of more than the margin, 1.0 mm, is shown" in found.sentence


def test_an_analysis_is_the_same_each_time_and_outlives_its_file(whole: Analysis) -> None:
    again = analysed(simulated())
    assert again.to_json() == whole.to_json()
    assert Analysis.model_validate_json(whole.to_json()) == whole


def test_five_patients_find_nothing_however_large() -> None:
    found = analysed(simulated(5, noise=0.02, further=0)).verdicts[0]
    assert (found.verdict, found.leading.detectable, found.leading.low) == ("undecided", None, None)
    assert found.leading.loss is not None
    assert found.leading.loss > 0.1


def test_every_number_is_at_the_level_and_over_the_units_that_it_says(whole: Analysis) -> None:
    assert whole.friedman is not None
    assert whole.friedman.patients == 20  # of 27 exams
    spreads = [each.sd for each in whole.comparisons[:4] if each.sd is not None]
    assert whole.detectable is not None
    assert whole.detectable.sd == pytest.approx(np.median(spreads))
    assert whole.detectable.all_arms == detectable(whole.detectable.sd, 20, alpha=0.05 / 4)
    for verdict, sd in zip(whole.verdicts, spreads, strict=True):
        assert verdict.leading.detectable == detectable(sd, 20, alpha=0.05 / 4)


def test_each_family_has_its_own_adjustment(whole: Analysis) -> None:
    others = {(each.arm, each.structure, each.metric): each.p for each in whole.comparisons[4:]}
    found = {(each.arm, each.structure, each.metric): each.p_adjusted for each in whole.comparisons[4:]}
    assert found == adjusted(others, "fdr_bh") != adjusted(others, "holm")
    raw = {each.arm: each.leading.p_not_worse for each in whole.verdicts}
    tests = by_arm(table(simulated()), "tumour", "dice").loc[[0]]
    losses = -differences(tests)
    means = Bootstrap(
        losses[list(ARMS[1:])].to_numpy(), 0, lambda patients: draws_for(margin_level(patients) / 4)
    )
    one_sided = {}
    for column, arm in enumerate(ARMS[1:]):
        p, equal = means.p_at_or_above(column, 0.02), equivalence(losses[arm].to_numpy(), 0.02)
        assert p is not None
        assert equal is not None
        one_sided[arm] = max(equal.p_below_upper, p)
    assert raw == pytest.approx(adjusted(one_sided, "holm"))
    assert raw != pytest.approx(adjusted(one_sided, "fdr_bh"))


def test_comparisons_of_the_endpoint_are_found_by_arm_in_whatever_order_they_are(whole: Analysis) -> None:
    assert [each.metric for each in whole.of_endpoint.values()] == ["dice"] * 4
    turned = whole.model_copy(update={"comparisons": tuple(reversed(whole.comparisons))})
    assert turned.of_endpoint == whole.of_endpoint
    assert {
        arm: -each.mean for arm, each in whole.of_endpoint.items() if each.mean is not None
    } == pytest.approx({each.arm: each.leading.loss for each in whole.verdicts})


def test_droppable_says_of_how_many_patients() -> None:
    little = [0.001 * (-1) ** n for n in range(36)]
    arms = {"a": little, "b": [*little[:34], None, None], "c": [*little[:30], *([None] * 6)]}
    rows = table(paired([0.7] * 36, **arms))
    found = analyse(rows, design(36, arms=ARMS[:4]), run="r", manifest="m")
    assert [each.verdict for each in found.verdicts] == ["droppable"] * 3
    assert [each.complete for each in found.verdicts] == [True, True, False]
    assert found.unseen == (34, pytest.approx(1 - 0.05 ** (1 / 34)))  # of what the headline names
    assert [each.depends_on_missing for each in found.verdicts] == [False, True, True]


def test_of_several_structures_the_rarest_says_how_many_patients_are_behind_droppable() -> None:
    of = design(36, arms=ARMS[:2], structures=("T", "N"), further_structures=("N",))
    little = [0.001 * (-1) ** n for n in range(36)]
    rows = [table(paired([0.7] * 36, a=little), structure="T")]
    rows.append(table(paired([0.7] * 36, a=[*little[:12], *[None] * 24]), structure="N"))
    found = analyse(concat(rows, ignore_index=True), of, run="r", manifest="m")
    assert found.verdicts[0].verdict == "droppable"
    assert found.unseen == (12, pytest.approx(1 - 0.05 ** (1 / 12)))


def test_an_open_verdict_depends_on_what_is_missing() -> None:
    spread = [0.03 * (-1) ** n for n in range(12)]
    rows = table(paired([0.7] * 12, a=[*spread[:11], None], b=[*spread]))
    a, b = analyse(rows, design(12), run="r", manifest="m").verdicts
    assert (a.verdict, a.depends_on_missing) == ("undecided", True)
    assert (b.verdict, b.depends_on_missing) == ("undecided", False)


def test_an_incomplete_arm_never_reaches_the_headline() -> None:
    """Of 30 tests, without a has 26 and is clearly needed; without b has 27, nine tenths, and is droppable."""
    little = [0.001 * (-1) ** n for n in range(30)]
    loss = [-0.3 - 0.001 * n for n in range(26)]
    rows = table(paired([0.7] * 30, a=[*loss, *([None] * 4)], b=[*little[:27], *([None] * 3)]))
    found = analyse(rows, design(30), run="r", manifest="m")
    a, b = found.verdicts
    assert (a.verdict, a.pairs, a.planned, a.complete) == ("needed", 26, 30, False)
    assert (b.verdict, b.pairs, b.complete) == ("droppable", 27, True)
    assert found.answer == [
        "Can be left out, one of these at a time: b (27 of 30 tests, the others could change it).",
        "That is about the mean; a large loss that none of 27 patients had may still happen in up to 11 of 100 "
        "others (95 % bound).",
        "Too few tests for a verdict yet: a (26 of 30).",
    ]
    assert found.unseen == (27, pytest.approx(1 - 0.05 ** (1 / 27)))


def test_a_reference_that_lacks_tests_makes_every_arm_incomplete() -> None:
    tests = paired([0.7] * 12, a=[-0.3 - 0.01 * n for n in range(12)], b=[0.0] * 12)
    rows = table(test for test in tests if test[3] != REFERENCE or test[0] < "p10")
    found = analyse(rows, design(12), run="r", manifest="m")
    assert [each.pairs for each in found.verdicts] == [10, 10]
    assert found.answer == ["Too few tests for a verdict yet: a (10 of 12), b (10 of 12)."]
    assert found.missing_tests == 2
