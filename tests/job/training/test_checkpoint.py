from pathlib import Path

import pytest
import torch

from job.run import FoldFiles
from job.storage import LocalStorage, open_storage
from job.training.checkpoint import Checkpoints

CPU = torch.device("cpu")


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(FoldFiles(open_storage(str(tmp_path)), 3), every_seconds=1e9)


def step_of(checkpoints: Checkpoints) -> int | None:
    state = checkpoints.load(CPU)
    return None if state is None else state["step"]


def test_the_newest_checkpoint_is_read_back_bit_for_bit(checkpoints: Checkpoints) -> None:
    state = {"step": 5, "weights": {"w": torch.randn(7)}, "sum": torch.tensor(0.1, dtype=torch.float64)}
    assert checkpoints.load(CPU) is None
    checkpoints.save(4, {"step": 4})
    checkpoints.save(5, state)
    loaded = checkpoints.load(CPU)
    assert loaded is not None
    assert torch.equal(loaded["weights"]["w"], state["weights"]["w"])
    assert loaded["sum"].item() == 0.1


def state_file(folder: Path, step: int) -> Path:
    (path,) = (folder / "folds/3/checkpoint").glob(f"{step}-*.pt")
    return path


def test_two_checkpoints_are_kept(checkpoints: Checkpoints, tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        checkpoints.save(step, {"step": step})
    names = sorted(path.name for path in (tmp_path / "folds/3/checkpoint").iterdir())
    assert [name.partition("-")[0] for name in names] == ["3", "4", "latest.json"]


def test_saving_a_step_again_keeps_the_one_before(checkpoints: Checkpoints, tmp_path: Path) -> None:
    for step in (1, 2, 2):
        checkpoints.save(step, {"step": step})
    state_file(tmp_path, 2).unlink()
    assert step_of(checkpoints) == 1


def test_a_worker_killed_while_it_saves_a_step_again_has_the_first_save(
    checkpoints: Checkpoints, tmp_path: Path
) -> None:
    """With validation the last step is saved before it and after it, with another history."""
    checkpoints.save(2, {"step": 2})
    pointer = (tmp_path / "folds/3/checkpoint/latest.json").read_bytes()
    before = state_file(tmp_path, 2).read_bytes()
    checkpoints.save(2, {"step": 2, "recorded": 2})
    (tmp_path / "folds/3/checkpoint/latest.json").write_bytes(pointer)
    assert before in [path.read_bytes() for path in (tmp_path / "folds/3/checkpoint").glob("*.pt")]
    assert step_of(checkpoints) == 2


@pytest.mark.parametrize("damage", [lambda p: p.write_bytes(p.read_bytes()[:-3]), lambda p: p.unlink()])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    checkpoints: Checkpoints, tmp_path: Path, damage: object
) -> None:
    checkpoints.save(1, {"step": 1})
    checkpoints.save(2, {"step": 2})
    damage(state_file(tmp_path, 2))  # type: ignore[operator]
    assert step_of(checkpoints) == 1


def test_a_state_file_without_its_pointer_does_not_count(checkpoints: Checkpoints, tmp_path: Path) -> None:
    """A worker killed between the two writes."""
    checkpoints.save(1, {"step": 1})
    pointer = (tmp_path / "folds/3/checkpoint/latest.json").read_bytes()
    checkpoints.save(2, {"step": 2})
    (tmp_path / "folds/3/checkpoint/latest.json").write_bytes(pointer)
    assert step_of(checkpoints) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"{}", b'[{"file": "a"}]'])
def test_a_damaged_pointer_means_starting_anew(
    checkpoints: Checkpoints, tmp_path: Path, content: bytes
) -> None:
    checkpoints.save(1, {"step": 1})
    (tmp_path / "folds/3/checkpoint/latest.json").write_bytes(content)
    assert checkpoints.load(CPU) is None
    checkpoints.save(2, {"step": 2})
    assert step_of(checkpoints) == 2


def test_a_checkpoint_is_due_by_time(tmp_path: Path) -> None:
    often = Checkpoints(FoldFiles(open_storage(str(tmp_path)), 0), every_seconds=0)
    assert often.due
    assert not Checkpoints(FoldFiles(open_storage(str(tmp_path)), 0), every_seconds=1e9).due


def test_a_checkpoint_that_cannot_be_written_is_not_pointed_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStorage(tmp_path)
    checkpoints = Checkpoints(FoldFiles(storage, 3), every_seconds=1e9)
    checkpoints.save(1, {"step": 1})
    pointer = tmp_path / "folds/3/checkpoint/latest.json"
    before = pointer.read_bytes()

    def write(key: str, data: bytes) -> None:
        if key.endswith(".pt"):
            raise OSError("the disk is full")
        LocalStorage.write(storage, key, data)

    monkeypatch.setattr(storage, "write", write)
    with pytest.raises(OSError, match="full"):
        checkpoints.save(2, {"step": 2})
    assert pointer.read_bytes() == before


def test_the_time_to_the_next_checkpoint_begins_with_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    checkpoints = Checkpoints(FoldFiles(open_storage(str(tmp_path)), 3), every_seconds=60)
    now = 170.0
    assert checkpoints.due
    checkpoints.save(1, {"step": 1})
    now = 229.0
    assert not checkpoints.due
    now = 230.0
    assert checkpoints.due
