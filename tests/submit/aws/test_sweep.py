"""Submitting to AWS Batch: buckets, stacks and images are moto's, jobs a fake client's; nothing is trained."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
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
from job.contract.results import Failure, utc_now
from job.contract.study_file import load_study
from job.places import read_manifest
from job.runs import is_request, open_run
from job.storage import Storage, open_storage
from submit.aws import budget
from submit.aws import jobs as aws_jobs
from submit.aws.deployment import Deployment, image_digest
from submit.aws.jobs import BatchJobs, Task, parts_of
from submit.aws.sweep import run_batch_sweep
from submit.check import prepare_study
from submit.runs import find_run, require_run, survey
from submit.status import _jobs_by_fold, cancel_run, read_log, show_status
from submit.submissions import BatchSubmission, FoldJob, batch_submissions
from submit.sweep import expected_grid, run_sweep
from tests.submit.aws.fake_batch import LOST, FakeBatch, attempt
from tests.submit.aws.market import Market
from tests.submit.test_whole_sweep import FOLDS, TWO_CHANNELS, toml

REGION = "eu-central-1"
ENDED = "all jobs have ended"
OUTPUTS = {
    cloud.DATA_BUCKET: "data",
    cloud.RESULTS_BUCKET: "results",
    cloud.GPU_QUEUE: "gpu",
    cloud.MULTI_GPU_QUEUE: "multi-gpu",
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
    multi_gpu_queue="multi-gpu",
    cpu_queue="cpu",
    image="i",
    log_group="l",
    studies=("tiny",),
)


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
    ).lines


def only_submission(place: Storage) -> BatchSubmission:
    """Of a run or a request."""
    (submission,) = batch_submissions(place)
    return submission


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


def test_a_sweep_is_one_array_job_that_knows_run_store_and_folds(study_file: Path, batch: FakeBatch) -> None:
    deploy()
    told = sweep(study_file)
    run = find_run(None, study_file)
    submission = only_submission(run)
    assert run.url.startswith("s3://results/tiny/runs/tiny-")
    assert "12 folds submitted to gpu" in told[0]
    (job,) = submission.jobs
    assert job.folds == "0-11"
    parent = batch.jobs[job.job]
    assert parent["arrayProperties"]["size"] == 12
    assert parent["jobName"].startswith("tiny-folds-")
    assert parent["jobQueue"] == "gpu"
    assert parent["tags"] == {"project": "loosweep"}
    variables = environment_of(parent)
    assert variables["LOOSWEEP_RUN"] == run.url
    assert variables["LOOSWEEP_STORE"] == "s3://results/tiny/store" == submission.store
    assert variables["LOOSWEEP_FOLDS"] == "0-11"
    assert variables["LOOSWEEP_IMAGE"] == "image@sha256:0" == read_manifest(run).image
    assert variables["LOOSWEEP_DEVICE"] == "cpu"
    assert submission.report_job is not None
    assert submission.whole
    assert {item.key.split("/")[1] for item in open_storage("s3://results/tiny/store").list()} == {
        "exams",
        "store.json",
    }


def test_a_single_fold_is_a_plain_job(study_file: Path, batch: FakeBatch) -> None:
    deploy()
    sweep(study_file, range(5, 6))
    job = batch.jobs[only_submission(find_run(None, study_file)).jobs[0].job]
    assert "arrayProperties" not in job
    assert environment_of(job)["LOOSWEEP_FOLDS"] == "5"


def test_done_folds_are_not_submitted_again(
    study_file: Path, batch: FakeBatch, make_result: Any, score: Any
) -> None:
    deploy()
    sweep(study_file, range(2, 4))
    run = find_run(None, study_file)
    batch.end()
    scores = {structure: score(0.5) for structure in ("GTV-T", "GTV-Ln", "union")}
    run.write(layout.result(3), make_result(read_manifest(run), 3, scores).to_json())
    sweep(study_file)
    assert [job.folds for s in batch_submissions(run) for job in s.jobs] == ["2-3", "0-2,4-11"]
    batch.end()
    run.write(layout.result(3), b"{}")  # damaged, and so named
    with pytest.raises(DataError, match=r"folds/3/result\.json"):
        sweep(study_file)


def test_more_folds_than_an_array_takes_are_several_arrays_of_compact_ranges() -> None:
    client: Any = FakeBatch()
    task = Task(study="tiny", place="s3://r/run", store="s3://r/store", image="i", token="t", gpus=4)
    folds = [fold for fold in range(20_002) if fold != 7]
    jobs = list(BatchJobs(client, client, client, DEPLOYMENT).submit_folds(task, folds))
    assert jobs == [
        FoldJob(job="job-0", folds="0-6,8-10000"),
        FoldJob(job="job-1", folds="10001-20000"),
        FoldJob(job="job-2", folds="20001"),
    ]
    requests = list(client.jobs.values())
    sizes = [request.get("arrayProperties", {}).get("size") for request in requests]
    assert sizes == [10_000, 10_000, None]
    assert {request["jobDefinition"] for request in requests} == {"s-tiny-fold-4gpu"}
    assert {request["jobQueue"] for request in requests} == {"multi-gpu"}
    assert len({request["jobName"] for request in requests}) == 3
    assert all(len(json.dumps(request)) < 30 * 1024 for request in requests)


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


def test_a_dry_run_submits_and_makes_nothing(study_file: Path, batch: FakeBatch) -> None:
    deploy()
    told = sweep(study_file, dry_run=True)
    assert told[0].endswith("0 done")
    assert "would submit 12 folds to gpu as 1 job: 0-11" in told[2]
    assert told[1].endswith("prepared on this machine, as it is not below s3://data/tiny")
    assert "cost not known: no fold of this study is done" in told[-1]
    assert "A fold costs 0.4 USD to 0.5 USD an hour" in told[-1]
    assert not batch.jobs
    assert list(open_storage("s3://results/tiny").list()) == []


@pytest.fixture
def pilot(study_file: Path, batch: FakeBatch, make_result: Any, score: Any) -> Storage:
    """A run whose first fold is done: it took a minute, and cost 0.5 USD for the hour that AWS counts."""
    deploy()
    sweep(study_file, range(1))
    batch.end()
    run = find_run(None, study_file)
    batch.jobs["job-0"]["attempts"] = [attempt(0, 3600)]
    scores = {structure: score(0.5) for structure in ("GTV-T", "GTV-Ln", "union")}
    run.write(layout.result(0), make_result(read_manifest(run), 0, scores).to_json())
    return run


def test_a_dry_run_tells_the_cost_from_what_is_done(study_file: Path, pilot: Storage) -> None:
    told = sweep(study_file, dry_run=True)
    assert "would submit 11 folds to gpu as 1 job: 1-11" in told[2]
    assert told[-1].startswith("about 0.073 USD to 0.092 USD: 11 folds of 0:01:00 at 0.4 USD to 0.5 USD")


def test_a_budget_that_is_spent_submits_nothing(study_file: Path, pilot: Storage, batch: FakeBatch) -> None:
    before = dict(batch.jobs)
    with pytest.raises(StudyError, match=r"has cost about 0\.5 USD, and --budget is 0\.4 USD"):
        sweep(study_file, budget_usd=0.4)
    with pytest.raises(StudyError, match=r"may not pay for a fold, which costs up to 0\.0083 USD"):
        sweep(study_file, budget_usd=0.501)
    assert batch.jobs == before


def test_a_budget_submits_the_comparisons_that_it_pays_for_and_watches_them(
    study_file: Path, pilot: Storage, batch: FakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 3 arms: folds 1 and 2 end the first comparison, 3 to 5 are the second; 0.06 USD pay for 7 folds."""
    monkeypatch.setattr(budget.time, "sleep", lambda _: batch.end())
    told = sweep(study_file, budget_usd=0.56)
    assert environment_of(batch.jobs[only(batch, "folds", "1-5")])["LOOSWEEP_FOLDS"] == "1-5"
    assert told == ["5 of 5 folds ended well, 0 running, 0 failed; about 0.5 USD of 0.56 USD", ENDED]


