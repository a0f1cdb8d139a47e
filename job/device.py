"""The device of a worker."""

import torch

from job.contract.errors import StudyError


def torch_device(name: str) -> torch.device:
    """The device of this name; `auto` is the first GPU, else the CPU.

    Raises:
        StudyError: There is no such device.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise StudyError(f"device {name!r} is unknown; use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise StudyError(
                f"device {name!r} is not there: {count} GPUs are visible; use device cpu (in a study file: "
                'compute.device = "cpu"), or a machine with a GPU'
            )
        try:
            torch.cuda.init()
        except RuntimeError as error:  # GPUs are counted without CUDA, which an older driver then refuses
            raise StudyError(f"device {name!r} cannot be used: {error}") from None
        return torch.device("cuda", device.index or 0)
    if device.type != "cpu":
        raise StudyError(f"device {name!r} is not supported; use auto, cpu, cuda or cuda:N")
    return device
