"""Tables that are odd, and real: no exception, no number that is none, and sentences that make sense."""

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pandas import DataFrame, concat

from submit.analysis.analysis import Analysis, analyse
from submit.analysis.design import Design
from tests.submit.analysis.tables import ARMS, REFERENCE, Test, design, measured, paired, table

LITTLE = [0.002 * (-1) ** n + 0.0005 * n for n in range(12)]
Odd = tuple[DataFrame, Design]


def by_arm(*values: list[float | None]) -> dict[str, list[float | None]]:
    return dict(zip(ARMS, values, strict=False))


def one_patient() -> Odd:
    return table(paired([0.7], a=[-0.1], b=[0.0])), design(1)


def two_patients_of_one_visit_each() -> Odd:
    return table(paired([0.7, 0.8], a=[-0.1, -0.1], b=[0.0, 0.1])), design(2)


def one_arm() -> Odd:
    return table(paired([0.7] * 12, a=[*LITTLE])), design(12, arms=ARMS[:2])


def nothing_at_all() -> Odd:
    return table([]), design(6)


def the_reference_alone() -> Odd:
    return measured(design(6), by_arm([0.7] * 6)), design(6)


def arms_without_a_reference() -> Odd:
    return measured(design(6), {arm: [0.7] * 6 for arm in ARMS[1:]}), design(6)


def nobody_finds_anything() -> Odd:
    return measured(design(12), {arm: [0.0] * 12 for arm in ARMS}), design(12)


def an_arm_finds_nothing() -> Odd:
    return measured(design(12), by_arm([0.8] * 12, [0.0] * 12, [0.8 + x for x in LITTLE])), design(12)


def the_reference_finds_nothing() -> Odd:
    return measured(design(12), by_arm([0.0] * 12, [0.8 + x for x in LITTLE], [0.0] * 12)), design(12)


def all_is_perfect() -> Odd:
    return table(paired([1.0] * 12, a=[0.0] * 12, b=[0.0] * 12)), design(12)


def a_perfect_reference() -> Odd:
    return table(paired([1.0] * 12, a=[-0.01 - abs(x) for x in LITTLE], b=[0.0] * 12)), design(12)


def no_lesion_anywhere() -> Odd:
    return measured(design(8), {arm: [1.0] * 8 for arm in ARMS}, without=range(8)), design(8)


def false_alarms_only() -> Odd:
    return measured(design(8), {arm: [0.0] * 8 for arm in ARMS}, without=range(8)), design(8)


def everyone_loses_the_same() -> Odd:
    return table(paired([0.8] * 12, a=[-0.3] * 12, b=[0.1] * 12)), design(12)


def one_pair_of_each_arm() -> Odd:
    return table(paired([0.8] * 6, a=[-0.3, *[None] * 5], b=[*[None] * 5, 0.1])), design(6)


def distances_that_are_missing() -> Odd:
    rows = table(paired([0.7] * 12, a=[*LITTLE], b=[*LITTLE]))
    return rows.assign(hd95_mm=None).astype({"hd95_mm": "Float64"}), design(12)


def an_endpoint_that_is_missing() -> Odd:
    rows, _ = distances_that_are_missing()
    return rows, design(12, metric="hd95_mm", margin=2.0)


def volumes_that_are_missing() -> Odd:
    rows = table(paired([0.7] * 12, a=[*LITTLE], b=[*LITTLE]))
    none = dict.fromkeys(("volume_error_ml", "predicted_ml", "reference_ml"))
    return rows.assign(**none).astype(dict.fromkeys(none, "Float64")), design(12)


def repeats_and_visits() -> Odd:
    """Of 9 patients with 1 to 3 visits, three repeats; some tests are missing, and the reference once more."""
    draw = np.random.default_rng(0)
    exams = [(f"p{p}", f"p{p}v{v}") for p in range(9) for v in range(1 + p % 3)]
    tests: list[Test] = [
        (patient, exam, repeat, arm, float(np.clip(0.7 + draw.normal(0, 0.05), 0, 1)))
        for patient, exam in exams
        for repeat in range(3)
        for arm in ARMS
        if draw.random() > 0.2
    ]
    tests += [(patient, exam, 3, REFERENCE, 0.7) for patient, exam in exams]
    return table(tests), design(exams, repeats=3)


