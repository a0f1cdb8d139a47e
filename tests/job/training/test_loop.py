import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from job.contract import layout
from job.contract.errors import Stopped
from job.contract.randomness import Stream
from job.contract.shapes import ShapeZYX
from job.data.store import open_exams
from job.data.window import Window
from job.run import FoldFiles
from job.storage import LocalStorage
from job.training import loop
from job.training.batches import PatchBatches
from job.training.checkpoint import Checkpoints
from job.training.clock import PhaseClock
from job.training.draws import PatchSampler
from job.training.loop import TrainingArm, train
from job.training.losses import cross_entropy
from job.training.progress import FoldProgress
from job.training.resident import ResidentExams
from job.training.trainer import Trainer, optimiser_named
from tests.conftest import TinyRun

CPU = torch.device("cpu")
WINDOW = Window(input_zyx=(2, 3, 3), output_zyx=(2, 3, 3), offset_zyx=(0, 0, 0))
STRONG: dict[str, Any] = {"batch_size": 2, "flip_axes": ["x", "y"], "intensity_shift_sd": 0.5}
"""Augmentation that a step without it could not be taken for."""


class Pointwise(nn.Module):
    """A network that can be followed by hand: one convolution of single voxels."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.layer = nn.Conv3d(4, 3, 1)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)

    def forward(self, image_BCZYX: Tensor, output_zyx: ShapeZYX) -> Tensor:
        assert image_BCZYX.shape[2:] == output_zyx
        logits: Tensor = self.layer(image_BCZYX)
        return logits


def batches_of(tiny: TinyRun, **stream: int) -> PatchBatches:
    readers = open_exams(tiny.store, tiny.manifest, (0, 1))
    exams = ResidentExams(readers, (0, 1, 2, 3), CPU)
    sampler = PatchSampler(
        [reader.record for reader in readers],
        exams.labels_of,
        tiny.study.training,
        Stream(**{"seed": 0, "repeat": 0, "unit": 0} | stream),
    )
    return PatchBatches(sampler, exams, WINDOW)


def trainer_of(tiny: TinyRun, network: nn.Module, stream: Any = (0, 0, 0)) -> Trainer:
    return Trainer(network, (0, 1, 2, 3), tiny.study.training, "float32", Stream(*stream))


def one_update(tiny: TinyRun, trainer: Trainer) -> None:
    trainer.update(batches_of(tiny).batch(trainer.step, PhaseClock(CPU)), PhaseClock(CPU))


def trained(
    tiny: TinyRun, run: LocalStorage, validate: Any = None, network: nn.Module | None = None
) -> tuple[Trainer, list[dict[str, Any]]]:
    """A whole training of a network, by default the pointwise one, and its history."""
    network = network or Pointwise()
    settings = tiny.study.training
    trainer = trainer_of(tiny, network)
    checkpoints = Checkpoints(FoldFiles(run, 0), 300)
    with FoldProgress(FoldFiles(run, 0), settings.steps, PhaseClock(CPU), lambda: False, "cpu") as progress:
        progress.resume(0, 0)
        own = validate(network) if validate else None
        arm = TrainingArm(trainer=trainer, validate=own, checkpoints=checkpoints, progress=progress)
        assert train([arm], batches_of(tiny)) == {}
    return trainer, [json.loads(line) for line in run.read(layout.history(0)).decode().splitlines()]


@pytest.fixture
def run(tmp_path: Any) -> LocalStorage:
    return LocalStorage(tmp_path / "training")


@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.0), (0.01, 0.0), (0.0, 0.02)])
def test_an_update_descends_the_penalised_loss_of_the_augmented_patches_by_the_rate_of_its_step(
    make_tiny_run: Any, l1: float, l2: float
) -> None:
    changes = {"optimiser": "sgd", "momentum": 0, "learning_rate": 0.5, "weight_l1": l1, "weight_l2": l2}
    tiny = make_tiny_run(training=STRONG | changes)
    network = Pointwise()
    before = copy.deepcopy(network)
    trainer = trainer_of(tiny, network)
    batch = batches_of(tiny).batch(6, PhaseClock(CPU))
    image_BCZYX, label_BZYX = batch.image_BCZYX, batch.label_BZYX
    weight, bias = before.layer.weight, before.layer.bias
    cost = (
        cross_entropy(before(image_BCZYX, WINDOW.output_zyx), label_BZYX)
        + l1 * weight.abs().sum()
        + l2 * (weight**2).sum()
    )
    cost.backward()
    rate = 0.5 * (1 - 6 / 24) ** 0.9

    for _ in range(2):  # the second starts from the same weights: gradients must not add up
        network.load_state_dict(before.state_dict())
        trainer.step = 6
        one_update(tiny, trainer)
        torch.testing.assert_close(network.layer.weight, weight - rate * weight.grad)
        torch.testing.assert_close(network.layer.bias, bias - rate * bias.grad)
        assert trainer.step == 7


def test_dropout_is_drawn_anew_at_each_step_of_each_seed_repeat_and_unit(make_tiny_run: Any) -> None:
    tiny = make_tiny_run()
    network = Pointwise()

    def drawn_at(step: int, stream: tuple[int, int, int]) -> tuple[float, ...]:
        """What torch's generator gives within the network."""
        numbers: list[float] = []
        hook = network.register_forward_pre_hook(lambda *_: numbers.extend(torch.rand(4).tolist()))
        trainer = trainer_of(tiny, network, stream)
        trainer.step = step
        one_update(tiny, trainer)
        hook.remove()
        return tuple(numbers)

    moments = [(3, (0, 0, 0)), (4, (0, 0, 0)), (3, (1, 0, 0)), (3, (0, 1, 0)), (3, (0, 0, 1))]
    assert len({drawn_at(*moment) for moment in moments}) == len(moments)
    assert drawn_at(*moments[0]) == drawn_at(*moments[0])


