"""What only a GPU can show: the same bits twice, and after a stop, in every precision."""

from typing import Any

import pytest
import torch

from job.contract import layout
from job.contract.errors import Stopped
from job.fold import Worker, run_fold
from tests.conftest import TinyRun
from tests.job.test_fold import same_but_cost, stop_after

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(autouse=True)
def as_in_a_worker(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Workers set these in a process of their own."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    yield
    torch.use_deterministic_algorithms(False)


def worker(tiny: TinyRun, stop: Any = lambda: False) -> Worker:
    return Worker(
        run=tiny.run,
        store=tiny.store,
        device=torch.device("cuda", 0),
        threads=1,
        checkpoint_seconds=300,
        stop_requested=stop,
    )


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16", "fp16"])
@pytest.mark.parametrize("optimiser", ["rmsprop", "adamw"])
def test_a_fold_repeats_and_resumes_bit_for_bit(make_tiny_run: Any, precision: str, optimiser: str) -> None:
    training = {"precision": precision, "optimiser": optimiser, "loss": "dice-cross-entropy"}
    once, again, stopped = (make_tiny_run(name, training=training) for name in ("once", "again", "stopped"))
    run_fold(worker(once), 0)
    run_fold(worker(again), 0)
    same_but_cost(once, again, 0)
    with pytest.raises(Stopped):
        run_fold(worker(stopped, stop_after(9)), 0)
    assert list(stopped.run.files.list(f"{layout.checkpoints(0)}/9-"))
    run_fold(worker(stopped), 0)
    same_but_cost(once, stopped, 0)
