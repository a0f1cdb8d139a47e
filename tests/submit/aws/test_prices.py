"""What machines cost."""

from typing import Any

import pytest

from submit.aws.prices import Prices, Rates, rate_of, rates_of
from tests.submit.aws.market import Refusing


def test_a_spot_price_is_the_newest_of_the_zone_or_of_the_dearest(prices: Prices) -> None:
    assert prices.of("g4dn.xlarge", spot=True, zone="eu-central-1a") == pytest.approx(0.2)
    assert prices.of("g4dn.xlarge", spot=True) == pytest.approx(0.4)
    assert prices.of("p5.unheard", spot=True) is None


def test_an_on_demand_price_is_that_of_the_list(prices: Prices) -> None:
    assert prices.of("g4dn.xlarge", spot=False) == 0.5
    assert prices.of("p5.unheard", spot=False) is None


def test_a_fold_pays_for_its_part_of_a_machine(prices: Prices) -> None:
    assert prices.fold_share("g4dn.12xlarge") == 0.25
    assert rate_of("g4dn.xlarge spot eu-central-1a", prices) == pytest.approx(0.2)
    assert rate_of("g4dn.12xlarge spot eu-central-1a", prices) == pytest.approx(0.5)


def test_rates_are_those_of_all_machines_or_not_known(prices: Prices) -> None:
    spot, on_demand = (("g4dn.xlarge",), True), (("g4dn.xlarge",), False)
    assert rates_of([spot, on_demand], prices) == Rates(lowest=0.4, highest=0.5)
    assert rates_of([spot, (("p5.unheard",), True)], prices) is None
    assert rates_of([], prices) is None


def test_what_aws_does_not_answer_is_a_price_that_is_not_known() -> None:
    client: Any = Refusing()
    prices = Prices(client, client)
    assert prices.of("g4dn.xlarge", spot=True) is None
    assert prices.of("g4dn.xlarge", spot=False) is None
    assert prices.fold_share("g4dn.12xlarge") == 1  # so that no cost is told too low
