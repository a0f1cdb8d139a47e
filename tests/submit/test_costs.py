"""Dollars: what attempts cost, what a budget pays for, when jobs are ended."""

import io
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from rich.console import Console

from job.contract.errors import StudyError
from job.storage import open_storage
from submit import budget
from submit.budget import Watched, affordable, follow
from submit.costs import Prices, Spent, connect_prices, dearest, spent
from submit.executors.batch import Attempt, Child, JobCounts
from submit.submissions import FoldJob, Submission
from submit.wording import money


class Market:
    """Stands for AWS's price lists."""

    meta = type("Meta", (), {"region_name": "eu-central-1"})
    spot: ClassVar = {("g4dn.xlarge", "a"): 0.2, ("g4dn.xlarge", "b"): 0.4, ("g4dn.12xlarge", "a"): 2.0}
    gpus: ClassVar = {"g4dn.xlarge": 1, "g4dn.12xlarge": 4}

    def describe_spot_price_history(self, **asked: Any) -> dict[str, Any]:
        zone, types = asked.get("AvailabilityZone"), asked["InstanceTypes"]
        return {
            "SpotPriceHistory": [
                {"AvailabilityZone": place, "Timestamp": age, "SpotPrice": str(price * factor)}
                for (type_, place), price in self.spot.items()
                for age, factor in ((1, 9.0), (2, 1.0))  # the older price is another
                if type_ in types and zone in (None, place)
            ]
        }

    def describe_instance_types(self, *, InstanceTypes: list[str]) -> dict[str, Any]:
        gpus = [{"Count": self.gpus[type_]} for type_ in InstanceTypes]
        return {"InstanceTypes": [{"GpuInfo": {"Gpus": gpus}}]}

    def get_products(self, **_: Any) -> dict[str, Any]:
        return {
            "PriceList": [
                '{"terms": {"OnDemand": {"x": {"priceDimensions": {"y": {"pricePerUnit": {"USD": "0.5"}}}}}}}'
            ]
        }


@pytest.fixture
def prices() -> Prices:
    market: Any = Market()
    return Prices(market, market)


def child(fold: int, *attempts: Attempt) -> Child:
    return Child(fold=fold, state="RUNNING", reason="", attempts=attempts)


def attempt(start: float | None, stop: float | None, code: int | None = 0, reason: str = "") -> Attempt:
    return Attempt(started=start, stopped=stop, exit_code=code, reason=reason, log_stream=None)


def test_a_spot_price_is_the_newest_of_the_zone_or_the_mean_of_all(prices: Prices) -> None:
    assert prices.of("g4dn.xlarge", spot=True, zone="b") == pytest.approx(0.4)
    assert prices.of("g4dn.xlarge", spot=True) == pytest.approx(0.3)
    assert prices.of("p5.unheard", spot=True) is None
    assert prices.of("g4dn.xlarge", spot=False) == 0.5


def test_a_fold_pays_for_its_part_of_a_machine(prices: Prices) -> None:
    assert prices.fold_share("g4dn.12xlarge", 1) == 0.25
    assert prices.fold_share("g4dn.12xlarge", 4) == 1
    assert dearest(prices, ["g4dn.xlarge", "g4dn.12xlarge"], spot=True, gpus=1) == pytest.approx(0.5)
    assert dearest(prices, ["p5.unheard"], spot=True, gpus=1) is None


def test_attempts_cost_their_time_on_their_machine(prices: Prices) -> None:
    lost = attempt(0, 1800, None, "Host EC2 (instance i-1) terminated.")
    children = [
        child(0, lost, attempt(7200, None)),  # half an hour, and from 7200 until now
        child(1, attempt(0, 3600, 143), attempt(None, None, None, "CannotPullContainerError")),
        child(2),
    ]
    machines = {0: "g4dn.xlarge spot a", 1: "g4dn.12xlarge on-demand a"}
    now = spent(children, machines, prices, gpus=1, otherwise=None, now=10_800)
    assert now == Spent(dollars=pytest.approx(0.2 * 1.5 + 0.5 / 4), attempts=4, interruptions=2)


def test_an_unknown_machine_costs_the_dearest_or_the_sum_is_not_known(prices: Prices) -> None:
    children = [child(0, attempt(0, 3600))]
    known = spent(children, {}, prices, gpus=1, otherwise=7.0, now=0)
    assert known.dollars == 7
    assert spent(children, {}, prices, gpus=1, otherwise=None, now=0).dollars is None
    assert spent([child(0)], {}, prices, gpus=1, otherwise=None, now=0).dollars == 0


class Refusing:
    """Stands for AWS where one may not ask."""

    meta = Market.meta

    def __getattr__(self, request: str) -> Any:
        def refuse(**_: Any) -> None:
            raise ClientError({"Error": {"Code": "UnauthorizedOperation"}}, request)

        return refuse


