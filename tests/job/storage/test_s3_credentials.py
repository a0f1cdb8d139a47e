"""Credentials: wherever the client finds them, arrays are read with the same ones, and nothing is printed."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest

from job.storage import open_storage
from tests.s3_server import ACCESS

READ = """
import sys, tensorstore
from job.storage import open_storage
storage = open_storage(sys.argv[1])
files = tensorstore.KvStore.open(storage.array_location("arrays")).result()
assert files.read("0").result().value == storage.read("arrays/0") == b"block"
"""
KEYS = {"AccessKeyId": ACCESS["AWS_ACCESS_KEY_ID"], "SecretAccessKey": ACCESS["AWS_SECRET_ACCESS_KEY"]}


class Credentials(BaseHTTPRequestHandler):
    """Gives the credentials of a container's role, as ECS does."""

    def do_GET(self) -> None:
        body = json.dumps(KEYS | {"Token": "", "Expiration": "2099-01-01T00:00:00Z"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not on the terminal."""


@pytest.fixture
def container_url() -> Iterator[str]:
    """Where a container asks for its role's credentials."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Credentials)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/credentials"
    server.shutdown()
    server.server_close()


def environment(place: str, tmp_path: Path, container_url: str) -> dict[str, str]:
    """Credentials in one place only."""
    if place == "environment":
        return ACCESS
    if place == "container":
        return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": container_url}
    key, secret = ACCESS["AWS_ACCESS_KEY_ID"], ACCESS["AWS_SECRET_ACCESS_KEY"]
    if place == "profile":
        text = f"[group]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
        (tmp_path / "credentials").write_text(text)
        return {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_PROFILE": "group"}
    # As the program of a single sign-on answers.
    (tmp_path / "answer.json").write_text(json.dumps(KEYS | {"Version": 1}))
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {tmp_path}/answer.json\n")
    return {"AWS_CONFIG_FILE": str(tmp_path / "config")}


@pytest.mark.parametrize("place", ["environment", "container", "profile", "process"])
def test_arrays_are_read_with_the_credentials_that_the_client_finds(
    place: str, s3_bucket: str, tmp_path: Path, container_url: str
) -> None:
    storage = open_storage(f"{s3_bucket}/{uuid4().hex}")
    storage.write("arrays/0", b"block")
    base = {name: os.environ[name] for name in ("PATH", "AWS_ENDPOINT_URL")}
    base |= {"HOME": str(tmp_path), "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    ended = subprocess.run(
        [sys.executable, "-c", READ, storage.url],
        env=base | environment(place, tmp_path, container_url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
