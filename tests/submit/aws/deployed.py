"""A stack in moto's AWS, and sweeps of a tiny study on it: jobs are a fake client's, and nothing is trained."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from rich.console import Console

from job.__main__ import exit_code_of
from job.contract import cloud, layout
from job.project import Project
from job.request import Request
from job.run import Run
from submit.aws.deployment import Deployment
from submit.aws.sweep import run_batch_sweep
from submit.submissions import BatchSubmission, batch_submissions
from tests.submit.aws.fake_batch import FakeBatch
from tests.submit.test_whole_sweep import FOLDS

REGION = "eu-central-1"
ENDED = "all jobs have ended"
WELL = "folds ended well, 0 waiting, 0 running, 0 failed or cancelled"
OUTPUTS = {
    cloud.DATA_BUCKET: "data",
    cloud.RESULTS_BUCKET: "results",
    cloud.GPU_QUEUE: "gpu",
    cloud.CPU_QUEUE: "cpu",
    cloud.IMAGE: "image@sha256:0",
    cloud.LOG_GROUP: "logs",
    cloud.STUDIES: "tiny,other",
}
DEPLOYMENT = Deployment(
    stack="s",
    region=REGION,
    data_bucket="d",
    results_bucket="r",
    gpu_queue="gpu",
    cpu_queue="cpu",
    image="i",
    log_group="l",
    studies=("tiny",),
)


def deploy(outputs: dict[str, str] = OUTPUTS, stack: str = cloud.STACK) -> None:
    """A stack of this name with these outputs, and its buckets."""
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {key: {"Value": value} for key, value in outputs.items()},
    }
    boto3.client("cloudformation").create_stack(StackName=stack, TemplateBody=json.dumps(template))
    for bucket in ("data", "results"):
        boto3.client("s3").create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
        )


def sweep(
    study_file: Path,
    folds: range = range(FOLDS),
    *,
    dry_run: bool = False,
    budget_usd: float | None = None,
) -> list[str]:
    project = Project.read(study_file)
    return run_batch_sweep(
        project, project.grid(), folds, dry_run=dry_run, budget_usd=budget_usd, console=Console()
    ).lines


def only_submission(run: Run | Request) -> BatchSubmission:
    """Of a run or a request."""
    (submission,) = batch_submissions(run)
    return submission


def age(run: Run | Request) -> None:
    """Makes the only submission an old one."""
    old = only_submission(run).model_copy(update={"started": "2026-01-01T00:00:00+00:00"})
    run.files.write(layout.batch_submission(0), old.model_dump_json().encode())


def only(batch: FakeBatch, kind: str, folds: str | None = None) -> str:
    """Id of the only job of a kind, with these folds."""
    (job,) = [
        job["jobId"]
        for job in batch.jobs.values()
        if f"-{kind}-" in job["jobName"] and (folds is None or environment_of(job)["LOOSWEEP_FOLDS"] == folds)
    ]
    return str(job)


def environment_of(job: Any) -> dict[str, str]:
    return {item["name"]: item["value"] for item in job["container"]["environment"]}


def spoil_a_label() -> None:
    client = boto3.client("s3")
    keys = [item["Key"] for item in client.list_objects_v2(Bucket="data")["Contents"]]
    client.put_object(Bucket="data", Key=next(key for key in keys if "label" in key), Body=b"no image")


def run_job(monkeypatch: pytest.MonkeyPatch, job: Any, command: str) -> int:
    """What the container of a job would do."""
    for name, value in environment_of(job).items():
        monkeypatch.setenv(name, value)
    return exit_code_of([command])
