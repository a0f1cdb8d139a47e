from pathlib import Path

import pytest
import torch

from job.storage import open_storage
from job.training.checkpoint import Checkpoints

CPU = torch.device("cpu")


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(open_storage(str(tmp_path)), 3, every_seconds=1e9)


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


def test_two_checkpoints_are_kept(checkpoints: Checkpoints, tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        checkpoints.save(step, {"step": step})
    assert sorted(path.name for path in (tmp_path / "folds/3/checkpoint").iterdir()) == [
        "3.pt",
        "4.pt",
        "latest.json",
    ]


def test_saving_a_step_again_keeps_the_one_before(checkpoints: Checkpoints, tmp_path: Path) -> None:
    for step in (1, 2, 2):
        checkpoints.save(step, {"step": step})
    (tmp_path / "folds/3/checkpoint/2.pt").unlink()
    assert step_of(checkpoints) == 1


@pytest.mark.parametrize("damage", [lambda p: p.write_bytes(p.read_bytes()[:-3]), lambda p: p.unlink()])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    checkpoints: Checkpoints, tmp_path: Path, damage: object
) -> None:
    checkpoints.save(1, {"step": 1})
    checkpoints.save(2, {"step": 2})
    damage(tmp_path / "folds/3/checkpoint/2.pt")  # type: ignore[operator]
    assert step_of(checkpoints) == 1


def test_a_state_file_without_its_pointer_does_not_count(checkpoints: Checkpoints, tmp_path: Path) -> None:
    """A worker killed between the two writes."""
    checkpoints.save(1, {"step": 1})
    pointer = (tmp_path / "folds/3/checkpoint/latest.json").read_bytes()
    checkpoints.save(2, {"step": 2})
    (tmp_path / "folds/3/checkpoint/latest.json").write_bytes(pointer)
    assert step_of(checkpoints) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_a_damaged_pointer_means_starting_anew(
    checkpoints: Checkpoints, tmp_path: Path, content: bytes
) -> None:
    checkpoints.save(1, {"step": 1})
    (tmp_path / "folds/3/checkpoint/latest.json").write_bytes(content)
    assert checkpoints.load(CPU) is None
    checkpoints.save(2, {"step": 2})
    assert step_of(checkpoints) == 2


def test_a_checkpoint_is_due_by_time(tmp_path: Path) -> None:
    often = Checkpoints(open_storage(str(tmp_path)), 0, every_seconds=0)
    assert often.due
    assert not Checkpoints(open_storage(str(tmp_path)), 0, every_seconds=1e9).due
