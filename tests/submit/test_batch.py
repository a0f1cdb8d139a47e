"""Submitting to AWS Batch, against moto in this process: jobs are taken, nothing is trained."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from job.contract import cloud, layout
from job.contract.errors import StudyError
from job.contract.study_file import load_study
from job.storage import open_storage
from submit.batch_sweep import run_batch_sweep
from submit.deployment import Deployment
from submit.executors.batch import BatchJobs, FoldTask, connect
from submit.runs import FoldJob, find_run, read_submission
from submit.status import cancel_run, show_status
from submit.sweep import run_sweep
from tests.submit.test_whole_sweep import FOLDS, TWO_CHANNELS, toml

REGION = "eu-central-1"
OUTPUTS = {
    cloud.DATA_BUCKET: "data",
    cloud.RESULTS_BUCKET: "results",
    cloud.GPU_QUEUE: "gpu",
    cloud.CPU_QUEUE: "cpu",
    cloud.IMAGE: "image@sha256:0",
    cloud.LOG_GROUP: "logs",
    cloud.STUDIES: "tiny,other",
}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_DEFAULT_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws(config={"batch": {"use_docker": False}}):
        yield


def deploy(outputs: dict[str, str] = OUTPUTS, stack: str = cloud.STACK) -> None:
    """A stack of this name with these outputs, and what they name."""
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {key: {"Value": value} for key, value in outputs.items()},
    }
    boto3.client("cloudformation").create_stack(StackName=stack, TemplateBody=json.dumps(template))
    for bucket in ("data", "results"):
        boto3.client("s3").create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
    iam, batch = boto3.client("iam"), boto3.client("batch")
    role = iam.create_role(RoleName="batch", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    environment = batch.create_compute_environment(
        computeEnvironmentName="machines", type="UNMANAGED", state="ENABLED", serviceRole=role
    )
    order = [{"order": 1, "computeEnvironment": environment["computeEnvironmentArn"]}]
    for queue in ("gpu", "cpu"):
        batch.create_job_queue(jobQueueName=queue, state="ENABLED", priority=1, computeEnvironmentOrder=order)  # type: ignore[arg-type]
    container: Any = {"image": "busybox", "vcpus": 1, "memory": 512}
    for name in (
        cloud.fold_definition(stack, "tiny", 1),
        cloud.report_definition(stack, "tiny"),
        cloud.prepare_definition(stack, "tiny"),
    ):
        batch.register_job_definition(jobDefinitionName=name, type="container", containerProperties=container)


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


def sweep(study_file: Path, folds: range = range(FOLDS), *, dry_run: bool = False) -> list[str]:
    from rich.console import Console

    return run_batch_sweep(study_file, load_study(study_file), folds, dry_run=dry_run, console=Console())


def submitted() -> list[Any]:
    """All jobs of the GPU queue, as AWS describes them; children of arrays are not listed."""
    batch = boto3.client("batch")
    states: Any = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
    found = [
        job["jobId"]
        for state in states
        for job in batch.list_jobs(jobQueue="gpu", jobStatus=state)["jobSummaryList"]
    ]
    return batch.describe_jobs(jobs=found)["jobs"] if found else []


def environment_of(job: Any) -> dict[str, str]:
    return {item["name"]: item["value"] for item in job["container"]["environment"]}


def test_a_sweep_is_one_array_job_that_knows_run_store_and_folds(study_file: Path) -> None:
    deploy()
    told = sweep(study_file)
    run = find_run(None, study_file)
    submission = read_submission(run)
    assert run.url.startswith("s3://results/tiny/runs/tiny-")
    assert "12 folds submitted to gpu" in told[0]
    (job,) = submission.jobs
    assert job.folds == "0-11"
    parent = next(j for j in submitted() if j["jobId"] == job.job)
    assert parent["arrayProperties"]["size"] == 12
    assert parent["jobName"] == "tiny-folds"
    variables = environment_of(parent)
    assert variables["LOOSWEEP_RUN"] == run.url
    assert variables["LOOSWEEP_STORE"] == "s3://results/tiny/store" == submission.store
    assert variables["LOOSWEEP_FOLDS"] == "0-11"
    assert variables["LOOSWEEP_DEVICE"] == "cpu"
    assert submission.report_job is not None
    assert {item.key.split("/")[1] for item in open_storage("s3://results/tiny/store").list()} == {
        "exams",
        "store.json",
    }


def test_a_single_fold_is_a_plain_job(study_file: Path) -> None:
    deploy()
    sweep(study_file, range(5, 6))
    (job,) = submitted()
    assert not job.get("arrayProperties")
    assert environment_of(job)["LOOSWEEP_FOLDS"] == "5"


def test_done_folds_are_not_submitted_again(study_file: Path) -> None:
    deploy()
    sweep(study_file, range(2, 4))
    run = find_run(None, study_file)
    jobs = connect(cloud.STACK)[1]
    jobs.cancel(read_submission(run).jobs, "test")
    run.write("folds/3/result.json", b"{}")  # damaged, and so named
    with pytest.raises(Exception, match=r"folds/3/result\.json"):
        sweep(study_file)


class Submitter:
    """Stands for AWS's client: keeps what is submitted."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    def submit_job(self, **request: Any) -> dict[str, str]:
        self.requests.append(request)
        return {"jobId": f"job-{len(self.requests)}"}


