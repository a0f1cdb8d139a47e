"""What a check foresees of preparing and running: rights, room and memory."""

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from job.data.cohort_summary import ExamSummary
from job.data.prepare import check_cohort, prepare_cohort
from job.project import Project
from job.storage import LocalStorage, Storage, open_storage
from submit import foresee
from submit.foresee import foreseen
from tests.conftest import tiny_study

BYTES = 32 * 32 * 12 * (4 * 2 + 2)
"""Of an exam of the tiny cohort in the store: 4 channels of float16, labels and mask."""


class Exams(tuple[ExamSummary, ...]):
    """Exams with where their files are."""

    source: Storage


@pytest.fixture(scope="module")
def exams(tiny_cohort: Path) -> Exams:
    source = open_storage(str(tiny_cohort / "cohort"))
    found = Exams(check_cohort(source, tiny_study(), workers=2, progress=lambda *_: None).exams)
    found.source = source
    return found


def found(folder: Path, exams: Exams, memory_gib: float = 64, **changes: Any) -> Any:
    project = Project(folder / "study.toml", tiny_study(**changes))
    return foreseen(project, exams, exams.source, memory_gib=memory_gib)


def with_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """A disk with so many bytes free."""
    usage = type("Usage", (), {"free": free})()
    monkeypatch.setattr(foresee.shutil, "disk_usage", lambda _: usage)


def test_where_there_is_room_nothing_is_said(tmp_path: Path, exams: Exams) -> None:
    assert found(tmp_path, exams) == ([], [])
    assert list(tmp_path.iterdir()) == []  # looking makes nothing


def test_a_store_that_does_not_fit_is_a_problem_and_one_that_may_fit_a_warning(
    tmp_path: Path, exams: Exams, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = BYTES * len(exams)
    with_free(monkeypatch, needed // 4)
    (problem,), warnings = found(tmp_path, exams)
    assert problem.file == f"store.folder = {tmp_path / 'store'}"
    assert problem.expected.startswith(f"{needed / 1e9:.2g} GB")
    assert warnings == []
    with_free(monkeypatch, needed // 2)
    problems, (warning,) = found(tmp_path, exams)
    assert problems == []
    assert f"for a store of up to {needed / 1e9:.2g} GB" in warning.found
    with_free(monkeypatch, needed)
    assert found(tmp_path, exams) == ([], [])


def prepared(folder: Path, exams: Exams, **changes: Any) -> None:
    """Makes the store, of which three patients are enough to learn from."""
    own = tiny_study(**changes)
    training = own.training.model_copy(update={"validation_patients": 0})
    own = own.model_copy(update={"training": training})
    prepare_cohort(exams.source, LocalStorage(folder / "store"), own, workers=2, progress=lambda *_: None)


def test_what_is_in_the_store_already_needs_no_room(
    tmp_path: Path, exams: Exams, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(tmp_path, exams)
    with_free(monkeypatch, 0)
    assert found(tmp_path, exams) == ([], [])


def test_exams_that_are_not_in_the_store_yet_need_room_beside_those_that_are(
    tmp_path: Path, exams: Exams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of four: patient-03's."""
    prepared(tmp_path, exams)
    record = next((tmp_path / "store").glob("*/exams/patient-03*.json"))
    record.unlink()
    with_free(monkeypatch, 0)
    (problem,), _ = found(tmp_path, exams)
    assert problem.expected.startswith(f"{BYTES / 1e9:.2g} GB")
    with_free(monkeypatch, BYTES)
    assert found(tmp_path, exams) == ([], [])


def test_what_another_study_left_in_the_store_makes_no_room(
    tmp_path: Path, exams: Exams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is never deleted: other runs may need it."""
    prepared(tmp_path, exams, store={"dtype": "float32"})
    (tmp_path / "store/notes").write_bytes(bytes(BYTES * len(exams)))
    with_free(monkeypatch, 0)
    (problem,), _ = found(tmp_path, exams)
    assert problem.file == f"store.folder = {tmp_path / 'store'}"
    assert problem.expected.startswith(f"{BYTES * len(exams) / 1e9:.2g} GB")


def test_a_file_in_the_place_of_a_folder_is_a_problem(tmp_path: Path, exams: Exams) -> None:
    (tmp_path / "runs").write_text("not a folder")
    (problem,), _ = found(tmp_path, exams)
    assert (problem.file, problem.expected) == (f"compute.runs = {tmp_path / 'runs'}", "a folder")


def test_a_folder_without_the_right_to_write_is_a_problem(exams: Exams) -> None:
    """As an ordinary user: root may write everywhere."""
    nobody, root = 65534, os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "store").mkdir(mode=0o555)
        (folder / "runs").mkdir()
        (folder / "runs").chmod(0o777)
        try:
            if root:
                os.seteuid(nobody)
            problems, _ = found(folder, exams)
        finally:
            if root:
                os.seteuid(0)
        assert [problem.cause for problem in problems] == ["store.folder"]
        assert f"{folder / 'store'}, which cannot be written" in problems[0].found


@pytest.mark.parametrize(("memory_gib", "causes"), [(64, []), (0.4, ["memory: a fold on the CPU"])])
def test_memory_that_does_not_suffice_is_a_warning(
    tmp_path: Path, exams: Exams, memory_gib: float, causes: list[str]
) -> None:
    problems, warnings = found(tmp_path, exams, memory_gib)
    assert problems == []
    assert [warning.cause for warning in warnings] == causes


def test_on_aws_batch_this_machine_does_not_matter(tmp_path: Path, exams: Exams) -> None:
    assert found(tmp_path, exams, 0.01, compute={"backend": "batch"}) == ([], [])
    assert found(tmp_path, exams, 0.01) != ([], [])
