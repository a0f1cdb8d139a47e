"""AWS Batch: takes jobs, runs them on machines, lets them wait for one another, loses machines.

Sources: AWS Batch User Guide, "Array jobs", "Job dependencies"; API reference, SubmitJob. What runs a container is an
argument.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import uuid4

from tests.cloud.jobs import Attempt, Job, is_tried_again

MAX_ARRAY = 10_000
MAX_DEPENDENCIES = 20
MAX_OVERRIDES = 8192
"""Characters of all that a submission overrides in a container (ECS, RunTask)."""
MAX_PAYLOAD = 30 * 1024
"""Bytes of a submission."""


class RequestError(Exception):
    """A request that AWS Batch would refuse."""


class CannotStartError(Exception):
    """A container never ran; says why as ECS does, e.g. `CannotPullContainerError: …`."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A container to be run."""

    name: str
    """Unique."""
    image: str
    command: Sequence[str]
    environment: Mapping[str, str]
    user: str | None
    init: bool
    core: int
    """The processor of the machine that it runs on."""
    machine: str


class Containers(Protocol):
    """What runs tasks."""

    def run(self, task: Task, on_line: Callable[[str], None]) -> int:
        """Runs a container to its end; its exit code. Calls `on_line` with what it prints.

        Raises:
            CannotStartError: It never ran.
        """

    def stop(self, name: str, grace_seconds: float) -> None:
        """SIGTERM, and SIGKILL when the grace period is over."""

    def kill(self, name: str) -> None:
        """SIGKILL."""


