"""Storage in an S3 bucket, of AWS or of any server that speaks its protocol (`AWS_ENDPOINT_URL`).

Credentials, region and endpoint are found as by every AWS tool: environment, profile, or the container's role.
"""

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from job.contract import cloud, layout
from job.contract.errors import StudyError
from job.storage.protocol import StoredObject, require_below

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

CONFIG = Config(
    # Throttling ("SlowDown"), 5xx and dropped connections; waits double, with jitter.
    retries={"mode": "standard", "total_max_attempts": 8},
    connect_timeout=10,
    read_timeout=30,
    max_pool_connections=32,
)
READS = 5
"""Times that a body is asked for: the client's own retries end when the body begins."""
PAUSE_SECONDS = 0.2
"""Before a second read; doubled for each further one."""
DELETED_AT_ONCE = 1000
"""The most keys that a request to delete may name."""

_ARRAY_CREDENTIALS = {
    "env": "environment",
    "container-role": "ecs",
    "iam-role": "imds",
}
"""TensorStore's names of the places where boto finds credentials."""

_ABSENT = {"NoSuchKey", "NotFound", "404"}
_EXISTS = {"PreconditionFailed", "412"}
_RACING = {"ConditionalRequestConflict", "409"}
_MANGLED = {
    "BadDigest",
    "IncompleteBody",
    "InvalidDigest",
    "XAmzContentChecksumMismatch",
    "XAmzContentSHA256Mismatch",
}
_FORBIDDEN = {"AccessDenied", "AllAccessDisabled", "Forbidden", "403"}
_EXPIRED = {"ExpiredToken", "InvalidToken", "RequestExpired", "TokenRefreshRequired"}
"""Of a role, the next attempt has new ones."""


class S3Storage:
    """A prefix of a bucket.

    Every object carries the SHA-256 of its contents, and every read is held against it: what a connection cut
    off or flipped is read again, and never taken for data.
    """

    def __init__(self, url: str, client: "S3Client | None" = None) -> None:
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise StudyError(f"{url}: names no bucket; write s3://bucket/folder")
        self.bucket, self._prefix = bucket, prefix.strip("/")
        with _translated(url):
            # The region's usual name, which boto does not read.
            region = os.environ.get("AWS_REGION")
            self._client = client or boto3.client("s3", config=CONFIG, region_name=region)

    @property
    def url(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self.bucket}/{self._prefix}".rstrip("/")

    def read(self, key: str) -> bytes:
        """The contents of a file."""
        return self._again(lambda: self._read_once(key), self._url_of(key))

    def _read_once(self, key: str) -> bytes:
        answer = self._client.get_object(Bucket=self.bucket, Key=self._full(key), ChecksumMode="ENABLED")
        try:
            data = answer["Body"].read()
        except (HTTPClientError, IncompleteReadError) as error:
            raise _Passing(errno.EIO, str(error)) from None
        if len(data) != answer["ContentLength"]:
            raise _Passing(errno.EIO, f"{len(data)} of {answer['ContentLength']} bytes")
        expected = answer["Metadata"].get("sha256")  # none in files that others wrote
        if expected is not None and sha256(data).hexdigest() != expected:
            raise _Passing(errno.EIO, "contents that are not those that were written")
        return data

    def write(self, key: str, data: bytes) -> None:
        """Write or replace a file."""
        self._put(key, data)

    def create(self, key: str, data: bytes) -> bool:
        """Write a file unless there is one; whether it was written. Of racing writers one wins."""
        writer = uuid4().hex
        try:
            self._put(key, data, writer=writer, IfNoneMatch="*")
        except FileExistsError:
            # The answer to a first try may have been lost, and the client's second try met its own file.
            with _translated(self._url_of(key)):
                found = self._client.head_object(Bucket=self.bucket, Key=self._full(key))
            return found["Metadata"].get("writer") == writer
        return True

    def _put(self, key: str, data: bytes, *, writer: str | None = None, **condition: Any) -> None:
        metadata = {"sha256": sha256(data).hexdigest()} | ({"writer": writer} if writer else {})
        if layout.is_checkpoint(key):
            condition["Tagging"] = urlencode(cloud.CHECKPOINT_TAG)
        self._again(
            lambda: self._client.put_object(
                Bucket=self.bucket, Key=self._full(key), Body=data, Metadata=metadata, **condition
            ),
            self._url_of(key),
        )

    def exists(self, key: str) -> bool:
        """Whether there is such a file."""
        try:
            with _translated(self._url_of(key)):
                self._client.head_object(Bucket=self.bucket, Key=self._full(key))
        except FileNotFoundError:
            return False
        return True

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """All files whose key starts with the prefix, in the order of their keys."""
        if prefix:
            require_below(prefix, self.url)
        base = f"{self._prefix}/" if self._prefix else ""
        found = [
            StoredObject(
                key=item["Key"].removeprefix(base),
                size_bytes=item["Size"],
                fingerprint=f"{item['Size']}-{item['ETag']}",
            )
            for page in self._pages(base + prefix)
            for item in page.get("Contents", ())
        ]
        yield from sorted(
            found, key=lambda item: item.key
        )  # not every server keeps the order that AWS promises

    def dead_links(self) -> tuple[str, ...]:
        """None: a bucket has no links."""
        return ()

    def folders(self, prefix: str = "") -> tuple[str, ...]:
        """Names of the folders directly below a folder, sorted."""
        if prefix:
            require_below(prefix, self.url)
        start = "".join(f"{part}/" for part in (self._prefix, prefix.strip("/")) if part)
        found = [
            item["Prefix"].removeprefix(start).rstrip("/")
            for page in self._pages(start, "/")
            for item in page.get("CommonPrefixes", ())
        ]
        return tuple(sorted(found))

    def _pages(self, prefix: str, delimiter: str = "") -> Iterator[Any]:
        paginator = self._client.get_paginator("list_objects_v2")
        pages = iter(paginator.paginate(Bucket=self.bucket, Prefix=prefix, Delimiter=delimiter))
        while True:
            with _translated(self.url):
                page = next(pages, None)
            if page is None:
                return
            yield page

    def delete(self, prefix: str) -> None:
        """Delete a file, or all files below a folder; nothing there is no error."""
        full = self._full(prefix)
        doomed = [
            {"Key": f"{full}{item.key.removeprefix(prefix)}"}
            for item in self.list(prefix)
            if item.key == prefix or item.key.startswith(f"{prefix}/")
        ]
        with _translated(self._url_of(prefix)):
            for first in range(0, len(doomed), DELETED_AT_ONCE):
                batch: Any = {"Objects": doomed[first : first + DELETED_AT_ONCE], "Quiet": True}
                answer = self._client.delete_objects(Bucket=self.bucket, Delete=batch)
                for problem in answer.get("Errors", ()):
                    raise OSError(errno.EIO, problem.get("Message", "cannot be deleted"), problem.get("Key"))

    def array_location(self, key: str) -> dict[str, Any]:
        """TensorStore's key-value store of a folder."""
        location: dict[str, Any] = {"driver": "s3", "bucket": self.bucket, "path": f"{self._full(key)}/"}
        location["aws_credentials"] = {"type": _array_credentials()}
        endpoint = self._client.meta.endpoint_url
        # Without a region TensorStore asks for it at an address that private networks do not reach.
        location["aws_region"] = self._region
        return location if "amazonaws.com" in endpoint else location | {"endpoint": endpoint}

    def local_path(self, key: str = "") -> Path | None:
        """None: nothing of a bucket lies on this machine."""
        return None

    @cached_property
    def _region(self) -> str:
        """Of the bucket, which may be another than the client's: S3 says it even to those who may not look."""
        try:
            answer: Any = self._client.head_bucket(Bucket=self.bucket)
        except ClientError as error:
            answer = error.response
        except BotoCoreError as error:
            raise OSError(errno.EIO, str(error), self.url) from None
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        return str(headers.get("x-amz-bucket-region") or self._client.meta.region_name)

    def _full(self, key: str) -> str:
        require_below(key, self.url)
        return f"{self._prefix}/{key}" if self._prefix else key

    def _url_of(self, key: str) -> str:
        return f"{self.url}/{key}"

    def _again(self, request: Callable[[], T], url: str) -> T:
        """The outcome of a request that is repeated after what may pass."""
        for attempt in range(READS):
            if attempt:
                time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
            try:
                with _translated(url):
                    return request()
            except _Passing as error:
                last = error
        raise OSError(errno.EIO, f"{last.strerror} ({READS} attempts)", url)


