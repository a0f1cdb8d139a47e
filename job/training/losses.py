"""Losses: cross-entropy from torch, soft Dice from MONAI."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]
"""From logits (B, K, Z, Y, X) and labels (B, Z, Y, X) int64 to a scalar."""


def loss_named(name: str) -> Loss:
    """The loss of the study file (`Training.loss`)."""
    if name == "cross-entropy":
        return cross_entropy
    # Only where it is used: importing MONAI takes seconds.
    from monai.losses.dice import DiceLoss

    # `batch`: classes that a patch lacks would otherwise count as a full error in most patches.
    dice = DiceLoss(include_background=False, softmax=True, to_onehot_y=True, batch=True)

    def soft_dice(logits_BKZYX: Tensor, label_BZYX: Tensor) -> Tensor:
        value: Tensor = dice(logits_BKZYX, label_BZYX[:, None])
        return value

    if name == "dice":
        return soft_dice

    def both(logits_BKZYX: Tensor, label_BZYX: Tensor) -> Tensor:
        return soft_dice(logits_BKZYX, label_BZYX) + cross_entropy(logits_BKZYX, label_BZYX)

    return both


def cross_entropy(logits_BKZYX: Tensor, label_BZYX: Tensor) -> Tensor:
    """Mean cross-entropy over voxels.

    Voxels are put in one row first: only that form has a deterministic CUDA kernel.
    """
    logits_NK = logits_BKZYX.movedim(1, -1).reshape(-1, logits_BKZYX.shape[1])
    return functional.cross_entropy(logits_NK, label_BZYX.reshape(-1))


def require_finite(loss: float, step: int) -> None:
    """Refuses to train on.

    Raises:
        FloatingPointError: The loss is NaN or infinite.
    """
    if not torch.isfinite(torch.tensor(loss)):
        raise FloatingPointError(
            f"the loss is {loss} at step {step}: the training diverged; lower training.learning_rate, or set "
            'training.precision = "float32"'
        )
