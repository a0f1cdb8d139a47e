"""All statistics of a run together."""

import numpy as np
import pytest

from submit.analysis.analysis import Analysis, analyse
from submit.analysis.bootstrap import bootstrap_means
from submit.analysis.comparisons import adjusted
from submit.analysis.paired_tests import equivalence
from submit.analysis.pairing import by_arm, differences
from submit.analysis.power import detectable
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


def test_every_verdict_has_its_numbers_in_a_sentence(whole: Analysis) -> None:
    needed, droppable, undecided, better = (each.sentence for each in whole.verdicts)
    assert needed.startswith("Dice of tumour changes by −0.1")
    assert "p < 0.001 (Wilcoxon, Holm over 4 arms); retraining alone changes it by up to ±0.00" in needed
    assert "20 patients" in needed
    assert "a loss of 0.020 or more is ruled out, p < 0.001 (one-sided, Holm)" in droppable
    assert (
        "a difference is not shown, and a loss of 0.020 is not ruled out. To show a difference of"
        in undecided
    )
    assert undecided.endswith(" exams), if the true difference is the one found.")
    assert "a loss of 0.020 or more is ruled out" in better


def test_it_says_what_would_decide_and_only_for_what_is_undecided(whole: Analysis) -> None:
    plans = [each.plan for each in whole.verdicts]
    assert [plan is None for plan in plans] == [True, True, False, True]
    assert plans[2] is not None
    assert plans[2].patients is not None
    assert plans[2].patients > 20
    assert plans[2].exams == pytest.approx(plans[2].patients * 27 / 20, abs=1)
    assert plans[2].repeats is None  # patients differ, and no repeat makes them alike


def test_where_retraining_explains_all_an_arm_is_not_distinguishable() -> None:
    found = analysed(simulated(12, noise=0.06, seed=2)).verdicts[1]
    assert found.verdict == "not distinguishable"
    assert "and retraining alone changes it by up to ±0.0" in found.sentence


def test_counts_are_of_patients_exams_and_tests(whole: Analysis) -> None:
    assert (whole.patients, whole.exams, whole.repeats, whole.missing_tests) == (20, 27, 1, 0)
    assert whole.worst_cases == ()
    assert not any(each.depends_on_missing for each in whole.verdicts)
    assert whole.noise is not None
    assert whole.noise.degrees_of_freedom == 2 * 27


def test_a_study_without_further_repeats_has_no_floor_and_says_nothing_of_it() -> None:
    found = analysed(simulated(further=0))
    assert found.noise is None
    assert {each.noise_floor for each in found.verdicts} == {None}
    assert "retraining" not in found.verdicts[0].sentence


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
    assert "No test of this arm has a partner" in found.verdicts[0].sentence
    assert found.missing_tests == 25


def test_a_distance_without_a_margin_can_be_needed_and_never_droppable_for_being_alike() -> None:
    found = analysed(simulated(seed=2), metric="hd95_mm", margin=None)
    assert found.verdicts[0].verdict == "needed"
    assert "HD95 of tumour changes by +1." in found.verdicts[0].sentence
    assert " mm" in found.verdicts[0].sentence
    assert found.verdicts[1].verdict == "not distinguishable"
    assert found.verdicts[3].verdict == "droppable"
    assert "better without it" in found.verdicts[3].sentence


def test_an_analysis_is_the_same_each_time_and_outlives_its_file(whole: Analysis) -> None:
    again = analysed(simulated())
    assert again.to_json() == whole.to_json()
    assert Analysis.model_validate_json(whole.to_json()) == whole


def test_too_few_patients_for_any_finding_are_told_so() -> None:
    """Of six losses of six, p is 1/32; over four arms 0.05 / 4 is asked for."""
    found = analysed(simulated(6, noise=0.02, further=0)).verdicts[0]
    assert found.verdict == "undecided"
    assert found.detectable is None
    assert found.plan is not None
    assert found.plan.fewest == 8
    assert "So few patients cannot show any difference over 4 arms, however large; 8 can." in found.sentence


def test_a_channel_that_can_be_dropped_says_where_its_absence_hurts() -> None:
    from pandas import concat

    tests = simulated(further=0)
    hurt = [
        (patient, exam, repeat, arm, dice if dice is None else dice - 0.2 * (arm == "without b"))
        for patient, exam, repeat, arm, dice in tests
    ]
    rows = concat([table(tests), table(hurt, structure="node")], ignore_index=True)
    exams = list(dict.fromkeys((patient, exam) for patient, exam, *_ in tests))
    of = design(exams, arms=ARMS, structures=("tumour", "node"))
    found = analyse(rows, of, run="r", manifest="m").verdicts[1]
    assert found.verdict == "droppable"
    assert any(each.startswith("Dice of node −0.1") for each in found.harms)
    assert not any("tumour" in each for each in found.harms)


