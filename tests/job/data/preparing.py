"""Preparing a cohort in a process of its own, that can be killed."""

import json
import subprocess
import sys

from job.contract.study import Study
from job.storage.local import LocalStorage

SCRIPT = """
import sys
from pathlib import Path
from job.contract.study import Study
from job.data.prepare import prepare_cohort
from job.storage.local import LocalStorage

study = Study.model_validate_json(sys.stdin.read())
source, store = (LocalStorage(Path(folder)) for folder in sys.argv[1:])
prepare_cohort(source, store, study, workers=2, progress=lambda done, total: print(done, flush=True))
"""


def preparing(
    source: LocalStorage, store: LocalStorage, study: Study, *, wait: bool = True
) -> subprocess.Popen[str]:
    """A process that has begun to prepare, or will."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(source.root), str(store.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(study.model_dump(mode="json", by_alias=True)))
    process.stdin.close()
    process.stdin = None
    if wait:
        assert process.stdout.readline() == "0\n"
    return process
