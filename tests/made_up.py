"""What tests take for a fold's cost, where no worker ran."""

from job.contract.results import Cost

COST = Cost(
    device="cpu",
    threads=1,
    attempts=1,
    lost_steps=0,
    started="2026-01-01T00:00:00Z",
    finished="2026-01-01T00:01:00Z",
    seconds={"load": 1.0, "train": 50.0, "test": 9.0, "total": 60.0},
    peak_memory_gib=1.5,
    peak_device_memory_gib=None,
    versions={"loosweep": "0.1.0", "torch": "2.10.0"},
)
