"""One arm in training: its network, and everything that an update changes.

B patches, C channels of the arm, K classes, Z Y X voxels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from job.contract.randomness import Stream
from job.contract.study import Training
from job.training.batches import Batch
from job.training.checkpoint import Checkpoints
from job.training.clock import PhaseClock
from job.training.losses import loss_named
from job.training.optimiser import RmsPropNesterov, add_weight_penalties, convolution_weights
from job.training.precision import Precision, arithmetic
from job.training.schedule import learning_rate


class Trainer:
    """Trains one network on its channels of batches, one update at a time.

    Args:
        network: The arm's: from (B, C, *input), and the size of the output, to logits (B, K, *output).
        channels: The arm's, as positions in the study's, ascending.
        settings: The study's.
        precision: Of the network's arithmetic.
        stream: Of the fold.
    """

    def __init__(
        self,
        network: nn.Module,
        channels: Sequence[int],
        settings: Training,
        precision: Precision,
        stream: Stream,
    ) -> None:
        self.network = network
        self.channels = tuple(channels)
        self.settings = settings
        self.optimiser = optimiser_named(network, settings)
        self.scaler = torch.amp.GradScaler(enabled=precision == "fp16")
        self.step = 0
        """Updates done."""
        self.recorded = 0
        """Step up to which the history is complete."""
        self.device = next(network.parameters()).device
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        """Since the last line of the history."""
        self.loss_steps = 0
        self._precision = precision
        self._stream = stream
        self._loss_of = loss_named(settings.loss)
        self._penalised = convolution_weights(network)

    @property
    def done(self) -> bool:
        """Whether the last update is done."""
        return self.step == self.settings.steps

    def update(self, batch: Batch, clock: PhaseClock) -> None:
        """One optimiser update.

        Raises:
            ValueError: The batch is of another step, or lacks a channel.
        """
        if batch.step != self.step:
            raise ValueError(f"the next step is {self.step}, the batch is of step {batch.step}")
        settings = self.settings
        with clock.phase("forward"), arithmetic(self._precision, self.device):
            # Dropout draws from torch's generator: seeding it by step makes it repeat, also after a resume.
            torch.manual_seed(self._stream.torch_seed("dropout", self.step))
            logits_BKZYX = self.network(batch.image_of(self.channels), batch.output_zyx)
            loss = self._loss_of(logits_BKZYX.float(), batch.label_BZYX)
        with clock.phase("backward"):
            self.optimiser.zero_grad()
            self.scaler.scale(loss).backward()
        with clock.phase("optimiser"):
            for group in self.optimiser.param_groups:
                group["lr"] = learning_rate(self.step, settings)
            self.scaler.unscale_(self.optimiser)
            # AdamW decays the weights by itself.
            l2 = 0.0 if settings.optimiser == "adamw" else settings.weight_l2
            add_weight_penalties(self._penalised, settings.weight_l1, l2)
            self.scaler.step(self.optimiser)
            self.scaler.update()
            self.loss_sum += loss.detach()
        self.step += 1
        self.loss_steps += 1

    def state(self) -> dict[str, Any]:
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
        state = checkpoints.load(self.device)
        if state is not None:
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.scaler.load_state_dict(state["scaler"])
            self.loss_sum.copy_(state["loss_sum"])
            self.step, self.recorded = state["step"], state["recorded"]
            self.loss_steps = state["loss_steps"]


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
