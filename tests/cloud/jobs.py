"""What AWS Batch knows and tells of a job, and when a failed attempt is followed by another.

Sources: AWS Batch User Guide, "Automated job retries", "Job environment variables"; API reference, DescribeJobs and
ListJobs.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

STATES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
ENDED = ("SUCCEEDED", "FAILED")
EXITED = "Essential container in task exited"


@dataclass(kw_only=True)
class Attempt:
    """One container of a job."""

    number: int
    task: str
    machine: str
    log_stream: str
    started: float
    stopped: float | None = None
    exit_code: int | None = None
    """None: the container never ran, or nobody is left to tell."""
    reason: str | None = None
    status_reason: str = EXITED

    def describe(self) -> dict[str, Any]:
        """As in DescribeJobs."""
        container: dict[str, Any] = {"taskArn": f"task/{self.task}", "logStreamName": self.log_stream}
        container["containerInstanceArn"] = f"container-instance/{self.machine}"
        if self.exit_code is not None:
            container["exitCode"] = self.exit_code
        if self.reason is not None:
            container["reason"] = self.reason
        times = {"startedAt": milliseconds(self.started)}
        if self.stopped is not None:
            times["stoppedAt"] = milliseconds(self.stopped)
        return {"container": container, **times, "statusReason": self.status_reason}


@dataclass(kw_only=True, eq=False)
class Job:
    """A job, an array job, or a child of one."""

    id: str
    name: str
    queue: str
    definition: Mapping[str, Any]
    """As in DescribeJobDefinitions."""
    overrides: Mapping[str, Any]
    depends_on: Sequence[str]
    index: int | None = None
    """Of a child."""
    parent: "Job | None" = None
    children: list["Job"] = field(default_factory=list)
    created: float = field(default_factory=time.time)
    status: str = "SUBMITTED"
    status_reason: str | None = None
    attempts: list[Attempt] = field(default_factory=list)
    terminated: str | None = None
    """Reason that a request to end it gave."""
    lost: str | None = None
    """How its machine is being taken away: `reclaimed` or `vanished`."""
    timed_out: bool = False

    @property
    def ended(self) -> bool:
        """Whether it will not run again."""
        return self.status in ENDED

    @property
    def command(self) -> list[str]:
        """Of its container."""
        return list(
            self.overrides.get("command") or self.definition["containerProperties"].get("command", ())
        )

    @property
    def log_options(self) -> Mapping[str, str]:
        """Of the job definition: log group, and how names of streams begin."""
        properties = self.definition["containerProperties"]
        options: Mapping[str, str] = (properties.get("logConfiguration") or {}).get("options", {})
        return options

    def environment(self) -> dict[str, str]:
        """The job definition's, overridden by the submission's."""
        of_definition = self.definition["containerProperties"].get("environment", ())
        both = (*of_definition, *self.overrides.get("environment", ()))
        return {item["name"]: item["value"] for item in both}

    def own_environment(self) -> dict[str, str]:
        """What AWS Batch adds in the current attempt."""
        variables = {
            "AWS_BATCH_JOB_ID": self.id,
            "AWS_BATCH_JOB_ATTEMPT": str(len(self.attempts)),
            "AWS_BATCH_JQ_NAME": self.queue.rpartition("/")[2],
        }
        if self.parent is not None:
            variables["AWS_BATCH_JOB_ARRAY_INDEX"] = str(self.index)
            variables["AWS_BATCH_JOB_ARRAY_SIZE"] = str(len(self.parent.children))
        return variables

    def summary(self) -> dict[str, Any]:
        """As in ListJobs."""
        found: dict[str, Any] = {
            "jobId": self.id,
            "jobArn": f"arn:aws:batch:us-east-1:123456789012:job/{self.id}",
            "jobName": self.name,
            "jobDefinition": self.definition["jobDefinitionArn"],
            "createdAt": milliseconds(self.created),
            "status": self.status,
        }
        if self.status_reason is not None:
            found["statusReason"] = self.status_reason
        if self.attempts:
            found["startedAt"] = milliseconds(self.attempts[-1].started)
            last = self.attempts[-1].describe()["container"]
            found["container"] = {key: last[key] for key in ("exitCode", "reason") if key in last}
        if self.ended:
            found["stoppedAt"] = milliseconds(self.stopped)
        if self.children:
            found["arrayProperties"] = {"size": len(self.children)}
        elif self.parent is not None:
            found["arrayProperties"] = {"index": self.index, "size": len(self.parent.children)}
        return found

    @property
    def stopped(self) -> float:
        """When it ended."""
        moments = [job.attempts[-1].stopped for job in (self, *self.children) if job.attempts]
        return max((moment for moment in moments if moment is not None), default=self.created)

    def describe(self) -> dict[str, Any]:
        """As in DescribeJobs."""
        container = {
            **self.summary().get("container", {}),
            "image": self.definition["containerProperties"]["image"],
            "command": self.command,
            "environment": [{"name": name, "value": value} for name, value in self.environment().items()],
        }
        if self.attempts:
            container["logStreamName"] = self.attempts[-1].log_stream
        found = {
            **self.summary(),
            "jobQueue": self.queue,
            "dependsOn": [{"jobId": job} for job in self.depends_on],
            "container": container,
            "attempts": [attempt.describe() for attempt in self.attempts if attempt.stopped is not None],
            "retryStrategy": self.definition.get("retryStrategy", {}),
            "timeout": self.definition.get("timeout", {}),
        }
        if self.children:
            counts = Counter(child.status for child in self.children)
            found["arrayProperties"]["statusSummary"] = {state: counts[state] for state in STATES}
        return found


def milliseconds(moment: float) -> int:
    """As AWS writes times."""
    return int(moment * 1000)


def is_tried_again(strategy: Mapping[str, Any], attempt: Attempt) -> bool:
    """Whether a failed attempt is followed by another: the first rule that matches decides, without one it is."""
    if attempt.number >= int(strategy.get("attempts") or 1):
        return False
    for rule in strategy.get("evaluateOnExit") or ():
        facts = {
            "onExitCode": None if attempt.exit_code is None else str(attempt.exit_code),
            "onReason": attempt.reason or "",
            "onStatusReason": attempt.status_reason,
        }
        if all(_matches(rule[key], fact) for key, fact in facts.items() if key in rule):
            return bool(rule["action"].upper() == "RETRY")
    return True


def _matches(pattern: str, text: str | None) -> bool:
    """Only a trailing * is a wildcard; case does not count."""
    if text is None:
        return False
    if pattern.endswith("*"):
        return text.lower().startswith(pattern[:-1].lower())
    return text.lower() == pattern.lower()