def test_a_budget_watches_jobs_that_run_already(
    study_file: Path, batch: FakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy()
    sweep(study_file)
    jobs = set(batch.jobs)
    monkeypatch.setattr(budget.time, "sleep", lambda _: batch.end())
    told = sweep(study_file, budget_usd=9)
    assert told == ["12 of 12 folds ended well, 0 running, 0 failed; about 0.00 USD of 9.00 USD", ENDED]
    assert set(batch.jobs) == jobs


@pytest.mark.parametrize("state", ["RUNNING", "RUNNABLE", "PENDING"])
def test_a_second_submission_is_refused_while_jobs_live(
    study_file: Path, batch: FakeBatch, state: str
) -> None:
    deploy()
    sweep(study_file)
    batch.move(only_submission(find_run(None, study_file)).jobs[0].job, state)
    with pytest.raises(
        StudyError, match="still run or wait; let them end, or end them with `submit cancel s3:"
    ):
        sweep(study_file)


def test_a_second_submission_is_refused_before_the_jobs_of_the_first_are_shown(
    study_file: Path, batch: FakeBatch
) -> None:
    deploy()
    sweep(study_file)
    batch.hidden = True
    with pytest.raises(StudyError, match="jobs of an earlier submission still run or wait"):
        sweep(study_file)


def test_of_two_submitters_at_once_one_submits(study_file: Path, batch: FakeBatch) -> None:
    deploy()
    sweep(study_file, range(1))
    batch.end()
    start, real = threading.Barrier(2), batch.describe_jobs

    def both_look(**request: Any) -> Any:
        answer = real(**request)
        with suppress(threading.BrokenBarrierError):
            start.wait(timeout=120)
        return answer

    batch.describe_jobs = both_look  # type: ignore[method-assign]

    def submit(_: int) -> str:
        try:
            return sweep(study_file)[0]
        except StudyError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(submit, range(2)))
    words = ("another `submit` submits it at this moment", "12 folds submitted")
    assert [sum(word in line for line in told) for word in words] == [1, 1], told
    assert len(batch_submissions(find_run(None, study_file))) == 2


