"""The emulator's own rules, against those of AWS Batch's user guide; no container is run."""

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from infra.retries import retry_rules
from tests.cloud.batch import Batch, CannotStartError, RequestError, Task
from tests.cloud.jobs import Attempt, Job, is_tried_again
from tests.cloud.rig import wait_for

STRATEGY: dict[str, Any] = {
    "attempts": 10,
    "evaluateOnExit": [
        {
            key: value
            for key, value in {
                "action": rule.action,
                "onExitCode": rule.exit_code,
                "onReason": rule.reason,
                "onStatusReason": rule.status_reason,
            }.items()
            if value is not None
        }
        for rule in retry_rules(counts=True)
    ],
}
"""Of the deployed job definitions."""


class Scripted:
    """Containers that end as they are told: by the job's index, exit codes of its attempts in turn."""

    def __init__(self, codes: dict[str | None, list[int | str]]) -> None:
        self._codes = defaultdict(list, codes)
        self._ends: dict[str, threading.Event] = defaultdict(threading.Event)
        self._killed: dict[str, int] = {}
        self.begun: list[dict[str, str]] = []

    def run(self, task: Task, on_line: Callable[[str], None]) -> int:
        self.begun.append(dict(task.environment))
        on_line(f"attempt {task.environment['AWS_BATCH_JOB_ATTEMPT']}")
        codes = self._codes[task.environment.get("AWS_BATCH_JOB_ARRAY_INDEX")]
        code = codes.pop(0) if codes else 0
        if code == "wait":
            assert self._ends[task.name].wait(30)
            return self._killed[task.name]
        if isinstance(code, str):
            raise CannotStartError(code)
        return code

    def stop(self, name: str, grace_seconds: float) -> None:
        self._killed[name] = 143
        self._ends[name].set()

    def kill(self, name: str) -> None:
        self._killed[name] = 137
        self._ends[name].set()


def batch_of(codes: dict[str | None, list[int | str]], machines: int = 2) -> tuple[Batch, Scripted]:
    containers = Scripted(codes)
    batch = Batch(
        containers=containers,
        log=lambda *_: None,
        machine_environment=lambda machine: {"MACHINE": machine},
        machines=machines,
    )
    return batch, containers


def submit(batch: Batch, size: int | None = None, after: Job | None = None, **overrides: Any) -> Job:
    request: dict[str, Any] = {"jobName": "job", "containerOverrides": overrides}
    if size is not None:
        request["arrayProperties"] = {"size": size}
    if after is not None:
        request["dependsOn"] = [{"jobId": after.id}]
    container = {"image": "image", "command": ["a"], "environment": [{"name": "A", "value": "definition"}]}
    definition = {"jobDefinitionArn": "arn", "jobDefinitionName": "d", "containerProperties": container}
    return batch.submit(request, "queue", definition | {"retryStrategy": STRATEGY})


def ended(*jobs: Job) -> list[str]:
    wait_for(lambda: all(job.ended for job in jobs), "the end of jobs", 30)
    return [job.status for job in jobs]


@pytest.mark.parametrize(
    ("code", "status_reason", "again"),
    [
        (64, "Essential container in task exited", False),
        (65, "Essential container in task exited", False),
        (69, "Essential container in task exited", False),
        (70, "Essential container in task exited", True),
        (75, "Essential container in task exited", True),
        (137, "Essential container in task exited", True),
        (143, "Essential container in task exited", True),
        (64, "Host EC2 (instance i-1) terminated.", True),
        (None, "Host EC2 (instance i-1) terminated.", True),
        (None, "Task failed to start", False),
    ],
)
def test_the_first_rule_that_matches_decides(code: int | None, status_reason: str, again: bool) -> None:
    attempt = Attempt(
        number=1,
        task="t",
        machine="i-1",
        log_stream="l",
        started=0,
        exit_code=code,
        status_reason=status_reason,
    )
    assert is_tried_again(STRATEGY, attempt) is again


def test_what_no_rule_matches_is_tried_again_until_the_attempts_are_used_up() -> None:
    strategy = {"attempts": 2, "evaluateOnExit": [{"action": "EXIT", "onExitCode": "1"}]}
    first, last = (
        Attempt(number=number, task="t", machine="m", log_stream="l", started=0, exit_code=2)
        for number in (1, 2)
    )
    assert is_tried_again(strategy, first)
    assert not is_tried_again(strategy, last)


