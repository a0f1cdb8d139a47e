"""S3 over a network that is slow, throttles, drops, cuts off and flips: no lost and no wrong contents."""

import hashlib
import os
from collections.abc import Iterator

import boto3
import pytest

from job.storage import Storage
from job.storage.s3 import CONFIG, S3Storage
from tests.faulty_proxy import FAULTS, FaultyProxy, faulty_proxy

pytestmark = pytest.mark.cloud
FILES = 60


@pytest.fixture
def faulty(s3_bucket: str, request: pytest.FixtureRequest) -> Iterator[tuple[Storage, Storage, FaultyProxy]]:
    """A storage behind the proxy, the same without it, and what the proxy did."""
    url = f"{s3_bucket}/{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"
    with faulty_proxy(os.environ["AWS_ENDPOINT_URL"], every=4) as (endpoint, proxy):
        client = boto3.client("s3", endpoint_url=endpoint, config=CONFIG)
        yield S3Storage(url, client), S3Storage(url), proxy


def contents(n: int) -> bytes:
    return hashlib.sha256(bytes([n])).digest() * (50 + 40 * n)


def test_nothing_is_lost_and_nothing_is_wrong(faulty: tuple[Storage, Storage, FaultyProxy]) -> None:
    storage, direct, proxy = faulty
    for n in range(FILES):
        storage.write(f"files/{n:02}", contents(n))
    for n in range(FILES):
        assert direct.read(f"files/{n:02}") == contents(n)
        assert storage.read(f"files/{n:02}") == contents(n)
    assert [item.key for item in storage.list("files/")] == [f"files/{n:02}" for n in range(FILES)]
    assert set(proxy.met) == set(FAULTS)
    storage.delete("files")
    assert not list(direct.list("files/"))


def test_a_file_is_created_once_though_answers_are_lost(faulty: tuple[Storage, Storage, FaultyProxy]) -> None:
    storage, direct, proxy = faulty
    for n in range(FILES):
        assert storage.create(f"once/{n}", contents(n))
        assert not storage.create(f"once/{n}", b"another")
        assert direct.read(f"once/{n}") == contents(n)
    assert proxy.met["lost answer"] > 0


def test_what_is_not_there_is_still_not_found(faulty: tuple[Storage, Storage, FaultyProxy]) -> None:
    storage = faulty[0]
    for n in range(FILES):
        assert not storage.exists(f"nothing/{n}")
        with pytest.raises(FileNotFoundError):
            storage.read(f"nothing/{n}")
