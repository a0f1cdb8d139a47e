"""Folds as array jobs of AWS Batch."""

import os
import sys
import time
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from job.contract import cloud, environment
from job.contract.errors import StudyError
from job.contract.exit_codes import ExitCode
from job.contract.fold_ranges import format_folds, parse_folds
from submit.aws.children import CANCELLED, WAITING, Child, JobCounts, JobState, attempts_of
from submit.aws.deployment import Deployment, aws_errors, find_deployment
from submit.submissions import BatchSubmission, FoldJob

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_logs import CloudWatchLogsClient

MAX_ARRAY = 10_000
"""Children of an array job, at most; a job of one fold is none."""
MAX_FOLDS_TEXT = 4000
"""Characters of the list of folds: all that is overridden in a container is 8192 characters at most."""
MAX_DEPENDENCIES = 20
"""Jobs that a job may wait for."""
DESCRIBED_AT_ONCE = 100
"""Jobs that a request to describe may name."""

SUBMISSIONS = 4
"""Times that a job is submitted, unless it is found to have been taken."""
PAUSE_SECONDS = 2.0
"""After a submission without an answer; doubled for each further one."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the jobs of a submission are told."""

    study: str
    run: str
    """URL of the run, or of the request for one."""
    store: str
    """URL of the block store."""
    image: str
    """As results are to name it."""
    token: str
    """Of the submission: names of jobs bear it, by which one is found whose submission went unanswered."""
    checkpoint_minutes: float = 5.0
    device: str | None = None
    """Default: the job definition's."""


