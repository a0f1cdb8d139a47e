"""AWS Batch as `submit` asks it: keeps what is submitted, and says what a test has made of it."""

from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError

ENVIRONMENTS = {
    "gpu": [("SPOT", ["g4dn.xlarge"]), ("EC2", ["g4dn.xlarge"])],
}
"""Of the queues: how machines are bought, and their kinds."""


class FakeBatch:
    """Jobs wait until a test says otherwise."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.children: dict[str, dict[str, Any]] = {}
        """Of arrays, by id, where they differ from their array."""
        self.hidden = False
        """Whether nothing is described, as in the first seconds after a submission."""
        self.lost_answers = 0
        """Submissions that are taken, and whose answers do not arrive."""
        self.unlisted = 0
        """Questions for jobs by their names that AWS does not answer."""
        self.denied = False
        """Whether submissions are refused for good."""
        self.refused = 0
        """Submissions that are not taken for now."""
        self.described: list[int] = []
        """How many jobs each request to describe named."""

    def end(self, status: str = "SUCCEEDED", *, but: tuple[str, ...] = ()) -> None:
        """Lets all jobs end that have not, except those of a name."""
        for job in self.jobs.values():
            if job["status"] not in ("SUCCEEDED", "FAILED") and not any(
                part in job["jobName"] for part in but
            ):
                self.move(job["jobId"], status)

    def move(self, job: str, status: str) -> None:
        """Gives a job, and all children of an array, a state."""
        detail = self.jobs[job]
        detail["status"] = status
        if "arrayProperties" in detail:
            size = detail["arrayProperties"]["size"]
            detail["arrayProperties"]["statusSummary"] = {status: size}
            for position in range(size):
                self.children.setdefault(f"{job}:{position}", {})["status"] = status

    # --- AWS's requests

    def submit_job(self, **request: Any) -> dict[str, str]:
        if self.denied:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "SubmitJob")
        if self.refused:
            self.refused -= 1
            raise ClientError({"Error": {"Code": "TooManyRequestsException"}}, "SubmitJob")
        job = f"job-{len(self.jobs)}"
        detail = request | {"jobId": job, "status": "RUNNABLE", "container": request["containerOverrides"]}
        if "arrayProperties" in request:
            size = request["arrayProperties"]["size"]
            assert 2 <= size <= 10_000
            detail["arrayProperties"] = {"size": size, "statusSummary": {"RUNNABLE": size}}
        self.jobs[job] = detail
        if self.lost_answers:
            self.lost_answers -= 1
            raise EndpointConnectionError(endpoint_url="https://batch")
        return {"jobId": job}

    def list_jobs(self, *, jobQueue: str, filters: list[dict[str, Any]]) -> dict[str, Any]:
        ((name, values),) = [(each["name"], each["values"]) for each in filters]
        assert name == "JOB_NAME"
        if self.unlisted:
            self.unlisted -= 1
            raise EndpointConnectionError(endpoint_url="https://batch")
        (wanted,) = values
        found = [
            job
            for job in self.jobs.values()
            if job["jobQueue"] == jobQueue
            and (job["jobName"].startswith(wanted[:-1]) if wanted.endswith("*") else job["jobName"] == wanted)
        ]
        return {"jobSummaryList": [{"jobId": job["jobId"]} for job in found]}

    def describe_jobs(self, *, jobs: list[str]) -> dict[str, Any]:
        assert 1 <= len(jobs) <= 100
        self.described.append(len(jobs))
        return {"jobs": [] if self.hidden else [d for job in jobs if (d := self._detail(job)) is not None]}

    def _detail(self, job: str) -> dict[str, Any] | None:
        parent, _, position = job.partition(":")
        detail = self.jobs.get(parent)
        if detail is None or not position:
            return detail
        return {"jobId": job, "status": detail["status"]} | self.children.get(job, {})

    def terminate_job(self, *, jobId: str, reason: str) -> None:
        if jobId not in self.jobs:  # forgotten, and its tag with it, by which the policy of researchers goes
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "TerminateJob")
        self.move(jobId, "FAILED")
        self.jobs[jobId]["statusReason"] = reason

    def describe_job_queues(self, *, jobQueues: list[str]) -> dict[str, Any]:
        (queue,) = jobQueues
        order = [{"computeEnvironment": f"{queue}/{n}", "order": n} for n in range(len(ENVIRONMENTS[queue]))]
        return {"jobQueues": [{"computeEnvironmentOrder": order}]}

    def describe_compute_environments(self, *, computeEnvironments: list[str]) -> dict[str, Any]:
        found = []
        for name in computeEnvironments:
            queue, _, number = name.partition("/")
            type_, kinds = ENVIRONMENTS[queue][int(number)]
            found.append({"computeResources": {"type": type_, "instanceTypes": kinds}})
        return {"computeEnvironments": found}


def attempt(start: float, stop: float | None, code: int | None = 0, reason: str = "") -> dict[str, Any]:
    """An attempt as AWS Batch describes it; the times in seconds."""
    container = {"exitCode": code, "logStreamName": f"stream-{start:.0f}"}
    times = {"startedAt": int(start * 1000)} | ({"stoppedAt": int(stop * 1000)} if stop else {})
    return {"container": container, "statusReason": reason, **times}


LOST = "Host EC2 (instance i-0123) terminated."
