"""What a job asks of its machine, and the instance types that have it."""

from dataclasses import dataclass

from job.contract.cloud import GPUS_PER_FOLD


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a container reserves."""

    vcpus: int
    memory_gib: int
    """Below what the smallest fitting type has: its system and the ECS agent take some."""
    gpus: int = 0
    shared_memory_gib: int = 1
    """/dev/shm; NCCL's rings between GPUs live in it."""


PREPARE = Machine(vcpus=8, memory_gib=28)
REPORT = Machine(vcpus=4, memory_gib=14)

FOLD_MACHINES: dict[int, Machine] = {
    1: Machine(gpus=1, vcpus=4, memory_gib=14),  # g4dn.xlarge: 4 vCPUs, 16 GiB
    4: Machine(gpus=4, vcpus=48, memory_gib=176, shared_memory_gib=8),  # *.12xlarge: 48 vCPUs, 192 GiB
    8: Machine(gpus=8, vcpus=96, memory_gib=352, shared_memory_gib=16),  # g4dn.metal: 96 vCPUs, 384 GiB
}
"""By the number of GPUs: whole machines for several GPUs, so that no other job is on their bus."""

assert tuple(FOLD_MACHINES) == GPUS_PER_FOLD

FAMILIES: dict[str, dict[int, tuple[str, ...]]] = {
    "g4dn": {1: ("xlarge", "2xlarge"), 4: ("12xlarge",), 8: ("metal",)},  # NVIDIA T4, 16 GB
    "g5": {1: ("xlarge", "2xlarge"), 4: ("12xlarge",), 8: ("48xlarge",)},  # A10G, 24 GB
    "g6": {1: ("xlarge", "2xlarge"), 4: ("12xlarge",), 8: ("48xlarge",)},  # L4, 24 GB
    "g6e": {1: ("xlarge", "2xlarge"), 4: ("12xlarge",), 8: ("48xlarge",)},  # L40S, 48 GB
}
"""Sizes by family and number of GPUs, the smallest first. The others are for spot, where more kinds of machines
are more capacity; the allocation of on-demand machines goes by the price of a vCPU and would take them for cheap.
"""
