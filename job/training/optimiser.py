"""DeepMedic's optimiser: RMSProp with Nesterov momentum, and its penalties on the convolution weights.

Source: github.com/deepmedic/deepmedic at e10ba7c, deepmedic/neuralnet/{optimizers,cost_functions,trainer}.py.
"""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT

_CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


class RmsPropNesterov(torch.optim.Optimizer):
    """RMSProp whose step enters a Nesterov momentum (DeepMedic's RmsPropOptimizer).

    With the gradient g and, per parameter, the mean square s and the velocity v (both start at 0)::

        s    <- rho * s + (1 - rho) * g^2
        step =  lr * scale * g / sqrt(s + eps)      scale: 1 - momentum if normalised, else 1
        v    <- momentum * v - step
        w    <- w + momentum * v - step

    torch.optim.RMSprop adds eps outside the root and has no Nesterov momentum.

    Args:
        params: parameters or parameter groups.
        lr: learning rate.
        rho: how much of the mean square is kept at each step.
        eps: added to the mean square, inside the root.
        momentum: how much of the velocity is kept at each step.
        normalised: scales the step by (1 - momentum), so that the momentum does not change the length of a
            constant descent. The paper's configuration and the program's built-in default have it; the
            configuration file that 0.8.4 ships does not, which makes its steps 2.5 times as long.

    Raises:
        ValueError: A setting is out of its range.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        *,
        rho: float = 0.9,
        eps: float = 1e-4,
        momentum: float = 0.6,
        normalised: bool = True,
    ) -> None:
        if lr < 0 or eps <= 0:
            raise ValueError(f"lr must be at least 0 and eps above 0, got {lr} and {eps}")
        if not 0 <= rho < 1 or not 0 <= momentum < 1:
            raise ValueError(f"rho and momentum must be at least 0 and below 1, got {rho} and {momentum}")
        defaults = {"lr": lr, "rho": rho, "eps": eps, "momentum": momentum, "normalised": normalised}
        super().__init__(params, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Moves every parameter that has a gradient; gives the closure's loss, if there is a closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        weights = [weight for weight in group["params"] if weight.grad is not None]
        if not weights:
            return
        gradients = [weight.grad for weight in weights]
        mean_squares = [self._state_of(weight, "mean_square") for weight in weights]
        velocities = [self._state_of(weight, "velocity") for weight in weights]
        momentum = group["momentum"]
        scale = 1 - momentum if group["normalised"] else 1.0

        torch._foreach_mul_(mean_squares, group["rho"])
        torch._foreach_addcmul_(mean_squares, gradients, gradients, value=1 - group["rho"])
        roots = torch._foreach_add(mean_squares, group["eps"])
        torch._foreach_sqrt_(roots)
        steps = torch._foreach_div(gradients, roots)
        torch._foreach_mul_(steps, group["lr"] * scale)
        torch._foreach_mul_(velocities, momentum)
        torch._foreach_sub_(velocities, steps)
        torch._foreach_add_(weights, velocities, alpha=momentum)
        torch._foreach_sub_(weights, steps)

    def _state_of(self, weight: Tensor, name: str) -> Tensor:
        state = self.state[weight]
        if name not in state:
            state[name] = torch.zeros_like(weight)
        tensor: Tensor = state[name]
        return tensor


def convolution_weights(module: nn.Module) -> list[Tensor]:
    """The kernels of all convolutions in a module: what DeepMedic penalises.

    Biases, batch norms and PReLU slopes are not among them.
    """
    return [layer.weight for layer in module.modules() if isinstance(layer, _CONVOLUTIONS)]


@torch.no_grad()
def add_weight_penalties(parameters: Iterable[Tensor], l1: float, l2: float) -> None:
    """Adds the gradient of l1 * sum(|w|) + l2 * sum(w^2) to the gradients, in place.

    Being part of the gradient, the penalties go through RMSProp's scaling, unlike a decoupled weight decay.
    Call this when the gradients are final: after the all-reduce between devices and after unscaling.

    Args:
        parameters: the penalised weights; one without a gradient (frozen) is left out.
        l1: weight of the sum of absolute values; at 0 its gradient counts as 0.
        l2: weight of the sum of squares.
    """
    weights = [weight for weight in parameters if weight.grad is not None]
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    if not weights:
        return
    torch._foreach_add_(gradients, weights, alpha=2 * l2)
    torch._foreach_add_(gradients, torch._foreach_sign(weights), alpha=l1)
