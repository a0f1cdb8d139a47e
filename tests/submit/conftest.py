"""Runs made of written results, without any training."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from job.artifacts import fold_result
from job.contract import layout
from job.contract.manifest import ExamEntry, Manifest
from job.contract.results import ExamResult, FoldResult, Score
from job.storage.local import LocalStorage
from job.study_file import parse_study
from tests.made_up import COST
from tests.submit.tiny_project import STUDY as STUDY_FILE

STUDY: dict[str, Any] = {
    "name": "small",
    "preset": "smoke",
    "cohort": {
        "root": "cohort",
        "pattern": "{patient}/{channel}.nii.gz",
        "labels": "{patient}/label.nii.gz",
        "channels": ["t2", "t1"],
        "classes": {"tumour": 1},
    },
}
"""Three arms: reference, without t2, without t1."""


@pytest.fixture(scope="session")
def make_manifest() -> Callable[..., Manifest]:
    """A manifest of given exams, (exam, patient), or of a number of exams of as many patients.

    Keywords change tables of the study.
    """

    def make(exams: int | list[tuple[str, str]] = 3, **changes: Mapping[str, Any]) -> Manifest:
        if isinstance(exams, int):
            exams = [(f"exam{n}", f"patient{n}") for n in range(exams)]
        study = STUDY | {section: {**STUDY.get(section, {}), **own} for section, own in changes.items()}
        return Manifest.freeze(
            parse_study(study, source="study.toml"),
            exams=tuple(
                ExamEntry(exam=exam, patient=patient, digest=f"{n:064x}")
                for n, (exam, patient) in enumerate(exams)
            ),
            recipe="recipe",
            created="2026-01-01T00:00:00Z",
            code_version="0.1.0",
        )

    return make


@pytest.fixture(scope="session")
def score() -> Callable[..., Score]:
    """A score by its Dice; `None` for a correct absence."""

    def make(dice: float | None, **changes: Any) -> Score:
        values: dict[str, Any] = {
            "status": "both-empty" if dice is None else "ok",
            "dice": dice,
            "hd95_mm": None if dice is None else 5.0,
            "reference_ml": 0.0 if dice is None else 10.0,
            "predicted_ml": 0.0 if dice is None else 12.0,
        }
        return Score(**values | changes)

    return make


@pytest.fixture(scope="session")
def make_result() -> Callable[..., FoldResult]:
    """The result of a fold, given the scores of its one test exam, or of each, by structure."""

    def make(manifest: Manifest, index: int, *scores: dict[str, Score]) -> FoldResult:
        fold = manifest.grid.fold(index)
        tested = [
            ExamResult(scores=own, prediction_sha256="0" * 64, **manifest.exams[exam].model_dump())
            for exam, own in zip(fold.test_exams, scores, strict=True)
        ]
        return fold_result(manifest, fold, "float32", b"", tested, COST)

    return make


@pytest.fixture
def storage(tmp_path: Any) -> LocalStorage:
    """An empty run."""
    return LocalStorage(tmp_path / "run")


@pytest.fixture
def write_dice(
    storage: LocalStorage, score: Callable[..., Score], make_result: Callable[..., FoldResult]
) -> Callable[..., None]:
    """Writes results of a study with one class, given as Dice by fold."""

    def write(manifest: Manifest, dice: Mapping[int, float | None]) -> None:
        for index, value in dice.items():
            result = make_result(manifest, index, {"tumour": score(value)})
            storage.write(layout.result(index), result.to_json())

    return write


@pytest.fixture
def study_file(tiny_cohort: Path, tmp_path: Path) -> Path:
    """`tiny_project.STUDY` beside a copy of the tiny cohort."""
    shutil.copytree(tiny_cohort / "cohort", tmp_path / "cohort")
    file = tmp_path / "study.toml"
    file.write_text(STUDY_FILE)
    return file
