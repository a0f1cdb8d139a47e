"""Ends of attempts on AWS Batch, where the worker itself counts."""

import errno
from pathlib import Path

import pytest
import torch
from filelock import Timeout

from job.contract.errors import DataError, Stopped, StudyError, TakenOver
from job.contract.exit_codes import ATTEMPTS, ExitCode
from job.contract.results import Failure
from job.endings import GivenUp, code_of, forget_end, record_end
from job.run import FoldFiles
from job.storage import LocalStorage
from job.training.clock import PhaseClock
from job.training.progress import FoldProgress

JOB, LATER = "job-1:3", "job-2:3"
"""Jobs of AWS Batch, whose worker counts."""


@pytest.fixture
def files(tmp_path: Path) -> FoldFiles:
    return FoldFiles(LocalStorage(tmp_path), 3)


def progress_of(files: FoldFiles, job: str | None) -> FoldProgress:
    return FoldProgress(files, 100, PhaseClock(torch.device("cpu")), lambda: False, "cpu", job=job)


def failure(files: FoldFiles) -> Failure:
    found = files.failure.read()
    assert found is not None
    return found


class AcceleratorError(RuntimeError):
    """Named as torch's."""


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StudyError("x"), ExitCode.USAGE),
        (TakenOver("x"), ExitCode.USAGE),
        (DataError.of(file="f", found="a", expected="b", remedy="c"), ExitCode.DATA),
        (Stopped("x"), ExitCode.STOPPED),
        (GivenUp("x"), ExitCode.GIVEN_UP),
        (Timeout("lock"), ExitCode.TEMPORARY),
        (MemoryError(), ExitCode.TEMPORARY),
        (OSError(errno.EIO, "x"), ExitCode.TEMPORARY),
        (OSError(errno.ENOSPC, "x"), ExitCode.TEMPORARY),
        (PermissionError(errno.EACCES, "x"), ExitCode.BUG),
        (OSError(errno.EROFS, "x"), ExitCode.BUG),
        (OutOfMemoryError("x"), ExitCode.USAGE),
        (AcceleratorError("x"), ExitCode.TEMPORARY),
        (ValueError("x"), ExitCode.BUG),
    ],
)
def test_each_exception_stands_for_a_code(error: Exception, code: ExitCode) -> None:
    assert code_of(error) == code


@pytest.mark.parametrize(
    ("error", "code"), [(RuntimeError("odd"), ExitCode.BUG), (OSError("away"), ExitCode.TEMPORARY)]
)
def test_what_may_pass_is_given_up_after_as_many_attempts_as_the_contract_allows(
    files: FoldFiles, error: Exception, code: ExitCode
) -> None:
    for attempt in range(1, ATTEMPTS[code]):
        record_end(files, error, JOB)
        assert (failure(files).attempts, failure(files).final) == (attempt, False)
    with pytest.raises(GivenUp, match=f"fold 3 is given up after {ATTEMPTS[code]} such attempts: {error}"):
        record_end(files, error, JOB)
    assert failure(files).final
    assert failure(files).exit_code == code


def test_a_wrong_study_is_given_up_at_once_and_told_as_it_is(files: FoldFiles) -> None:
    record_end(files, StudyError("no such device"), JOB)
    assert failure(files).final
    assert (failure(files).attempts, failure(files).message) == (1, "no such device")


def test_causes_that_take_turns_are_each_counted(files: FoldFiles) -> None:
    record_end(files, RuntimeError("odd"), JOB)
    record_end(files, OSError("away"), JOB)
    assert (failure(files).attempts, failure(files).ends) == (2, {70: 1, 75: 1})
    with pytest.raises(GivenUp):
        record_end(files, RuntimeError("odd"), JOB)


def test_another_job_is_counted_anew(files: FoldFiles) -> None:
    record_end(files, RuntimeError("odd"), JOB)
    record_end(files, RuntimeError("odd"), LATER)
    assert (failure(files).attempts, failure(files).job, failure(files).final) == (1, LATER, False)


def test_attempts_that_are_killed_at_the_same_step_end_after_as_many_as_the_contract_allows(
    files: FoldFiles,
) -> None:
    def begin(step: int, job: str | None = JOB) -> int:
        with progress_of(files, job) as fold:
            fold.resume(step, 0)
        beat = files.heartbeat.read()
        assert beat is not None
        return beat.begun

    assert [begin(0), begin(0)] == [1, 2]
    assert [begin(5), begin(5), begin(5)] == [1, 2, 3]  # it got on
    with pytest.raises(GivenUp, match="3 attempts were killed before they got beyond step 5"):
        begin(5)
    assert begin(5, LATER) == 1
    with progress_of(files, LATER) as fold:
        fold.resume(5, 0)
        fold.stop()
    assert begin(5, LATER) == 1  # the one before was stopped in order
    assert [begin(5, None) for _ in range(5)][-1] == 5  # executors of this machine count by themselves


def test_an_attempt_that_fails_is_no_kill(files: FoldFiles) -> None:
    """Else the fourth of the five attempts that a temporary failure has would be refused for want of memory."""

    def attempt() -> None:
        with progress_of(files, JOB) as fold:
            fold.resume(0, 0)
            raise OSError(errno.EIO, "slow down")

    for _ in range(6):
        with pytest.raises(OSError, match="slow down"):
            attempt()


@pytest.mark.parametrize("error", [Stopped("x"), TakenOver("by another")])
def test_an_attempt_that_goes_on_elsewhere_or_later_is_no_failure(files: FoldFiles, error: Exception) -> None:
    record_end(files, error, JOB)
    assert not files.failure.exists()


def test_outside_aws_batch_executors_count(files: FoldFiles) -> None:
    record_end(files, RuntimeError("odd"), None)
    assert not files.failure.exists()


def test_a_failure_that_cannot_be_written_hides_nothing(files: FoldFiles, tmp_path: Path) -> None:
    (tmp_path / "folds").write_text("in the way")
    record_end(files, RuntimeError("odd"), JOB)  # whoever calls it raises the error itself
    assert (tmp_path / "folds").is_file()


def test_a_damaged_failure_is_counted_from_one(files: FoldFiles, tmp_path: Path) -> None:
    (tmp_path / "folds/3").mkdir(parents=True)
    (tmp_path / "folds/3/failure.json").write_text("{")
    record_end(files, RuntimeError("odd"), JOB)
    assert failure(files).attempts == 1


def test_a_new_job_takes_the_failure_of_an_earlier_one_for_past(
    files: FoldFiles,
) -> None:
    record_end(files, StudyError("no such device"), JOB)
    for same in (JOB, None):
        forget_end(files, same)
        assert failure(files).final
    forget_end(files, LATER)
    assert not failure(files).final
    assert failure(files).message == "no such device"
    never_begun = FoldFiles(files.files, 4)
    forget_end(never_begun, LATER)
    assert not never_begun.failure.exists()
