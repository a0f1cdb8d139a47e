"""What a sweep would cost, and a budget that limits what is submitted."""

from pathlib import Path
from typing import Any

import pytest

from job.contract.errors import StudyError
from job.run import Run
from submit.aws import budget
from submit.find import find_run
from tests.submit.aws.deployed import ENDED, WELL, deploy, environment_of, only, sweep
from tests.submit.aws.fake_batch import FakeBatch, attempt


@pytest.fixture
def pilot(study_file: Path, batch: FakeBatch, make_result: Any, score: Any) -> Run:
    """A run whose first fold is done: it took a minute, and cost 0.5 USD for the hour that AWS counts."""
    deploy()
    sweep(study_file, range(1))
    batch.end()
    run = find_run(None, study_file)
    batch.jobs["job-0"]["attempts"] = [attempt(0, 3600)]
    scores = {structure: score(0.5) for structure in ("GTV-T", "GTV-Ln", "union")}
    run.fold(0).result.write(make_result(run.manifest, 0, scores))
    return run


def test_a_dry_run_tells_the_cost_from_what_is_done(study_file: Path, pilot: Run) -> None:
    told = sweep(study_file, dry_run=True)
    assert "would submit 11 folds to gpu as 1 job: 1-11" in told[2]
    assert told[-1].startswith("about 0.073 USD to 0.092 USD: 11 folds of 0:01:00 at 0.4 USD to 0.5 USD")


def test_a_budget_that_is_spent_submits_nothing(study_file: Path, pilot: Run, batch: FakeBatch) -> None:
    before = dict(batch.jobs)
    with pytest.raises(StudyError, match=r"has cost about 0\.5 USD, and --budget is 0\.4 USD"):
        sweep(study_file, budget_usd=0.4)
    with pytest.raises(StudyError, match=r"may not pay for a fold, which costs up to 0\.0083 USD"):
        sweep(study_file, budget_usd=0.501)
    with pytest.raises(StudyError, match=r"has cost about 0\.5 USD"):
        sweep(study_file, budget_usd=0.4, dry_run=True)
    assert "would submit 5 folds" in sweep(study_file, budget_usd=0.56, dry_run=True)[2]
    assert batch.jobs == before


def test_a_budget_submits_the_comparisons_that_it_pays_for_and_watches_them(
    study_file: Path, pilot: Run, batch: FakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 3 arms: folds 1 and 2 end the first comparison, 3 to 5 are the second; 0.06 USD pay for 7 folds."""
    monkeypatch.setattr(budget.time, "sleep", lambda _: batch.end())
    told = sweep(study_file, budget_usd=0.56)
    assert environment_of(batch.jobs[only(batch, "folds", "1-5")])["LOOSWEEP_FOLDS"] == "1-5"
    assert told == [
        f"5 of 5 {WELL}; about 0.5 USD of 0.56 USD",
        ENDED,
    ]


def test_a_budget_watches_jobs_that_run_already(
    study_file: Path, batch: FakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy()
    sweep(study_file)
    jobs = set(batch.jobs)
    monkeypatch.setattr(budget.time, "sleep", lambda _: batch.end())
    told = sweep(study_file, budget_usd=9)
    assert told == [
        f"12 of 12 {WELL}; about 0.00 USD of 9.00 USD",
        ENDED,
    ]
    assert set(batch.jobs) == jobs
