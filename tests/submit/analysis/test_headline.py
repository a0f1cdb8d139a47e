"""What a reader takes away first."""

from collections.abc import Callable
from typing import Any

import pytest
from pandas import concat

from submit.analysis.analysis import Analysis, analyse
from submit.analysis.headline import (
    ALONE,
    WITHOUT,
    harm_pictures,
    harmful_arms,
    headline,
    in_order,
    short_name,
    verdict_words,
    warning,
)
from tests.submit.analysis.tables import design, measured, paired, table

N = 12
WOBBLE = [0.001 * (-1) ** n for n in range(N)]


def analysed(structures: dict[str, dict[str, Any]], patients: int = N) -> Analysis:
    """By structure, the differences of `without a` and `without b` to a reference of 0.7."""
    rows = [
        table(paired([0.7] * patients, **arms), structure=structure) for structure, arms in structures.items()
    ]
    whole = concat(rows, ignore_index=True)
    return analyse(whole, design(patients, structures=tuple(structures)), run="r", manifest="m")


@pytest.fixture(scope="module")
def harmful() -> Analysis:
    """`without a` loses the tumour 0.2, `without b` loses it nothing, and the node 0.1."""
    large = [-0.2 - 0.003 * n for n in range(N)]
    medium = [-0.1 - 0.002 * n for n in range(N)]
    return analysed({"tumour": {"a": large, "b": WOBBLE}, "node": {"a": WOBBLE, "b": medium}})


def test_the_answer_says_what_matters_what_can_go_and_what_must_not(harmful: Analysis) -> None:
    assert headline(harmful) == [
        "Most influential: a.",
        "With patients drawn anew from these 12, a comes first 100 times of 100.",
        "Dice of node (12 patients) is lower without b (−0.111): a warning, not adjusted, and no proof.",
        "Needed: a.",
        "Can be left out: none is shown.",
        "Not needed for tumour, but something else is worse without it: b (with harm to node).",
    ]


def test_a_harm_is_named_with_its_numbers_and_hd95_once(harmful: Analysis) -> None:
    (harm,) = harmful_arms(harmful)
    assert (harm.arm, harm.name) == ("without b", "b")
    # The table's HD95 is 10 mm less 10 mm for each Dice: a Dice of 0.111 less is 1.1 mm more.
    assert [each.split(" (")[0] for each in harm.harms] == ["Dice of node −0.111", "HD95 of node +1.1 mm"]
    assert harm_pictures(harmful) == [("without b", ("node", "dice"))]
    assert (
        warning(harmful)
        == "Keep these scans, whatever Dice of tumour says: something else is worse without them."
    )


def test_lesions_that_are_lost_are_a_harm_which_no_metric_s_picture_shows() -> None:
    """Six of twelve nodes are lost, and others better drawn, so that of nodes nothing else is shown."""
    rows = [
        table(paired([0.7] * N, a=WOBBLE, b=WOBBLE), structure="tumour"),
        table(paired([0.4] * N, a=[-0.4] * 6 + [0.5] * 6, b=WOBBLE), structure="node"),
    ]
    whole = concat(rows, ignore_index=True)
    whole["status"] = whole["status"].mask(whole["dice"] == 0, "miss")
    found = analyse(whole, design(N, structures=("tumour", "node")), run="r", manifest="m")
    (harm,) = harmful_arms(found)
    assert (harm.name, harm.harms) == ("a", ("loses 6 of 12 lesions of node (McNemar, p = 0.031)",))
    assert harm_pictures(found) == []
    assert (
        "Not needed for tumour, but something else is worse without it: a (with harm to node)."
        in headline(found)
    )


def test_what_is_needed_has_no_warning_as_nobody_takes_it_for_leave_to_stop() -> None:
    large = [-0.2 - 0.003 * n for n in range(N)]
    found = analysed({"tumour": {"a": large, "b": WOBBLE}, "node": {"a": large, "b": WOBBLE}})
    assert "node" in found.verdicts[0].harmed
    assert harmful_arms(found) == []
    assert headline(found)[0] == "Most influential: a; least: b."
    assert "Can be left out, one of these at a time: b." in headline(found)


def test_the_order_is_that_of_the_loss_with_unfinished_arms_last() -> None:
    small = [-0.05 + each for each in WOBBLE]
    large = [-0.2 - 0.003 * n if n < 8 else None for n in range(N)]
    found = analysed({"tumour": {"a": large, "b": small}})
    assert [each.arm for each in in_order(found)] == ["without b", "without a"]
    assert headline(found)[-1] == "Too few tests for a verdict yet: a (8 of 12)."
    assert not any("influential" in line or "drawn" in line for line in headline(found))  # of one arm alone
    assert verdict_words(in_order(found)[1], found) == "unfinished (8 of 12)"


def test_an_unfinished_arm_does_no_harm_yet() -> None:
    some = [-0.1 - 0.002 * n if n < 8 else None for n in range(N)]
    found = analysed(
        {"tumour": {"a": WOBBLE, "b": WOBBLE[:8] + [None] * 4}, "node": {"a": WOBBLE, "b": some}}
    )
    assert not found.verdicts[1].complete
    assert harmful_arms(found) == []
    assert not any("node" in line for line in headline(found))


def test_arms_of_one_channel_are_enough_or_not() -> None:
    large = [-0.2 - 0.003 * n for n in range(N)]
    rows = table(paired([0.7] * N, a=large, b=WOBBLE)).replace({"without a": "only a", "without b": "only b"})
    arms = ("reference", "only a", "only b")
    found = analyse(rows, design(N, arms=arms, only_one_in=True), run="r", manifest="m")
    assert headline(found)[0] == "Loses most alone: a; least: b."
    assert "Not enough alone: a." in headline(found)
    assert "stop" not in warning(found)


