"""Submitting to AWS Batch, against moto in this process: jobs are taken, nothing is trained."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from rich.console import Console

from job.__main__ import exit_code_of
from job.contract import cloud, layout
from job.contract.errors import DataError, StudyError
from job.contract.exit_codes import ExitCode
from job.contract.fold_ranges import format_folds
from job.contract.study_file import load_study
from job.places import read_manifest
from job.runs import open_run
from job.storage import open_storage
from submit.batch_sweep import run_batch_sweep
from submit.deployment import Deployment, image_digest
from submit.executors.batch import BatchJobs, Task, connect, parts_of
from submit.runs import find_run, require_run
from submit.status import cancel_run, show_status
from submit.submissions import FoldJob, read_submission
from submit.sweep import expected_grid, run_sweep
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


def sweep(
    study_file: Path,
    folds: range = range(FOLDS),
    *,
    dry_run: bool = False,
    budget_usd: float | None = None,
) -> list[str]:
    study = load_study(study_file)
    grid = expected_grid(study_file, study)
    console = Console()
    return run_batch_sweep(
        study_file, study, grid, folds, dry_run=dry_run, budget_usd=budget_usd, console=console
    )


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
    assert variables["LOOSWEEP_IMAGE"] == "image@sha256:0" == read_manifest(run).image
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
    jobs.cancel(read_submission(run).all_jobs, "test")
    run.write("folds/3/result.json", b"{}")  # damaged, and so named
    with pytest.raises(Exception, match=r"folds/3/result\.json"):
        sweep(study_file)


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


class Submitter:
    """Stands for AWS's client: keeps what is submitted."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    def submit_job(self, **request: Any) -> dict[str, str]:
        self.requests.append(request)
        return {"jobId": f"job-{len(self.requests)}"}


def test_more_folds_than_an_array_takes_are_several_arrays_of_compact_ranges() -> None:
    client: Any = Submitter()
    deployment = DEPLOYMENT
    task = Task(study="tiny", place="s3://r/run", store="s3://r/store", image="i", gpus=4)
    folds = [fold for fold in range(20_002) if fold != 7]
    jobs = list(BatchJobs(client, client, deployment).submit_folds(task, folds))
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
    with pytest.raises(StudyError, match="--array 300 is not the size of the study's grid, 12"):
        run_sweep(study_file, array=300, folds=None, backend=None, dry_run=False, console=Console())


def test_a_dry_run_submits_and_makes_nothing(study_file: Path) -> None:
    deploy()
    told = sweep(study_file, dry_run=True)
    assert told[0].endswith("0 done")
    assert "would submit 12 folds to gpu as 1 job: 0-11" in told[1]
    assert "cost not known: AWS names no price" in told[-1]
    assert submitted() == []
    assert list(open_storage("s3://results/tiny").list()) == []


