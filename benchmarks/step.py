"""Seconds of a training step by phase, and how much of it is the network.

    python benchmarks/step.py [--steps 12] [--threads 2]

For each configuration, full steps (draw, cut, augment, network, optimiser) and bare ones (the same network and
optimiser on fixed tensors) are run in turn. The ratio bare / full says what feeding the network costs.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from job.contract.manifest import Manifest
from job.contract.randomness import Stream
from job.data.phantom import make_phantom
from job.data.prepare import prepare_cohort
from job.data.store import open_exams
from job.fold import load_batches
from job.networks.build import initial_network
from job.networks.design import design_of
from job.storage import open_storage
from job.study_file import parse_study
from job.training.clock import PhaseClock
from job.training.losses import loss_named
from job.training.optimiser import add_weight_penalties, convolution_weights
from job.training.trainer import Trainer

CPU = torch.device("cpu")
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "deepmedic-paper, 7 channels, batch 10 of 25 x 25 x 25": {"preset": "deepmedic-paper"},
    "smoke, 7 channels, batch 8 of 21 x 21 x 13": {"preset": "smoke"},
}
COHORT = {
    "root": "cohort",
    "pattern": "{patient}/{exam}/{channel}.nii.gz",
    "labels": "{patient}/{exam}/label.nii.gz",
    "mask": "{patient}/{exam}/mask.nii.gz",
    "channels": ["t2", "t1", "t1c", "t2star", "ktrans", "ve", "adc"],
    "classes": {"GTV-T": 1, "GTV-Ln": 2},
}


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{platform.machine()}, {arguments.threads} threads, torch {torch.__version__}, Python "
          f"{platform.python_version()}; medians of {arguments.steps} steps, bare and full in turn\n")  # fmt: skip
    print(
        "| configuration | bare s | full s | bare / full | sample | augment | forward | backward | optimiser |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        make_phantom(Path(folder, "cohort"), patients=3, visits=1, seed=0, shape=(128, 128, 64))
        for name, table in CONFIGURATIONS.items():
            print(f"| {name} | {' | '.join(measure(Path(folder), table, arguments.steps))} |", flush=True)


def measure(folder: Path, table: dict[str, Any], steps: int) -> list[str]:
    """The cells of one row."""
    study = parse_study({"name": "step", "cohort": COHORT, **table}, source="benchmark")
    store = open_storage(str(folder / "store"))
    index = prepare_cohort(
        open_storage(str(folder / "cohort")), store, study, workers=2, progress=lambda *_: None
    ).index
    manifest = Manifest.freeze(study, exams=index.exams, recipe=index.recipe, created="", code_version="")
    fold = manifest.grid.fold(0)
    design = design_of(study)
    exams = open_exams(store, manifest, fold.training_exams)
    batches = load_batches(study, fold, exams, design.training_window(), CPU)
    network = initial_network(study, design, fold.arm.channels, Stream(0, 0, 0)).train()
    trainer = Trainer(network, fold.arm.channels, study.training, "float32", Stream(0, 0, 0))
    loss_of, penalised = loss_named(study.training.loss), convolution_weights(network)
    first = batches.batch(0, PhaseClock(CPU))
    image, label = first.image_BCZYX.clone(), first.label_BZYX.clone()

    def bare() -> None:
        loss = loss_of(network(image, first.output_zyx), label)
        trainer.optimiser.zero_grad()
        loss.backward()
        add_weight_penalties(penalised, study.training.weight_l1, study.training.weight_l2)
        trainer.optimiser.step()

    def full(clock: PhaseClock) -> None:
        trainer.update(batches.batch(trainer.step, clock), clock)

    for _ in range(2):  # to warm up
        bare()
        full(PhaseClock(CPU))

    clock = PhaseClock(CPU)
    seconds: dict[str, list[float]] = {"bare": [], "full": []}
    for _ in range(steps):
        times = [time.perf_counter()]
        bare()
        times.append(time.perf_counter())
        full(clock)
        times.append(time.perf_counter())
        seconds["bare"].append(times[1] - times[0])
        seconds["full"].append(times[2] - times[1])
    ratio = statistics.median(b / f for b, f in zip(seconds["bare"], seconds["full"], strict=True))
    phases = clock.seconds()
    return [
        *(f"{statistics.median(seconds[kind]):.3f}" for kind in ("bare", "full")),
        f"{ratio:.3f}",
        *(f"{phases[p] / steps:.4f}" for p in ("sample", "augment", "forward", "backward", "optimiser")),
    ]


if __name__ == "__main__":
    main()
