"""AWS's price lists as `submit` asks them."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

SPOT = {
    ("g4dn.xlarge", "eu-central-1a"): 0.2,
    ("g4dn.xlarge", "eu-central-1b"): 0.4,
    ("g4dn.12xlarge", "eu-central-1a"): 2.0,
}
ON_DEMAND = {"g4dn.xlarge": 0.5}
GPUS = {"g4dn.xlarge": 1, "g4dn.12xlarge": 4}


class Market:
    """Clients of EC2 and of the price list in one."""

    meta = SimpleNamespace(region_name="eu-central-1")

    def get_paginator(self, operation: str) -> Any:
        assert operation == "describe_spot_price_history"
        return SimpleNamespace(paginate=self._pages)

    def _pages(self, **asked: Any) -> Iterator[dict[str, Any]]:
        assert asked["StartTime"]
        wanted = (asked["InstanceTypes"], asked.get("AvailabilityZone"))
        yield {"SpotPriceHistory": []}  # the first page may be empty
        while True:  # and there has been no end of pages
            yield {
                "SpotPriceHistory": [
                    {"AvailabilityZone": zone, "Timestamp": time, "SpotPrice": str(price * factor)}
                    for (type_, zone), price in SPOT.items()
                    for time, factor in ((1, 9.0), (2, 1.0))  # the older price is another
                    if type_ in wanted[0] and wanted[1] in (None, zone)
                ]
            }

    def describe_instance_types(self, *, InstanceTypes: list[str]) -> dict[str, Any]:
        gpus = [{"Count": GPUS[type_]} for type_ in InstanceTypes]
        return {"InstanceTypes": [{"GpuInfo": {"Gpus": gpus}}]}

    def get_products(self, *, ServiceCode: str, Filters: list[dict[str, str]]) -> dict[str, Any]:
        assert ServiceCode == "AmazonEC2"
        (type_,) = [each["Value"] for each in Filters if each["Field"] == "instanceType"]
        price = {"pricePerUnit": {"USD": str(ON_DEMAND.get(type_))}}
        product = {"terms": {"OnDemand": {"x": {"priceDimensions": {"y": price}}}}}
        return {"PriceList": [json.dumps(product)] if type_ in ON_DEMAND else []}


class Refusing:
    """AWS where one may not ask."""

    meta = Market.meta

    def __getattr__(self, request: str) -> Any:
        def refuse(*_: Any, **__: Any) -> None:
            raise ClientError({"Error": {"Code": "UnauthorizedOperation"}}, request)

        return refuse