def test_a_line_of_the_history_is_the_mean_loss_since_the_last_and_the_rate_that_was_used(
    make_tiny_run: Any, run: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 10 steps in at most 4 lines, one line is for 3 steps, and the last for what is left."""
    monkeypatch.setattr(loop, "HISTORY_LINES", 4)
    tiny = make_tiny_run(training=STRONG | {"steps": 10, "optimiser": "sgd"})
    trainer, history = trained(tiny, run)
    assert [line["step"] for line in history] == [3, 6, 9, 10]

    again = trainer_of(tiny, Pointwise())
    losses = []
    for _ in range(10):
        one_update(tiny, again)
        losses.append(again.loss_sum.item())
        again.loss_sum.zero_()
    assert [line["loss"] for line in history] == pytest.approx(
        [sum(losses[:3]) / 3, sum(losses[3:6]) / 3, sum(losses[6:9]) / 3, losses[9]]
    )
    assert [line["learning_rate"] for line in history] == pytest.approx(
        [1e-3 * (1 - step / 10) ** 0.9 for step in (2, 5, 8, 9)]
    )
    for one, other in zip(trainer.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_network_trains_in_training_mode_and_is_validated_in_evaluation_mode(
    make_tiny_run: Any, run: LocalStorage
) -> None:
    tiny = make_tiny_run(training={"steps": 8, "batch_size": 1, "validate_every": 3})
    training_modes, validation_modes = [], []
    network = Pointwise().eval()  # as a prediction leaves it
    network.register_forward_pre_hook(lambda network, _: training_modes.append(network.training))

    def validate(network: nn.Module) -> Callable[[], dict[str, float | None]]:
        def dice() -> dict[str, float | None]:
            validation_modes.append(network.training)
            return {"GTV-T": 0.5}

        return dice

    _, history = trained(tiny, run, validate, network)
    assert training_modes == [True] * 8
    assert validation_modes == [False] * 3
    assert [line["step"] for line in history if "dice" in line] == [3, 6, 8]


def test_a_whole_training_is_validated_five_times_by_default(make_tiny_run: Any, run: LocalStorage) -> None:
    tiny = make_tiny_run(training={"steps": 20, "batch_size": 1})
    _, history = trained(tiny, run, lambda network: lambda: {"GTV-T": 0.5})
    assert [line["step"] for line in history if "dice" in line] == [4, 8, 12, 16, 20]


def test_a_checkpoint_is_never_newer_than_the_history(make_tiny_run: Any, run: LocalStorage) -> None:
    """Else a worker that is killed after it would resume without the lines before it."""
    tiny = make_tiny_run(training={"steps": 12, "batch_size": 1, "validate_every": 5})
    seen = []

    def validate(network: nn.Module) -> Callable[[], dict[str, float | None]]:
        def dice() -> dict[str, float | None]:
            # A validation comes right after a checkpoint, long before a heartbeat would write the history.
            state = Checkpoints(FoldFiles(run, 0), 300).load(CPU)
            lines = run.read(layout.history(0)).decode().splitlines()
            assert state is not None
            seen.append((state["step"], state["recorded"], json.loads(lines[-1])["step"]))
            return {"GTV-T": 0.5}

        return dice

    trained(tiny, run, validate)
    assert seen == [(5, 4, 4), (10, 9, 9), (12, 11, 11)]


def settings_of(make_tiny_run: Any, **training: Any) -> Any:
    return make_tiny_run(training=training).study.training


def test_sgd_has_nesterov_momentum(make_tiny_run: Any) -> None:
    """Two steps by hand, of gradient 1: v1 = 1, w -= lr (1 + m v1); v2 = m + 1, w -= lr (1 + m v2)."""
    settings = settings_of(make_tiny_run, optimiser="sgd", momentum=0.5, learning_rate=0.1)
    layer = nn.Linear(1, 1, bias=False)
    optimiser = optimiser_named(layer, settings)
    layer.weight.data.fill_(1.0)
    for expected in (1 - 0.1 * 1.5, 1 - 0.1 * 1.5 - 0.1 * 1.75):
        layer.weight.grad = torch.ones(1, 1)
        optimiser.step()
        assert layer.weight.item() == pytest.approx(expected)


def test_adamw_decays_kernels_of_convolutions_alone_and_only_once(make_tiny_run: Any) -> None:
    """With a gradient of 0, what moves a weight is its decay: w (1 - rate * decay)."""
    changes = {"optimiser": "adamw", "learning_rate": 0.5, "weight_l1": 0, "weight_l2": 0.1}
    tiny = make_tiny_run(training=changes | {"batch_size": 1})
    network = Pointwise()
    network.register_forward_hook(lambda network, inputs, logits: 0 * logits)
    before = copy.deepcopy(network)
    one_update(tiny, trainer_of(tiny, network))
    torch.testing.assert_close(network.layer.weight, before.layer.weight * (1 - 0.5 * 0.1))
    torch.testing.assert_close(network.layer.bias, before.layer.bias)


def arm_of(
    tiny: TinyRun, run: LocalStorage, fold: int, progress: FoldProgress, network: nn.Module
) -> TrainingArm:
    trainer = trainer_of(tiny, network)
    checkpoints = Checkpoints(FoldFiles(run, fold), 300)
    trainer.restore(checkpoints)
    progress.resume(trainer.step, trainer.recorded)
    return TrainingArm(trainer=trainer, validate=None, checkpoints=checkpoints, progress=progress)


def progress_of(
    tiny: TinyRun, run: LocalStorage, fold: int, stop: Callable[[], bool] = lambda: False
) -> FoldProgress:
    return FoldProgress(FoldFiles(run, fold), tiny.study.training.steps, PhaseClock(CPU), stop, "cpu")


class Diverging(Pointwise):
    """A pointwise network whose logits become infinite at one step."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def forward(self, image_BCZYX: Tensor, output_zyx: ShapeZYX) -> Tensor:
        self.left -= 1
        return super().forward(image_BCZYX, output_zyx) * (float("inf") if self.left < 0 else 1)


def test_arms_side_by_side_end_in_the_bits_of_arms_alone(
    make_tiny_run: Any, run: LocalStorage, tmp_path: Any
) -> None:
    """Also those that go on from different steps, and beside one that diverges and one that is stopped."""
    tiny = make_tiny_run(training={"steps": 9, "batch_size": 2})
    alone, history = trained(tiny, LocalStorage(tmp_path / "alone"))
    passed = iter([False] * 4 + [True])
    with progress_of(tiny, run, 1, lambda: next(passed)) as progress:  # gets as far as step 4
        (end,) = train([arm_of(tiny, run, 1, progress, Pointwise())], batches_of(tiny)).values()
        assert isinstance(end, Stopped)

    asked = iter([False] * 2 + [True] * 9)
    with (
        progress_of(tiny, run, 0) as first,
        progress_of(tiny, run, 1) as ahead,
        progress_of(tiny, run, 2) as lost,
        progress_of(tiny, run, 3, lambda: next(asked)) as stopped,
    ):
        arms = [
            arm_of(tiny, run, 0, first, Pointwise()),
            arm_of(tiny, run, 1, ahead, Pointwise()),
            arm_of(tiny, run, 2, lost, Diverging(at=5)),
            arm_of(tiny, run, 3, stopped, Pointwise()),
        ]
        assert [arm.trainer.step for arm in arms] == [0, 4, 0, 0]
        ends = train(arms, batches_of(tiny))
    assert {position: type(end) for position, end in ends.items()} == {2: FloatingPointError, 3: Stopped}
    for arm in arms[:2]:
        assert arm.trainer.done
        for one, other in zip(arm.trainer.network.parameters(), alone.network.parameters(), strict=True):
            assert torch.equal(one, other)
    for fold in (0, 1):
        lines = [json.loads(line) for line in run.read(layout.history(fold)).decode().splitlines()]
        assert [(line["step"], line["loss"]) for line in lines] == [
            (line["step"], line["loss"]) for line in history
        ]
    state = Checkpoints(FoldFiles(run, 3), 300).load(CPU)
    assert state is not None
    assert state["step"] == 2


def test_an_update_with_the_batch_of_another_step_is_refused(make_tiny_run: Any) -> None:
    tiny = make_tiny_run(training={"batch_size": 1})
    trainer = trainer_of(tiny, Pointwise())
    with pytest.raises(ValueError, match="the next step is 0, the batch is of step 3"):
        trainer.update(batches_of(tiny).batch(3, PhaseClock(CPU)), PhaseClock(CPU))
