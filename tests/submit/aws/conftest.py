"""AWS as tests of `submit` see it: buckets, stacks and images are moto's, jobs and prices are fake clients'."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from submit.aws import jobs as aws_jobs
from submit.aws.prices import Prices
from tests.submit.aws.deployed import REGION, deploy
from tests.submit.aws.fake_batch import FakeBatch
from tests.submit.aws.market import Market
from tests.submit.test_whole_sweep import TWO_CHANNELS, toml


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_DEFAULT_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield


@pytest.fixture(autouse=True)
def batch(monkeypatch: pytest.MonkeyPatch) -> FakeBatch:
    """In the place of AWS Batch's client; and a market in those of the price lists."""
    fake, real = FakeBatch(), boto3.client
    own = {"batch": fake, "ec2": Market(), "pricing": Market()}
    monkeypatch.setattr(boto3, "client", lambda name, **more: own.get(name) or real(name, **more))
    monkeypatch.setattr(aws_jobs, "PAUSE_SECONDS", 0.0)
    return fake


@pytest.fixture
def study_file(tiny_cohort: Path, tmp_path: Path, aws: None) -> Path:
    """A study for AWS Batch whose cohort is on this machine."""
    table = TWO_CHANNELS | {
        "cohort": TWO_CHANNELS["cohort"] | {"root": str(tiny_cohort / "cohort")},
        "compute": {"backend": "batch", "device": "cpu"},
    }
    file = tmp_path / "study.toml"
    file.write_text("\n".join(f"{key} = {toml(value)}" for key, value in table.items()))
    return file


@pytest.fixture
def remote_study(study_file: Path, tiny_cohort: Path) -> Path:
    """The study with its cohort in the stack's data bucket."""
    deploy()
    cohort = tiny_cohort / "cohort"
    for file in cohort.rglob("*.nii.gz"):
        boto3.client("s3").upload_file(str(file), "data", f"tiny/cohort/{file.relative_to(cohort)}")
    text = study_file.read_text()
    study_file.write_text(text.replace(str(cohort), "s3://data/tiny/cohort"))
    return study_file


@pytest.fixture
def prices() -> Prices:
    market: Any = Market()
    return Prices(market, market)
