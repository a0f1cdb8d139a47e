"""The network of a study, with its first weights."""

from collections.abc import Sequence

import torch
from torch import nn

from job.contract.randomness import Stream
from job.contract.study import Study
from job.networks.protocol import NetworkDesign
from job.networks.weights import select_channels


def initial_network(
    study: Study, design: NetworkDesign, channels: Sequence[int], stream: Stream
) -> nn.Module:
    """An arm's network, on the CPU.

    The weights are drawn for all channels of the study, and the arm's are selected: what arms have in common
    starts alike. They depend on the stream only.

    Args:
        study: Gives channels and classes.
        design: Of the study's network.
        channels: Positions of the arm's channels, ascending.
        stream: Of the fold.
    """
    classes = len(study.cohort.classes) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream.torch_seed("weights"))
        full = design.build(len(study.cohort.channels), classes)
        arm = design.build(len(channels), classes)
    arm.load_state_dict(select_channels(full.state_dict(), arm, channels))
    return arm
