"""Names and sizes in words."""

import pytest

from job.contract.wording import dimensions, first_of


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, ""), (1, "n1"), (2, "n1, n2"), (3, "n1, n2 and 1 more"), (1502, "n1, n2 and 1,500 more")],
)
def test_of_many_names_the_first_are_given_and_the_others_counted(number: int, text: str) -> None:
    assert first_of([f"n{n}" for n in range(1, number + 1)], 2) == text


def test_sizes_stand_side_by_side() -> None:
    assert dimensions((64, 64, 8)) == "64 x 64 x 8"
