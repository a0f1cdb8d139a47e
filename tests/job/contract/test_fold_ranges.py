import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.contract.fold_ranges import format_folds, parse_folds


@pytest.mark.parametrize(
    ("text", "folds"),
    [
        ("0", (0,)),
        ("0-7,12", (0, 1, 2, 3, 4, 5, 6, 7, 12)),
        ("5,3,3-4", (3, 4, 5)),
        (" 1 , 2-3 ", (1, 2, 3)),
        ("7-7", (7,)),
    ],
)
def test_a_text_names_folds_ascending_and_each_once(text: str, folds: tuple[int, ...]) -> None:
    assert parse_folds(text, size=1000) == folds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is neither a number nor a range; write e.g. 0-7,12"),
        ("1,", "folds '1,': '' is neither a number nor a range"),
        ("a", "'a' is neither a number nor a range"),
        ("-1", "'-1' is neither a number nor a range"),
        ("1-2-3", "'1-2-3' is neither a number nor a range"),
        ("1.5", "'1.5' is neither a number nor a range"),
        ("7-0", "folds '7-0': the range 7-0 runs backwards; write 0-7"),
        ("0-99999999999", "folds '0-99999999999': fold 99999999999 is outside 0..999"),
    ],
)
def test_a_text_that_is_no_set_of_folds_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_folds(text, size=1000)


def test_the_last_fold_of_a_grid_can_be_named_and_the_one_after_it_cannot() -> None:
    assert parse_folds("6-7", size=8) == (6, 7)
    with pytest.raises(ValueError, match=r"fold 8 is outside 0\.\.7"):
        parse_folds("8", size=8)


@pytest.mark.parametrize(
    ("folds", "text"),
    [([], ""), ([4], "4"), ([0, 1], "0-1"), ([2, 1, 0, 9, 5, 6], "0-2,5-6,9"), (range(288), "0-287")],
)
def test_folds_are_written_in_the_shortest_form(folds: list[int], text: str) -> None:
    assert format_folds(folds) == text


@given(st.sets(st.integers(0, 300), min_size=1))
def test_what_was_written_is_read_back(folds: set[int]) -> None:
    assert parse_folds(format_folds(folds), size=10**9) == tuple(sorted(folds))
