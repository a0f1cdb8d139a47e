"""The network of a study, with its first weights."""

from collections.abc import Sequence

import torch
from torch import nn

from job.contract.randomness import stream_key
from job.contract.study import Study
from job.networks.protocol import NetworkDesign
from job.networks.weights import select_channels


def initial_network(
    study: Study, design: NetworkDesign, channels: Sequence[int], *, repeat: int, unit: int
) -> nn.Module:
    """An arm's network, on the CPU.

    The weights are drawn for all channels of the study, and the arm's are selected: what arms have in common
    starts alike. They depend on (seed, repeat, unit) only.

    Args:
        study: Gives channels, classes and seed.
        design: Of the study's network.
        channels: Positions of the arm's channels, ascending.
        repeat: The fold's repeat.
        unit: The fold's unit.
    """
    classes = len(study.cohort.classes) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_key(study.sweep.seed, "weights", repeat, unit) >> 65)
        full = design.build(len(study.cohort.channels), classes)
        arm = design.build(len(channels), classes)
    arm.load_state_dict(select_channels(full.state_dict(), arm, channels))
    return arm
