"""What a job asks of its machine, and the instance types that have it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a container reserves."""

    vcpus: int
    memory_gib: int
    """Below what the smallest fitting type has: its system and the ECS agent take some."""
    gpus: int = 0


PREPARE = Machine(vcpus=8, memory_gib=28)
REPORT = Machine(vcpus=4, memory_gib=14)
FOLD = Machine(gpus=1, vcpus=4, memory_gib=14)  # g4dn.xlarge: 4 vCPUs, 16 GiB

FAMILIES: dict[str, tuple[str, ...]] = {
    "g4dn": ("xlarge", "2xlarge"),  # NVIDIA T4, 16 GB
    "g5": ("xlarge", "2xlarge"),  # A10G, 24 GB
    "g6": ("xlarge", "2xlarge"),  # L4, 24 GB
    "g6e": ("xlarge", "2xlarge"),  # L40S, 48 GB
}
"""Sizes with one GPU by family, the smallest first. The others are for spot, where more kinds of machines are more
capacity; the allocation of on-demand machines goes by the price of a vCPU and would take them for cheap.
"""