def test_a_submission_that_broke_off_may_be_made_again_after_a_while(
    study_file: Path, batch: FakeBatch
) -> None:
    deploy()
    batch.refused = 100
    with pytest.raises(OSError, match="TooManyRequestsException"):
        sweep(study_file)
    batch.refused = 0
    run = find_run(None, study_file)
    with pytest.raises(StudyError, match="still run or wait"):  # it might be at it yet
        sweep(study_file)
    old = only_submission(run).model_copy(update={"started": "2026-01-01T00:00:00+00:00"})
    run.write(layout.batch_submission(0), old.model_dump_json().encode())
    assert "12 folds submitted" in sweep(study_file)[0]


@pytest.mark.parametrize(("lost", "refused"), [(1, 0), (0, 2)])
def test_a_job_is_submitted_once_though_answers_are_lost_or_aws_is_busy(
    study_file: Path, batch: FakeBatch, lost: int, refused: int
) -> None:
    deploy()
    batch.lost_answers, batch.refused = lost, refused
    sweep(study_file)
    assert len(batch.jobs) == 2  # folds and report
    assert set(only_submission(find_run(None, study_file)).all_jobs) == set(batch.jobs)


def test_cancelling_ends_every_job_that_has_not_ended(study_file: Path, batch: FakeBatch) -> None:
    deploy()
    sweep(study_file, range(1))
    first = set(batch.jobs)
    batch.end()
    sweep(study_file)
    assert "2 jobs ended; folds that ran write checkpoints first" in cancel_run(None, study_file)
    reasons = {job: detail.get("statusReason") for job, detail in batch.jobs.items()}
    assert {job for job, reason in reasons.items() if reason is None} == first
    assert {detail["status"] for detail in batch.jobs.values()} == {"FAILED", "SUCCEEDED"}
    assert "nothing is running" in cancel_run(None, study_file)


