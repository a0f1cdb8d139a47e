"""A storage that cannot be read ends a worker with its own words: nothing counts as absent, damaged or new."""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from job.contract.exit_codes import ExitCode
from job.contract.results import Failure
from job.data.prepare import prepare_cohort, read_index
from job.data.store import open_exams
from job.endings import code_of, forget_end, record_end
from job.request import Request
from job.run import FoldFiles, Run
from job.storage import LocalStorage, Storage
from job.training.checkpoint import Checkpoints
from job.training.clock import PhaseClock
from job.training.progress import FoldProgress
from tests.conftest import TinyRun
from tests.unreadable import CAUSES, Unreadable, signed_out

Cause = Callable[[], Exception]


@pytest.fixture(params=CAUSES, ids=lambda cause: cause.__name__)
def cause(request: pytest.FixtureRequest) -> Cause:
    """Why the storage cannot be read."""
    made: Cause = request.param
    return made


@pytest.fixture
def run(tmp_path: Path) -> LocalStorage:
    """A run whose folds are counted by AWS Batch's worker."""
    return LocalStorage(tmp_path / "run")


JOB = "job-1:3"


def raises_as_it_is(cause: Cause) -> Any:
    """The very error of the storage."""
    return pytest.raises(type(cause()), match=f"^{re.escape(str(cause()))}$")


def fold_of(run: Storage) -> FoldFiles:
    return FoldFiles(run, 3)


def failed(run: LocalStorage) -> Failure:
    found = fold_of(run).failure.read()
    assert found is not None
    return found


def test_a_count_of_failed_attempts_does_not_begin_anew(
    run: LocalStorage, cause: Cause, caplog: pytest.LogCaptureFixture
) -> None:
    record_end(fold_of(run), OSError("away"), JOB)
    record_end(fold_of(run), OSError("away"), JOB)
    assert failed(run).attempts == 2
    record_end(
        fold_of(Unreadable(run, cause)), OSError("away"), JOB
    )  # whoever calls it raises the error itself
    assert failed(run).attempts == 2
    assert f"this attempt at fold 3 is not counted: {cause()}" in caplog.text
    record_end(fold_of(run), OSError("away"), JOB)
    assert failed(run).attempts == 3


def test_an_attempt_does_not_begin_as_if_none_had_failed(run: LocalStorage, cause: Cause) -> None:
    with raises_as_it_is(cause):
        forget_end(fold_of(Unreadable(run, cause)), JOB)


def progress_of(run: Any) -> FoldProgress:
    return FoldProgress(fold_of(run), 100, PhaseClock(torch.device("cpu")), lambda: False, "cpu", job=JOB)


def test_attempts_seconds_and_lost_steps_are_not_counted_anew(run: LocalStorage, cause: Cause) -> None:
    with progress_of(run) as fold:
        fold.resume(0, 0)
    with raises_as_it_is(cause):
        progress_of(Unreadable(run, cause))
    assert progress_of(run).attempt == 2


def test_a_worker_goes_on_only_if_it_can_see_that_it_is_alone(run: LocalStorage, cause: Cause) -> None:
    readable = progress_of(run)
    readable.resume(0, 0)
    readable._fold = fold_of(Unreadable(run, cause))
    with raises_as_it_is(cause):
        readable.require_alone()


def test_a_fault_of_the_storage_does_not_hide_what_ended_an_attempt(
    run: LocalStorage, cause: Cause, caplog: pytest.LogCaptureFixture
) -> None:
    fold = progress_of(run)

    def attempt() -> None:
        with fold:
            fold.resume(0, 0)
            fold._fold = fold_of(Unreadable(run, cause))
            raise RuntimeError("what it was")

    with pytest.raises(RuntimeError, match="what it was"):
        attempt()
    assert f"the last heartbeat of fold 3 is not written: {cause()}" in caplog.text


def test_training_does_not_start_anew_beside_its_checkpoints(run: LocalStorage, cause: Cause) -> None:
    Checkpoints(fold_of(run), every_seconds=1e9).save(40, {"step": 40})
    for ending in ("latest.json", ".pt"):
        with raises_as_it_is(cause):
            Checkpoints(fold_of(Unreadable(run, cause, ending)), every_seconds=1e9).load(torch.device("cpu"))


def test_a_run_and_a_request_are_not_called_damaged_or_missing(run: LocalStorage, cause: Cause) -> None:
    unreadable = Unreadable(run, cause)
    reads: list[Callable[[], object]] = [
        lambda: Run(unreadable).manifest,
        lambda: Request(unreadable).study,
        lambda: Request(unreadable).run(),
    ]
    for read in reads:
        with raises_as_it_is(cause):
            read()


def test_a_cohort_does_not_count_as_not_prepared(make_tiny_run: Any, cause: Cause) -> None:
    tiny: TinyRun = make_tiny_run()
    assert read_index(tiny.store, tiny.study) is not None
    with raises_as_it_is(cause):
        read_index(Unreadable(tiny.store, cause), tiny.study)


def test_exams_that_are_prepared_are_not_prepared_again(
    make_tiny_run: Any, tiny_cohort: Path, cause: Cause, caplog: pytest.LogCaptureFixture
) -> None:
    tiny: TinyRun = make_tiny_run()
    caplog.set_level(logging.WARNING)
    with raises_as_it_is(cause):
        prepare_cohort(
            LocalStorage(tiny_cohort / "cohort"),
            Unreadable(tiny.store, cause, ".json"),
            tiny.study,
            workers=1,
            progress=lambda done, total: None,
        )
    assert "prepared again" not in caplog.text


def test_an_exam_of_the_store_is_not_called_unreadable_or_damaged(make_tiny_run: Any, cause: Cause) -> None:
    """`DataError` would say: prepare it again; and exit code 65 that trying again cannot help."""
    tiny: TinyRun = make_tiny_run()
    with raises_as_it_is(cause):
        open_exams(Unreadable(tiny.store, cause), tiny.manifest, [0])

    class SignedOut(Unreadable):
        def array_location(self, key: str) -> dict[str, Any]:
            raise self.cause()

    (reader,) = open_exams(SignedOut(tiny.store, cause, "nothing"), tiny.manifest, [0])
    with raises_as_it_is(cause):
        reader.label()


def test_credentials_are_wrong_usage_and_a_failing_disk_may_pass() -> None:
    assert code_of(signed_out()) == ExitCode.USAGE
    assert code_of(OSError(5, "Input/output error")) == ExitCode.TEMPORARY
    assert not isinstance(signed_out(), ValueError)
