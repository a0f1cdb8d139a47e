"""Arithmetic: what `precision` means on a device, and what makes runs repeat bit for bit."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from job.contract.errors import StudyError

Precision = Literal["float32", "tf32", "bf16", "fp16"]


def resolve_precision(wanted: Literal["auto"] | Precision, device: torch.device) -> Precision:
    """The precision to train with.

    Raises:
        StudyError: The device cannot do it.
    """
    tf32 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    if wanted == "auto":
        return "tf32" if tf32 else "float32"
    if (wanted == "tf32" and not tf32) or (wanted == "fp16" and device.type != "cuda"):
        raise StudyError(
            f'training.precision = "{wanted}" cannot be had on {device}; use "auto" or "float32"'
        )
    return wanted


def make_deterministic(precision: Precision, device: torch.device, threads: int) -> None:
    """Sets this process up: the same inputs give the same bits on the same device with as many threads."""
    torch.set_num_threads(threads)
    if device.type != "cuda":
        return  # the operations in use repeat on a CPU, and the switch below imports a compiler for two seconds
    torch.cuda.set_device(device)  # else events, streams and cuBLAS would go to the first GPU
    torch.use_deterministic_algorithms(True)
    # Filling every new tensor with NaN finds bugs and costs time; the tests run with it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set by __setattr__
    torch.backends.cudnn.benchmark = False
    kind = "tf32" if precision == "tf32" else "ieee"
    torch.backends.cudnn.conv.fp32_precision = kind  # type: ignore[attr-defined]  # added at import
    torch.backends.cuda.matmul.fp32_precision = kind


def arithmetic(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context that the network runs in."""
    if precision in ("bf16", "fp16"):
        dtype = torch.bfloat16 if precision == "bf16" else torch.float16
        return torch.autocast(device.type, dtype=dtype)
    return nullcontext()
