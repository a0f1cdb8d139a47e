"""Folds as array jobs of AWS Batch."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from job.contract import cloud, environment
from job.contract.errors import StudyError
from job.contract.fold_ranges import format_folds, parse_folds
from submit.deployment import Deployment, aws_errors, find_deployment
from submit.runs import FoldJob

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_logs import CloudWatchLogsClient

MAX_ARRAY = 10_000
"""Children of an array job, at most; a job of one fold is none."""
DESCRIBED_AT_ONCE = 100
"""Jobs that a request to describe may name."""

ENDED = ("SUCCEEDED", "FAILED")
WAITING = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING")


@dataclass(frozen=True, kw_only=True)
class JobCounts:
    """Children of jobs by where they are."""

    waiting: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0


@dataclass(frozen=True, kw_only=True)
class FoldTask:
    """What every fold of a submission is told."""

    study: str
    run: str
    """URL of the run."""
    store: str
    """URL of the block store."""
    gpus: int = 1
    checkpoint_minutes: float = 5.0
    device: str | None = None
    """Default: the job definition's."""


class BatchJobs:
    """Submits, describes and ends the jobs of a deployment."""

    def __init__(self, client: "BatchClient", logs: "CloudWatchLogsClient", deployment: Deployment) -> None:
        self._client = client
        self._logs = logs
        self._deployment = deployment

    def submit_folds(self, task: FoldTask, folds: Sequence[int]) -> list[FoldJob]:
        """Submits folds: as array jobs of at most 10,000, or as a plain job for one."""
        jobs = []
        for first in range(0, len(folds), MAX_ARRAY):
            part = sorted(folds[first : first + MAX_ARRAY])
            array: Any = {"arrayProperties": {"size": len(part)}} if len(part) > 1 else {}
            text = format_folds(part)
            jobs.append(FoldJob(job=self._submit_part(task, text, array), folds=text))
        return jobs

    def _submit_part(self, task: FoldTask, folds: str, array: dict[str, Any]) -> str:
        variables = {environment.RUN: task.run, environment.STORE: task.store, environment.FOLDS: folds}
        if task.device is not None:
            variables[environment.DEVICE] = task.device
        command = ["fold", "--checkpoint-minutes", str(task.checkpoint_minutes)]
        return self._submit(
            name=f"{task.study}-folds",
            queue=self._deployment.gpu_queue,
            definition=cloud.fold_definition(self._deployment.stack, task.study, task.gpus),
            overrides={"command": command, "environment": _pairs(variables)},
            **array,
        )

    def submit_report(self, task: FoldTask, after: Sequence[FoldJob]) -> str:
        """Submits the report of a run, to be made when the jobs have ended well; the job's id."""
        return self._submit(
            name=f"{task.study}-report",
            queue=self._deployment.cpu_queue,
            definition=cloud.report_definition(self._deployment.stack, task.study),
            overrides={"environment": _pairs({environment.RUN: task.run, environment.STORE: task.store})},
            dependsOn=[{"jobId": job.job} for job in after],
        )

    def _submit(
        self, *, name: str, queue: str, definition: str, overrides: dict[str, Any], **more: Any
    ) -> str:
        with aws_errors(f"job {name}"):
            answer = self._client.submit_job(
                jobName=_job_name(name),
                jobQueue=queue,
                jobDefinition=definition,
                containerOverrides=overrides,  # type: ignore[arg-type]  # a dict made here
                propagateTags=True,
                **more,
            )
        return answer["jobId"]

    def counts(self, jobs: Sequence[FoldJob]) -> JobCounts:
        """Where the children of jobs are, one request for each 100 jobs."""
        states: dict[str, int] = {}
        for detail in self._described([job.job for job in jobs]):
            summary = detail.get("arrayProperties", {}).get("statusSummary") or {detail["status"]: 1}
            for state, number in summary.items():
                states[state] = states.get(state, 0) + number
        return JobCounts(
            waiting=sum(states.get(state, 0) for state in WAITING),
            running=states.get("RUNNING", 0),
            succeeded=states.get("SUCCEEDED", 0),
            failed=states.get("FAILED", 0),
        )

    def attempts(self, job: FoldJob, fold: int, *, size: int) -> list[dict[str, Any]]:
        """What AWS Batch says of each attempt of a fold: times, exit code, reason, log stream.

        Args:
            job: The job that has the fold.
            fold: Its number.
            size: Of the grid.
        """
        folds = parse_folds(job.folds, size=size)
        child = job.job if len(folds) == 1 else f"{job.job}:{folds.index(fold)}"
        return [attempt for detail in self._described([child]) for attempt in detail.get("attempts", ())]

    def log(self, jobs: Sequence[FoldJob], fold: int, *, size: int) -> str:
        """What the containers of a fold printed, attempt by attempt.

        Raises:
            StudyError: The fold was not submitted, or has not begun.
        """
        for job in jobs:
            if fold in parse_folds(job.folds, size=size):
                parts = [
                    f"--- attempt {number}\n{self._lines(attempt['container']['logStreamName'])}"
                    for number, attempt in enumerate(self.attempts(job, fold, size=size), start=1)
                    if attempt.get("container", {}).get("logStreamName")
                ]
                if parts:
                    return "".join(parts)
        raise StudyError(f"fold {fold} has no log: it was not submitted, or has not begun")

    def _lines(self, stream: str) -> str:
        lines, token = "", ""
        with aws_errors(f"log {stream}"):
            while True:
                more: Any = {"nextToken": token} if token else {}
                answer = self._logs.get_log_events(
                    logGroupName=self._deployment.log_group, logStreamName=stream, startFromHead=True, **more
                )
                lines += "".join(f"{event['message']}\n" for event in answer["events"])
                if answer["nextForwardToken"] == token:  # AWS's sign of the end
                    return lines
                token = answer["nextForwardToken"]

    def cancel(self, jobs: Sequence[FoldJob], reason: str) -> int:
        """Ends jobs that have not ended, children and all; how many."""
        live = [d["jobId"] for d in self._described([j.job for j in jobs]) if d["status"] not in ENDED]
        for job in live:
            with aws_errors(f"job {job}"):
                self._client.terminate_job(jobId=job, reason=reason)
        return len(live)

    def _described(self, jobs: Sequence[str]) -> Iterator[Any]:
        for first in range(0, len(jobs), DESCRIBED_AT_ONCE):
            with aws_errors("jobs"):
                answer = self._client.describe_jobs(jobs=list(jobs[first : first + DESCRIBED_AT_ONCE]))
            yield from answer["jobs"]


def connect(stack: str, region: str | None = None) -> tuple[Deployment, BatchJobs]:
    """A deployment, and its jobs.

    Raises:
        StudyError: There is no such stack, or AWS does not let us see it.
    """
    with aws_errors(f"stack {stack}"):
        deployment = find_deployment(boto3.client("cloudformation", region_name=region), stack)
        batch = boto3.client("batch", region_name=deployment.region)
        logs = boto3.client("logs", region_name=deployment.region)
        return deployment, BatchJobs(batch, logs, deployment)


def _pairs(variables: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in variables.items()]


def _job_name(text: str) -> str:
    """A name as AWS Batch allows it: of the study and never of an exam, so that no list of AWS names a patient."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", text)[:128]
