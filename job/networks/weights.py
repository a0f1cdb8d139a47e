"""Weights of a network for some channels, taken from those of the network for all channels.

The arms of a study start from the same weights: they are drawn once, for all channels, and each arm keeps the
slices of its own channels.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from safetensors.torch import save
from torch import Tensor, nn


def select_channels(full: Mapping[str, Tensor], arm: nn.Module, channels: Sequence[int]) -> dict[str, Tensor]:
    """The state dict for an arm's network.

    A tensor with the shape that the arm has is copied. One that differs in a single dimension, where the arm
    has as many entries as channels, keeps the entries of those channels.

    Args:
        full: state dict of the network for all channels.
        arm: the arm's network; only its names and shapes are read.
        channels: the arm's channels as positions among all, in ascending order.

    Raises:
        ValueError: The networks differ in anything but the input channels, or the channels are not ascending.
    """
    # Ascending, so that an arm with all the channels has them in the same order and may be copied.
    if not channels or channels[0] < 0 or any(a >= b for a, b in pairwise(channels)):
        raise ValueError(f"channels are positions from 0 up in ascending order, got {list(channels)}")
    wanted = arm.state_dict()
    if wanted.keys() != full.keys():
        raise ValueError(
            f"the networks differ: only that of all channels has {sorted(full.keys() - wanted.keys())}, only "
            f"the arm's has {sorted(wanted.keys() - full.keys())}; build both from one architecture"
        )
    return {name: _selected(name, full[name], tensor.shape, channels) for name, tensor in wanted.items()}


def _selected(name: str, tensor: Tensor, wanted: torch.Size, channels: Sequence[int]) -> Tensor:
    if tensor.shape == wanted:
        return tensor.clone()
    dims = [
        dim for dim in range(len(wanted)) if tensor.dim() == len(wanted) and tensor.shape[dim] != wanted[dim]
    ]
    if len(dims) != 1 or wanted[dims[0]] != len(channels) or tensor.shape[dims[0]] <= channels[-1]:
        raise ValueError(
            f"{name} is {tuple(tensor.shape)} for all channels and {tuple(wanted)} for the arm; to select "
            f"channels {list(channels)}, exactly one dimension must differ, with {len(channels)} entries for "
            f"the arm and more than {channels[-1]} for all channels"
        )
    return tensor.index_select(dims[0], torch.tensor(list(channels), device=tensor.device))


def weights_file(network: nn.Module) -> bytes:
    """A network as a safetensors file; its bytes depend on the weights only."""
    return save({name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()})
