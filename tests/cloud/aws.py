"""An AWS on 127.0.0.1: moto's services, with jobs of AWS Batch that run in real containers.

`python -m tests.cloud.aws '{"port": …}'` (fields of `Options`). moto keeps stacks,
queues, job definitions, images, roles and logs; `tests.cloud.batch` has the jobs. Below /rig/ tests
look at it and take machines away.
"""

import json
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import moto.batch.models as batch_models
import moto.cloudformation.parsing as cloudformation
from moto.batch.exceptions import ClientException
from moto.batch.responses import BatchResponse
from moto.batch.utils import lowercase_first_key
from moto.cloudformation.exceptions import UnformattedGetAttTemplateException
from moto.core.responses import BaseResponse
from moto.ec2.models import EC2Backend
from moto.ecr.models import ecr_backends
from moto.logs.models import logs_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple

from job.contract import environment
from tests.cloud.batch import Batch, RequestError
from tests.cloud.containers import Podman

ACCOUNT, REGION = "123456789012", "us-east-1"
PAGE = 1000
"""Jobs that an answer of ListJobs has."""
METADATA = {
    "latest/api/token": "token",
    "latest/meta-data/instance-type": "g4dn.xlarge",
    "latest/meta-data/instance-life-cycle": "spot",
    "latest/meta-data/placement/availability-zone": f"{REGION}a",
}
"""Of every machine."""
NOTICE = "latest/meta-data/spot/instance-action"
"""Of a machine that will be taken back."""

StartResponse = Callable[[str, list[tuple[str, str]]], object]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of the command line."""

    port: int
    machines: int
    """Of one processor each."""
    grace_seconds: float
    """From SIGTERM to SIGKILL."""
    variables: Mapping[str, str]
    """What every container gets in its environment."""


# --- CloudFormation: what moto refuses of what the CDK writes


def accept_cdk_templates() -> None:
    """Lets moto make the Batch resources and the image repository of a CDK app."""
    environment = batch_models.ComputeEnvironment
    replace(environment, "create_from_cloudformation_json", classmethod(_compute_environment))
    definition = batch_models.JobDefinition
    made: Any = definition.create_from_cloudformation_json

    def job_definition(cls: Any, name: str, resource: Any, *rest: Any, **more: Any) -> Any:
        properties = resource["Properties"]
        properties.setdefault("RetryStrategy", {"Attempts": 1})
        properties["timeout"] = properties.get("Timeout", {})  # moto looks for the wrong case
        return made(name, resource, *rest, **more)

    replace(definition, "create_from_cloudformation_json", classmethod(job_definition))
    for kind, attribute, kept_in in (
        (environment, "ComputeEnvironmentArn", "_compute_environments"),
        (batch_models.JobQueue, "JobQueueArn", "_job_queues"),
        (definition, "JobDefinitionArn", "_job_definitions"),
    ):
        _complete(kind, attribute, kept_in)
    _delete_route_tables_with_their_network()
    named = cloudformation.generate_resource_name

    def resource_name(kind: str, stack: str, logical_id: str) -> str:
        name = named(kind, stack, logical_id)
        return name.lower() if kind == "AWS::ECR::Repository" else name

    replace(cloudformation, "generate_resource_name", resource_name)


def replace(owner: Any, name: str, new: Any) -> None:
    """Puts a function of ours in the place of one of moto's."""
    setattr(owner, name, new)


def _compute_environment(cls: Any, /, name: str, resource: Any, account: str, region: str, **_: Any) -> Any:
    properties = resource["Properties"]
    backend = batch_models.batch_backends[account][region]
    role = properties.get("ServiceRole")
    if role is None:  # AWS makes its service-linked role, once
        iam, service = backend.iam_backend, "batch.amazonaws.com"
        linked = [role.arn for role in iam.get_roles() if service in role.arn]
        role = linked[0] if linked else iam.create_service_linked_role(service, "", "").arn
    return backend.create_compute_environment(
        name,
        properties["Type"].upper(),
        properties.get("State", "ENABLED").upper(),
        lowercase_first_key(properties["ComputeResources"]),
        role,
    )


def _complete(kind: Any, attribute: str, kept_in: str) -> None:
    """Gives a Batch resource its ARN as an attribute, and an end."""

    def get(self: Any, name: str) -> str:
        if name != attribute:
            raise UnformattedGetAttTemplateException()
        return str(self.arn)

    def delete(_: Any, arn: str, resource: Any, account: str, region: str) -> None:
        getattr(batch_models.batch_backends[account][region], kept_in).pop(arn, None)

    kind.get_cfn_attribute = get
    kind.has_cfn_attr = classmethod(lambda cls, name: name == attribute)
    kind.delete_from_cloudformation_json = classmethod(delete)


def _delete_route_tables_with_their_network() -> None:
    """moto's CloudFormation deletes no route tables, and then no network that has some."""
    inner = EC2Backend.delete_vpc

    def delete_vpc(backend: Any, vpc_id: str) -> Any:
        for table in [table for table in backend.route_tables.values() if table.vpc_id == vpc_id]:
            del backend.route_tables[table.id]
        return inner(backend, vpc_id)

    replace(EC2Backend, "delete_vpc", delete_vpc)


# --- AWS Batch: jobs are ours


