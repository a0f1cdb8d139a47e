"""A page in a real browser, as far as one is there."""

import re
import shutil
import subprocess
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = (
    "--headless",
    "--hide-scrollbars",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
)


def body_of(file: Path, profile: Path, *options: str) -> str:
    """What a page's scripts have left in its body.

    Args:
        file: The page.
        profile: A folder that is not there yet.
        options: Of the browser.
    """
    found = subprocess.run(
        [str(CHROMIUM), *QUIET, *options, f"--user-data-dir={profile}", "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    return re.sub(r"\s+", " ", found.partition("<body>")[2])
