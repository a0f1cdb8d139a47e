"""Ending a sweep on AWS Batch while its containers train."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from job.contract import layout
from job.contract.exit_codes import ExitCode
from job.contract.results import Heartbeat
from submit.submissions import BatchSubmission
from tests.cloud import containers
from tests.cloud.conftest import FOLDS, SLOW, MakeStudy
from tests.cloud.rig import Rig, wait_for


@pytest.fixture(autouse=True)
def nothing_goes_on(rig: Rig) -> Iterator[None]:
    """Leaves the machines to other tests, whatever happened in this one."""
    yield
    rig.ask("end")


def test_cancelling_ends_all_children_and_those_that_ran_leave_checkpoints(
    rig: Rig, deployed: dict[str, str], make_study: MakeStudy, tmp_path: Path
) -> None:
    study = make_study(tmp_path, SLOW, compute={"checkpoint_minutes": 60})
    told = rig.submit("sweep", study, "--backend", "batch")
    url = next(word.rstrip(":") for word in told.split() if word.startswith("s3://"))
    run = rig.storage(url)
    submission = BatchSubmission.model_validate_json(run.read(layout.batch_submission(0)))
    array = submission.jobs[0].job

    def training() -> list[int]:
        found = [fold for fold in range(FOLDS) if run.exists(layout.heartbeat(fold))]
        return [f for f in found if Heartbeat.model_validate_json(run.read(layout.heartbeat(f))).step > 0]

    running = wait_for(lambda: training() if len(training()) == 2 else None, "two folds to train")
    assert f"{FOLDS - 2} waiting, 2 running" in rig.submit("status", url)
    again = rig.submit("sweep", study, "--backend", "batch", code=ExitCode.USAGE)
    assert "jobs of an earlier submission still run or wait" in " ".join(again.split())
    assert f"fold {running[0]}: train, step" in rig.submit("logs", url, "--fold", str(running[0]))
    names = [
        rig.jobs()[f"{array}:{fold}"]["container"]["logStreamName"].rpartition("/")[2] for fold in running
    ]
    assert set(names) <= set(containers.output("ps", "--format", "{{.Names}}").split())

    rig.submit("cancel", url)
    wait_for(lambda: rig.ask("states")[array] == "FAILED", "the end of the array")
    jobs = rig.jobs()
    children = [jobs[f"{array}:{fold}"] for fold in range(FOLDS)]
    assert {child["status"] for child in children} == {"FAILED"}
    assert {child["statusReason"] for child in children} == {"ended by submit: submit cancel"}
    assert [len(child["attempts"]) for child in children] == [int(fold in running) for fold in range(FOLDS)]
    assert all(run.exists(f"{layout.checkpoints(fold)}/latest.json") for fold in running)
    assert not set(names) & set(containers.output("ps", "--format", "{{.Names}}").split())
    assert jobs[submission.report_job or ""]["status"] == "FAILED"