def test_status_adds_up_attempts_interruptions_and_reasons(
    study_file: Path, batch: FakeBatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy()
    sweep(study_file)
    array = only_submission(find_run(None, study_file)).jobs[0].job
    batch.jobs[array]["arrayProperties"]["statusSummary"] = {"RUNNING": 1, "FAILED": 2, "RUNNABLE": 9}
    pull = {"container": {"reason": "CannotPullContainerError: denied"}}
    batch.children |= {
        f"{array}:0": {"status": "RUNNING", "attempts": [attempt(0, 3600, None, LOST)]}
        | attempt(time.time() - 1800, None, None),
        f"{array}:1": {"status": "FAILED", "attempts": [attempt(0, 3600, 65, "Essential container exited")]},
        f"{array}:2": {"status": "FAILED", "attempts": [pull]},
    }
    show_status(None, study_file, as_json=True)
    said = json.loads(capsys.readouterr().out)["batch"]
    assert said["folds"] == {"waiting": 9, "running": 1, "succeeded": 0, "failed": 2}
    assert (said["spent"]["attempts"], said["spent"]["interruptions"]) == (4, 1)
    # An hour, half an hour and an hour, each on what may be the dearest machine.
    assert said["spent"]["dollars"] == pytest.approx(2.5 * 0.5, rel=0.01)
    assert said["failed"] == {
        "ended with exit code 65 (Essential container exited)": [1],
        "CannotPullContainerError: denied": [2],
    }
    show_status(None, study_file, as_json=False)
    told = capsys.readouterr().out
    assert "9 waiting, 1 running, 0 ended well, 2 failed" in told
    assert "4 attempts, 1 interruption, 0 lost steps" in told
    assert "fold 2: CannotPullContainerError: denied" in told


def test_logs_are_those_of_the_last_submission_that_had_the_fold(study_file: Path, batch: FakeBatch) -> None:
    deploy()
    logs = boto3.client("logs")
    logs.create_log_group(logGroupName="logs")
    for stream, text in (("stream-0", "first"), ("stream-100", "second"), ("stream-200", "third")):
        logs.create_log_stream(logGroupName="logs", logStreamName=stream)
        event: Any = {"timestamp": int(time.time() * 1000), "message": text}
        logs.put_log_events(logGroupName="logs", logStreamName=stream, logEvents=[event])
    sweep(study_file, range(2))
    batch.end("FAILED")
    batch.children["job-0:1"]["attempts"] = [attempt(0, 1, 65)]
    assert read_log(None, study_file, 1) == "--- attempt 1\nfirst\n"
    with pytest.raises(StudyError, match="fold 5 has no log: it was not submitted"):
        read_log(None, study_file, 5)
    sweep(study_file)
    with pytest.raises(StudyError, match="fold 1 has no log at AWS: it has not begun"):
        read_log(None, study_file, 1)
    second = only(batch, "folds", "0-11")
    ended = {"status": "RUNNING", "attempts": [attempt(100, 150, None, LOST)]}
    batch.children[f"{second}:1"] = ended | attempt(200, None, None)
    assert read_log(None, study_file, 1) == (
        f"--- attempt 1\nsecond\n--- attempt 1 ended: {LOST}\n--- attempt 2\nthird\n"
    )


def test_a_cohort_in_the_bucket_is_prepared_by_a_job_that_folds_wait_for(
    remote_study: Path,
    batch: FakeBatch,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = sweep(remote_study)
    request = find_run(None, remote_study)
    assert told[0].startswith(f"request {request.url}: the preparation of the cohort and 12 folds submitted")
    submission = only_submission(request)
    prepare, folds, report = (batch.jobs[job] for job in submission.all_jobs)
    assert prepare["jobName"].startswith("tiny-prepare-")
    assert (prepare["jobQueue"], folds["jobQueue"], report["jobQueue"]) == ("cpu", "gpu", "cpu")
    assert folds["dependsOn"] == [{"jobId": submission.prepare_job}]
    assert report["dependsOn"] == [{"jobId": submission.jobs[0].job}]
    assert {environment_of(job)["LOOSWEEP_RUN"] for job in batch.jobs.values()} == {request.url}
    show_status(None, remote_study, as_json=False)
    assert "preparation of the cohort: runnable" in capsys.readouterr().out
    with pytest.raises(StudyError, match="is not prepared, so that it has no results; `submit status s3://"):
        require_run(request)
    with pytest.raises(StudyError, match="is not prepared yet, so that it has no run"):
        open_run(request.url)

    assert run_job(monkeypatch, prepare, "prepare") == ExitCode.DONE
    run = find_run(None, remote_study)
    assert run.url.startswith("s3://results/tiny/runs/tiny-")
    assert run.url == open_run(request.url).url == find_run(request.url, remote_study).url
    assert only_submission(run) == submission
    assert read_manifest(run).image == "image@sha256:0"
    assert read_manifest(run).folds == 12
    capsys.readouterr()
    show_status(None, remote_study, as_json=False)
    assert capsys.readouterr().out.startswith(f"run {run.url.rpartition('/')[2]}: 0 done")


def test_a_request_is_not_submitted_again_while_it_is_prepared_nor_prepared_again_after(
    remote_study: Path, batch: FakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(remote_study)
    request = find_run(None, remote_study)
    text = remote_study.read_text()
    remote_study.write_text(text.replace('"device" = "cpu"', '"device" = "cpu", "checkpoint_minutes" = 7'))
    assert remote_study.read_text() != text  # what changes no fold's numbers is the same experiment
    with pytest.raises(StudyError, match="jobs of an earlier submission still run or wait"):
        sweep(remote_study)
    batch.end(but=("-prepare-",))
    with pytest.raises(StudyError, match="jobs of an earlier submission still run or wait"):
        sweep(remote_study)
    batch.end()
    assert run_job(monkeypatch, batch.jobs[only(batch, "prepare")], "prepare") == ExitCode.DONE
    assert "would submit 12 folds" in sweep(remote_study, dry_run=True)[2]
    run = open_run(request.url)
    run.write("folds/3/result.json", b"{}")
    with pytest.raises(DataError, match=r"folds/3/result\.json"):  # so it looks at the run
        sweep(remote_study)
    run.delete("folds/3/result.json")
    assert sweep(remote_study)[0].startswith(f"run {run.url}: 12 folds submitted")
    first, second = batch_submissions(run)
    assert (first.prepare_job, second.prepare_job) == (only(batch, "prepare"), None)
    assert "2 jobs ended" in cancel_run(None, remote_study)


def test_other_files_are_another_request(remote_study: Path) -> None:
    sweep(remote_study)
    first = find_run(None, remote_study)
    spoil_a_label()
    assert "would submit the preparation of the cohort, then 12 folds" in sweep(remote_study, dry_run=True)[2]
    sweep(remote_study)
    assert len(open_storage("s3://results/tiny/runs").folders("requests")) == 2
    assert find_run(first.url, remote_study).url == first.url


def test_a_preparation_that_fails_leaves_no_run(
    remote_study: Path, batch: FakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_a_label()
    sweep(remote_study)
    request = find_run(None, remote_study)
    assert run_job(monkeypatch, batch.jobs[only(batch, "prepare")], "prepare") == ExitCode.DATA
    assert not request.exists(layout.REQUESTED_RUN)


MANIFEST = json.dumps({"mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []})
ECR = f"123456789012.dkr.ecr.{REGION}.amazonaws.com"


def test_an_image_in_ecr_is_named_by_its_digest_and_a_missing_one_refused(
    study_file: Path, batch: FakeBatch
) -> None:
    deploy(OUTPUTS | {cloud.IMAGE: f"{ECR}/assets:abc"})
    with pytest.raises(StudyError, match=r"assets:abc is not in ECR, so that no job could start; run `cdk"):
        sweep(study_file)
    client = boto3.client("ecr")
    client.create_repository(repositoryName="assets")
    with pytest.raises(StudyError, match="is not in ECR"):
        sweep(study_file)
    assert not batch.jobs
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


def test_children_are_told_apart_with_their_attempts_and_a_hundred_at_a_time() -> None:
    client: Any = FakeBatch()
    client.jobs = {
        "a": {"status": "RUNNING"},
        "b": {"jobId": "b", "status": "RUNNING", "attempts": [attempt(100, 160, None, LOST)]}
        | attempt(500, None, None, LOST),
    }
    ended = [attempt(0, 9, None, LOST), attempt(10, 20, 143), attempt(30, 31, 65)]
    client.children = {f"a:{n}": {"status": "SUCCEEDED", "attempts": [attempt(0, 10)]} for n in range(250)}
    client.children["a:7"] = {"status": "FAILED", "attempts": ended}
    client.children["a:8"] = {
        "status": "FAILED",
        "statusReason": "ended by submit: submit cancel",
        "attempts": [attempt(0, 9, 143), attempt(10, 20, 143)],
    }
    jobs = BatchJobs(client, client, client, DEPLOYMENT)
    submitted = [FoldJob(job="a", folds="10-259"), FoldJob(job="b", folds="3")]
    children = list(jobs.children(submitted))
    assert client.described == [100, 100, 51]
    assert [child.fold for child in children] == [*range(10, 260), 3]
    assert (children[7].fold, children[7].state, children[7].interruptions) == (17, "FAILED", 2)
    assert children[8].interruptions == 1  # the last attempt was ended on purpose
    running = children[-1]
    assert [(one.started, one.stopped) for one in running.attempts] == [(100, 160), (500, None)]
    assert running.interruptions == 1
    assert [child.fold for child in jobs.children(submitted, but={f"a:{n}" for n in range(250)})] == [3]


def test_commands_mean_the_study_of_the_file_and_no_other_of_its_name(
    remote_study: Path, batch: FakeBatch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run of the file is done; another study of the same name waits for its preparation."""
    sweep(remote_study)
    batch.end()
    assert run_job(monkeypatch, batch.jobs[only(batch, "prepare")], "prepare") == ExitCode.DONE
    run = find_run(None, remote_study)
    text = remote_study.read_text()
    other = remote_study.with_name("other.toml")
    other.write_text(text.replace('"steps" = 24', '"steps" = 25'))
    assert other.read_text() != text
    sweep(other)
    waiting = find_run(None, other)
    assert waiting.url != run.url == find_run(None, remote_study).url
    assert "nothing is running" in cancel_run(None, remote_study)
    third = remote_study.with_name("third.toml")
    third.write_text(text.replace('"steps" = 24', '"steps" = 26'))
    with pytest.raises(StudyError, match=r"third\.toml has no run as it is now; name one: s3://"):
        cancel_run(None, third)
    assert find_run(None, third).url == waiting.url
    assert "third.toml was changed since" in capsys.readouterr().err
    assert "3 jobs ended" in cancel_run(None, other)


def test_a_preparation_that_was_in_vain_does_not_hide_the_run_before(
    remote_study: Path, batch: FakeBatch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(remote_study)
    batch.end()
    first = next(iter(batch.jobs))
    assert run_job(monkeypatch, batch.jobs[first], "prepare") == ExitCode.DONE
    run = find_run(None, remote_study)
    spoil_a_label()
    sweep(remote_study)
    assert is_request(find_run(None, remote_study))
    batch.end("FAILED")
    assert find_run(None, remote_study).url == run.url
    assert "was submitted later, and its cohort was not prepared" in capsys.readouterr().err


def test_failures_of_an_earlier_job_are_past(study_file: Path, batch: FakeBatch) -> None:
    deploy()
    sweep(study_file)
    run = find_run(None, study_file)
    for fold, job in ((0, "job-0:0"), (1, "job-0:1")):
        failure = Failure(fold=fold, attempts=1, exit_code=64, message="no GPU", time=utc_now(), job=job)
        run.write(layout.failure(fold), failure.to_json())
    batch.end("FAILED")
    sweep(study_file, range(1))
    jobs = _jobs_by_fold(run)
    assert (jobs[0], jobs[1]) == ("job-2", "job-0:1")
    states = [status.state for status in survey(run, read_manifest(run), datetime.now(UTC), jobs)]
    assert states[:2] == ["missing", "failed"]


def test_a_cohort_for_jobs_is_prepared_in_the_bucket(study_file: Path) -> None:
    deploy()
    assert prepare_study(study_file, Console()).startswith("s3://results/tiny/store: 4 exams made")
    assert not (study_file.parent / "store").exists()


def test_the_region_may_be_named_as_everywhere(study_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy()
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_REGION", REGION)
    boto3.setup_default_session()
    try:
        assert f"stack loosweep in {REGION}" in sweep(study_file, dry_run=True)[3]
    finally:
        boto3.setup_default_session()
