import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from job.contract import layout
from job.data.store import open_exams
from job.run import FoldFiles
from job.storage import LocalStorage
from job.training import loop
from job.training.checkpoint import Checkpoints
from job.training.clock import PhaseClock
from job.training.draws import PatchSampler
from job.training.loop import Patches, TrainingPlan, TrainingState, optimiser_named, train, update
from job.training.losses import cross_entropy, loss_named
from job.training.optimiser import convolution_weights
from job.training.progress import FoldProgress
from job.training.resident import PatchShape, ResidentExams
from tests.conftest import TinyRun

CPU = torch.device("cpu")
SHAPE = PatchShape(input_zyx=(2, 3, 3), output_zyx=(2, 3, 3), offset_zyx=(0, 0, 0))
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

    def forward(self, image_BCZYX: Tensor) -> Tensor:
        logits: Tensor = self.layer(image_BCZYX)
        return logits


def patches_of(tiny: TinyRun, **stream: int) -> Patches:
    readers = open_exams(tiny.store, tiny.manifest, (0, 1))
    exams = ResidentExams(readers, (0, 1, 2, 3), CPU)
    sampler = PatchSampler(
        [reader.record for reader in readers],
        exams.labels_of,
        tiny.study.training,
        **{"seed": 0, "repeat": 0, "unit": 0} | stream,
    )
    return Patches(sampler=sampler, exams=exams, shape=SHAPE)


def plan_of(tiny: TinyRun, forward: Callable[[Tensor], Tensor], stream: Any = (0, 0, 0)) -> TrainingPlan:
    return TrainingPlan(settings=tiny.study.training, precision="float32", stream=stream, forward=forward)


def one_update(tiny: TinyRun, state: TrainingState, plan: TrainingPlan) -> None:
    penalised = convolution_weights(state.network)
    loss_of = loss_named(tiny.study.training.loss)
    update(state, patches_of(tiny), plan, loss_of, penalised, PhaseClock(CPU))


def trained(
    tiny: TinyRun, run: LocalStorage, validate: Any = None, forward: Any = None
) -> tuple[TrainingState, list[dict[str, Any]]]:
    """A whole training of the pointwise network, and its history."""
    network = Pointwise()
    settings = tiny.study.training
    state = TrainingState(network, settings, "float32")
    plan = plan_of(tiny, forward(network) if forward else network)
    checkpoints = Checkpoints(FoldFiles(run, 0), 300)
    with FoldProgress(FoldFiles(run, 0), settings.steps, PhaseClock(CPU), lambda: False, "cpu") as progress:
        progress.resume(0, 0)
        train(state, patches_of(tiny), plan, validate(network) if validate else None, checkpoints, progress)
    return state, [json.loads(line) for line in run.read(layout.history(0)).decode().splitlines()]


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
    state = TrainingState(network, tiny.study.training, "float32")
    state.step = 6

    patches = patches_of(tiny)
    draws = patches.sampler.draw(6)
    image_BCZYX, label_BZYX = patches.exams.cut(draws, SHAPE)
    patches.exams.augment(image_BCZYX, draws)
    weight, bias = before.layer.weight, before.layer.bias
    cost = cross_entropy(before(image_BCZYX), label_BZYX) + l1 * weight.abs().sum() + l2 * (weight**2).sum()
    cost.backward()
    rate = 0.5 * (1 - 6 / 24) ** 0.9

    for _ in range(2):  # the second starts from the same weights: gradients must not add up
        network.load_state_dict(before.state_dict())
        state.step = 6
        one_update(tiny, state, plan_of(tiny, network))
        torch.testing.assert_close(network.layer.weight, weight - rate * weight.grad)
        torch.testing.assert_close(network.layer.bias, bias - rate * bias.grad)
        assert state.step == 7


def test_dropout_is_drawn_anew_at_each_step_of_each_seed_repeat_and_unit(make_tiny_run: Any) -> None:
    tiny = make_tiny_run()
    network = Pointwise()
    state = TrainingState(network, tiny.study.training, "float32")

    def drawn_at(step: int, stream: tuple[int, int, int]) -> tuple[float, ...]:
        """What torch's generator gives within the network."""
        numbers: list[float] = []

        def forward(image_BCZYX: Tensor) -> Tensor:
            numbers.extend(torch.rand(4).tolist())
            logits: Tensor = network(image_BCZYX)
            return logits

        state.step = step
        one_update(tiny, state, plan_of(tiny, forward, stream))
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
    state, history = trained(tiny, run)
    assert [line["step"] for line in history] == [3, 6, 9, 10]

    again = TrainingState(Pointwise(), tiny.study.training, "float32")
    losses = []
    for _ in range(10):
        one_update(tiny, again, plan_of(tiny, again.network))
        losses.append(again.loss_sum.item())
        again.loss_sum.zero_()
    assert [line["loss"] for line in history] == pytest.approx(
        [sum(losses[:3]) / 3, sum(losses[3:6]) / 3, sum(losses[6:9]) / 3, losses[9]]
    )
    assert [line["learning_rate"] for line in history] == pytest.approx(
        [1e-3 * (1 - step / 10) ** 0.9 for step in (2, 5, 8, 9)]
    )
    for one, other in zip(state.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_network_trains_in_training_mode_and_is_validated_in_evaluation_mode(
    make_tiny_run: Any, run: LocalStorage
) -> None:
    tiny = make_tiny_run(training={"steps": 8, "batch_size": 1, "validate_every": 3})
    training_modes, validation_modes = [], []

    def forward(network: nn.Module) -> Callable[[Tensor], Tensor]:
        network.eval()  # as a prediction leaves it

        def call(image_BCZYX: Tensor) -> Tensor:
            training_modes.append(network.training)
            logits: Tensor = network(image_BCZYX)
            return logits

        return call

    def validate(network: nn.Module) -> Callable[[], dict[str, float | None]]:
        def dice() -> dict[str, float | None]:
            validation_modes.append(network.training)
            return {"GTV-T": 0.5}

        return dice

    _, history = trained(tiny, run, validate, forward)
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
    before = copy.deepcopy(network)
    state = TrainingState(network, tiny.study.training, "float32")
    one_update(tiny, state, plan_of(tiny, lambda image_BCZYX: 0 * network(image_BCZYX)))
    torch.testing.assert_close(network.layer.weight, before.layer.weight * (1 - 0.5 * 0.1))
    torch.testing.assert_close(network.layer.bias, before.layer.bias)