class BatchJobs:
    """Submits, describes and ends the jobs of a deployment."""

    def __init__(
        self,
        client: "BatchClient",
        submitter: "BatchClient",
        logs: "CloudWatchLogsClient",
        deployment: Deployment,
    ) -> None:
        self._client = client
        self._submitter = submitter
        """Asks once: a submission whose answer is lost must not be repeated."""
        self._logs = logs
        self._deployment = deployment

    def submit_prepare(self, task: Task) -> str:
        """Submits the preparation of a request's cohort; the job's id."""
        return self._submit(
            name=_name_of(task.study, "prepare", task.token),
            queue=self._deployment.cpu_queue,
            definition=cloud.prepare_definition(self._deployment.stack, task.study),
            overrides={"environment": _pairs(_variables(task))},
        )

    def submit_folds(
        self, task: Task, folds: Sequence[int], *, after: str | None = None
    ) -> Iterator[FoldJob]:
        """Submits folds as array jobs, or as a plain job for one; each job as soon as it is submitted.

        Args:
            task: What every fold is told.
            folds: Their numbers.
            after: Id of a job that must end well first.
        """
        command = ["fold", "--checkpoint-minutes", str(task.checkpoint_minutes)]
        for number, part in enumerate(parts_of(folds)):
            more: dict[str, Any] = {"arrayProperties": {"size": len(part)}} if len(part) > 1 else {}
            if after is not None:
                more["dependsOn"] = [{"jobId": after}]
            text = format_folds(part)
            variables = _variables(task) | {environment.FOLDS: text}
            if task.device is not None:
                variables[environment.DEVICE] = task.device
            job = self._submit(
                name=f"{_name_of(task.study, 'folds', task.token)}-{number}",
                queue=self._deployment.gpu_queue,
                definition=cloud.fold_definition(self._deployment.stack, task.study),
                overrides={"command": command, "environment": _pairs(variables)},
                **more,
            )
            yield FoldJob(job=job, folds=text)

    def submit_report(self, task: Task, after: Sequence[FoldJob]) -> str | None:
        """Submits the report of a run, to be made when the jobs have ended well; the job's id.

        None, if there are more jobs than AWS Batch lets one wait for.
        """
        if len(after) > MAX_DEPENDENCIES:
            return None
        return self._submit(
            name=_name_of(task.study, "report", task.token),
            queue=self._deployment.cpu_queue,
            definition=cloud.report_definition(self._deployment.stack, task.study),
            overrides={"environment": _pairs(_variables(task))},
            dependsOn=[{"jobId": job.job} for job in after],
        )

    def _submit(
        self, *, name: str, queue: str, definition: str, overrides: dict[str, Any], **more: Any
    ) -> str:
        """Submits a job once, though the answer may be lost: not again before it is known that it was not taken."""
        unanswered = False
        for attempt in range(SUBMISSIONS):
            try:
                if unanswered and (taken := self._named(queue, name)):
                    return taken[0]
                unanswered = True
                with aws_errors(f"job {name}"):
                    answer = self._submitter.submit_job(
                        jobName=name,
                        jobQueue=queue,
                        jobDefinition=definition,
                        containerOverrides=overrides,  # type: ignore[arg-type]  # a dict made here
                        propagateTags=True,
                        tags={cloud.PROJECT_TAG: self._deployment.stack},
                        **more,
                    )
                return answer["jobId"]
            except OSError as error:
                last = error
                time.sleep(PAUSE_SECONDS * 2**attempt)  # in which a job that was taken is listed
        if taken := self._named(queue, name):
            return taken[0]
        raise last

    def _named(self, queue: str, name: str) -> list[str]:
        """Ids of the jobs of a name; `*` at its end stands for anything."""
        with aws_errors(f"queue {queue}"):
            found = self._client.list_jobs(jobQueue=queue, filters=[{"name": "JOB_NAME", "values": [name]}])
        return [job["jobId"] for job in found["jobSummaryList"]]

    def working_jobs(self, submission: BatchSubmission) -> list[str]:
        """Ids of a submission's jobs that prepare and train; those too whose ids it never got to know."""
        if submission.whole:
            return list(submission.working_jobs)
        deployment, folds = self._deployment, self._deployment.gpu_queue
        found = [
            *self._named(deployment.cpu_queue, _name_of(submission.study, "prepare", submission.token)),
            *self._named(folds, f"{_name_of(submission.study, 'folds', submission.token)}-*"),
        ]
        return list(dict.fromkeys([*submission.working_jobs, *found]))

    def counts(self, jobs: Sequence[FoldJob]) -> JobCounts:
        """Where the folds of these jobs are, one request for each 100 jobs."""
        states = Counter[str]()
        for detail in self._described([job.job for job in jobs]):
            array = detail.get("arrayProperties", {})
            summary = Counter(array.get("statusSummary") or {})
            states += summary if summary.total() else Counter({detail["status"]: array.get("size", 1)})
        return JobCounts(
            waiting=sum(states[state] for state in WAITING),
            running=states["RUNNING"],
            succeeded=states["SUCCEEDED"],
            failed=states["FAILED"],
        )

    def states(self, jobs: Sequence[str]) -> dict[str, JobState]:
        """States of jobs that AWS Batch knows: some seconds after a submission, and until a week after the end."""
        return {
            detail["jobId"]: JobState(state=detail["status"], reason=detail.get("statusReason", ""))
            for detail in self._described(jobs)
        }

    def children(self, jobs: Sequence[FoldJob], but: Container[str] = ()) -> Iterator[Child]:
        """The job of every fold of these jobs that AWS Batch knows, one request for each 100.

        Args:
            jobs: As they were submitted.
            but: Ids of children that are not asked for.
        """
        folds = {child: fold for job in jobs for child, fold in children_of(job).items() if child not in but}
        for detail in self._described(list(folds)):
            yield Child(
                job=detail["jobId"],
                fold=folds[detail["jobId"]],
                state=detail["status"],
                reason=detail.get("statusReason", ""),
                attempts=tuple(attempts_of(detail)),
            )

    def log_of_fold(self, jobs: Sequence[FoldJob], fold: int) -> str:
        """What the containers of a fold printed, attempt by attempt.

        Args:
            jobs: Of all submissions; the last one that has the fold counts.
            fold: Its number.

        Raises:
            StudyError: The fold was not submitted, or has not begun.
        """
        for job in reversed(jobs):
            for child, number in children_of(job).items():
                if number == fold:
                    return self.log_of_job(child, f"fold {fold}")
        raise StudyError(f"fold {fold} has no log: it was not submitted")

    def log_of_job(self, job: str, name: str) -> str:
        """What the containers of a job printed, attempt by attempt.

        Raises:
            StudyError: It has not begun, or AWS Batch has forgotten it.
        """
        details = list(self._described([job]))
        if not details:
            raise StudyError(
                f"{name}: AWS Batch shows no job of it: it was submitted a moment ago, or ended more than a week "
                f"ago; what it printed is in CloudWatch's log group {self._deployment.log_group}"
            )
        parts = []
        for detail in details:
            for number, attempt in enumerate(attempts_of(detail), start=1):
                if attempt.log_stream is not None:
                    parts.append(f"--- attempt {number}\n{self._lines(attempt.log_stream)}")
                if attempt.exit_code != ExitCode.DONE and attempt.reason:
                    parts.append(f"--- attempt {number} ended: {attempt.reason}\n")
        if not parts:
            (detail,) = details
            why = detail.get("statusReason") or "it has not begun"
            raise StudyError(f"{name} has no log: its job is {detail['status']} ({why})")
        return "".join(parts)

    def _lines(self, stream: str) -> str:
        lines, token = "", ""
        with aws_errors(f"log {stream}"), suppress(self._logs.exceptions.ResourceNotFoundException):
            while True:  # a stream is there when something was printed
                more: Any = {"nextToken": token} if token else {}
                answer = self._logs.get_log_events(
                    logGroupName=self._deployment.log_group, logStreamName=stream, startFromHead=True, **more
                )
                lines += "".join(f"{event['message']}\n" for event in answer["events"])
                if answer["nextForwardToken"] == token:  # AWS's sign of the end
                    break
                token = answer["nextForwardToken"]
        return lines

    def end(self, jobs: Sequence[str], reason: str) -> None:
        """Ends jobs, children and all.

        Raises:
            StudyError: AWS refuses; the other jobs are ended all the same.
            OSError: AWS does not answer, for one of them.
        """
        failures: list[StudyError | OSError] = []
        for job in jobs:
            try:
                with aws_errors(f"job {job}"):
                    self._client.terminate_job(jobId=job, reason=f"{CANCELLED}{reason}")
            except (StudyError, OSError) as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def machines(self) -> list[tuple[tuple[str, ...], bool]]:
        """Kinds of machines that folds may come to, and whether they are spot machines."""
        name = self._deployment.gpu_queue
        with aws_errors(f"queue {name}"):
            queue = self._client.describe_job_queues(jobQueues=[name])["jobQueues"][0]
            described: Any = self._client.describe_compute_environments(
                computeEnvironments=[item["computeEnvironment"] for item in queue["computeEnvironmentOrder"]]
            )
        return [
            (tuple(resources.get("instanceTypes", ())), resources.get("type") == "SPOT")
            for environment in described["computeEnvironments"]
            if (resources := environment.get("computeResources"))
        ]

    def _described(self, jobs: Sequence[str]) -> Iterator[Any]:
        for first in range(0, len(jobs), DESCRIBED_AT_ONCE):
            with aws_errors("jobs"):
                answer = self._client.describe_jobs(jobs=list(jobs[first : first + DESCRIBED_AT_ONCE]))
            yield from answer["jobs"]


