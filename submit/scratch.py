"""Files of a run that must lie on this machine, such as locks and the logs of running workers."""

import tempfile
from hashlib import sha256
from pathlib import Path

from job.storage import LocalStorage, Storage


def local_path(run: Storage, key: str) -> Path:
    """Where a file of a run lies on this machine.

    In the run's folder; for a run in a bucket, in a temporary folder that all processes of the machine share.
    """
    if isinstance(run, LocalStorage):
        return run.root / key
    return Path(tempfile.gettempdir(), "loosweep", sha256(run.url.encode()).hexdigest()[:16], key)
