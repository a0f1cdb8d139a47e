"""What machines cost, and what the attempts of folds have cost so far."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from json import loads
from statistics import fmean
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from submit.executors.batch import Child

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

PRICES_OF_ALL_REGIONS = "us-east-1"
"""Where AWS serves its price list."""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What the attempts of folds took."""

    dollars: float | None
    """Of the machines' time; None where AWS names no price."""
    attempts: int
    interruptions: int
    """Attempts that ended because their machine was taken back or lost."""


class Prices:
    """Prices of machines in USD an hour, as AWS says them today."""

    def __init__(self, ec2: "EC2Client", pricing: Any) -> None:
        self._ec2 = ec2
        self._pricing = pricing
        self._of = cache(self._price)
        self._gpus = cache(self._gpus_of)

    def of(self, type_: str, *, spot: bool, zone: str | None = None) -> float | None:
        """The price of a machine; on the spot market, the mean over the zones unless one is named.

        None, if AWS does not say it.
        """
        return self._of(type_, spot, zone)

    def fold_share(self, type_: str, gpus: int) -> float:
        """Which part of a machine a fold on so many GPUs takes."""
        return min(gpus / max(self._gpus(type_), 1), 1.0)

    def _price(self, type_: str, spot: bool, zone: str | None) -> float | None:
        try:
            return self._spot_price(type_, zone) if spot else self._on_demand_price(type_)
        except (
            ClientError,
            BotoCoreError,
        ):  # the price list is a right of its own; its absence stops no sweep
            return None

    def _spot_price(self, type_: str, zone: str | None) -> float | None:
        where: Any = {"AvailabilityZone": zone} if zone is not None else {}
        answer = self._ec2.describe_spot_price_history(
            InstanceTypes=[type_],  # type: ignore[list-item]  # a name from AWS
            ProductDescriptions=["Linux/UNIX"],
            **where,
        )
        newest: dict[str, Any] = {}
        for item in answer["SpotPriceHistory"]:
            known = newest.get(item["AvailabilityZone"])
            if known is None or item["Timestamp"] > known["Timestamp"]:
                newest[item["AvailabilityZone"]] = item
        return fmean(float(item["SpotPrice"]) for item in newest.values()) if newest else None

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
    return Prices(
        boto3.client("ec2", region_name=region), boto3.client("pricing", region_name=PRICES_OF_ALL_REGIONS)
    )


def dearest(prices: Prices, types: Iterable[str], *, spot: bool, gpus: int) -> float | None:
    """USD an hour of a fold on the dearest of these machines; None if no price is known."""
    known = [
        price * prices.fold_share(type_, gpus)
        for type_ in types
        if (price := prices.of(type_, spot=spot)) is not None
    ]
    return max(known, default=None)


def spent(
    children: Iterable[Child],
    machines: Mapping[int, str],
    prices: Prices,
    *,
    gpus: int,
    otherwise: float | None,
    now: float,
) -> Spent:
    """What the attempts of folds took until now.

    Args:
        children: The folds' jobs.
        machines: By fold, the machine of its last attempt, as `job.ec2.machine` names it.
        prices: Of machines.
        gpus: Of a fold.
        otherwise: USD an hour of a fold whose machine, or its price, is not known.
        now: Seconds since 1970, for attempts that run.
    """
    dollars, attempts, interruptions = 0.0, 0, 0
    priced = True
    for child in children:
        rate = _rate(machines.get(child.fold), prices, gpus) or otherwise
        for attempt in child.attempts:
            attempts += 1
            interruptions += attempt.interrupted
            if attempt.started is None:
                continue
            if rate is None:
                priced = False
                continue
            end = attempt.stopped if attempt.stopped is not None else now
            dollars += rate * max(end - attempt.started, 0.0) / 3600
    return Spent(dollars=dollars if priced else None, attempts=attempts, interruptions=interruptions)


def _rate(machine: str | None, prices: Prices, gpus: int) -> float | None:
    """USD an hour of a fold on a machine."""
    if machine is None:
        return None
    type_, bought, zone = machine.split()
    price = prices.of(type_, spot=bought == "spot", zone=zone)
    return None if price is None else price * prices.fold_share(type_, gpus)
