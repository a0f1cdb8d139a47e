"""What machines cost, as AWS says it today."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from json import loads
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

MAX_PAGES = 5
"""Of a price history; those of one moment have been seen without end."""
PRICES_OF_ALL_REGIONS = "us-east-1"
"""Where AWS serves its price list."""


class Prices:
    """Prices of machines in USD an hour, as AWS says them today."""

    def __init__(self, ec2: "EC2Client", pricing: Any) -> None:
        self._ec2 = ec2
        self._pricing = pricing
        self._of = cache(self._price)
        self._gpus = cache(self._gpus_of)
        self.unknown: dict[str, str] = {}
        """By machine, as far as they were asked for: why its price is not known."""

    def of(self, type_: str, *, spot: bool, zone: str | None = None) -> float | None:
        """The price of a machine; on the spot market, of the dearest zone unless one is named.

        None, if AWS does not say it.
        """
        return self._of(type_, spot, zone)

    def fold_share(self, type_: str) -> float:
        """Which part of a machine a fold takes: one of its GPUs."""
        return 1 / max(self._gpus(type_), 1)

    def _price(self, type_: str, spot: bool, zone: str | None) -> float | None:
        reason = "AWS lists none"
        try:
            price = self._spot_price(type_, zone) if spot else self._on_demand_price(type_)
        except (
            ClientError,
            BotoCoreError,
        ) as error:  # the price list is a right of its own; no sweep needs it
            price, reason = None, str(error)
        if price is None:
            self.unknown[f"{type_} ({'spot' if spot else 'on-demand'})"] = reason
        return price

    def _spot_price(self, type_: str, zone: str | None) -> float | None:
        where: Any = {"AvailabilityZone": zone} if zone is not None else {}
        pages = self._ec2.get_paginator("describe_spot_price_history").paginate(
            InstanceTypes=[type_],  # type: ignore[list-item]  # a name from AWS
            ProductDescriptions=["Linux/UNIX"],
            StartTime=datetime.now(UTC),  # and the last change before it
            **where,
        )
        newest: dict[str, Any] = {}
        for item in (item for page in islice(pages, MAX_PAGES) for item in page["SpotPriceHistory"]):
            known = newest.get(item["AvailabilityZone"])
            if known is None or item["Timestamp"] > known["Timestamp"]:
                newest[item["AvailabilityZone"]] = item
        return max((float(item["SpotPrice"]) for item in newest.values()), default=None)

    def _on_demand_price(self, type_: str) -> float | None:
        wanted = {
            "instanceType": type_,
            "regionCode": self._ec2.meta.region_name,
            "operatingSystem": "Linux",
            "preInstalledSw": "NA",
            "tenancy": "Shared",
            "capacitystatus": "Used",
        }
        answer = self._pricing.get_products(
            ServiceCode="AmazonEC2",
            Filters=[{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in wanted.items()],
        )
        prices = [
            float(dimension["pricePerUnit"]["USD"])
            for product in map(loads, answer["PriceList"])
            for term in product["terms"].get("OnDemand", {}).values()
            for dimension in term["priceDimensions"].values()
        ]
        return max(prices, default=None)

    def _gpus_of(self, type_: str) -> int:
        try:
            answer: Any = self._ec2.describe_instance_types(InstanceTypes=[type_])  # type: ignore[list-item]
        except (ClientError, BotoCoreError):
            return 1
        return sum(gpu["Count"] for gpu in answer["InstanceTypes"][0].get("GpuInfo", {}).get("Gpus", ()))


def connect_prices(region: str) -> Prices:
    """The prices of a region."""
    # Prices are worth a moment, not a minute: a status without dollars is one all the same.
    quick = Config(retries={"total_max_attempts": 2}, connect_timeout=3, read_timeout=10)
    return Prices(
        boto3.client("ec2", region_name=region, config=quick),
        boto3.client("pricing", region_name=PRICES_OF_ALL_REGIONS, config=quick),
    )


@dataclass(frozen=True, kw_only=True)
class Rates:
    """USD an hour of a fold on the cheapest and on the dearest machine that it may come to."""

    lowest: float
    highest: float


def rates_of(machines: Iterable[tuple[Iterable[str], bool]], prices: Prices) -> Rates | None:
    """The rates of a queue's machines; None if AWS does not say all of their prices.

    Args:
        machines: Kinds, and whether they are bought on the spot market, for each compute environment.
        prices: Of machines.
    """
    rates = [
        None if (price := prices.of(type_, spot=spot)) is None else price * prices.fold_share(type_)
        for types, spot in machines
        for type_ in types
    ]
    known = [rate for rate in rates if rate is not None]
    if not known or len(known) < len(rates):
        return None
    return Rates(lowest=min(known), highest=max(known))


def rate_of(machine: str, prices: Prices) -> float | None:
    """USD an hour of a fold on a machine, as `job.ec2.machine` names it."""
    type_, bought, zone = machine.split()
    price = prices.of(type_, spot=bought == "spot", zone=zone)
    return None if price is None else price * prices.fold_share(type_)
