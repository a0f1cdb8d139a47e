import io

import pytest
import torch
from torch import Tensor, nn

from job.training.optimiser import RmsPropNesterov, add_weight_penalties, convolution_weights


def weights_after(gradients: list[float], *, normalised: bool) -> list[float]:
    """A weight that starts at 1, in float64, after each step with these gradients and lr = 0.1."""
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimiser = RmsPropNesterov([weight], lr=0.1, normalised=normalised)
    values = []
    for gradient in gradients:
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimiser.step()
        values.append(weight.item())
    return values


def test_two_steps_with_normalised_momentum_are_as_computed_by_hand() -> None:
    # Step 1: s = 0.1 * 0.03^2 = 0.00009;  0.4 * 0.1 * 0.03 / sqrt(0.00019) = 0.0870572
    #         v = -0.0870572;  w = 1 - 1.6 * 0.0870572 = 0.8607086
    # Step 2: s = 0.9 * 0.00009 + 0.1 * 0.02^2 = 0.000121;  0.4 * 0.1 * -0.02 / sqrt(0.000221) = -0.0538138
    #         v = 0.6 * -0.0870572 + 0.0538138 = 0.0015795;  w = 0.8607086 + 0.6 * 0.0015795 + 0.0538138
    assert weights_after([0.03, -0.02], normalised=True) == pytest.approx([0.8607086, 0.9154700], abs=2e-7)


def test_two_steps_without_normalisation_move_two_and_a_half_times_as_far() -> None:
    # 1 / (1 - 0.6) = 2.5: 1 - 2.5 * 0.1392914 and 1 - 2.5 * 0.0845300.
    assert weights_after([0.03, -0.02], normalised=False) == pytest.approx([0.6517715, 0.7886750], abs=5e-7)


def trained(steps: int, weights: list[nn.Parameter], optimiser: RmsPropNesterov) -> None:
    for step in range(steps):
        for weight in weights:
            weight.grad = torch.sin(weight.detach() * 7 + step)
        optimiser.step()


def test_a_resumed_training_is_the_same_to_the_last_bit() -> None:
    torch.manual_seed(0)
    through = [nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(5))]
    optimiser = RmsPropNesterov(through, lr=0.05)
    trained(3, through, optimiser)
    buffer = io.BytesIO()
    torch.save({"weights": through, "optimiser": optimiser.state_dict()}, buffer)
    trained(3, through, optimiser)

    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    resumed = [nn.Parameter(weight) for weight in saved["weights"]]
    resumed_optimiser = RmsPropNesterov(resumed, lr=1.0)
    resumed_optimiser.load_state_dict(saved["optimiser"])
    trained(3, resumed, resumed_optimiser)
    assert all(torch.equal(a, b) for a, b in zip(through, resumed, strict=True))


def test_a_weight_without_gradient_stays_and_the_schedule_of_torch_applies() -> None:
    moved, frozen = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimiser = RmsPropNesterov([{"params": [moved]}, {"params": [frozen]}], lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, step_size=1, gamma=0.0)
    moved.grad = torch.ones(2)
    optimiser.step()
    schedule.step()
    after_one_step = moved.detach().clone()
    optimiser.zero_grad()
    optimiser.step()
    assert (after_one_step < 1).all()
    assert torch.equal(moved, after_one_step)
    assert torch.equal(frozen, torch.ones(2))
    assert optimiser.param_groups[0]["lr"] == 0


def test_a_closure_gives_its_loss_and_has_gradients_enabled() -> None:
    weight = nn.Parameter(torch.tensor(2.0))
    optimiser = RmsPropNesterov([weight], lr=0.1)

    def closure() -> float:
        loss = weight**2
        loss.backward()
        return loss.item()

    assert optimiser.step(closure) == 4.0
    assert weight.item() < 2


@pytest.mark.parametrize("settings", [{"lr": -1.0}, {"eps": 0.0}, {"rho": 1.0}, {"momentum": -0.1}])
def test_a_setting_out_of_range_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        RmsPropNesterov([nn.Parameter(torch.ones(1))], **settings)


def test_only_kernels_of_convolutions_are_penalised() -> None:
    network = nn.Sequential(
        nn.Conv3d(2, 4, 3), nn.BatchNorm3d(4), nn.PReLU(4), nn.ConvTranspose3d(4, 2, 2), nn.Linear(2, 2)
    )
    selected = convolution_weights(network)
    assert [id(weight) for weight in selected] == [id(network[0].weight), id(network[3].weight)]


def test_penalties_are_the_gradient_of_the_cost_that_they_stand_for() -> None:
    torch.manual_seed(0)

    def loss(weights: list[nn.Parameter]) -> Tensor:
        return torch.stack([(weight**3).sum() for weight in weights]).sum()

    penalised = [nn.Parameter(torch.randn(3, 2)), nn.Parameter(torch.tensor([0.0, -2.0, 3.0]))]
    costed = [nn.Parameter(weight.detach().clone()) for weight in penalised]
    loss(penalised).backward()
    add_weight_penalties(penalised, l1=0.3, l2=0.7)
    penalty = torch.stack([0.3 * weight.abs().sum() + 0.7 * (weight**2).sum() for weight in costed]).sum()
    (loss(costed) + penalty).backward()
    assert all(torch.allclose(a.grad, b.grad) for a, b in zip(penalised, costed, strict=True))
    # At 0: nothing; at -2: 3 * 4 - 0.3 - 2 * 0.7 * 2; at 3: 3 * 9 + 0.3 + 2 * 0.7 * 3.
    assert penalised[1].grad.tolist() == pytest.approx([0.0, 8.9, 31.5])


def test_a_frozen_weight_is_not_penalised() -> None:
    frozen = nn.Parameter(torch.ones(2), requires_grad=False)
    add_weight_penalties([frozen], l1=1.0, l2=1.0)
    assert frozen.grad is None
