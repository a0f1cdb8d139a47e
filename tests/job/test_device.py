"""Devices by name."""

import pytest
import torch

from job.contract.errors import StudyError
from job.device import torch_device


def test_a_gpu_that_its_driver_refuses_is_a_wrong_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """GPUs are counted by another library than the one that computes: an old driver is found out only then."""

    def refuse() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "init", refuse)
    with pytest.raises(
        StudyError, match="device 'cuda' cannot be used: The NVIDIA driver on your system is too old"
    ):
        torch_device("cuda")


@pytest.mark.parametrize("name", ["tpu", "mps", "cuda:99"])
def test_other_devices_are_refused_by_name(name: str) -> None:
    with pytest.raises(StudyError, match=name):
        torch_device(name)
