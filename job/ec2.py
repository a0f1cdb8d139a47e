"""What a machine of EC2 tells of itself: what it is, and that it will be taken back.

Source: EC2 User Guide, "Retrieve instance metadata" and "Spot Instance interruption notices": the item
`spot/instance-action` is there from the notice on, about two minutes before the end, else 404. Batch also sends
SIGTERM, unless the machine's agent is gone.
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
        _metadata(endpoint, "spot/instance-action")
    except OSError:  # 404 among them
        return False
    return True


def machine(endpoint: str) -> str | None:
    """Kind of machine, how it was bought and its zone, as `g4dn.xlarge spot eu-central-1a`; None outside EC2."""
    items = ("instance-type", "instance-life-cycle", "placement/availability-zone")
    try:
        return " ".join(_metadata(endpoint, item) for item in items)
    except OSError:
        return None


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


def _metadata(endpoint: str, item: str) -> str:
    token = _request(f"{endpoint}/latest/api/token", "PUT", "X-aws-ec2-metadata-token-ttl-seconds", "60")
    return _request(f"{endpoint}/latest/meta-data/{item}", "GET", "X-aws-ec2-metadata-token", token)


def _request(url: str, method: str, header: str, value: str) -> str:
    request = urllib.request.Request(url, method=method, headers={header: value})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        return str(answer.read().decode())
