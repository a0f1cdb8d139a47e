"""The notice that AWS gives about two minutes before it takes a spot machine back.

Source: EC2 User Guide, "Spot Instance interruption notices": the item `spot/instance-action` of the instance
metadata is there from the notice on, else 404. Batch also sends SIGTERM, unless the machine's agent is gone.
"""

import threading
import urllib.request
from collections.abc import Callable

ENDPOINT = "http://169.254.169.254"
POLL_SECONDS = 5.0
TIMEOUT_SECONDS = 2.0


def is_to_be_taken_back(endpoint: str) -> bool:
    """Whether the machine has got its notice; not, where there is no instance metadata."""
    try:
        token = _request(f"{endpoint}/latest/api/token", "PUT", "X-aws-ec2-metadata-token-ttl-seconds", "60")
        _request(
            f"{endpoint}/latest/meta-data/spot/instance-action", "GET", "X-aws-ec2-metadata-token", token
        )
    except OSError:  # 404 among them
        return False
    return True


def watch(
    endpoint: str, on_notice: Callable[[], None], poll_seconds: float = POLL_SECONDS
) -> threading.Thread:
    """Calls `on_notice` once when the notice comes; looks for it as long as the process lives."""

    def look() -> None:
        pause = threading.Event()
        while not is_to_be_taken_back(endpoint):
            pause.wait(poll_seconds)
        on_notice()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    return thread


def _request(url: str, method: str, header: str, value: str) -> str:
    request = urllib.request.Request(url, method=method, headers={header: value})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        return str(answer.read().decode())
