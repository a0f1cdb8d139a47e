"""Milliseconds that clients of S3 take for what a run asks of its bucket.

    python benchmarks/s3.py            # pip install obstore for the third peer

The server is SeaweedFS on this machine, plain and behind a proxy that adds 20 ms to every request. In every round
each client does the same, one after the other, beginning with another one each round; numbers are medians over the
rounds. `S3Storage` is this project's storage: boto3, with a SHA-256 of every file written and checked. About 3
minutes.
"""

import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the tests' servers

import boto3
from botocore.exceptions import ClientError

from job.storage.s3 import CONFIG, S3Storage
from tests.faulty_proxy import faulty_proxy
from tests.s3_server import ACCESS, BUCKET, s3_server

ROUNDS = 5
SMALL, LARGE = os.urandom(3_000), os.urandom(20_000_000)
READERS = 16


class _Client(Protocol):
    """What is measured."""

    def read(self, key: str) -> bytes: ...
    def write(self, key: str, data: bytes) -> object: ...
    def create(self, key: str, data: bytes) -> bool: ...
    def count(self, prefix: str) -> int: ...


class _Own(S3Storage):
    """This project's storage."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(f"s3://{BUCKET}", boto3.client("s3", config=CONFIG, endpoint_url=endpoint))

    def count(self, prefix: str) -> int:
        return sum(1 for _ in self.list(prefix))


class _Boto:
    """boto3 as it comes."""

    def __init__(self, endpoint: str) -> None:
        self._client = boto3.client("s3", config=CONFIG, endpoint_url=endpoint)

    def read(self, key: str) -> bytes:
        return self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def write(self, key: str, data: bytes) -> object:
        return self._client.put_object(Bucket=BUCKET, Key=key, Body=data)

    def create(self, key: str, data: bytes) -> bool:
        try:
            self._client.put_object(Bucket=BUCKET, Key=key, Body=data, IfNoneMatch="*")
        except ClientError:
            return False
        return True

    def count(self, prefix: str) -> int:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return sum(len(page.get("Contents", ())) for page in pages)


class _Fsspec:
    """s3fs."""

    def __init__(self, endpoint: str) -> None:
        import s3fs

        self._files = s3fs.S3FileSystem(
            endpoint_url=endpoint, use_listings_cache=False, skip_instance_cache=True
        )

    def read(self, key: str) -> bytes:
        return bytes(self._files.cat_file(f"{BUCKET}/{key}"))

    def write(self, key: str, data: bytes) -> object:
        return self._files.pipe_file(f"{BUCKET}/{key}", data)

    def create(self, key: str, data: bytes) -> bool:
        try:
            self._files.pipe_file(f"{BUCKET}/{key}", data, mode="create")
        except OSError as error:
            if "pre-condition" not in str(error):  # s3fs has no FileExistsError for it
                raise
            return False
        return True

    def count(self, prefix: str) -> int:
        return len(self._files.find(f"{BUCKET}/{prefix}"))


class _Obstore:
    """obstore, a binding of Rust's object_store."""

    def __init__(self, endpoint: str) -> None:
        import obstore
        from obstore.store import S3Store

        self._obstore: Any = obstore
        options = {"allow_http": True}
        self._store = S3Store(BUCKET, endpoint=endpoint, region="us-east-1", client_options=options)

    def read(self, key: str) -> bytes:
        return bytes(self._obstore.get(self._store, key).bytes())

    def write(self, key: str, data: bytes) -> object:
        return self._obstore.put(self._store, key, data, use_multipart=False)

    def create(self, key: str, data: bytes) -> bool:
        try:
            self._obstore.put(self._store, key, data, mode="create", use_multipart=False)
        except self._obstore.exceptions.AlreadyExistsError:
            return False
        return True

    def count(self, prefix: str) -> int:
        return sum(len(page) for page in self._obstore.list(self._store, prefix))


CLIENTS: dict[str, tuple[str, Callable[[str], _Client]]] = {
    "S3Storage": ("boto3", _Own),
    "boto3": ("boto3", _Boto),
    "s3fs": ("s3fs", _Fsspec),
    "obstore": ("obstore", _Obstore),
}


def read_results(client: _Client, _: str) -> None:
    """As `submit report` does."""
    with ThreadPoolExecutor(READERS) as pool:
        for data in pool.map(client.read, [f"results/{n}" for n in range(288)]):
            assert data == SMALL


def write_heartbeats(client: _Client, own: str) -> None:
    """As a worker does, one after the other."""
    for _ in range(30):
        client.write(f"{own}/heartbeat", SMALL)


def create_results(client: _Client, own: str) -> None:
    """Ten that are not there, and ten that are."""
    new = [f"{own}/{time.perf_counter_ns()}-{n}" for n in range(10)]
    assert [client.create(key, SMALL) for key in new + new] == [True] * 10 + [False] * 10


def list_keys(client: _Client, _: str) -> None:
    """As `submit status` does."""
    assert client.count("results/") == 288


def copy_large(client: _Client, own: str) -> None:
    """A checkpoint: written and read back."""
    client.write(f"{own}/large", LARGE)
    assert client.read(f"{own}/large") == LARGE


WORK: dict[str, Callable[[_Client, str], None]] = {
    f"read 288 files of 3 kB, {READERS} at a time": read_results,
    "write 30 files of 3 kB": write_heartbeats,
    "create 10 files, and fail to create 10": create_results,
    "list 288 files": list_keys,
    "write and read 20 MB": copy_large,
}


def main() -> None:
    """Prints a Markdown table."""
    clients = {name: make for name, (package, make) in CLIENTS.items() if _version(package)}
    packages = dict.fromkeys(package for package, _ in CLIENTS.values())
    versions = ", ".join(f"{package} {found}" for package in packages if (found := _version(package)))
    print(f"{len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}, {versions}")
    print(f"medians of {ROUNDS} rounds\n")
    os.environ.update(ACCESS)
    with (
        tempfile.TemporaryDirectory() as folder,
        s3_server(Path(folder)) as plain,
        faulty_proxy(plain, every=1, faults=["late"]) as (late, _),
    ):
        filler = _Boto(plain)
        for n in range(288):
            filler.write(f"results/{n}", SMALL)
        print("| work, ms | server | " + " | ".join(clients) + " |\n|---|---|" + "---|" * len(clients))
        for server, endpoint in (("on this machine", plain), ("20 ms away", late)):
            made = {name: make(endpoint) for name, make in clients.items()}
            for work, do in WORK.items():
                medians = measure(made, do)
                own = medians["S3Storage"]
                cells = [f"{ms:.0f} ({ms / own:.2f} x)" for ms in medians.values()]
                print(f"| {work} | {server} | " + " | ".join(cells) + " |", flush=True)


def measure(clients: dict[str, _Client], do: Callable[[_Client, str], None]) -> dict[str, float]:
    """Median milliseconds of a piece of work, by client."""
    names, times = list(clients), {name: list[float]() for name in clients}
    for name in names:
        do(clients[name], name)  # connections are made, and caches filled
    for round_ in range(ROUNDS):
        for place in range(len(names)):
            name = names[(place + round_) % len(names)]
            start = time.perf_counter()
            do(clients[name], name)
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
