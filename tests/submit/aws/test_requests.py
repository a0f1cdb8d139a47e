"""Cohorts that a job prepares: requests, and the runs that they become."""

from pathlib import Path

import pytest

from job.contract import layout
from job.contract.errors import DataError, StudyError
from job.contract.exit_codes import ExitCode
from job.request import Request, open_run
from job.storage import open_storage
from submit.find import find_run
from submit.runs import require_run
from submit.status import cancel_run, show_status
from submit.submissions import batch_submissions
from tests.submit.aws.deployed import environment_of, only, only_submission, run_job, spoil_a_label, sweep
from tests.submit.aws.fake_batch import FakeBatch


def test_a_cohort_in_the_bucket_is_prepared_by_a_job_that_folds_wait_for(
    remote_study: Path,
    batch: FakeBatch,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = sweep(remote_study)
    request = find_run(None, remote_study)
    assert told[0].startswith(f"request {request.url}: the preparation of the cohort and 12 folds submitted")
    submission = only_submission(request)
    prepare, folds, report = (batch.jobs[job] for job in submission.all_jobs)
    assert prepare["jobName"].startswith("tiny-prepare-")
    assert (prepare["jobQueue"], folds["jobQueue"], report["jobQueue"]) == ("cpu", "gpu", "cpu")
    assert folds["dependsOn"] == [{"jobId": submission.prepare_job}]
    assert report["dependsOn"] == [{"jobId": submission.jobs[0].job}]
    assert {environment_of(job)["LOOSWEEP_RUN"] for job in batch.jobs.values()} == {request.url}
    show_status(None, remote_study, as_json=False)
    assert "preparation of the cohort: runnable" in capsys.readouterr().out
    with pytest.raises(StudyError, match="is not prepared, so that it has no results; `submit status s3://"):
        require_run(request)
    with pytest.raises(StudyError, match="is not prepared yet, so that it has no run"):
        open_run(request.url)

    assert run_job(monkeypatch, prepare, "prepare") == ExitCode.DONE
    run = find_run(None, remote_study)
    assert run.url.startswith("s3://results/tiny/runs/tiny-")
    assert run.url == open_run(request.url).url == find_run(request.url, remote_study).url
    assert only_submission(run) == submission
    assert run.manifest.image == "image@sha256:0"
    assert run.manifest.folds == 12
    capsys.readouterr()
    show_status(None, remote_study, as_json=False)
    assert capsys.readouterr().out.startswith(f"run {run.url.rpartition('/')[2]}: 0 done")


def test_a_request_is_not_submitted_again_while_it_is_prepared_nor_prepared_again_after(
    remote_study: Path, batch: FakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(remote_study)
    request = find_run(None, remote_study)
    text = remote_study.read_text()
    remote_study.write_text(text.replace('"device" = "cpu"', '"device" = "cpu", "checkpoint_minutes" = 7'))
    assert remote_study.read_text() != text  # what changes no fold's numbers is the same experiment
    with pytest.raises(StudyError, match="jobs of an earlier submission still run or wait"):
        sweep(remote_study)
    batch.end(but=("-prepare-",))
    with pytest.raises(StudyError, match="jobs of an earlier submission still run or wait"):
        sweep(remote_study)
    batch.end()
    assert run_job(monkeypatch, batch.jobs[only(batch, "prepare")], "prepare") == ExitCode.DONE
    assert "would submit 12 folds" in sweep(remote_study, dry_run=True)[2]
    run = open_run(request.url)
    run.files.write("folds/3/result.json", b"{}")
    with pytest.raises(DataError, match=r"folds/3/result\.json"):  # so it looks at the run
        sweep(remote_study)
    run.files.delete("folds/3/result.json")
    assert sweep(remote_study)[0].startswith(f"run {run.url}: 12 folds submitted")
    first, second = batch_submissions(run)
    assert (first.prepare_job, second.prepare_job) == (only(batch, "prepare"), None)
    assert "2 jobs ended" in cancel_run(None, remote_study)


def test_other_files_are_another_request(remote_study: Path) -> None:
    sweep(remote_study)
    first = find_run(None, remote_study)
    spoil_a_label()
    assert "would submit the preparation of the cohort, then 12 folds" in sweep(remote_study, dry_run=True)[2]
    sweep(remote_study)
    assert len(open_storage("s3://results/tiny/runs").folders("requests")) == 2
    assert find_run(first.url, remote_study).url == first.url
    assert find_run(first.url.rpartition("/")[2], remote_study).url == first.url


def test_further_repeats_are_of_the_same_run_and_wait_for_its_jobs(
    remote_study: Path, batch: FakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(remote_study)
    assert run_job(monkeypatch, batch.jobs[only(batch, "prepare")], "prepare") == ExitCode.DONE
    run = find_run(None, remote_study)
    remote_study.write_text(remote_study.read_text() + "\n[sweep]\nreference_repeats = 2\n")
    with pytest.raises(StudyError, match="jobs of an earlier submission still run or wait"):
        sweep(remote_study, range(20))
    batch.end()
    assert sweep(remote_study, range(12, 20))[0].startswith(
        f"run {run.url}: 8 folds submitted to gpu as 1 job"
    )
    assert find_run(None, remote_study).manifest.folds == 20


def test_a_preparation_that_was_cancelled_is_called_so(
    remote_study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(remote_study)
    request = find_run(None, remote_study)
    cancel_run(None, remote_study)
    show_status(request.url, remote_study, as_json=False)
    assert "preparation of the cohort: cancelled" in capsys.readouterr().out


def test_a_preparation_that_fails_leaves_no_run(
    remote_study: Path, batch: FakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_a_label()
    sweep(remote_study)
    request = find_run(None, remote_study)
    assert run_job(monkeypatch, batch.jobs[only(batch, "prepare")], "prepare") == ExitCode.DATA
    assert not request.fulfilment.exists()


def test_commands_mean_the_study_of_the_file_and_no_other_of_its_name(
    remote_study: Path, batch: FakeBatch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run of the file is done; another study of the same name waits for its preparation."""
    sweep(remote_study)
    batch.end()
    assert run_job(monkeypatch, batch.jobs[only(batch, "prepare")], "prepare") == ExitCode.DONE
    run = find_run(None, remote_study)
    text = remote_study.read_text()
    other = remote_study.with_name("other.toml")
    other.write_text(text.replace('"steps" = 24', '"steps" = 25'))
    assert other.read_text() != text
    sweep(other)
    waiting = find_run(None, other)
    assert waiting.url != run.url == find_run(None, remote_study).url
    assert "nothing is running" in cancel_run(None, remote_study)
    third = remote_study.with_name("third.toml")
    third.write_text(text.replace('"steps" = 24', '"steps" = 26'))
    with pytest.raises(StudyError, match=r"third\.toml has no run as it is now; name one: s3://"):
        cancel_run(None, third)
    assert find_run(None, third).url == waiting.url
    assert "third.toml was changed since (training.steps is 26, in the run 25)" in capsys.readouterr().err
    assert "3 jobs ended" in cancel_run(None, other)


def test_a_preparation_that_was_in_vain_does_not_hide_the_run_before(
    remote_study: Path, batch: FakeBatch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(remote_study)
    batch.end()
    first = next(iter(batch.jobs))
    assert run_job(monkeypatch, batch.jobs[first], "prepare") == ExitCode.DONE
    run = find_run(None, remote_study)
    spoil_a_label()
    sweep(remote_study)
    assert isinstance(find_run(None, remote_study), Request)
    batch.end("FAILED")
    assert find_run(None, remote_study).url == run.url
    assert "was submitted later, and its cohort was not prepared" in capsys.readouterr().err


def test_a_study_that_goes_back_to_an_earlier_cohort_goes_on_in_its_own_run(
    remote_study: Path, batch: FakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In between the store was prepared for fewer exams; the recipe is the same, and so is its index's place."""
    text = remote_study.read_text()
    fewer = text.replace('"pattern" =', '"exclude" = ["patient-02/visit-2"], "pattern" =')
    assert fewer != text
    runs = []
    for cohort in (text, fewer):
        remote_study.write_text(cohort)
        sweep(remote_study, range(4))
        request = find_run(None, remote_study)
        prepare = [job for job in batch.jobs.values() if "-prepare-" in job["jobName"]][-1]
        assert run_job(monkeypatch, prepare, "prepare") == ExitCode.DONE
        runs.append(open_run(request.url))
        batch.end()
    assert [len(run.manifest.exams) for run in runs] == [4, 3]
    remote_study.write_text(text)
    assert sweep(remote_study, range(4, 8))[0].startswith(f"run {runs[0].url}: 4 folds submitted")


def test_a_run_whose_exams_are_no_longer_in_the_store_is_refused_with_what_to_delete(
    remote_study: Path, batch: FakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(remote_study)
    request = find_run(None, remote_study)
    assert run_job(monkeypatch, batch.jobs[only(batch, "prepare")], "prepare") == ExitCode.DONE
    batch.end()
    manifest = open_run(request.url).manifest
    store = open_storage("s3://results/tiny/store")
    store.delete(layout.exam_record(manifest.recipe, manifest.exams[0].exam, manifest.exams[0].digest))
    with pytest.raises(
        StudyError, match=rf"has 3 of the 4 exams of {manifest.run}.* delete {request.url}/run\.json"
    ):
        sweep(remote_study)
    request.fulfilment.delete()
    assert sweep(remote_study)[0].startswith(f"request {request.url}: the preparation of the cohort")
