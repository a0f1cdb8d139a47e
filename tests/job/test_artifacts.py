from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import torch

from job.__main__ import exit_code_of
from job.artifacts import finish_fold, fold_result
from job.contract import layout
from job.contract.errors import DataError
from job.contract.exit_codes import ExitCode
from job.contract.results import ExamResult, FoldResult, Score, Status
from job.provenance import cost_of
from job.run import Run
from job.storage import LocalStorage, open_storage
from job.testing import validation
from job.training.clock import PhaseClock
from job.training.progress import FoldProgress
from tests.conftest import TinyRun
from tests.made_up import COST


def score(dice: float | None) -> Score:
    status: Status = "both-empty" if dice is None else "ok"
    return Score(status=status, dice=dice, hd95_mm=None, reference_ml=0.0, predicted_ml=0.0)


class Scorer:
    """Gives the scores that it was told, by the name of the exam."""

    def __init__(self, dice: dict[str, dict[str, float | None]]) -> None:
        self.dice = dice

    def predict(self, exam: Any) -> Any:
        return np.zeros((1, 1, 1), np.uint8)

    def score(self, exam: Any, predicted_ZYX: Any) -> dict[str, Score]:
        return {name: score(dice) for name, dice in self.dice[exam].items()}


def test_a_validation_is_the_mean_over_the_exams_in_which_a_structure_is_defined() -> None:
    scorer: Any = Scorer(
        {
            "one": {"GTV-T": 0.5, "GTV-Ln": None, "union": 0.5},
            "two": {"GTV-T": 0.9, "GTV-Ln": 0.3, "union": 0.0},
        }
    )
    exams: Any = ["one", "two"]
    mean_dice = validation(scorer, exams)
    assert mean_dice is not None
    assert mean_dice() == pytest.approx({"GTV-T": 0.7, "GTV-Ln": 0.3, "union": 0.25})


def test_a_structure_that_no_validation_exam_has_is_undefined() -> None:
    scorer: Any = Scorer({"one": {"GTV-T": 0.5, "GTV-Ln": None}})
    exams: Any = ["one"]
    mean_dice = validation(scorer, exams)
    assert mean_dice is not None
    assert mean_dice() == {"GTV-T": 0.5, "GTV-Ln": None}


def test_without_exams_there_is_no_validation() -> None:
    scorer: Any = Scorer({})
    assert validation(scorer, []) is None


def test_the_peak_memory_of_a_worker_is_told_in_gib(make_tiny_run: Any) -> None:
    """Of an interpreter with torch: tenths of a GiB to a few."""
    held = np.ones(2**27, np.uint8)  # 1/8 GiB
    clock, run = PhaseClock(torch.device("cpu")), make_tiny_run().run
    with FoldProgress(run.fold(0), 1, clock, lambda: False, "cpu") as progress:
        cost = cost_of(progress, torch.device("cpu"), 1)
    assert held.nbytes / 2**30 < cost.peak_memory_gib < 64


@pytest.fixture
def tiny(make_tiny_run: Any) -> TinyRun:
    made: TinyRun = make_tiny_run(training={"steps": 1})
    return made


@pytest.fixture
def result(tiny: TinyRun) -> FoldResult:
    """Of a fold that was run for real."""
    place = ["--run", tiny.run.url, "--store", tiny.store.url]
    assert exit_code_of(["fold", "--index", "0", "--device", "cpu", *place]) == ExitCode.DONE
    return tiny.run.fold(0).result.read()


def test_of_two_workers_at_a_fold_in_a_bucket_neither_takes_the_others_files(
    s3_bucket: str, tiny: TinyRun, result: FoldResult
) -> None:
    """Whatever the order in which their requests arrive: the result finds the files that it is about."""
    run = Run(open_storage(f"{s3_bucket}/{uuid4().hex}"), tiny.manifest)
    one = result.model_copy(update={"weights_sha256": sha256(b"weights of one").hexdigest()})
    predictions = {own.exam: b"prediction" for own in result.exams}
    finish_fold(run, one, b"weights of one", predictions)
    other = result.model_copy(update={"weights_sha256": sha256(b"weights of the other").hexdigest()})
    finish_fold(run, other, b"weights of the other", predictions)
    assert run.fold(0).result.read() == one
    assert run.fold(0).weights.read(one.weights_sha256) == b"weights of one"
    assert run.fold(0).weights.read(other.weights_sha256) == b"weights of the other"
    with pytest.raises(DataError, match="another file than the one that the fold's result is about"):
        run.fold(0).weights.read("0" * 64)


def test_a_result_that_is_there_stays_as_it_is(tmp_path: Path, tiny: TinyRun, result: FoldResult) -> None:
    run = Run(LocalStorage(tmp_path / "done"), tiny.manifest)
    predictions = {own.exam: b"prediction" for own in result.exams}
    finish_fold(run, result, b"weights", predictions)
    later = result.model_copy(update={"steps": 2})
    finish_fold(run, later, b"weights", predictions)
    assert run.fold(0).result.read() == result


def test_scores_and_predictions_meet_by_the_exam_s_name(tmp_path: Path, make_tiny_run: Any) -> None:
    """However they are ordered: patient-02 is tested in two exams, which the grid has as its exams 1 and 2."""
    manifest = make_tiny_run(sweep={"test_unit": "patient"}).manifest
    fold = next(
        fold for n in range(len(manifest.grid)) if len((fold := manifest.grid.fold(n)).test_exams) == 2
    )
    names = [manifest.exams[exam].exam for exam in fold.test_exams]
    tested = [
        ExamResult(
            **manifest.exams[exam].model_dump(),
            scores={"GTV-T": score(0.1 * exam)},
            prediction_sha256=sha256(manifest.exams[exam].exam.encode()).hexdigest(),
        )
        for exam in reversed(fold.test_exams)
    ]
    result = fold_result(manifest, fold, "float32", b"", tested, COST)
    assert [own.exam for own in result.exams] == names
    assert [own.scores["GTV-T"].values["dice"] for own in result.exams] == [
        0.1 * exam for exam in fold.test_exams
    ]
    run = Run(LocalStorage(tmp_path / "turned"), manifest)
    finish_fold(run, result, b"", {name: name.encode() for name in reversed(names)})
    for own in result.exams:
        assert run.predictions(fold.index)[own.exam].read(own.prediction_sha256) == own.exam.encode()
    assert [run.files.read(key).decode() for key in layout.predictions(fold.index, 2)] == names
    with pytest.raises(AssertionError):
        finish_fold(run, result, b"", {names[0]: b""})
