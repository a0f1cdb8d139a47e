from typing import Any

import numpy as np
import pytest
import torch

from job.contract.results import Score, Status
from job.outcome import cost_of, validation
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
