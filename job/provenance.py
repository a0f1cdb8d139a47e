"""Where a fold's numbers come from and what they took: device, conditions, versions, memory, seconds."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from job.contract import environment
from job.contract.results import Cost, utc_now
from job.training.precision import Precision
from job.training.progress import FoldProgress


def conditions_of(device: torch.device, threads: int, precision: Precision) -> str:
    """What bits depend on beside the manifest."""
    return f"{_device_name(device)}, {threads} threads, {precision}, torch {torch.__version__}"


def cost_of(progress: FoldProgress, device: torch.device, threads: int) -> Cost:
    """What the fold took up to now."""
    cuda = device.type == "cuda"
    return Cost(
        device=_device_name(device),
        machine=progress.machine,
        threads=threads,
        conditions=progress.conditions,
        attempts=progress.attempt,
        lost_steps=progress.lost_steps,
        started=progress.started,
        finished=utc_now(),
        seconds=progress.clock.seconds(),
        peak_memory_gib=round(_peak_memory_gib(), 3),
        peak_device_memory_gib=round(torch.cuda.max_memory_allocated(device) / 2**30, 3) if cuda else None,
        versions={
            "loosweep": version("loosweep"),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        }
        | ({"image": os.environ[environment.IMAGE]} if environment.IMAGE in os.environ else {}),
    )


def _peak_memory_gib() -> float:
    """Of this process since it runs this program; `getrusage` would count its parent's before."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 2**20


def _device_name(device: torch.device) -> str:
    """Kind and model; of a CPU with the instructions that torch uses of it, on which bits depend."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"cpu {next(models, platform.machine())} ({torch.backends.cpu.get_cpu_capability()})"
