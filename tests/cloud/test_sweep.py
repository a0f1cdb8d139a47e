"""A sweep on AWS Batch in real containers, some of which are killed: the files are those of a sweep at home."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from job.contract import cloud, layout
from job.contract.results import FoldResult
from job.storage.s3 import S3Storage
from submit.submissions import BatchSubmission
from tests.cloud.conftest import FOLDS, STUDY, MakeStudy, Swept, outcome
from tests.cloud.rig import Rig, wait_for

RECLAIMED, VANISHED, NOTIFIED = 1, 4, 6
"""Folds that lose their machine while they train."""


@dataclass(frozen=True)
class CloudSweep:
    """A sweep whose jobs have ended."""

    study: Path
    request: str
    """URL."""
    run: S3Storage
    submission: BatchSubmission
    jobs: dict[str, Any]
    """As AWS Batch describes them at the end."""

    def child(self, fold: int) -> Any:
        """The job of a fold."""
        return self.jobs[f"{self.submission.jobs[0].job}:{fold}"]


@pytest.fixture(scope="session")
def cloud_sweep(
    rig: Rig,
    deployed: dict[str, str],
    cohort: Path,
    make_study: MakeStudy,
    tmp_path_factory: pytest.TempPathFactory,
) -> CloudSweep:
    """The study swept in containers, from a cohort in the data bucket; three folds lose their machines."""
    place = f"s3://{deployed[cloud.DATA_BUCKET]}/{STUDY}"
    for path in cohort.rglob("*.nii.gz"):
        rig.storage(place).write(path.relative_to(cohort).as_posix(), path.read_bytes())
    study = make_study(tmp_path_factory.mktemp("cloud"), cohort={"root": place}, compute={"backend": "batch"})
    told = rig.submit("sweep", study, "--array", str(FOLDS))
    assert f"the preparation of the cohort and {FOLDS} folds submitted to {deployed[cloud.GPU_QUEUE]}" in told
    request = next(word.rstrip(":") for word in told.split() if word.startswith("s3://"))
    submission = BatchSubmission.model_validate_json(rig.storage(request).read(layout.batch_submission(0)))
    assert submission.prepare_job is not None
    wait_for(lambda: rig.ask("states")[submission.prepare_job] == "SUCCEEDED", "the preparation")
    runs = f"s3://{deployed[cloud.RESULTS_BUCKET]}/{cloud.runs_prefix(STUDY)}"
    (name,) = set(rig.storage(runs).folders()) - {layout.REQUESTS}
    run = rig.storage(f"{runs}{name}")
    (array,) = submission.jobs
    for fold, loss in ((RECLAIMED, "reclaim"), (VANISHED, "vanish")):
        wait_for(partial(run.exists, f"{layout.checkpoints(fold)}/latest.json"), f"fold {fold} to train")
        rig.ask(loss, job=f"{array.job}:{fold}")
    notified = f"{array.job}:{NOTIFIED}"
    wait_for(lambda: rig.ask("states")[notified] == "RUNNING", "another fold to start")
    rig.ask("notify", job=notified)  # workers look at once, and then every 5 s
    assert submission.report_job is not None
    wait_for(lambda: rig.ask("states")[submission.report_job] in ("SUCCEEDED", "FAILED"), "the end", 300)
    return CloudSweep(study, request, run, submission, rig.jobs())


@pytest.mark.parametrize("fold", range(FOLDS))
def test_a_fold_in_a_container_leaves_the_bytes_of_one_at_home(
    cloud_sweep: CloudSweep, local: Swept, fold: int
) -> None:
    assert outcome(cloud_sweep.run, fold) == outcome(local.run, fold)


def test_every_lost_machine_is_one_more_attempt_and_no_fold_was_lost(cloud_sweep: CloudSweep) -> None:
    children = [cloud_sweep.child(fold) for fold in range(FOLDS)]
    assert {child["status"] for child in children} == {"SUCCEEDED"}
    lost = (RECLAIMED, VANISHED, NOTIFIED)
    assert [len(child["attempts"]) for child in children] == [
        2 if fold in lost else 1 for fold in range(FOLDS)
    ]
    ends = {
        fold: (attempt["container"].get("exitCode"), attempt["statusReason"].partition(" (")[0])
        for fold in lost
        for attempt in cloud_sweep.child(fold)["attempts"][:1]
    }
    assert ends == {
        RECLAIMED: (143, "Host EC2"),
        VANISHED: (None, "Host EC2"),
        NOTIFIED: (143, "Essential container in task exited"),
    }
    assert cloud_sweep.jobs[cloud_sweep.submission.jobs[0].job]["status"] == "SUCCEEDED"


@pytest.mark.parametrize(("fold", "loses_steps"), [(RECLAIMED, False), (VANISHED, True), (NOTIFIED, False)])
def test_a_fold_with_notice_loses_no_step_and_one_without_goes_on_from_its_checkpoint(
    cloud_sweep: CloudSweep, fold: int, loses_steps: bool
) -> None:
    result = FoldResult.model_validate_json(cloud_sweep.run.read(layout.result(fold)))
    assert result.cost.attempts == 2
    assert result.cost.lost_steps == 0 or loses_steps
    assert not list(cloud_sweep.run.list(f"{layout.checkpoints(fold)}/"))


def test_status_and_logs_are_found_by_study_file_run_and_request(rig: Rig, cloud_sweep: CloudSweep) -> None:
    status = json.loads(rig.submit("status", cloud_sweep.study, "--json"))
    assert [fold["state"] for fold in status["folds"]] == ["done"] * FOLDS
    batch = status["batch"]
    assert (batch["prepare"]["state"], batch["report"]["state"]) == ("SUCCEEDED", "SUCCEEDED")
    assert (batch["spent"]["attempts"], batch["spent"]["interruptions"]) == (FOLDS + 3, 3)
    assert f"{FOLDS} ended well, 0 failed" in rig.submit("status", cloud_sweep.request)
    log = rig.submit("logs", cloud_sweep.run.url, "--fold", str(VANISHED))
    assert "--- attempt 1 ended: Host EC2" in log
    assert f"fold {VANISHED}: train, step" in log.partition("--- attempt 2")[2]


def test_the_report_was_made_by_a_job_after_the_folds(rig: Rig, cloud_sweep: CloudSweep) -> None:
    report = cloud_sweep.jobs[cloud_sweep.submission.report_job or ""]
    assert [item["jobId"] for item in report["dependsOn"]] == [job.job for job in cloud_sweep.submission.jobs]
    prepare = cloud_sweep.jobs[cloud_sweep.submission.prepare_job or ""]
    assert (
        min(cloud_sweep.child(fold)["attempts"][0]["startedAt"] for fold in range(FOLDS))
        >= prepare["stoppedAt"]
    )
    assert report["status"] == "SUCCEEDED", rig.log(report)
    last_fold = max(cloud_sweep.child(fold)["stoppedAt"] for fold in range(FOLDS))
    assert report["startedAt"] >= last_fold
    page = cloud_sweep.run.read(f"{layout.ANALYSIS}/report.html").decode()
    assert STUDY in page


def test_the_same_sweep_again_finds_nothing_to_do(rig: Rig, cloud_sweep: CloudSweep) -> None:
    before = len(rig.jobs())
    assert "nothing to do" in rig.submit("sweep", cloud_sweep.study)
    assert len(rig.jobs()) == before


def test_names_of_jobs_and_logs_tell_of_no_patient(cloud_sweep: CloudSweep) -> None:
    names = [
        (job["jobName"], job["container"].get("logStreamName", ""), job["container"]["environment"])
        for job in cloud_sweep.jobs.values()
    ]
    assert names
    assert "patient" not in json.dumps(names)
