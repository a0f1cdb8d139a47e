"""`submit` on a study whose store and runs lie in a bucket."""

import json
from pathlib import Path

import pytest

from job.storage import open_storage
from tests.submit.test_whole_sweep import FOLDS, TWO_CHANNELS, run, study, toml

__all__ = ["study"]
pytestmark = [pytest.mark.slow, pytest.mark.cloud]


def test_a_sweep_in_a_bucket_is_found_reported_and_not_run_twice(study: Path, s3_bucket: str) -> None:
    place = f"{s3_bucket}/{study.parent.name}"
    source = open_storage(f"{place}/cohort")
    for file in (study.parent / "cohort").rglob("*.nii.gz"):
        source.write(file.relative_to(study.parent / "cohort").as_posix(), file.read_bytes())
    table = TWO_CHANNELS | {
        "cohort": TWO_CHANNELS["cohort"] | {"root": f"{place}/cohort"},
        "store": TWO_CHANNELS["store"] | {"folder": f"{place}/store"},
        "compute": {"runs": f"{place}/runs"},
    }
    study.write_text("\n".join(f"{key} = {toml(value)}" for key, value in table.items()))
    assert "no problem found" in run("check", study)
    output = run("sweep", study, "--array", str(FOLDS), "--folds", "0-2")
    assert "3 folds done in this sweep" in output
    assert not (study.parent / "runs").exists()
    assert not (study.parent / "store").exists()
    again = run("sweep", study, "--folds", "0-2")
    assert f"0 folds to do, 3 of {FOLDS} done" in again
    states = [fold["state"] for fold in json.loads(run("status", study, "--json"))["folds"]]
    assert states == ["done"] * 3 + ["missing"] * (FOLDS - 3)
    assert "attempt 1" in run("logs", study, "--fold", "1")
    assert "nothing is running" in run("cancel", study)
    told = run("report", study, "--output", study.parent / "page")
    assert "3 of 12 folds done" in told
    assert (study.parent / "page/report.html").read_text().count("data:image/png") >= 1
