"""A whole sweep on the emulated AWS Batch: 8 arms x 36 exams, each fold a container that does the least it can.

Shows what the way costs beside the training: seconds from submission to report, and requests to AWS. Needs what
`tests/cloud/install` installs.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from job.contract import cloud, layout
from job.data.phantom import make_phantom
from submit.submissions import BatchSubmission
from tests.cloud import rig as rigs
from tests.cloud.rig import Rig, wait_for

ARMS = 8
STUDY = """\
name = "phantom"
preset = "smoke"

[cohort]
root = "{root}"
pattern = "{{patient}}/{{exam}}/{{channel}}.nii.gz"
labels = "{{patient}}/{{exam}}/label.nii.gz"
mask = "{{patient}}/{{exam}}/mask.nii.gz"
channels = ["t2", "t1", "t1c", "t2star", "ktrans", "ve", "adc"]
classes = {{ "GTV-T" = 1, "GTV-Ln" = 2 }}

[network]
feature_maps = [4, 4, 4, 4]
fc_features = [4]

[training]
steps = 1
batch_size = 1
segment_shape = [21, 21, 13]

[compute]
device = "cpu"
"""
USD_PER_1000 = {"s3:PUT": 0.005, "s3:POST": 0.005, "s3:LIST": 0.005, "s3:GET": 0.0004, "s3:HEAD": 0.0004}
"""Of S3 in us-east-1, end of 2025; deleting is free, as are requests to AWS Batch, CloudFormation, ECR and EC2."""


def main() -> None:
    """Deploys, sweeps, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exams", type=int, default=36)
    parser.add_argument("--machines", type=int, default=os.cpu_count() or 1, help="containers at a time")
    options = parser.parse_args()
    if reason := rigs.missing():
        sys.exit(reason)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as folder, rigs.rig(Path(folder), machines=options.machines) as rig:
        begun = time.monotonic()
        deployed = rig.deploy(["phantom"])
        print(f"cdk deploy, image and all: {time.monotonic() - begun:.0f} s")
        measure(rig, deployed, Path(folder), options.exams, options.machines)


def measure(rig: Rig, deployed: dict[str, str], folder: Path, exams: int, machines: int) -> None:
    """Sweeps a cohort in the data bucket, and prints what it took."""
    folds, place = ARMS * exams, f"s3://{deployed[cloud.DATA_BUCKET]}/phantom"
    make_phantom(folder / "cohort", patients=exams, visits=1, seed=0, shape=(32, 32, 14))
    for path in (folder / "cohort").rglob("*.nii.gz"):
        rig.storage(place).write(path.relative_to(folder / "cohort").as_posix(), path.read_bytes())
    study = folder / "study.toml"
    study.write_text(STUDY.format(root=place))

    before, begun = rig.requests(), time.monotonic()
    told = rig.submit("sweep", study, "--backend", "batch", "--array", str(folds))
    submitted, at_submission = time.monotonic() - begun, rig.requests()
    request = next(word.rstrip(":") for word in told.split() if word.startswith("s3://"))
    submission = BatchSubmission.model_validate_json(rig.storage(request).read(layout.batch_submission(0)))
    wait_for(lambda: _ended(rig, submission.report_job), "the report", 3 * 3600)
    whole, at_end = time.monotonic() - begun, rig.requests()
    jobs = rig.jobs()
    states = Counter(job["status"] for job in jobs.values())
    run = next(
        name
        for name in rig.storage(f"s3://{deployed[cloud.RESULTS_BUCKET]}/phantom/runs").folders()
        if name != layout.REQUESTS
    )
    results = rig.storage(f"s3://{deployed[cloud.RESULTS_BUCKET]}/phantom/runs/{run}")
    done = layout.folds_with("result.json", (item.key for item in results.list(f"{layout.FOLDS}/")))
    print(f"{len(done)} results of {folds} folds; jobs: {dict(states)}")
    print(f"report: {results.exists(f'{layout.ANALYSIS}/report.html')}")
    print(f"submit sweep: {submitted:.1f} s; from submission to report: {whole:.0f} s on {machines} machines")
    seconds = [_seconds(jobs[f"{submission.jobs[0].job}:{index}"]) for index in range(folds)]
    print(f"a container: median {median(seconds):.1f} s, longest {max(seconds):.1f} s")
    at_status = rig.requests()
    begun = time.monotonic()
    rig.submit("status", results.url)
    print(f"submit status: {time.monotonic() - begun:.1f} s")
    show("submit sweep", at_submission - before, folds)
    show("jobs", at_end - at_submission, folds)
    show("submit status", rig.requests() - at_status, folds)


def show(what: str, requests: Counter[str], folds: int) -> None:
    """Prints requests by action, and what S3 asks for them a fold."""
    usd = sum(USD_PER_1000.get(action, 0) * number / 1000 for action, number in requests.items())
    print(f"\n{what}: {usd:.4f} USD for {folds} folds, {usd / folds * 10_000:.2f} USD for 10,000")
    for action, number in sorted(requests.items()):
        print(f"  {action:45} {number:7}  {number / folds:8.2f} a fold")


def _ended(rig: Rig, job: str | None) -> bool:
    assert job is not None
    time.sleep(1)
    return rig.ask("states")[job] in ("SUCCEEDED", "FAILED")


def _seconds(job: Any) -> float:
    return (job["stoppedAt"] - job["startedAt"]) / 1000


if __name__ == "__main__":
    main()