def test_what_aws_does_not_answer_is_a_price_that_is_not_known() -> None:
    client: Any = Refusing()
    prices = Prices(client, client)
    assert prices.of("g4dn.xlarge", spot=True) is None
    assert prices.of("g4dn.xlarge", spot=False) is None
    assert prices.fold_share("g4dn.12xlarge", 1) == 1  # so that no cost is told too low


def test_prices_are_asked_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        prices = connect_prices("eu-central-1")
        assert prices.of("g4dn.xlarge", spot=True) == pytest.approx(0.00001)  # moto's only price
        assert prices.fold_share("g4dn.12xlarge", 1) == 0.25


@given(
    total=st.integers(1, 400),
    arms=st.integers(2, 9),
    done=st.sets(st.integers(0, 399)),
    usd=st.floats(0, 500),
)
def test_a_budget_pays_for_whole_comparisons_from_the_first(
    total: int, arms: int, done: set[int], usd: float
) -> None:
    folds = [fold for fold in range(total) if fold not in done]
    chosen = affordable(folds, arms=arms, usd_a_fold=1.5, usd=usd)
    assert chosen == folds[: len(chosen)]
    assert len(chosen) * 1.5 <= usd + 1e-9
    if len(chosen) < len(folds) and chosen and chosen[0] // arms != chosen[-1] // arms:
        assert chosen[-1] // arms != folds[len(chosen)] // arms  # no comparison is cut in two
    if len(chosen) < len(folds):
        assert (len(chosen) + arms) * 1.5 > usd


class Jobs:
    """Stands for AWS Batch: the folds end one by one, a look at a time."""

    def __init__(self, ends: int) -> None:
        self.looks = 0
        self.ends = ends
        self.cancelled: list[str] = []

    def states(self, jobs: tuple[str, ...]) -> list[str]:
        self.looks += 1
        return ["SUCCEEDED" if self.looks > self.ends else "RUNNING" for _ in jobs]

    def counts(self, jobs: tuple[FoldJob, ...]) -> JobCounts:
        return JobCounts(running=self.ends - self.looks + 1, succeeded=self.looks - 1)

    def cancel(self, jobs: tuple[str, ...], reason: str) -> int:
        self.cancelled = [*jobs, reason]
        return len(jobs)


class Meter:
    """Stands for the account: a dollar a look."""

    def __init__(self, jobs: Jobs, known: bool = True) -> None:
        self.jobs = jobs
        self.known = known

    def spent(self, *_: Any, **__: Any) -> Spent:
        return Spent(dollars=float(self.jobs.looks) if self.known else None, attempts=1, interruptions=0)


@pytest.fixture
def watch(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(budget, "POLL_SECONDS", 0.0)

    def start(jobs: Jobs, limit: float, *, known: bool = True) -> list[str]:
        submission = Submission(
            backend="batch",
            host="h",
            pid=1,
            started="2026-01-01T00:00:00+00:00",
            store="s",
            jobs=(FoldJob(job="a", folds="0-4"),),
            report_job="r",
        )
        either: Any = jobs
        meter: Any = Meter(jobs, known)
        watched = Watched(
            place=open_storage(str(tmp_path)), submission=submission, jobs=either, account=meter, size=5
        )
        return follow(watched, limit, Console(file=io.StringIO()))

    return start


def test_jobs_are_watched_to_their_end_if_the_budget_suffices(watch: Any) -> None:
    jobs = Jobs(ends=5)
    assert watch(jobs, 100.0) == ["all jobs have ended; about 6.00 USD spent"]
    assert not jobs.cancelled


def test_all_jobs_are_ended_when_the_budget_is_spent(watch: Any) -> None:
    jobs = Jobs(ends=5)
    (told,) = watch(jobs, 3.0)
    assert told.startswith(
        "the budget of 3.00 USD is spent (about 3.00 USD): 3 folds ended before their time"
    )
    assert jobs.cancelled == ["a", "r", "the budget is spent"]
    assert jobs.looks == 3


def test_ctrl_c_ends_the_watch_and_not_the_jobs(watch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(budget.time, "sleep", interrupt)
    jobs = Jobs(ends=5)
    (told,) = watch(jobs, 100.0)
    assert "no longer watched, and the jobs go on" in told
    assert not jobs.cancelled


def test_a_budget_without_prices_is_refused_and_not_taken_for_kept(watch: Any) -> None:
    with pytest.raises(StudyError, match="names no price"):
        watch(Jobs(ends=5), 3.0, known=False)


@pytest.mark.parametrize(
    ("usd", "text"), [(0, "0.00 USD"), (1234.5, "1,234.50 USD"), (0.00123, "0.0012 USD"), (1, "1.00 USD")]
)
def test_money_is_written_to_the_cent_or_to_two_digits(usd: float, text: str) -> None:
    assert money(usd) == text