def connect(stack: str, region: str | None = None, *, settled: bool = False) -> tuple[Deployment, BatchJobs]:
    """A deployment, and its jobs.

    Args:
        stack: Its name.
        region: Default: that of the credentials.
        settled: Refuses one that is being changed.

    Raises:
        StudyError: There is no such stack, or AWS does not let us see it.
    """
    region = region or os.environ.get("AWS_REGION")  # which boto does not read
    with aws_errors(f"stack {stack}"):
        deployment = find_deployment(
            boto3.client("cloudformation", region_name=region), stack, settled=settled
        )
        once = Config(retries={"total_max_attempts": 1})
        batch = boto3.client("batch", region_name=deployment.region)
        submitter = boto3.client("batch", region_name=deployment.region, config=once)
        logs = boto3.client("logs", region_name=deployment.region)
        return deployment, BatchJobs(batch, submitter, logs, deployment)


def children_of(job: FoldJob) -> dict[str, int]:
    """Ids of a job's children, and their folds; a job of one fold has none, and is it."""
    folds = parse_folds(job.folds, size=sys.maxsize)
    if len(folds) == 1:
        return {job.job: folds[0]}
    return {f"{job.job}:{position}": fold for position, fold in enumerate(folds)}


def parts_of(folds: Sequence[int]) -> Iterator[list[int]]:
    """Folds in ascending order, cut into what one array job may have and can be told."""
    left = sorted(folds)
    while left:
        size = min(len(left), MAX_ARRAY)
        while len(format_folds(left[:size])) > MAX_FOLDS_TEXT:
            size = size * 3 // 4
        yield left[:size]
        left = left[size:]


def _variables(task: Task) -> dict[str, str]:
    return {environment.RUN: task.run, environment.STORE: task.store, environment.IMAGE: task.image}


def _pairs(variables: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in variables.items()]


def _name_of(study: str, kind: str, token: str) -> str:
    """A job's name: of the study and never of an exam, so that no list of AWS names a patient.

    What a study may be called, AWS Batch takes too.
    """
    return f"{study}-{kind}-{token}"