def a_reference_missing_in_some_exams() -> Odd:
    reference = [0.7, None, 0.8, 0.75, None, 0.7, 0.6, 0.8]
    return measured(design(8), by_arm([*reference], [0.6] * 8, [0.7] * 8)), design(8)


def two(node: dict[str, list[float | None]], without: range, **changes: Any) -> Odd:
    of = design(12, structures=("tumour", "node", "union"), further_structures=("node",), **changes)
    tumour = by_arm([0.8] * 12, [0.8 + x for x in LITTLE], [0.6] * 12)
    rows = [
        measured(of, tumour),
        measured(of, node, structure="node", without=without),
        measured(of, tumour, structure="union"),
    ]
    return concat(rows, ignore_index=True), of


def a_structure_that_never_occurs() -> Odd:
    return two({arm: [1.0] * 12 for arm in ARMS}, range(12))


def a_structure_of_one_patient() -> Odd:
    return two(by_arm([0.5] + [1.0] * 11, [0.0] + [1.0] * 11, [0.4] + [1.0] * 11), range(1, 12))


def a_structure_without_results() -> Odd:
    rows, of = two({}, range(12))
    return rows, of


def several_structures_of_distances() -> Odd:
    return two(by_arm([0.5] * 12, [0.4] * 12, [0.5] * 12), range(0), metric="hd95_mm", margin=None)


def hundreds_of_ties() -> Odd:
    steps = [0.01 * (n % 3 - 1) for n in range(60)]
    return table(paired([0.7] * 60, a=steps, b=[0.0] * 59 + [-0.7])), design(60)


TABLES: list[Callable[[], Odd]] = [
    one_patient,
    two_patients_of_one_visit_each,
    one_arm,
    nothing_at_all,
    the_reference_alone,
    arms_without_a_reference,
    nobody_finds_anything,
    an_arm_finds_nothing,
    the_reference_finds_nothing,
    all_is_perfect,
    a_perfect_reference,
    no_lesion_anywhere,
    false_alarms_only,
    everyone_loses_the_same,
    one_pair_of_each_arm,
    distances_that_are_missing,
    an_endpoint_that_is_missing,
    volumes_that_are_missing,
    repeats_and_visits,
    a_reference_missing_in_some_exams,
    a_structure_that_never_occurs,
    a_structure_of_one_patient,
    a_structure_without_results,
    several_structures_of_distances,
    hundreds_of_ties,
]


@pytest.fixture(scope="module")
def found() -> dict[str, Analysis]:
    """Every odd table, analysed once; warnings are errors."""
    return {make.__name__: analyse(*make(), run="r", manifest="m") for make in TABLES}


@pytest.mark.parametrize("name", [make.__name__ for make in TABLES])
def test_the_file_holds_no_number_that_is_none_and_is_read_back(
    found: dict[str, Analysis], name: str
) -> None:
    whole = found[name]
    text = whole.to_json().decode()
    json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} in verdict.json"))
    assert Analysis.model_validate_json(text) == whole


@pytest.mark.parametrize("name", [make.__name__ for make in TABLES])
def test_sentences_are_sentences(found: dict[str, Analysis], name: str) -> None:
    whole = found[name]
    said = [*(each.sentence for each in whole.verdicts), *whole.answer]
    for sentence in said:
        assert not re.search(r"\bnan\b|\binf\b|None|\(;|, ,|  |\.\.|\( | \)|: \.|p –", sentence), sentence
        assert not sentence or sentence.endswith(".")
    assert len(" ".join(whole.answer)) > 0
    for verdict in whole.verdicts:
        assert len(verdict.structures) == len(whole.structures)