@pytest.mark.parametrize("state", ["RUNNING", "RUNNABLE", "PENDING"])
def test_a_second_submission_is_refused_while_jobs_live(
    study_file: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    deploy()
    sweep(study_file)
    monkeypatch.setattr(BatchJobs, "states", lambda self, jobs: ["SUCCEEDED", state])
    with pytest.raises(
        StudyError, match="still run or wait; let them end, or end them with `submit cancel s3:"
    ):
        sweep(study_file)


def test_a_second_submission_remembers_the_jobs_of_the_first(
    study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy()
    sweep(study_file)
    first = read_submission(find_run(None, study_file))
    monkeypatch.setattr(BatchJobs, "states", lambda self, jobs: ["SUCCEEDED" for _ in jobs])
    assert "12 folds submitted" in sweep(study_file)[0]
    second = read_submission(find_run(None, study_file))
    assert second.earlier_jobs == first.jobs
    assert second.jobs != first.jobs


def test_jobs_that_wait_for_a_report_alone_do_not_live(
    study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy()
    sweep(study_file)
    asked: list[str] = []
    monkeypatch.setattr(BatchJobs, "states", lambda self, jobs: asked.extend(jobs) or ["FAILED"])
    sweep(study_file)
    assert read_submission(find_run(None, study_file)).report_job not in asked


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


def spoil_a_label() -> None:
    client = boto3.client("s3")
    keys = [item["Key"] for item in client.list_objects_v2(Bucket="data")["Contents"]]
    client.put_object(Bucket="data", Key=next(key for key in keys if "label" in key), Body=b"no image")


def run_job(monkeypatch: pytest.MonkeyPatch, job: Any, command: str) -> int:
    """What the container of a job would do."""
    for name, value in environment_of(job).items():
        monkeypatch.setenv(name, value)
    return exit_code_of([command])


def test_a_cohort_in_the_bucket_is_prepared_by_a_job_that_folds_wait_for(
    remote_study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = sweep(remote_study)
    request = find_run(None, remote_study)
    assert told[0].startswith(f"request {request.url}: the preparation of the cohort and 12 folds submitted")
    submission = read_submission(request)
    jobs = {
        job["jobId"]: job for job in boto3.client("batch").describe_jobs(jobs=submission.all_jobs)["jobs"]
    }
    prepare, folds, report = (jobs[job] for job in submission.all_jobs)
    assert prepare["jobName"] == "tiny-prepare"
    assert folds["dependsOn"] == [{"jobId": submission.prepare_job}]
    assert report["dependsOn"] == [{"jobId": submission.jobs[0].job}]
    assert {environment_of(job)["LOOSWEEP_RUN"] for job in jobs.values()} == {request.url}
    show_status(None, remote_study, as_json=False)
    assert "is not prepared yet" in capsys.readouterr().out
    with pytest.raises(StudyError, match="is still being prepared; `submit status`"):
        require_run(request)
    with pytest.raises(StudyError, match="is not prepared yet, so that it has no run"):
        open_run(request.url)

    assert run_job(monkeypatch, prepare, "prepare") == ExitCode.DONE
    run = find_run(None, remote_study)
    assert run.url.startswith("s3://results/tiny/runs/tiny-")
    assert run.url == open_run(request.url).url == find_run(request.url, remote_study).url
    assert read_submission(run) == submission
    assert read_manifest(run).image == "image@sha256:0"
    assert read_manifest(run).folds == 12
    capsys.readouterr()
    show_status(None, remote_study, as_json=False)
    assert capsys.readouterr().out.startswith(f"run {run.url.rpartition('/')[2]}: 0 done")


def test_a_request_is_not_submitted_again_while_it_is_prepared_nor_prepared_again_after(
    remote_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(remote_study)
    request = find_run(None, remote_study)
    monkeypatch.setattr(BatchJobs, "states", lambda self, jobs: ["RUNNING", "PENDING"])
    with pytest.raises(StudyError, match="jobs of an earlier submission still run or wait"):
        sweep(remote_study)
    monkeypatch.setattr(BatchJobs, "states", lambda self, jobs: ["SUCCEEDED", "FAILED"])
    (prepare,) = boto3.client("batch").describe_jobs(jobs=[str(read_submission(request).prepare_job)])["jobs"]
    assert run_job(monkeypatch, prepare, "prepare") == ExitCode.DONE
    assert "would submit 12 folds" in sweep(remote_study, dry_run=True)[1]
    run = open_run(request.url)
    run.write("folds/3/result.json", b"{}")
    with pytest.raises(DataError, match=r"folds/3/result\.json"):  # so it looks at the run
        sweep(remote_study)
    run.delete("folds/3/result.json")
    assert sweep(remote_study)[0].startswith(f"run {run.url}: 12 folds submitted")
    submission = read_submission(run)
    assert submission.prepare_job is None
    assert submission.earlier_jobs == read_submission(request).jobs


def test_other_files_are_another_request(remote_study: Path) -> None:
    sweep(remote_study)
    first = find_run(None, remote_study)
    spoil_a_label()
    assert "would submit the preparation of the cohort, then 12 folds" in sweep(remote_study, dry_run=True)[1]
    sweep(remote_study)
    assert len(open_storage("s3://results/tiny/runs").folders("requests")) == 2
    assert find_run(first.url, remote_study).url == first.url


def test_a_preparation_that_fails_leaves_no_run(remote_study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_a_label()
    sweep(remote_study)
    request = find_run(None, remote_study)
    (prepare,) = boto3.client("batch").describe_jobs(jobs=[str(read_submission(request).prepare_job)])["jobs"]
    assert run_job(monkeypatch, prepare, "prepare") == ExitCode.DATA
    assert not request.exists(layout.REQUESTED_RUN)


MANIFEST = json.dumps({"mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []})
ECR = f"123456789012.dkr.ecr.{REGION}.amazonaws.com"


def test_an_image_in_ecr_is_named_by_its_digest_and_a_missing_one_refused(study_file: Path) -> None:
    deploy(OUTPUTS | {cloud.IMAGE: f"{ECR}/assets:abc"})
    with pytest.raises(StudyError, match=r"assets:abc is not in ECR, so that no job could start; run `cdk"):
        sweep(study_file)
    client = boto3.client("ecr")
    client.create_repository(repositoryName="assets")
    with pytest.raises(StudyError, match="is not in ECR"):
        sweep(study_file)
    assert submitted() == []
    image = client.put_image(repositoryName="assets", imageManifest=MANIFEST, imageTag="abc")["image"]
    digest = image["imageId"]["imageDigest"]
    sweep(study_file)
    assert read_manifest(find_run(None, study_file)).image == f"{ECR}/assets@{digest}"
    assert image_digest(f"{ECR}/assets@{digest}") == f"{ECR}/assets@{digest}"


def test_folds_that_lie_apart_are_told_in_texts_that_a_container_takes() -> None:
    folds = list(range(0, 20_000, 2))
    parts = list(parts_of(folds))
    assert [fold for part in parts for fold in part] == folds
    assert all(len(format_folds(part)) <= 4000 for part in parts)


class Describer:
    """Stands for AWS's client: describes jobs as AWS does."""

    def __init__(self, jobs: dict[str, dict[str, Any]]) -> None:
        self.jobs = jobs
        self.asked: list[int] = []

    def describe_jobs(self, *, jobs: list[str]) -> dict[str, Any]:
        self.asked.append(len(jobs))
        return {"jobs": [{"jobId": job} | self.jobs[job] for job in jobs if job in self.jobs]}


def attempt(start: float, stop: float | None, code: int | None = 0, reason: str = "") -> dict[str, Any]:
    container = {"exitCode": code, "logStreamName": f"stream-{start:.0f}"}
    times = {"startedAt": int(start * 1000)} | ({"stoppedAt": int(stop * 1000)} if stop else {})
    return {"container": container, "statusReason": reason, **times}


def test_children_are_told_apart_with_their_attempts_and_a_hundred_at_a_time() -> None:
    lost = attempt(100, 160, None, "Host EC2 (instance i-1) terminated.")
    client: Any = Describer(
        {f"a:{n}": {"status": "SUCCEEDED", "attempts": [attempt(0, 10)]} for n in range(250)}
        | {
            "a:7": {"status": "FAILED", "attempts": [lost, attempt(200, 230, 143), attempt(300, 301, 65)]},
            "b": {"status": "RUNNING", "attempts": [lost], **attempt(500, None, None, lost["statusReason"])},
        }
    )
    jobs = BatchJobs(client, client, DEPLOYMENT)
    children = list(jobs.children([FoldJob(job="a", folds="10-259"), FoldJob(job="b", folds="3")], size=300))
    assert client.asked == [100, 100, 51]
    assert [child.fold for child in children] == [*range(10, 260), 3]
    seventh = children[7]
    assert (seventh.fold, seventh.state) == (17, "FAILED")
    assert [one.interrupted for one in seventh.attempts] == [True, True, False]
    running = children[-1].attempts
    assert [(one.started, one.stopped, one.interrupted) for one in running] == [
        (100, 160, True),
        (500, None, False),
    ]