@dataclass(kw_only=True)
class Batch:
    """All jobs, and machines with one processor each that run them in the order of submission."""

    containers: Containers
    log: Callable[[str, str, str], None]
    """Writes a line: log group, log stream, line."""
    machine_environment: Callable[[str], Mapping[str, str]]
    """What a container finds in its environment for the machine that it is on."""
    machines: int
    grace_seconds: float = 100.0

    def __post_init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.noticed: set[str] = set()
        """Machines whose metadata say that they will be taken back."""
        self._submitted: list[Job] = []
        """Without the children of arrays."""
        self._runnable: deque[Job] = deque()
        self._changed = threading.Condition()
        for core in range(self.machines):
            threading.Thread(target=self._machine, args=(core,), daemon=True).start()

    # --- requests

    def submit(self, request: Mapping[str, Any], queue: str, definition: Mapping[str, Any]) -> Job:
        """A new job.

        Raises:
            RequestError: AWS Batch would not take it.
        """
        size = (request.get("arrayProperties") or {}).get("size")
        overrides = request.get("containerOverrides") or {}
        depends_on = [item["jobId"] for item in request.get("dependsOn") or ()]
        if size is not None and not 2 <= size <= MAX_ARRAY:
            raise RequestError(f"array size {size} is not in 2..{MAX_ARRAY}")
        if len(depends_on) > MAX_DEPENDENCIES or any(
            "type" in item for item in request.get("dependsOn") or ()
        ):
            raise RequestError(f"at most {MAX_DEPENDENCIES} dependencies, and here none with a type")
        if strange := [job for job in depends_on if job not in self.jobs]:
            raise RequestError(f"no such job: {strange}")
        if any(item["name"].startswith("AWS_BATCH") for item in overrides.get("environment", ())):
            raise RequestError("names of environment variables may not begin with AWS_BATCH")
        if len(json.dumps(overrides)) > MAX_OVERRIDES or len(json.dumps(dict(request))) > MAX_PAYLOAD:
            raise RequestError(f"container overrides are longer than {MAX_OVERRIDES} characters")
        job = Job(
            id=str(uuid4()),
            name=request["jobName"],
            queue=queue,
            definition=definition,
            overrides=overrides,
            depends_on=depends_on,
        )
        with self._changed:
            for index in range(size or 0):
                child = Job(**_shared(job), id=f"{job.id}:{index}", index=index, parent=job)
                job.children.append(child)
            self.jobs |= {each.id: each for each in (job, *job.children)}
            self._submitted.append(job)
            self._release()
        return job

    def listed(self, *, queue: str | None, status: str, array: str | None) -> list[Job]:
        """Jobs of a queue, or children of an array, in a state."""
        with self._changed:
            if array is not None:
                found: Iterable[Job] = self.jobs[array].children if array in self.jobs else ()
            else:
                found = (job for job in self._submitted if job.queue == queue)
            return [job for job in found if job.status == status]

    def terminate(self, job_id: str, reason: str) -> None:
        """Ends a job, and the children of an array; those that run are stopped. What has ended is left alone."""
        with self._changed:
            job = self.jobs.get(job_id)
            if job is None:
                return
            for each in [child for child in job.children or [job] if not child.ended]:
                each.terminated = reason
                if each.status in ("STARTING", "RUNNING"):
                    self._in_background(self.containers.stop, each.attempts[-1].task, self.grace_seconds)
                else:
                    each.status, each.status_reason = "FAILED", reason
            self._release()

    # --- what happens to machines

    def reclaim(self, job_id: str) -> None:
        """Takes the machine of a running job as AWS takes a spot machine: SIGTERM, some time, and it is gone."""
        self._lose(job_id, "reclaimed", lambda task: self.containers.stop(task, self.grace_seconds))

    def vanish(self, job_id: str) -> None:
        """Takes the machine of a running job away without a word."""
        self._lose(job_id, "vanished", self.containers.kill)

    def notify(self, job_id: str) -> None:
        """Lets a machine's metadata say that it will be taken back; nothing else happens."""
        self.noticed.add(self._running(job_id).attempts[-1].machine)

    def _lose(self, job_id: str, how: str, end: Callable[[str], None]) -> None:
        job = self._running(job_id)
        job.lost = how
        end(job.attempts[-1].task)

    def _running(self, job_id: str) -> Job:
        with self._changed:
            job = self.jobs[job_id]
            if job.status != "RUNNING":
                raise RequestError(f"{job_id} is {job.status}, not running")
            return job

    # --- the way of a job

    def _machine(self, core: int) -> None:
        """A machine: runs one job after the other; after it is lost, another one comes."""
        machine = f"i-{uuid4().hex[:17]}"
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._runnable)
                job = self._runnable.popleft()
                if job.ended:
                    continue
                attempt = self._begun(job, machine)
            self._run(job, attempt, core)
            if job.lost or machine in self.noticed:
                machine = f"i-{uuid4().hex[:17]}"
            with self._changed:
                self._end(job, attempt)
                self._release()

    def _begun(self, job: Job, machine: str) -> Attempt:
        task = uuid4().hex
        prefix = job.log_options.get("awslogs-stream-prefix", job.definition["jobDefinitionName"])
        attempt = Attempt(
            number=len(job.attempts) + 1,
            task=task,
            machine=machine,
            log_stream=f"{prefix}/default/{task}",
            started=time.time(),
        )
        job.attempts.append(attempt)
        job.status, job.lost = "RUNNING", None
        return attempt

    def _run(self, job: Job, attempt: Attempt, core: int) -> None:
        group = job.log_options.get("awslogs-group", "/aws/batch/job")
        limit = (job.definition.get("timeout") or {}).get("attemptDurationSeconds")
        timer = threading.Timer(float(limit), self._time_out, (job, attempt)) if limit else None
        if timer:
            timer.daemon = True
            timer.start()
        properties = job.definition["containerProperties"]
        task = Task(
            name=attempt.task,
            image=properties["image"],
            command=job.command,
            environment={
                **job.environment(),
                **self.machine_environment(attempt.machine),
                **job.own_environment(),
            },
            user=properties.get("user"),
            init=bool((properties.get("linuxParameters") or {}).get("initProcessEnabled")),
            core=core,
            machine=attempt.machine,
        )
        try:
            attempt.exit_code = self.containers.run(
                task, lambda line: self.log(group, attempt.log_stream, line)
            )
        except CannotStartError as error:
            attempt.reason, attempt.status_reason = str(error), "Task failed to start"
        finally:
            if timer:
                timer.cancel()

    def _time_out(self, job: Job, attempt: Attempt) -> None:
        job.timed_out = True
        self.containers.stop(attempt.task, self.grace_seconds)

    def _end(self, job: Job, attempt: Attempt) -> None:
        attempt.stopped = time.time()
        if job.lost:
            attempt.status_reason = f"Host EC2 (instance {attempt.machine}) terminated."
        if job.lost == "vanished":
            attempt.exit_code = None
        if job.timed_out:
            attempt.status_reason = "Job attempt duration exceeded timeout"
        if job.terminated is not None:
            attempt.status_reason = job.terminated
        final = job.terminated is not None or job.timed_out
        job.status_reason = attempt.status_reason
        if attempt.exit_code == 0 and not final:
            job.status = "SUCCEEDED"
        elif not final and is_tried_again(job.definition.get("retryStrategy") or {}, attempt):
            job.status = "RUNNABLE"
            self._runnable.appendleft(job)
        else:
            job.status = "FAILED"

    def _release(self) -> None:
        """Ends arrays whose children have ended, fails or starts jobs that waited for others."""
        waiting = True
        while waiting:
            waiting = False
            for job in self._submitted:
                if job.status == "PENDING" and job.children and all(child.ended for child in job.children):
                    failed = any(child.status == "FAILED" for child in job.children)
                    job.status, waiting = "FAILED" if failed else "SUCCEEDED", True
                    job.status_reason = "Array Child Job failed" if failed else None
                elif self._may_start(job):
                    waiting = True
        self._changed.notify_all()

    def _may_start(self, job: Job) -> bool:
        """Moves a job on that was submitted or waits for others; whether it moved."""
        if job.status not in ("SUBMITTED", "PENDING") or (
            job.children and job.children[0].status != "SUBMITTED"
        ):
            return False
        before = [self.jobs[other] for other in job.depends_on]
        jobs = job.children or [job]
        if any(other.status == "FAILED" for other in before):
            for each in (job, *job.children):
                each.status, each.status_reason = "FAILED", "Dependent Job failed"
            return True
        if any(not other.ended for other in before):
            moved = job.status != "PENDING"
            job.status = "PENDING"
            return moved
        job.status = "PENDING"
        for each in jobs:
            each.status = "RUNNABLE"
            self._runnable.append(each)
        return True

    @staticmethod
    def _in_background(function: Callable[..., None], *arguments: Any) -> None:
        threading.Thread(target=function, args=arguments, daemon=True).start()


def _shared(job: Job) -> dict[str, Any]:
    """What a child has of its parent."""
    names = ("name", "queue", "definition", "overrides", "created")
    return {name: getattr(job, name) for name in names} | {"depends_on": ()}
