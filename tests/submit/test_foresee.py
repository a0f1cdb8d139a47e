"""What a check foresees of preparing and running: rights, room and memory."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from job.data.cohort_summary import ExamSummary
from job.data.prepare import check_cohort
from job.storage import open_storage
from submit import foresee
from submit.foresee import foreseen
from tests.conftest import tiny_study

BYTES = 32 * 32 * 12 * (4 * 2 + 2)
"""Of an exam of the tiny cohort in the store: 4 channels of float16, labels and mask."""


@pytest.fixture(scope="module")
def exams(tiny_cohort: Path) -> Sequence[ExamSummary]:
    source = open_storage(str(tiny_cohort / "cohort"))
    return check_cohort(source, tiny_study(), workers=2, progress=lambda *_: None).exams


def found(folder: Path, exams: Sequence[ExamSummary], memory_gib: float = 64, **changes: Any) -> Any:
    return foreseen(folder / "study.toml", tiny_study(**changes), exams, memory_gib=memory_gib)


def with_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """A disk with so many bytes free."""
    usage = type("Usage", (), {"free": free})()
    monkeypatch.setattr(foresee.shutil, "disk_usage", lambda _: usage)


def test_where_there_is_room_nothing_is_said(tmp_path: Path, exams: Sequence[ExamSummary]) -> None:
    assert found(tmp_path, exams) == ([], [])
    assert list(tmp_path.iterdir()) == []  # looking makes nothing


def test_a_store_that_does_not_fit_is_a_problem_and_one_that_may_fit_a_warning(
    tmp_path: Path, exams: Sequence[ExamSummary], monkeypatch: pytest.MonkeyPatch
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


def test_what_is_in_the_store_already_needs_no_room(
    tmp_path: Path, exams: Sequence[ExamSummary], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/block").write_bytes(bytes(BYTES * len(exams)))
    with_free(monkeypatch, 0)
    assert found(tmp_path, exams) == ([], [])


def test_a_file_in_the_place_of_a_folder_is_a_problem(tmp_path: Path, exams: Sequence[ExamSummary]) -> None:
    (tmp_path / "runs").write_text("not a folder")
    (problem,), _ = found(tmp_path, exams)
    assert (problem.file, problem.expected) == (f"compute.runs = {tmp_path / 'runs'}", "a folder")


def test_a_folder_without_the_right_to_write_is_a_problem(exams: Sequence[ExamSummary]) -> None:
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
    tmp_path: Path, exams: Sequence[ExamSummary], memory_gib: float, causes: list[str]
) -> None:
    problems, warnings = found(tmp_path, exams, memory_gib)
    assert problems == []
    assert [warning.cause for warning in warnings] == causes


def test_on_aws_batch_this_machine_does_not_matter(tmp_path: Path, exams: Sequence[ExamSummary]) -> None:
    assert found(tmp_path, exams, 0.01, compute={"backend": "batch"}) == ([], [])
    assert found(tmp_path, exams, 0.01) != ([], [])