def test_more_folds_than_an_array_takes_are_several_arrays_of_compact_ranges() -> None:
    client: Any = Submitter()
    deployment = Deployment(
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
    task = FoldTask(study="tiny", run="s3://r/run", store="s3://r/store", gpus=4)
    folds = [fold for fold in range(20_002) if fold != 7]
    jobs = BatchJobs(client, client, deployment).submit_folds(task, folds)
    assert jobs == [
        FoldJob(job="job-1", folds="0-6,8-10000"),
        FoldJob(job="job-2", folds="10001-20000"),
        FoldJob(job="job-3", folds="20001"),
    ]
    sizes = [request.get("arrayProperties", {}).get("size") for request in client.requests]
    assert sizes == [10_000, 10_000, None]
    assert {request["jobDefinition"] for request in client.requests} == {"s-tiny-fold-4gpu"}
    assert all(len(json.dumps(request)) < 30 * 1024 for request in client.requests)


@pytest.mark.parametrize(
    ("prepare", "change", "message"),
    [
        (lambda: None, {}, "there is no stack loosweep in eu-central-1; run `cdk deploy`"),
        (lambda: deploy({"Other": "x"}), {}, "has no output 'DataBucket'"),
        (
            lambda: deploy(OUTPUTS | {cloud.STUDIES: "glioma"}),
            {},
            r"study 'tiny' is not deployed \(stack loosweep has glioma\)",
        ),
        (
            deploy,
            {"store": {"folder": "s3://elsewhere/store"}},
            r"store\.folder is s3://elsewhere/store, but folds on AWS Batch may only use s3://results/tiny/store",
        ),
    ],
)
def test_what_stands_in_the_way_is_said_before_anything_is_submitted(
    study_file: Path, prepare: Any, change: dict[str, Any], message: str
) -> None:
    prepare()
    if change:
        text = study_file.read_text().replace("store = {", 'store = { folder = "s3://elsewhere/store",')
        study_file.write_text(text)
    with pytest.raises(StudyError, match=message):
        sweep(study_file)


def test_missing_credentials_are_named_with_the_remedy(
    study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    boto3.setup_default_session()
    try:
        with pytest.raises(StudyError, match="no AWS credentials; sign in"):
            sweep(study_file)
    finally:
        boto3.setup_default_session()


def test_an_array_that_is_not_the_grid_is_refused_before_aws_is_asked(study_file: Path) -> None:
    from rich.console import Console

    with pytest.raises(StudyError, match="--array 300 is not the size of the study's grid, 12"):
        run_sweep(study_file, array=300, folds=None, backend=None, dry_run=False, console=Console())


def test_a_dry_run_submits_and_makes_nothing(study_file: Path) -> None:
    deploy()
    told = sweep(study_file, dry_run=True)
    assert "would submit 12 folds" in told[0]
    assert submitted() == []
    assert list(open_storage("s3://results/tiny").list()) == []


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ({"RUNNING": 3, "RUNNABLE": 1, "SUCCEEDED": 8}, "3 folds of an earlier submission run and 1 wait"),
        ({"SUCCEEDED": 11, "FAILED": 1}, None),
    ],
)
def test_a_second_submission_is_refused_while_jobs_live(
    study_file: Path, monkeypatch: pytest.MonkeyPatch, states: dict[str, int], message: str | None
) -> None:
    deploy()
    sweep(study_file)
    described = [{"status": "PENDING", "arrayProperties": {"statusSummary": states}}]
    monkeypatch.setattr(BatchJobs, "_described", lambda self, jobs: iter(described))
    if message is None:
        assert "12 folds submitted" in sweep(study_file)[0]
    else:
        with pytest.raises(StudyError, match=f"{message}; let them end, or end them with `submit cancel s3:"):
            sweep(study_file)


def test_status_counts_jobs_and_cancel_ends_them(
    study_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy()
    sweep(study_file)
    run = find_run(None, study_file)
    client = boto3.client("batch")
    show_status(None, study_file, as_json=False)
    assert "AWS Batch (stack loosweep):" in capsys.readouterr().out
    assert "ended; folds that ran write checkpoints first" in cancel_run(None, study_file)
    states = client.describe_jobs(jobs=[job.job for job in read_submission(run).jobs])["jobs"]
    assert {job["status"] for job in states} <= {"SUCCEEDED", "FAILED"}
    assert run.exists(layout.MANIFEST)
