import pytest
import torch
from torch import nn

from job.contract.deepmedic import paper
from job.networks.deepmedic.network import DeepMedic
from job.networks.deepmedic.sizes import DeepMedicSizes
from job.networks.weights import select_channels


def test_an_arm_keeps_the_slices_of_its_channels_and_all_other_weights() -> None:
    full = nn.Sequential(nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4))
    arm = nn.Sequential(nn.Conv3d(2, 4, 3), nn.BatchNorm3d(4))
    weights = full.state_dict()
    selected = select_channels(weights, arm, [0, 2])
    arm.load_state_dict(selected)
    assert torch.equal(selected["0.weight"][:, 0], weights["0.weight"][:, 0])
    assert torch.equal(selected["0.weight"][:, 1], weights["0.weight"][:, 2])
    assert selected.keys() == weights.keys()
    assert all(torch.equal(selected[name], weights[name]) for name in weights if name != "0.weight")


def test_an_arm_of_deepmedic_predicts_as_all_channels_with_the_left_out_one_at_zero() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = DeepMedicSizes(paper())
    full, arm = DeepMedic(sizes, 3, 2).eval(), DeepMedic(sizes, 2, 2).eval()
    arm.load_state_dict(select_channels(full.state_dict(), arm, [0, 2]))
    image_BCZYX = torch.randn(1, 3, 49, 49, 49)
    image_BCZYX[:, 1] = 0
    with torch.no_grad():
        difference = full(image_BCZYX, (1, 1, 1)) - arm(image_BCZYX[:, [0, 2]], (1, 1, 1))
    assert difference.abs().max() < 1e-5


def test_the_arm_with_all_channels_gets_a_copy() -> None:
    network = nn.Conv3d(3, 4, 1)
    selected = select_channels(network.state_dict(), nn.Conv3d(3, 4, 1), [0, 1, 2])
    assert torch.equal(selected["weight"], network.weight)
    assert selected["weight"].data_ptr() != network.weight.data_ptr()


def test_tensors_that_differ_in_more_than_the_channels_are_refused_by_name_and_shape() -> None:
    full = nn.Conv3d(3, 4, 1).state_dict()
    with pytest.raises(ValueError, match=r"weight is \(4, 3, 1, 1, 1\) .* and \(5, 2, 1, 1, 1\) for the arm"):
        select_channels(full, nn.Conv3d(2, 5, 1), [0, 1])
    with pytest.raises(ValueError, match=r"weight is \(4, 3, 1, 1, 1\)"):
        select_channels(full, nn.Conv2d(2, 4, 1), [0, 1])
    with pytest.raises(ValueError, match="1 entries for the arm"):
        select_channels(full, nn.Conv3d(2, 4, 1), [0])
    with pytest.raises(ValueError, match="more than 3 for all channels"):
        select_channels(full, nn.Conv3d(2, 4, 1), [0, 3])


def test_networks_with_other_tensors_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"only that of all channels has \['bias'\], only the arm's has \[\]"
    ):
        select_channels(nn.Conv3d(3, 4, 1).state_dict(), nn.Conv3d(2, 4, 1, bias=False), [0, 1])


@pytest.mark.parametrize("channels", [[], [-1, 0], [1, 0], [1, 1]])
def test_channels_have_to_be_positions_in_ascending_order(channels: list[int]) -> None:
    with pytest.raises(ValueError, match="ascending order"):
        select_channels(nn.Conv3d(3, 4, 1).state_dict(), nn.Conv3d(2, 4, 1), channels)
