"""Submitting to AWS Batch; nothing is trained."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.cloudformation.models import cloudformation_backends
from moto.core import DEFAULT_ACCOUNT_ID
from rich.console import Console

from job.contract import cloud, layout
from job.contract.errors import DataError, StudyError
from job.contract.fold_ranges import format_folds
from job.storage import open_storage
from submit.aws.deployment import image_digest
from submit.aws.jobs import BatchJobs, Task, parts_of
from submit.find import find_run
from submit.prepare import prepare_study
from submit.status import cancel_run
from submit.submissions import FoldJob, batch_submissions
from submit.sweep import run_sweep
from tests.submit.aws.deployed import (
    DEPLOYMENT,
    OUTPUTS,
    REGION,
    age,
    deploy,
    environment_of,
    only_submission,
    sweep,
)
from tests.submit.aws.fake_batch import FakeBatch


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
    assert variables["LOOSWEEP_IMAGE"] == "image@sha256:0" == run.manifest.image
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
    run.files.write(layout.result(3), make_result(run.manifest, 3, scores).to_json())
    sweep(study_file)
    assert [job.folds for s in batch_submissions(run) for job in s.jobs] == ["2-3", "0-2,4-11"]
    batch.end()
    run.files.write(layout.result(3), b"{}")  # damaged, and so named
    with pytest.raises(DataError, match=r"folds/3/result\.json"):
        sweep(study_file)


def test_more_folds_than_an_array_takes_are_several_arrays_of_compact_ranges() -> None:
    client: Any = FakeBatch()
    task = Task(study="tiny", run="s3://r/run", store="s3://r/store", image="i", token="t")
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
    assert {request["jobDefinition"] for request in requests} == {"s-tiny-fold"}
    assert {request["jobQueue"] for request in requests} == {"gpu"}
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


def test_a_dry_run_tells_what_stands_in_the_way(study_file: Path, batch: FakeBatch) -> None:
    deploy()
    sweep(study_file, range(1))
    assert sweep(study_file, dry_run=True)[-1].endswith("jobs of an earlier submission still run or wait")
    batch.end()
    assert "not now" not in sweep(study_file, dry_run=True)[-1]


def test_a_slash_at_the_end_of_the_cohort_s_folder_changes_nothing(
    remote_study: Path, batch: FakeBatch
) -> None:
    sweep(remote_study)
    remote_study.write_text(
        remote_study.read_text().replace("s3://data/tiny/cohort", "s3://data/tiny/cohort/")
    )
    with pytest.raises(StudyError, match="jobs of an earlier submission still run or wait"):
        sweep(remote_study)


def test_a_dry_run_submits_and_makes_nothing(study_file: Path, batch: FakeBatch) -> None:
    deploy()
    told = sweep(study_file, dry_run=True)
    assert told[0].endswith("0 done")
    assert "would submit 12 folds to gpu as 1 job: 0-11" in told[2]
    assert "prepared on this machine, as it is not below s3://data/tiny; its normalised" in told[1]
    assert "cost not known: no fold of this study is done" in told[-1]
    assert "A fold costs 0.4 USD to 0.5 USD an hour" in told[-1]
    assert not batch.jobs
    assert list(open_storage("s3://results/tiny").list()) == []


@pytest.mark.parametrize("state", ["RUNNING", "RUNNABLE", "PENDING"])
def test_a_second_submission_is_refused_while_jobs_live(
    study_file: Path, batch: FakeBatch, state: str
) -> None:
    deploy()
    sweep(study_file)
    batch.move(only_submission(find_run(None, study_file)).jobs[0].job, state)
    with pytest.raises(StudyError, match="still run or wait; wait, or end its jobs with `submit cancel s3:"):
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
    with pytest.raises(
        StudyError, match=r"submits it at this moment, or broke off and left it for 10 minutes"
    ):
        sweep(study_file)
    age(run)
    assert "12 folds submitted" in sweep(study_file)[0]


def test_a_submission_that_is_refused_stands_in_nobodys_way(study_file: Path, batch: FakeBatch) -> None:
    deploy()
    batch.denied = True
    with pytest.raises(StudyError, match="AccessDenied"):
        sweep(study_file)
    batch.denied = False
    assert "12 folds submitted" in sweep(study_file)[0]


def test_a_job_whose_id_never_came_back_is_known_by_its_name(study_file: Path, batch: FakeBatch) -> None:
    deploy()
    batch.lost_answers, batch.unlisted = 100, 100
    with pytest.raises(OSError, match="Could not connect"):
        sweep(study_file)
    (taken,) = batch.jobs  # and no second one, as long as nobody knows of the first
    batch.lost_answers, batch.unlisted = 0, 0
    run = find_run(None, study_file)
    assert only_submission(run).jobs == ()
    age(run)
    with pytest.raises(StudyError, match="jobs of an earlier submission still run or wait"):
        sweep(study_file)
    assert "1 job ended" in cancel_run(None, study_file)
    assert batch.jobs[taken]["status"] == "FAILED"
    assert "12 folds submitted" in sweep(study_file)[0]


def test_a_damaged_submission_may_be_deleted(study_file: Path, batch: FakeBatch) -> None:
    deploy()
    for _ in range(2):
        sweep(study_file, range(1))
        batch.end()
    run = find_run(None, study_file)
    run.files.write(layout.batch_submission(0), b"{")
    with pytest.raises(StudyError, match=r"submissions/000000\.json is damaged; delete it"):
        sweep(study_file)
    run.files.delete(layout.batch_submission(0))
    assert "12 folds submitted" in sweep(study_file)[0]


def test_a_stack_that_is_being_changed_takes_no_sweep_but_ends_one(
    study_file: Path, batch: FakeBatch
) -> None:
    deploy()
    sweep(study_file)
    (stack,) = cloudformation_backends[DEFAULT_ACCOUNT_ID][REGION].stacks.values()
    stack.status = "UPDATE_IN_PROGRESS"
    with pytest.raises(StudyError, match="is in state UPDATE_IN_PROGRESS; wait for it"):
        sweep(study_file)
    assert "2 jobs ended" in cancel_run(None, study_file)


@pytest.mark.parametrize(("lost", "refused", "unlisted"), [(1, 0, 0), (0, 2, 0), (1, 0, 2), (0, 1, 1)])
def test_a_job_is_submitted_once_though_answers_are_lost_or_aws_is_busy(
    study_file: Path, batch: FakeBatch, lost: int, refused: int, unlisted: int
) -> None:
    deploy()
    batch.lost_answers, batch.refused, batch.unlisted = lost, refused, unlisted
    sweep(study_file)
    assert len(batch.jobs) == 2  # folds and report
    assert set(only_submission(find_run(None, study_file)).all_jobs) == set(batch.jobs)


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
    assert find_run(None, study_file).manifest.image == f"{ECR}/assets@{digest}"
    assert image_digest(f"{ECR}/assets@{digest}") == f"{ECR}/assets@{digest}"


def test_folds_that_lie_apart_are_told_in_texts_that_a_container_takes() -> None:
    folds = list(range(0, 20_000, 2))
    parts = list(parts_of(folds))
    assert [fold for part in parts for fold in part] == folds
    assert all(len(format_folds(part)) <= 4000 for part in parts)


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
