"""Containers by podman, in a storage of their own below the tests' cache."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.cloud.batch import CannotStartError, Task

HERE = Path(__file__).resolve().parent
RUN_ROOT = "/run/loosweep-tests"
PODMAN_FAILED = (125, 126, 127)
"""Exit codes of `podman run` when no container ran."""
BASE_IMAGE = "localhost/loosweep-base:bookworm"


def cache() -> Path:
    """Where `tests/cloud/install` keeps what it made."""
    named = os.environ.get("LOOSWEEP_TESTS_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(home) / "loosweep-tests"


def environment() -> dict[str, str]:
    """Of podman."""
    return os.environ | {"CONTAINERS_CONF": str(HERE / "containers.conf")}


def podman(*arguments: str | Path) -> list[str]:
    """A command line of podman."""
    return ["podman", "--root", str(cache() / "podman"), "--runroot", RUN_ROOT, *map(str, arguments)]


def output(*arguments: str | Path) -> str:
    """What a command of podman prints.

    Raises:
        CalledProcessError: It failed.
    """
    done = subprocess.run(podman(*arguments), env=environment(), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def has_image(name: str) -> bool:
    """Whether an image is in the storage."""
    done = subprocess.run(podman("image", "exists", name), env=environment(), check=False)
    return done.returncode == 0


def import_base() -> None:
    """Loads the base image that `tests/cloud/install` made, unless it is there."""
    if not has_image(BASE_IMAGE):
        output("import", "-q", cache() / "base-bookworm.tar", BASE_IMAGE)


class Podman:
    """Runs tasks as containers on this machine's network."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        """What every container gets: how to reach the servers of the rig."""
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._closed = False

    def run(self, task: Task, on_line: Callable[[str], None]) -> int:
        """Runs a container to its end; its exit code."""
        if self._closed:
            raise CannotStartError("DockerTimeoutError: the rig is being taken down")
        if not has_image(task.image):
            raise CannotStartError(f"CannotPullContainerError: {task.image}: not found")
        options = ["--rm", "--name", task.name, "--pull", "never", "--log-driver", "none"]
        options += ["--cpuset-cpus", str(task.core), "--hostname", task.machine]
        options += ["--init"] if task.init else []
        options += ["--user", task.user] if task.user else []
        for name, value in {**self._variables, **task.environment}.items():
            options += ["--env", f"{name}={value}"]
        process = subprocess.Popen(
            podman("run", *options, task.image, *task.command),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._running[task.name] = process
        line = ""
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                on_line(line.rstrip("\n"))
        code = process.wait()
        del self._running[task.name]
        if code in PODMAN_FAILED:
            raise CannotStartError(f"CannotStartContainerError: {line.strip()}")
        return code

    def stop(self, name: str, grace_seconds: float) -> None:
        """SIGTERM, and SIGKILL when the grace period is over."""
        self._until_it_worked(name, "stop", "--time", str(round(grace_seconds)), name)

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self._until_it_worked(name, "kill", "--signal", "KILL", name)

    def kill_all(self) -> None:
        """SIGKILL to all that run, and no further ones; returns when they are gone."""
        self._closed = True
        for name, process in list(self._running.items()):
            self.kill(name)
            process.wait()

    def _until_it_worked(self, name: str, *command: str) -> None:
        """Again while there is a process that has not made its container yet."""
        while name in self._running:
            done = subprocess.run(podman(*command), env=environment(), capture_output=True, check=False)
            if done.returncode == 0:
                return
            time.sleep(0.1)