def serve_jobs(batch: Batch) -> None:
    """Answers the requests about jobs."""

    def answered(function: Callable[[Any, dict[str, Any]], dict[str, Any]]) -> Callable[[Any], str]:
        def answer(response: Any) -> str:
            try:
                return json.dumps(function(response.batch_backend, json.loads(response.body)))
            except RequestError as error:
                raise ClientException(str(error)) from None

        return answer

    def submit(backend: Any, request: dict[str, Any]) -> dict[str, Any]:
        queue = backend.get_job_queue(request["jobQueue"])
        definition = backend.get_job_definition(request["jobDefinition"])
        if queue is None or definition is None:
            raise RequestError(f"no such queue or job definition: {request}")
        job = batch.submit(request, queue.arn, definition.describe())
        return {"jobId": job.id, "jobName": job.name, "jobArn": job.summary()["jobArn"]}

    def listed(backend: Any, request: dict[str, Any]) -> dict[str, Any]:
        queue = backend.get_job_queue(request.get("jobQueue") or "")
        jobs = batch.listed(
            queue=queue.arn if queue else None,
            status=request.get("jobStatus") or "RUNNING",
            array=request.get("arrayJobId"),
        )
        first = int(request.get("nextToken") or 0)
        last = first + min(request.get("maxResults") or PAGE, PAGE)
        answer: dict[str, Any] = {"jobSummaryList": [job.summary() for job in jobs[first:last]]}
        return answer | ({"nextToken": str(last)} if last < len(jobs) else {})

    def described(_: Any, request: dict[str, Any]) -> dict[str, Any]:
        return {"jobs": [batch.jobs[job].describe() for job in request["jobs"] if job in batch.jobs]}

    def ended(_: Any, request: dict[str, Any]) -> dict[str, Any]:
        batch.terminate(request["jobId"], request["reason"])
        return {}

    for action, function in {
        "submitjob": submit,
        "listjobs": listed,
        "describejobs": described,
        "terminatejob": ended,
    }.items():
        setattr(BatchResponse, action, answered(function))


def write_log(group: str, stream: str, line: str) -> None:
    """A line of a container's log."""
    logs = logs_backends[ACCOUNT][REGION]
    logs.ensure_log_group(group)
    logs.ensure_log_stream(group, stream)
    logs.put_log_events(group, stream, [{"timestamp": int(time.time() * 1000), "message": line}])


# --- what tests ask for


class Rig:
    """Below /rig/: counts of requests, pushed images, machines taken away, machines' metadata."""

    def __init__(self, inner: Any, batch: Batch) -> None:
        self._inner = inner
        self._batch = batch
        self.requests: Counter[str] = Counter()
        """By service and action."""
        self._count_requests()

    def __call__(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        """A WSGI application."""
        path = str(environ["PATH_INFO"])
        if not path.startswith("/rig/"):
            return self._inner(environ, start)  # type: ignore[no-any-return]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            answer = self._answer(path.removeprefix("/rig/"), json.loads(body) if body else {})
        except (RequestError, KeyError) as error:
            start("404 Not Found", [])
            return [str(error).encode()]
        start("200 OK", [])
        return [(answer if isinstance(answer, str) else json.dumps(answer)).encode()]

    def _answer(self, what: str, request: dict[str, Any]) -> Any:
        if what.startswith("machines/"):
            return self._metadata(*what.removeprefix("machines/").split("/", 1))
        match what:
            case "requests":
                return self.requests
            case "states":
                return {name: job.status for name, job in list(self._batch.jobs.items())}
            case "jobs":
                return [job.describe() for job in list(self._batch.jobs.values())]
            case "reclaim" | "vanish" | "notify":
                return getattr(self._batch, what)(request["job"])
            case "end":
                for job in list(self._batch.jobs):
                    self._batch.terminate(job, "the test is over")
                return None
            case "push":
                return push_image(request["image"])
        raise KeyError(what)

    def _metadata(self, machine: str, item: str) -> Any:
        return (
            {"action": "terminate"} if item == NOTICE and machine in self._batch.noticed else METADATA[item]
        )

    def _count_requests(self) -> None:
        inner, requests, lock = BaseResponse.call_action, self.requests, threading.Lock()

        def counted(response: Any) -> Any:
            with lock:
                requests[f"{response.service_name}:{response._get_action()}"] += 1
            return inner(response)

        replace(BaseResponse, "call_action", counted)


def push_image(name: str) -> None:
    """Lets ECR say that an image is there; its layers stay in podman's storage, where machines find them."""
    repository, _, tag = name.partition("/")[2].rpartition(":")
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"digest": name},
        "layers": [],
    }
    ecr_backends[ACCOUNT][REGION].put_image(repository, json.dumps(manifest), tag)


class Quiet(WSGIRequestHandler):
    """Logs no request."""

    def log_request(self, *_: object) -> None:
        """Nothing."""


def main() -> None:
    """Serves until it is killed."""
    options = Options(**json.loads(sys.argv[1]))
    accept_cdk_templates()
    address = f"http://127.0.0.1:{options.port}/rig/machines"
    podman = Podman(options.variables)
    batch = Batch(
        containers=podman,
        log=write_log,
        machine_environment=lambda machine: {
            environment.METADATA: f"{address}/{machine}",
            environment.THREADS: "1",  # these machines have one core, whatever a job definition asks for
        },
        machines=options.machines,
        grace_seconds=options.grace_seconds,
    )
    serve_jobs(batch)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    application = Rig(DomainDispatcherApplication(create_backend_app), batch)
    try:
        run_simple("127.0.0.1", options.port, application, threaded=True, request_handler=Quiet)
    finally:
        podman.kill_all()


if __name__ == "__main__":
    main()