@pytest.mark.parametrize("name", [make.__name__ for make in TABLES])
def test_p_interval_and_verdict_agree(found: dict[str, Analysis], name: str) -> None:
    for verdict in found[name].verdicts:
        for each in verdict.structures:
            if each.low is not None:
                assert each.p is not None
                beyond = each.low > 0 or (each.high is not None and each.high < 0)
                assert beyond == (each.p < 0.05)
            if each.verdict == "needed":
                assert each.margin is not None
                assert each.low is not None
                assert each.low > each.margin
            if each.loss is None:
                assert each.verdict == "undecided"


def verdicts(whole: Analysis) -> list[str]:
    return [each.verdict for each in whole.verdicts]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("one_patient", ["undecided", "undecided"]),
        ("two_patients_of_one_visit_each", ["undecided", "undecided"]),
        ("one_arm", ["droppable"]),
        ("nothing_at_all", ["undecided", "undecided"]),
        ("the_reference_alone", ["undecided", "undecided"]),
        ("arms_without_a_reference", ["undecided", "undecided"]),
        ("nobody_finds_anything", ["undecided", "undecided"]),
        ("an_arm_finds_nothing", ["needed", "droppable"]),
        ("the_reference_finds_nothing", ["undecided", "undecided"]),
        ("all_is_perfect", ["undecided", "undecided"]),
        ("a_perfect_reference", ["needed", "undecided"]),
        ("no_lesion_anywhere", ["undecided", "undecided"]),
        ("everyone_loses_the_same", ["needed", "droppable"]),
        ("an_endpoint_that_is_missing", ["undecided", "undecided"]),
        ("volumes_that_are_missing", ["droppable", "droppable"]),
        ("a_structure_that_never_occurs", ["undecided", "needed"]),
        ("a_structure_of_one_patient", ["undecided", "needed"]),
        ("hundreds_of_ties", ["droppable", "undecided"]),
    ],
)
def test_odd_tables_have_the_verdicts_that_they_must(
    found: dict[str, Analysis], name: str, expected: list[str]
) -> None:
    assert verdicts(found[name]) == expected


def test_arms_of_which_nothing_is_known_are_not_the_most_influential(found: dict[str, Analysis]) -> None:
    nothing = ("nothing_at_all", "no_lesion_anywhere", "nobody_finds_anything", "the_reference_alone")
    for name in (*nothing, "all_is_perfect"):
        assert not any("nfluential" in line or "largest" in line for line in found[name].answer)
    assert found["nothing_at_all"].answer == ["Too few tests for a verdict yet: a (0 of 6), b (0 of 6)."]
    assert found["no_lesion_anywhere"].answer == ["Can be left out: none is shown.", "Undecided: a, b."]


def test_what_only_one_structure_says_is_said_of_that_structure(found: dict[str, Analysis]) -> None:
    a, b = found["a_structure_that_never_occurs"].verdicts
    assert "Dice of node has no pair of tests" in a.sentence
    assert [each.verdict for each in b.structures] == ["needed", "undecided"]
    a, _ = found["a_structure_of_one_patient"].verdicts
    assert "Loses 1 of 1 lesion (node) that the reference finds (McNemar, p = 1.000)." in a.sentence


def test_a_lost_lesion_is_told_before_any_mean_where_all_are_lost(found: dict[str, Analysis]) -> None:
    a, _ = found["an_arm_finds_nothing"].verdicts
    assert a.sentence.startswith(
        "Loses 12 of 12 lesions (tumour) that the reference finds (McNemar, p < 0.001). Dice of tumour changes by "
        "−0.800 (95 % interval −0.800 to −0.800; −100.0 %; 12 patients)"
    )


def test_patients_with_visits_and_repeats_count_once(found: dict[str, Analysis]) -> None:
    whole = found["repeats_and_visits"]
    assert (whole.patients, whole.exams, whole.repeats) == (9, 18, 3)
    assert {each.leading.patients for each in whole.verdicts} == {9}
    assert whole.noise is not None
    assert whole.noise.degrees_of_freedom >= 18