def test_children_know_their_index_and_attempt_and_the_parent_ends_when_all_have() -> None:
    batch, containers = batch_of({"1": [75, 143, 0]})
    array = submit(batch, 3, environment=[{"name": "A", "value": "submission"}])
    assert ended(array, *array.children) == ["SUCCEEDED"] * 4
    told = {(e["AWS_BATCH_JOB_ARRAY_INDEX"], e["AWS_BATCH_JOB_ATTEMPT"]) for e in containers.begun}
    assert told == {("0", "1"), ("1", "1"), ("1", "2"), ("1", "3"), ("2", "1")}
    assert {e["AWS_BATCH_JOB_ID"] for e in containers.begun} == {f"{array.id}:{index}" for index in range(3)}
    assert {e["A"] for e in containers.begun} == {"submission"}
    described = array.children[1].describe()
    assert [a["container"]["exitCode"] for a in described["attempts"]] == [75, 143, 0]
    assert array.describe()["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 3


def test_one_failed_child_fails_the_array_and_what_waits_for_it() -> None:
    batch, containers = batch_of({"0": [64]})
    array = submit(batch, 2)
    dependent = submit(batch, after=array)
    assert ended(array, dependent) == ["FAILED", "FAILED"]
    assert dependent.status_reason == "Dependent Job failed"
    assert len(containers.begun) == 2


def test_jobs_wait_for_those_before_them() -> None:
    batch, containers = batch_of({None: ["wait"]})
    first = submit(batch)
    second = submit(batch, 2, after=first)
    third = submit(batch, after=second)
    wait_for(lambda: first.attempts, "the first to start", 30)
    assert (second.status, third.status) == ("PENDING", "PENDING")
    containers._killed[first.attempts[0].task] = 0
    containers._ends[first.attempts[0].task].set()
    assert ended(first, second, third) == ["SUCCEEDED"] * 3
    assert ["AWS_BATCH_JOB_ARRAY_INDEX" in e for e in containers.begun] == [False, True, True, False]


def test_terminating_an_array_ends_children_that_run_and_that_wait_for_good() -> None:
    batch, containers = batch_of({"0": ["wait"], "1": ["wait"]})
    array = submit(batch, 4)
    wait_for(lambda: len(containers.begun) == 2, "two children to run", 30)
    batch.terminate(array.id, "enough")
    assert ended(array, *array.children) == ["FAILED"] * 5
    assert {child.status_reason for child in array.children} == {"enough"}
    assert [len(child.attempts) for child in array.children] == [1, 1, 0, 0]


@pytest.mark.parametrize(("how", "code"), [("reclaim", 143), ("vanish", None)])
def test_a_lost_machine_is_another_attempt_on_another_machine(how: str, code: int | None) -> None:
    batch, containers = batch_of({None: ["wait", 0]}, machines=1)
    job = submit(batch)
    wait_for(lambda: containers.begun, "the job to run", 30)
    getattr(batch, how)(job.id)
    assert ended(job) == ["SUCCEEDED"]
    lost, last = job.attempts
    assert (lost.exit_code, lost.status_reason.startswith("Host EC2 (instance i-")) == (code, True)
    assert lost.machine != last.machine
    assert [e["MACHINE"] for e in containers.begun] == [lost.machine, last.machine]


def test_a_container_that_never_ran_is_not_tried_again() -> None:
    batch, _ = batch_of({None: ["CannotStartContainerError: no such runtime"]})
    job = submit(batch)
    assert ended(job) == ["FAILED"]
    (attempt,) = job.describe()["attempts"]
    assert attempt["container"]["reason"] == "CannotStartContainerError: no such runtime"
    assert "exitCode" not in attempt["container"]


def test_a_running_attempt_is_told_by_the_job_and_not_among_its_attempts() -> None:
    batch, _ = batch_of({None: ["wait"]})
    job = submit(batch)
    wait_for(lambda: job.status == "RUNNING", "the job to run", 30)
    described = job.describe()
    assert described["attempts"] == []
    assert described["container"]["logStreamName"] == job.attempts[0].log_stream
    batch.terminate(job.id, "over")
    assert ended(job) == ["FAILED"]


@pytest.mark.parametrize(
    "request_",
    [
        {"arrayProperties": {"size": 1}},
        {"arrayProperties": {"size": 10_001}},
        {"dependsOn": [{"jobId": "unknown"}]},
        {"dependsOn": [{"jobId": "unknown"}] * 21},
        {"containerOverrides": {"environment": [{"name": "AWS_BATCH_X", "value": ""}]}},
        {"containerOverrides": {"environment": [{"name": "A", "value": "x" * 8192}]}},
    ],
)
def test_what_aws_batch_refuses_is_refused(request_: dict[str, Any]) -> None:
    batch, _ = batch_of({})
    with pytest.raises(RequestError):
        batch.submit({"jobName": "job", **request_}, "queue", {})
    assert not batch.jobs