@cache
def _array_credentials() -> str:
    """Where TensorStore is to find the credentials that the client has found.

    Left to look for itself, it complains of every place where there are none. What is not given by the environment
    or a role it gets by way of the environment: a file's keys, or a sign-on's, good until they end in some hours.
    """
    credentials = boto3.Session().get_credentials()
    if credentials is None:
        return "anonymous"
    if credentials.method in _ARRAY_CREDENTIALS:
        return _ARRAY_CREDENTIALS[credentials.method]
    frozen = credentials.get_frozen_credentials()
    os.environ["AWS_ACCESS_KEY_ID"] = str(frozen.access_key)
    os.environ["AWS_SECRET_ACCESS_KEY"] = str(frozen.secret_key)
    if frozen.token:
        os.environ["AWS_SESSION_TOKEN"] = frozen.token
    return "environment"


class _Passing(OSError):
    """What a second try may not meet: a body that is cut off or damaged either way, a writer at the same key."""


SIGN_ON_ENDED = (SSOError, TokenRetrievalError)
"""The client's own errors of a single sign-on that has ended."""


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Turns the client's errors into those of `Storage`."""
    try:
        yield
    except ClientError as error:
        raise _in_words(error, url) from None
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        raise StudyError(
            f"{url}: no AWS credentials ({error}); sign in (`aws configure` or `aws sso login`), or set AWS_PROFILE"
        ) from None
    except SIGN_ON_ENDED as error:
        raise StudyError(f"{url}: {error}; sign in again (`aws sso login`)") from None
    except FlexibleChecksumError as error:
        raise _Passing(errno.EIO, str(error), url) from None
    except BotoCoreError as error:
        raise OSError(errno.EIO, str(error), url) from None


def _in_words(error: ClientError, url: str) -> Exception:
    code = error.response.get("Error", {}).get("Code", "")
    if code in _ABSENT:
        return FileNotFoundError(errno.ENOENT, "no such object", url)
    if code == "NoSuchBucket":
        return StudyError(f"{url}: there is no such bucket; correct its name, or deploy the stack first")
    if code in _EXISTS:
        return FileExistsError(errno.EEXIST, "is there already", url)
    if code in _RACING | _MANGLED:
        return _Passing(errno.EIO, str(error), url)
    if code in _EXPIRED:
        return OSError(errno.EIO, f"the credentials have expired ({code}); sign in again", url)
    if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch"):
        return StudyError(f"{url}: AWS does not know these credentials ({code}); sign in again")
    if code in _FORBIDDEN:
        return PermissionError(errno.EACCES, f"access denied ({code})", url)
    return OSError(errno.EIO, str(error), url)
