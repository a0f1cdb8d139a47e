from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from job.__main__ import exit_code_of
from job.contract import layout
from job.contract.exit_codes import ExitCode
from job.contract.results import FoldResult, Score, Status
from job.outcome import cost_of, validation, write_outcome
from job.storage import LocalStorage
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


class Crossed(LocalStorage):
    """Another worker writes its own weights just before the result is there, as a lost one may."""

    def create(self, key: str, data: bytes) -> bool:
        self.write(layout.weights(0), b"the other's")
        return super().create(key, data)


@pytest.fixture
def result(make_tiny_run: Any) -> FoldResult:
    """Of a fold that was run for real."""
    tiny = make_tiny_run(training={"steps": 1})
    place = ["--run", tiny.run.url, "--store", tiny.store.url]
    assert exit_code_of(["fold", "--index", "0", "--device", "cpu", *place]) == ExitCode.DONE
    return FoldResult.model_validate_json(tiny.run.read(layout.result(0)))


def test_the_files_beside_a_result_are_those_of_the_worker_that_created_it(
    tmp_path: Path, result: FoldResult
) -> None:
    run = Crossed(tmp_path / "crossed")
    write_outcome(run, result, b"own weights", [b"own prediction"])
    assert run.read(layout.weights(0)) == b"own weights"
    assert run.read("folds/0/prediction.nii.gz") == b"own prediction"


def test_a_result_that_is_there_stays_as_it_is(tmp_path: Path, result: FoldResult) -> None:
    run = LocalStorage(tmp_path / "done")
    write_outcome(run, result, b"weights", [b"prediction"])
    later = result.model_copy(update={"steps": 2})
    write_outcome(run, later, b"weights", [b"prediction"])
    assert FoldResult.model_validate_json(run.read(layout.result(0))) == result
