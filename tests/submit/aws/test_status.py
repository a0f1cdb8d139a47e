"""Status, logs and cancelling, as AWS Batch tells them."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from job.contract import cloud
from job.contract.errors import StudyError
from job.contract.results import Failure, utc_now
from submit.aws.jobs import BatchJobs
from submit.find import find_run
from submit.status import _jobs_by_fold, cancel_run, read_log, show_status
from submit.submissions import FoldJob
from submit.survey import survey
from tests.submit.aws.deployed import (
    DEPLOYMENT,
    OUTPUTS,
    age,
    deploy,
    only,
    only_submission,
    sweep,
)
from tests.submit.aws.fake_batch import LOST, FakeBatch, attempt


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
    assert "4 attempts, 1 machine taken back or lost, 0 lost steps" in told
    assert "fold 2: CannotPullContainerError: denied" in told


def test_what_was_cancelled_has_not_failed(
    study_file: Path, batch: FakeBatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy()
    sweep(study_file)
    array = only_submission(find_run(None, study_file)).jobs[0].job
    cancel_run(None, study_file)
    for position in range(12):
        batch.children[f"{array}:{position}"]["statusReason"] = "ended by submit: submit cancel"
    batch.children[f"{array}:0"] = {"status": "SUCCEEDED", "attempts": [attempt(0, 9)]}
    batch.jobs[array]["arrayProperties"]["statusSummary"] = {"SUCCEEDED": 1, "FAILED": 11}
    show_status(None, study_file, as_json=False)
    told = capsys.readouterr().out
    assert "1 ended well, 0 failed, 11 cancelled" in told
    assert "no report was made, as not all jobs ended well" in told
    assert "exit code" not in told


def test_a_log_that_has_no_line_yet_is_empty(study_file: Path, batch: FakeBatch) -> None:
    deploy()
    boto3.client("logs").create_log_group(logGroupName="logs")
    sweep(study_file, range(1))
    batch.jobs[only(batch, "folds")] |= {"status": "RUNNING"} | attempt(5, None, None)
    assert read_log(None, study_file, 0) == "--- attempt 1\n"


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
    with pytest.raises(StudyError, match="fold 1 has no log: its job is"):
        read_log(None, study_file, 1)
    second = only(batch, "folds", "0-11")
    ended = {"status": "RUNNING", "attempts": [attempt(100, 150, None, LOST)]}
    batch.children[f"{second}:1"] = ended | attempt(200, None, None)
    assert read_log(None, study_file, 1) == (
        f"--- attempt 1\nsecond\n--- attempt 1 ended: {LOST}\n--- attempt 2\nthird\n"
    )
    batch.jobs.clear()
    batch.children.clear()
    with pytest.raises(StudyError, match=r"fold 1: AWS Batch shows no job of it.* log group logs"):
        read_log(None, study_file, 1)


def test_the_log_of_a_job_that_never_ran_is_why_it_did_not(study_file: Path, batch: FakeBatch) -> None:
    deploy()
    sweep(study_file, range(1))
    cancel_run(None, study_file)
    with pytest.raises(StudyError, match=r"job is FAILED \(ended by submit: submit cancel\)"):
        read_log(None, study_file, 0)


def test_a_forgotten_job_does_not_keep_the_others_from_being_ended(
    study_file: Path, batch: FakeBatch
) -> None:
    deploy()
    sweep(study_file, range(2))
    batch.end()
    age(find_run(None, study_file))
    forgotten = set(batch.jobs)
    batch.jobs["another"] = {"jobName": "another", "jobQueue": "gpu", "status": "SUCCEEDED"}
    batch.jobs["of another"] = {"jobName": "of another", "jobQueue": "gpu", "status": "SUCCEEDED"}
    for job in forgotten:
        del batch.jobs[job]
    assert "nothing is running" in cancel_run(None, study_file)
    sweep(study_file)
    assert "2 jobs ended" in cancel_run(None, study_file)


def test_a_run_whose_stack_is_gone_still_has_a_status(
    study_file: Path, batch: FakeBatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy()
    sweep(study_file)
    run = find_run(None, study_file)
    boto3.client("cloudformation").delete_stack(StackName=cloud.STACK)
    show_status(run.url, study_file, as_json=False)
    told = capsys.readouterr()
    assert "0 done" in told.out
    assert "not known: there is no stack loosweep" in told.err


def test_a_study_that_is_not_deployed_has_no_status(study_file: Path) -> None:
    deploy(OUTPUTS | {cloud.STUDIES: "other"})
    with pytest.raises(StudyError, match=r"'tiny' is not deployed \(stack loosweep has other\)"):
        show_status(None, study_file, as_json=False)


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


def test_failures_of_an_earlier_job_are_past(study_file: Path, batch: FakeBatch) -> None:
    deploy()
    sweep(study_file)
    run = find_run(None, study_file)
    for fold, job in ((0, "job-0:0"), (1, "job-0:1")):
        failure = Failure(fold=fold, attempts=1, exit_code=64, message="no GPU", time=utc_now(), job=job)
        run.fold(fold).failure.write(failure)
    batch.end("FAILED")
    sweep(study_file, range(1))
    jobs = _jobs_by_fold(run)
    assert (jobs[0], jobs[1]) == ("job-2", "job-0:1")
    states = [status.state for status in survey(run, datetime.now(UTC), jobs)]
    assert states[:2] == ["missing", "failed"]
