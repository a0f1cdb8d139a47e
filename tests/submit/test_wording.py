"""Numbers as they are printed."""

import pytest

from submit.wording import money


@pytest.mark.parametrize(
    ("usd", "text"), [(0, "0.00 USD"), (1234.5, "1,234.50 USD"), (0.00123, "0.0012 USD"), (1, "1.00 USD")]
)
def test_money_is_written_to_the_cent_or_to_two_digits(usd: float, text: str) -> None:
    assert money(usd) == text