def test_every_number_is_at_the_level_and_over_the_units_that_it_says(whole: Analysis) -> None:
    assert whole.friedman is not None
    assert whole.friedman.patients == 20  # of 27 exams
    spreads = [each.sd for each in whole.comparisons[:4] if each.sd is not None]
    assert whole.detectable is not None
    assert whole.detectable.sd == pytest.approx(np.median(spreads))
    assert whole.detectable.all_arms == detectable(whole.detectable.sd, 20, alpha=0.05 / 4)
    for verdict, sd in zip(whole.verdicts, spreads, strict=True):
        assert verdict.detectable == detectable(sd, 20, alpha=0.05 / 4)


def test_each_family_has_its_own_adjustment(whole: Analysis) -> None:
    others = {(each.arm, each.structure, each.metric): each.p for each in whole.comparisons[4:]}
    found = {(each.arm, each.structure, each.metric): each.p_adjusted for each in whole.comparisons[4:]}
    assert found == adjusted(others, "fdr_bh") != adjusted(others, "holm")
    raw = {each.arm: each.p_not_worse for each in whole.verdicts}
    tests = by_arm(table(simulated()), "tumour", "dice").loc[[0]]
    losses = -differences(tests)
    means = bootstrap_means(losses[list(ARMS[1:])].to_numpy(), 0)
    one_sided = {}
    for arm, p in zip(ARMS[1:], means.p_at_or_above(0.02), strict=True):
        equal = equivalence(losses[arm].to_numpy(), 0.02)
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
    } == pytest.approx({each.arm: each.loss for each in whole.verdicts})


def told(**arms: list[float | None]) -> dict[str, str]:
    """The sentences of a study of so many patients, by arm."""
    count = len(next(iter(arms.values())))
    rows = table(paired([0.7] * count, **arms))
    return {each.arm: each.sentence for each in analyse(rows, design(count), run="r", manifest="m").verdicts}


def test_ranks_and_mean_that_disagree_are_named() -> None:
    loses = [0.01 + 0.001 * n for n in range(32)] + [-0.6] * 4
    sentence = told(a=[*loses], b=[0.0] * 36)["without a"]
    assert "a difference is shown by ranks, but not in the direction of the mean" in sentence
    assert "Most patients change the other way than the mean, which a few large changes make." in sentence


def test_what_is_ruled_out_but_may_not_be_dropped_says_why() -> None:
    little = [0.001 * (-1) ** n for n in range(12)]
    tests = paired([0.7] * 12, a=little, b=little)
    tests += [("q", "q", 0, arm, dice) for arm, dice in zip(ARMS, (None, 0.0, None), strict=False)]
    rows = table(tests)
    rows.loc[(rows["exam"] == "q") & (rows["dice"] == 0), "status"] = "false-alarm"
    of = design([*((f"p{n:02}", f"e{n:02}") for n in range(12)), ("q", "q")])
    a, b = analyse(rows, of, run="r", manifest="m").verdicts
    assert (a.verdict, b.verdict) == ("undecided", "droppable")
    assert "a loss of 0.020 is ruled out, p < 0.001 (one-sided, Holm)." in a.sentence
    assert "The arm has 1 more false alarm than the reference" in a.sentence


def test_harms_go_by_ranks() -> None:
    """HD95: 18 of 20 patients are better, two far worse; and the mirror image."""
    of = design(20)
    for sign, harmed in ((1, False), (-1, True)):
        rows = table(paired([0.7] * 20, a=[0.0] * 20, b=[0.0] * 20)).assign(hd95_mm=400.0)
        for n in range(20):
            own = (rows["exam"] == f"e{n:02}") & (rows["arm"] == "without a")
            rows.loc[own, "hd95_mm"] = 400.0 + sign * (300.0 if n < 2 else -1 - 0.1 * n)
        a, _ = analyse(rows, of, run="r", manifest="m").verdicts
        assert bool(a.harms) is harmed
        if harmed:
            assert a.harms[0].startswith("HD95 of tumour in most patients (rank-biserial +")


def test_droppable_says_of_how_many_patients() -> None:
    little = [0.001 * (-1) ** n for n in range(36)]
    rows = table(paired([0.7] * 36, a=little, b=[*little[:8], *([None] * 28)]))
    found = analyse(rows, design(36), run="r", manifest="m")
    assert [each.verdict for each in found.verdicts] == ["droppable", "droppable"]
    assert found.unseen == (8, pytest.approx(1 - 0.05 ** (1 / 8)))
    assert [each.depends_on_missing for each in found.verdicts] == [False, True]


def test_an_open_verdict_depends_on_what_is_missing() -> None:
    spread = [0.03 * (-1) ** n for n in range(12)]
    rows = table(paired([0.7] * 12, a=[*spread[:11], None], b=[*spread]))
    a, b = analyse(rows, design(12), run="r", manifest="m").verdicts
    assert (a.verdict, a.depends_on_missing) == ("undecided", True)
    assert (b.verdict, b.depends_on_missing) == ("undecided", False)