def test_several_other_structures_have_a_line_each_with_the_largest_loss_first() -> None:
    large = [-0.2 - 0.003 * n for n in range(N)]
    medium = [-0.1 - 0.002 * n for n in range(N)]
    found = analysed(
        {
            "tumour": {"a": WOBBLE, "b": WOBBLE},
            "node": {"a": medium, "b": large},
            "union": {"a": medium, "b": medium},
        }
    )
    (line,) = (
        line for line in headline(found) if line.startswith("Dice of node (12 patients) is lower without b (")
    )
    assert ", a (" in line
    assert not any(
        line.startswith("Dice of union") for line in headline(found)
    )  # of which the node is a part
    assert all("union" not in text for harm in harmful_arms(found) for text in harm.harms)


def test_without_a_result_nothing_is_said_beyond_that() -> None:
    found = analysed({"tumour": {"a": [None] * 6, "b": [None] * 6}}, patients=6)
    assert headline(found) == ["Too few tests for a verdict yet: a (0 of 6), b (0 of 6)."]
    assert harmful_arms(found) == []


@pytest.mark.parametrize(
    ("margin", "words"), [(0.5, "worse, perhaps by less than the margin"), (None, "worse; no margin stated")]
)
def test_worse_says_what_is_not_known_of_it(
    harmful: Analysis, margin: float | None, words: str, make_verdict: Callable[..., Any]
) -> None:
    verdict = make_verdict(harmful, "worse")
    assert verdict_words(verdict, harmful.model_copy(update={"margin": margin})) == words


@pytest.fixture
def make_verdict() -> Callable[..., Any]:
    def make(analysis: Analysis, name: str) -> Any:
        return analysis.verdicts[0].model_copy(update={"verdict": name})

    return make


def test_where_nothing_is_shown_no_channel_is_the_most_influential() -> None:
    """Nor is it said how often chance would put it first."""
    found = analysed({"tumour": {"a": WOBBLE, "b": [each - 0.0005 for each in WOBBLE]}})
    assert headline(found)[0].startswith(
        "No channel is shown to be missed for tumour. The largest loss is without "
    )
    assert not any("drawn anew" in line or "influential" in line for line in headline(found))


def test_what_can_be_left_out_is_said_of_the_mean_of_so_many_patients() -> None:
    """Of 12 patients: 1 - 0.05^(1/12) = 22 %."""
    found = analysed({"tumour": {"a": WOBBLE, "b": [-0.2 - 0.003 * n for n in range(N)]}})
    place = headline(found).index("Can be left out, one of these at a time: a.")
    assert "none of 12 patients had may still happen in up to 22 of 100 others" in headline(found)[place + 1]


def test_a_loss_that_may_be_small_has_its_size() -> None:
    found = analysed({"tumour": {"a": [-0.022 + 5 * each for each in WOBBLE], "b": WOBBLE}})
    assert found.verdicts[0].verdict == "worse"
    assert "A loss is shown, which may be smaller than the margin: a (−0.022)." in headline(found)
    without = found.model_copy(update={"margin": None})
    assert "A loss is shown, and no margin says whether it matters: a (−0.022)." in headline(without)


def test_lost_lesions_stand_beside_the_arm() -> None:
    dice = {"reference": [0.8] * N, "without a": [0.0] * 4 + [0.8] * 8, "without b": [0.8] * N}
    found = analyse(measured(design(N), dice), design(N), run="r", manifest="m")
    (line,) = (line for line in headline(found) if line.startswith("Undecided"))
    assert "a (loses 4 of 12 lesions of tumour" in line


def test_no_verdict_of_one_channel_alone_reads_as_that_of_leaving_it_out(harmful: Analysis) -> None:
    alone = harmful.model_copy(update={"only_one_in": True})
    for verdict in WITHOUT.verdicts:
        own = harmful.verdicts[0].model_copy(update={"verdict": verdict})
        assert (verdict_words(own, alone) == verdict_words(own, harmful)) == (verdict == "undecided")
    assert short_name("droppable", alone) == "enough alone"
    assert short_name("needed", alone) == "not enough alone"
    assert WITHOUT.answers.keys() == ALONE.answers.keys() == WITHOUT.verdicts.keys() == ALONE.verdicts.keys()


def test_channels_of_one_scan_are_named(harmful: Analysis) -> None:
    dce = harmful.model_copy(update={"acquisitions": {"dce": ("k", "v", "e")}})
    (line,) = (line for line in headline(dce) if "one scan" in line)
    assert line.startswith("k, v and e come from one scan (dce): leaving out one of them saves no scan")
    assert not any("one scan" in line for line in headline(harmful))


def test_nothing_is_said_to_be_least_but_what_can_be_left_out() -> None:
    """Without b nothing is lost on average, and too few patients say so: it is undecided, and no least."""
    large, wide = [-0.2 - 0.003 * n for n in range(N)], [0.1 * (-1) ** n for n in range(N)]
    found = analysed({"tumour": {"a": large, "b": wide}})
    assert [each.verdict for each in found.verdicts] == ["needed", "undecided"]
    assert headline(found)[0] == "Most influential: a."


def test_of_all_that_is_compared_beside_the_endpoint_what_is_worse_is_counted(harmful: Analysis) -> None:
    """By hand from the intervals; of the two arms in the endpoint nothing is counted."""
    beside = [
        each for each in harmful.comparisons if each.endpoint != ("tumour", "dice") and each.low is not None
    ]
    worse = [
        each
        for each in beside
        if (each.high < 0 if each.metric == "dice" else each.low > 0)  # type: ignore[operator]
    ]
    assert harmful.named == (len(worse), len(beside))
    assert 0 < len(worse) < len(beside)
