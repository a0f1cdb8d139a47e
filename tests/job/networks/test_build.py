import torch
from torch import nn

from job.contract.randomness import Stream
from job.contract.study import Study
from job.networks.build import initial_network
from job.networks.design import design_of
from tests.conftest import tiny_study


def first_network(study: Study, channels: tuple[int, ...], *, repeat: int, unit: int) -> nn.Module:
    return initial_network(study, design_of(study), channels, Stream(study.sweep.seed, repeat, unit))


def test_arms_start_with_the_same_weights_in_what_they_have_in_common() -> None:
    study = tiny_study()
    full = first_network(study, (0, 1, 2, 3), repeat=0, unit=1).state_dict()
    arm = first_network(study, (0, 2, 3), repeat=0, unit=1).state_dict()
    assert full.keys() == arm.keys()
    narrowed = 0
    for name, tensor in arm.items():
        if tensor.shape == full[name].shape:
            assert torch.equal(tensor, full[name])
        else:
            dim = next(d for d in range(tensor.dim()) if tensor.shape[d] != full[name].shape[d])
            assert torch.equal(tensor, full[name].index_select(dim, torch.tensor([0, 2, 3])))
            narrowed += 1
    assert narrowed == 4  # bias and first convolution of both pathways


def test_initial_weights_depend_on_seed_repeat_and_unit_only() -> None:
    base = first_network(tiny_study(), (0, 1), repeat=0, unit=0).state_dict()
    torch.manual_seed(99)
    again = first_network(tiny_study(), (0, 1), repeat=0, unit=0).state_dict()
    assert all(torch.equal(base[name], again[name]) for name in base)
    kernel = next(name for name, tensor in base.items() if tensor.dim() == 5)
    for study, repeat, unit in (
        (tiny_study(sweep={"seed": 1}), 0, 0),
        (tiny_study(), 1, 0),
        (tiny_study(), 0, 1),
    ):
        other = first_network(study, (0, 1), repeat=repeat, unit=unit).state_dict()
        assert not torch.equal(base[kernel], other[kernel])


def test_drawing_weights_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first_network(tiny_study(), (0,), repeat=0, unit=0)
    assert torch.equal(torch.rand(1), expected)
