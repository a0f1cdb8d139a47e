from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import torch

from job.__main__ import exit_code_of
from job.contract import layout
from job.contract.errors import DataError
from job.contract.exit_codes import ExitCode
from job.contract.results import FoldResult, Score, Status
from job.outcome import cost_of, validation, write_outcome
from job.runs import read_outcome
from job.storage import LocalStorage, open_storage
from job.training.clock import PhaseClock
from job.training.progress import FoldProgress


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
    with FoldProgress(run, 0, 1, clock, lambda: False, "cpu") as progress:
        cost = cost_of(progress, torch.device("cpu"), 1)
    assert held.nbytes / 2**30 < cost.peak_memory_gib < 64


@pytest.fixture
def result(make_tiny_run: Any) -> FoldResult:
    """Of a fold that was run for real."""
    tiny = make_tiny_run(training={"steps": 1})
    place = ["--run", tiny.run.url, "--store", tiny.store.url]
    assert exit_code_of(["fold", "--index", "0", "--device", "cpu", *place]) == ExitCode.DONE
    return FoldResult.model_validate_json(tiny.run.read(layout.result(0)))


def test_of_two_workers_at_a_fold_in_a_bucket_neither_takes_the_others_files(
    s3_bucket: str, result: FoldResult
) -> None:
    """Whatever the order in which their requests arrive: the result finds the files that it is about."""
    run = open_storage(f"{s3_bucket}/{uuid4().hex}")
    one = result.model_copy(update={"weights_sha256": sha256(b"weights of one").hexdigest()})
    write_outcome(run, one, b"weights of one", [b"prediction"])
    other = result.model_copy(update={"weights_sha256": sha256(b"weights of the other").hexdigest()})
    write_outcome(run, other, b"weights of the other", [b"prediction"])
    assert FoldResult.model_validate_json(run.read(layout.result(0))) == one
    assert read_outcome(run, layout.weights(0), one.weights_sha256) == b"weights of one"
    assert read_outcome(run, layout.weights(0), other.weights_sha256) == b"weights of the other"
    with pytest.raises(DataError, match="another file than the one that the fold's result is about"):
        read_outcome(run, layout.weights(0), "0" * 64)


def test_a_result_that_is_there_stays_as_it_is(tmp_path: Path, result: FoldResult) -> None:
    run = LocalStorage(tmp_path / "done")
    write_outcome(run, result, b"weights", [b"prediction"])
    later = result.model_copy(update={"steps": 2})
    write_outcome(run, later, b"weights", [b"prediction"])
    assert FoldResult.model_validate_json(run.read(layout.result(0))) == result
