"""A proxy before an S3 server that does what networks and busy servers do to requests."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from urllib.parse import urlsplit

FAULTS = ("slow", "throttled", "dropped", "truncated", "flipped answer", "flipped request", "lost answer")
PAUSES = {"slow": 0.3, "late": 0.02}
"""Seconds before a request goes on; `late` is what a bucket in the same region takes."""
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class FaultyProxy:
    """Every `every`-th request meets the next of the faults, in turn."""

    def __init__(self, target: str, every: int, faults: Sequence[str] = FAULTS) -> None:
        self.target = urlsplit(target)
        self.every = every
        self.met: Counter[str] = Counter()
        self.requests = 0
        self._faults = cycle(faults)
        self._lock = threading.Lock()

    def next_fault(self) -> str | None:
        with self._lock:
            self.requests += 1
            if self.requests % self.every:
                return None
            return next(self._faults)


@contextmanager
def faulty_proxy(
    target: str, every: int, faults: Sequence[str] = FAULTS
) -> Iterator[tuple[str, FaultyProxy]]:
    """Gives the proxy's URL, and what it did."""
    proxy = FaultyProxy(target, every, faults)

    class Handler(_Handler):
        state = proxy

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", proxy
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: FaultyProxy

    def _forward(self) -> None:
        body = self._body()
        fault = self.state.next_fault()
        if fault == "flipped request" and not body:
            fault = "throttled"
        if fault in PAUSES:
            time.sleep(PAUSES[fault])
        if fault == "throttled":
            self.state.met[fault] += 1
            self._answer(503, [("Content-Type", "application/xml")], SLOW_DOWN)
            return
        if fault == "dropped":
            self.state.met[fault] += 1
            self.close_connection = True
            return
        if fault == "flipped request":
            body = _flipped(body)
        status, headers, data = self._ask(body)
        if fault == "flipped answer" and (status not in (200, 206) or not data or self.command == "HEAD"):
            fault = None
        if fault == "truncated" and (len(data) < 2 or self.command == "HEAD"):
            fault = "lost answer"
        if fault is not None:
            self.state.met[fault] += 1
        if fault == "lost answer":  # what was asked for is done, and nobody is told
            self.close_connection = True
            return
        if fault == "flipped answer":
            data = _flipped(data)
        self._answer(status, headers, data, sent=len(data) // 2 if fault == "truncated" else None)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _forward

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        assert self.state.target.hostname is not None
        connection = http.client.HTTPConnection(
            self.state.target.hostname, self.state.target.port, timeout=60
        )
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in ("transfer-encoding", "expect", "connection")
        }
        if body or self.command in ("PUT", "POST"):
            headers["Content-Length"] = str(len(body))
        connection.request(self.command, self.path, body=body or None, headers=headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, answer.getheaders(), data

    def _answer(
        self, status: int, headers: list[tuple[str, str]], data: bytes, sent: int | None = None
    ) -> None:
        self.send_response_only(status)
        length = str(len(data))
        for name, value in headers:
            if name.lower() == "content-length":
                length = value if self.command == "HEAD" else length
            elif name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[:sent])
        if sent is not None:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Not on the terminal."""


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]
