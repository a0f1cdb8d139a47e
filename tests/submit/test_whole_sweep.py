"""`submit sweep` as a user runs it: whole processes on the tiny cohort."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from job.contract.results import FoldResult
from tests.conftest import TINY

pytestmark = pytest.mark.slow
FOLDS = 12  # 3 arms x 4 exams
TWO_CHANNELS = {**TINY, "cohort": {**TINY["cohort"], "channels": ["t2", "t2star"]}}


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


@pytest.fixture
def study(tiny_cohort: Path, tmp_path: Path) -> Path:
    """A study file beside a copy of the tiny cohort."""
    shutil.copytree(tiny_cohort / "cohort", tmp_path / "cohort")
    file = tmp_path / "study.toml"
    file.write_text("\n".join(f"{key} = {toml(value)}" for key, value in TWO_CHANNELS.items()))
    return file


def submit(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from submit.cli import main; main()", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments: str | Path, code: int = 0) -> str:
    process = submit(*arguments)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == code, errors
    return output + errors


def results(study: Path) -> dict[int, dict[str, Any]]:
    """What each done fold says, but for what it took."""
    found = [
        FoldResult.model_validate_json(p.read_bytes())
        for p in study.parent.glob("runs/*/folds/*/result.json")
    ]
    return {result.fold: result.model_dump(exclude={"cost"}) for result in found}


def wait_for_results(study: Path, count: int) -> None:
    for _ in range(1200):
        if len(results(study)) >= count:
            return
        time.sleep(0.1)
    raise AssertionError(f"fewer than {count} results")


def test_a_moved_project_goes_on_and_its_report_has_its_pictures(study: Path, tmp_path: Path) -> None:
    run("sweep", study, "--folds", "0-2")
    (folder,) = (tmp_path / "runs").iterdir()
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("study.toml", "cohort", "store", "runs"):
        (tmp_path / name).rename(moved / name)
    study = moved / "study.toml"
    for arguments in ((moved / "runs" / folder.name,), ("--study", study)):
        assert "no picture" not in run("report", *arguments)
        assert (moved / "runs" / folder.name / "analysis/report.html").read_text().count(
            "data:image/png"
        ) == 2
    assert "3 done" in run("status", study)
    assert "nothing is running" in run("cancel", study)
    assert "1 fold to do, 3 of 12 done" in run("sweep", study, "--folds", "0-3")
    assert [path.name for path in (moved / "runs").iterdir()] == [folder.name]


def test_an_interrupted_sweep_goes_on_to_the_same_results(study: Path) -> None:
    sweep = submit("sweep", study, "--array", str(FOLDS))
    wait_for_results(study, 2)
    sweep.send_signal(signal.SIGINT)
    _, errors = sweep.communicate(timeout=120)
    assert sweep.returncode == 130
    assert "run the same sweep to go on" in errors
    before = results(study)
    assert 2 <= len(before) < FOLDS
    assert "folds done in this sweep" in run("sweep", study, "--array", str(FOLDS))
    done = results(study)
    assert len(done) == FOLDS
    assert all(done[fold] == result for fold, result in before.items())
    assert "12 done; would run 0: none" in run("sweep", study, "--dry-run")
    hidden = study.parent / "patient-03"
    (study.parent / "cohort/patient-03").rename(hidden)
    assert "9 folds = 3 arms x 3 exams x 1 repeat; 0 done" in run("sweep", study, "--dry-run")
    hidden.rename(study.parent / "cohort/patient-03")
    again = run("sweep", study)
    assert f"0 folds to do, {FOLDS} of {FOLDS} done" in again

    aggregate = json.loads(run("report", "--study", study, "--json"))
    assert aggregate["folds"]["done"] == FOLDS
    assert [arm["n"] for arm in aggregate["arms"]] == [4] * 3
    page = run("report", "--study", study, "--output", study.parent / "page")
    assert "report.html" in page
    assert (study.parent / "page/report.html").read_text().count(
        "data:image/png"
    ) >= 4  # a montage for each exam

    damaged = next(study.parent.glob("runs/*/folds/1/result.json"))
    damaged.write_text("")
    told = run("report", study)
    assert "left out of the report: folds/1/result.json: found 0 bytes that cannot be read" in told
    assert "11 of 12 folds done" in told
    assert "missing: 1" in told
    assert "folds/1/result.json" in run("sweep", study, code=65)
    damaged.unlink()
    run("sweep", study)
    assert results(study) == done


def test_a_sweep_that_is_killed_leaves_no_worker_and_can_be_run_again(study: Path) -> None:
    sweep = submit("sweep", study)
    wait_for_results(study, 1)
    workers = children(sweep.pid)
    assert workers
    sweep.kill()
    sweep.communicate()
    for _ in range(600):
        if not any(Path(f"/proc/{pid}").exists() for pid in workers):
            break
        time.sleep(0.1)
    else:
        raise AssertionError("workers outlived their sweep")
    run("sweep", study, "--folds", "0-2")
    assert results(study).keys() >= {0, 1, 2}


def test_a_fold_with_damaged_data_fails_alone_and_is_named_with_its_log(study: Path) -> None:
    run("prepare", study)
    shard = next(study.parent.glob("store/*/exams/patient-02_visit-1.*.zarr/image/c/0/0/0/0"))
    data = bytearray(shard.read_bytes())
    data[: len(data) // 2] = bytes(len(data) // 2)
    shard.write_bytes(bytes(data))
    # Fold 3 tests the damaged exam; fold 6 tests the patient's other exam, and so does not train on it.
    output = run("sweep", study, "--folds", "3,6", code=1)
    assert "fold 3 failed (1 attempt, exit code 65)" in output
    assert "folds/3/log.txt" in output
    states = [fold["state"] for fold in json.loads(run("status", "--study", study, "--json"))["folds"]]
    assert (states[3], states[6]) == ("failed", "done")
    assert "damaged data" in run("logs", "--study", study, "--fold", "3")


def test_a_second_sweep_of_the_same_run_is_refused_while_the_first_lives(study: Path) -> None:
    first = submit("sweep", study)
    wait_for_results(study, 1)
    assert "is being worked on by process" in run("sweep", study, code=64)
    assert "was asked to stop" in run("cancel", "--study", study)
    first.communicate(timeout=120)
    assert first.returncode == 130


def children(pid: int) -> list[int]:
    """Processes whose parent is this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if int(parent) == pid and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found
