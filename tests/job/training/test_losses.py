import math

import pytest
import torch

from job.training.losses import loss_named, require_finite

# One patch of 1 x 1 x 2 voxels, 2 classes; logits 0 and ln 3 give probabilities 1/4 and 3/4.
LOGITS = torch.tensor([0.0, math.log(3), math.log(3), 0.0]).reshape(1, 2, 1, 1, 2)
LABELS = torch.tensor([1, 1]).reshape(1, 1, 1, 2)
CROSS_ENTROPY = -(math.log(0.75) + math.log(0.25)) / 2
# Foreground: intersection 1, sizes 2 (label) and 1 (probability), smoothed by MONAI's 1e-5.
DICE = 1 - (2 * 1 + 1e-5) / (2 + 1 + 1e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("cross-entropy", CROSS_ENTROPY), ("dice", DICE), ("dice-cross-entropy", DICE + CROSS_ENTROPY)],
)
def test_losses_by_hand(name: str, expected: float) -> None:
    assert loss_named(name)(LOGITS, LABELS).item() == pytest.approx(expected, rel=1e-5)


def test_a_patch_without_a_class_is_no_full_error_of_dice() -> None:
    """The second patch is background alone. Over both: intersection 1, sizes 2 (label) and 2 (probability)."""
    logits, labels = torch.cat([LOGITS, LOGITS]), torch.cat([LABELS, 0 * LABELS])
    assert loss_named("dice")(logits, labels).item() == pytest.approx(1 - 2 * 1 / (2 + 2), rel=1e-4)


@pytest.mark.parametrize("name", ["cross-entropy", "dice", "dice-cross-entropy"])
def test_gradients_repeat_under_deterministic_algorithms(name: str) -> None:
    torch.use_deterministic_algorithms(True)
    try:
        logits = LOGITS.clone().requires_grad_()
        loss_named(name)(logits, LABELS).backward()
    finally:
        torch.use_deterministic_algorithms(False)
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_diverged_training_is_stopped_with_a_remedy(loss: float) -> None:
    require_finite(3.0, 1)
    with pytest.raises(FloatingPointError, match=r"at step 7.*lower training\.learning_rate"):
        require_finite(loss, 7)
