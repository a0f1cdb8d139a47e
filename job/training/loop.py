"""The training of one network: everything that happens in a step, in order.

B patches, C channels, K classes, Z Y X voxels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from job.contract.randomness import stream_key
from job.contract.study import Training
from job.data.window import Window
from job.training.checkpoint import Checkpoints
from job.training.clock import PhaseClock
from job.training.draws import PatchSampler
from job.training.losses import Loss, loss_named, require_finite
from job.training.optimiser import RmsPropNesterov, add_weight_penalties, convolution_weights
from job.training.precision import Precision, arithmetic
from job.training.progress import FoldProgress
from job.training.resident import ResidentExams
from job.training.schedule import learning_rate

HISTORY_LINES = 200
"""Lines of the history of a whole training, at most, validations aside."""

Validate = Callable[[], dict[str, float | None]]
"""Mean Dice by structure over the validation exams, with the network as it is."""


class TrainingState:
    """Everything that an update changes."""

    def __init__(self, network: nn.Module, settings: Training, precision: Precision) -> None:
        self.network = network
        self.optimiser = optimiser_named(network, settings)
        self.scaler = torch.amp.GradScaler(enabled=precision == "fp16")
        self.step = 0
        """Updates done."""
        self.recorded = 0
        """Step up to which the history is complete."""
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=next(network.parameters()).device)
        """Since the last line of the history."""
        self.loss_steps = 0

    def to_dict(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": self.step,
            "recorded": self.recorded,
            "loss_sum": self.loss_sum,
            "loss_steps": self.loss_steps,
        }

    def restore(self, checkpoints: Checkpoints) -> None:
        """Goes back to the last checkpoint, if there is one."""
        state = checkpoints.load(self.loss_sum.device)
        if state is not None:
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.scaler.load_state_dict(state["scaler"])
            self.loss_sum.copy_(state["loss_sum"])
            self.step, self.recorded = state["step"], state["recorded"]
            self.loss_steps = state["loss_steps"]


@dataclass(frozen=True, kw_only=True)
class Patches:
    """Where a step's patches come from."""

    sampler: PatchSampler
    exams: ResidentExams
    window: Window


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How a network is trained."""

    settings: Training
    precision: Precision
    stream: tuple[int, int, int]
    """Seed, repeat and unit: what random numbers depend on beside the step."""


def train(
    state: TrainingState,
    patches: Patches,
    plan: TrainingPlan,
    validate: Validate | None,
    checkpoints: Checkpoints,
    progress: FoldProgress,
) -> None:
    """Trains from the state's step to the last one.

    Raises:
        Stopped: The worker was asked to stop; a checkpoint of the last finished step is written.
        FloatingPointError: The training diverged.
    """
    loss_of = loss_named(plan.settings.loss)
    penalised = convolution_weights(state.network)
    state.network.train()
    while True:
        record(state, plan, validate, checkpoints, progress)
        last, stop = state.step == plan.settings.steps, progress.stop_requested
        if last or stop or checkpoints.due:
            save(state, checkpoints, progress)
        if last:
            return
        if stop:
            raise progress.stop()
        update(state, patches, plan, loss_of, penalised, progress.clock)
        progress.beat("train", state.step)


def update(
    state: TrainingState,
    patches: Patches,
    plan: TrainingPlan,
    loss_of: Loss,
    penalised: Sequence[Tensor],
    clock: PhaseClock,
) -> None:
    """One optimiser update."""
    settings, device = plan.settings, state.loss_sum.device
    with clock.phase("sample"):
        draws = patches.sampler.draw(state.step)
        image_BCZYX, label_BZYX = patches.exams.cut(draws, patches.window)
    with clock.phase("augment"):
        patches.exams.augment(image_BCZYX, draws)
    with clock.phase("forward"), arithmetic(plan.precision, device):
        # Dropout draws from torch's generator: seeding it by step makes it repeat, also after a resume.
        torch.manual_seed(stream_key(plan.stream[0], "dropout", *plan.stream[1:], state.step) >> 65)
        logits_BKZYX = state.network(image_BCZYX, patches.window.output_zyx)
        loss = loss_of(logits_BKZYX.float(), label_BZYX)
    with clock.phase("backward"):
        state.optimiser.zero_grad()
        state.scaler.scale(loss).backward()
    with clock.phase("optimiser"):
        for group in state.optimiser.param_groups:
            group["lr"] = learning_rate(state.step, settings)
        state.scaler.unscale_(state.optimiser)
        # AdamW decays the weights by itself.
        l2 = 0.0 if settings.optimiser == "adamw" else settings.weight_l2
        add_weight_penalties(penalised, settings.weight_l1, l2)
        state.scaler.step(state.optimiser)
        state.scaler.update()
        state.loss_sum += loss.detach()
    state.step += 1
    state.loss_steps += 1


def record(
    state: TrainingState,
    plan: TrainingPlan,
    validate: Validate | None,
    checkpoints: Checkpoints,
    progress: FoldProgress,
) -> None:
    """Adds a line to the history where one is due: loss since the last line, learning rate, Dice, seconds."""
    settings = plan.settings
    if state.recorded == state.step:
        return
    validate_every = settings.validate_every or max(settings.steps // 5, 1)
    last = state.step == settings.steps
    validated = validate is not None and (last or state.step % validate_every == 0)
    if last or validated or state.step % ceil(settings.steps / HISTORY_LINES) == 0:
        loss = state.loss_sum.item() / state.loss_steps
        require_finite(loss, state.step)
        line: dict[str, Any] = {
            "step": state.step,
            "loss": loss,
            "learning_rate": learning_rate(state.step - 1, settings),
        }
        if validate is not None and validated:
            save(state, checkpoints, progress)  # a stop in the middle costs the validation, not the training
            with progress.clock.phase("validate"):
                state.network.eval()
                line["dice"] = validate()
                state.network.train()
        line["seconds"] = progress.clock.seconds()
        progress.record(line)
        state.loss_sum.zero_()
        state.loss_steps = 0
    state.recorded = state.step


def save(state: TrainingState, checkpoints: Checkpoints, progress: FoldProgress) -> None:
    """Writes a checkpoint; the history goes first, so that none of its lines is lost on a resume."""
    with progress.clock.phase("checkpoint"):
        progress.flush_history()
        checkpoints.save(state.step, state.to_dict())


def optimiser_named(network: nn.Module, settings: Training) -> torch.optim.Optimizer:
    """The optimiser of the study file; AdamW decays convolution weights only."""
    rate = settings.learning_rate
    if settings.optimiser == "rmsprop":
        return RmsPropNesterov(network.parameters(), rate, momentum=settings.momentum)
    if settings.optimiser == "sgd":
        nesterov = settings.momentum > 0
        return torch.optim.SGD(network.parameters(), rate, momentum=settings.momentum, nesterov=nesterov)
    decayed = convolution_weights(network)
    known = {id(weight) for weight in decayed}
    others = [parameter for parameter in network.parameters() if id(parameter) not in known]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_l2},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, rate)
