"""What is left of a fold when it ends: weights, predictions, scores, cost."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from job.contract import environment, layout
from job.contract.grid import Fold
from job.contract.manifest import Manifest
from job.contract.results import Cost, ExamResult, FoldResult, utc_now
from job.data.nifti import write_labels
from job.data.store import ExamReader
from job.evaluation.whole_exam import ExamTester
from job.runs import place_outcome, prediction_keys
from job.storage import Storage
from job.training.clock import PhaseClock
from job.training.precision import Precision
from job.training.progress import FoldProgress


def test_exam(tester: ExamTester, reader: ExamReader, clock: PhaseClock) -> tuple[ExamResult, bytes]:
    """The scores of an exam; and its prediction, in the label map's own values, on the original grid."""
    record = reader.record
    with clock.phase("inference"):
        predicted_ZYX = tester.predict(reader)
    with clock.phase("metrics"):
        scores = tester.score(reader, predicted_ZYX)
    values = np.array([0, *(values[0] for values in tester.class_values)])
    data = write_labels(values[predicted_ZYX], record.geometry)
    result = ExamResult(
        exam=record.exam,
        patient=record.patient,
        digest=record.digest,
        scores=scores,
        prediction_sha256=sha256(data).hexdigest(),
    )
    return result, data


def weights_file(network: nn.Module) -> bytes:
    """The trained network as a safetensors file; its bytes depend on the weights only."""
    return save({name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()})


def fold_result(
    manifest: Manifest,
    fold: Fold,
    precision: Precision,
    weights: bytes,
    tested: Sequence[ExamResult],
    cost: Cost,
) -> FoldResult:
    """What `result.json` says; its exams are in the order of the grid."""
    by_exam = {own.exam: own for own in tested}
    return FoldResult(
        run=manifest.run,
        manifest=manifest.digest,
        fold=fold.index,
        arm=fold.arm.name,
        left_out=fold.arm.left_out,
        repeat=fold.repeat,
        unit=fold.unit,
        training_exams=fold.training_exams,
        validation_exams=fold.validation_exams,
        steps=manifest.study.training.steps,
        precision=precision,
        weights_sha256=sha256(weights).hexdigest(),
        exams=tuple(by_exam[manifest.exams[exam].exam] for exam in fold.test_exams),
        cost=cost,
    )


def write_outcome(
    run: Storage, manifest: Manifest, result: FoldResult, weights: bytes, predictions: Mapping[str, bytes]
) -> None:
    """Writes weights and predictions, then the result, which says that the fold is done.

    Args:
        run: Rooted at the run.
        manifest: What it is.
        result: Of the fold.
        weights: What `weights_file` gives.
        predictions: By exam: exactly those of the result.
    """
    keys = prediction_keys(manifest, manifest.grid.fold(result.fold))
    assert keys.keys() == predictions.keys() == {own.exam for own in result.exams}
    place_outcome(run, layout.weights(result.fold), weights)
    for exam, key in keys.items():
        place_outcome(run, key, predictions[exam])
    run.create(layout.result(result.fold), result.to_json())


def validation(
    tester: ExamTester, readers: Sequence[ExamReader]
) -> Callable[[], dict[str, float | None]] | None:
    """Gives the mean Dice by structure over whole exams, None where no exam has it defined; None without exams."""

    def mean_dice() -> dict[str, float | None]:
        scores = [tester.score(reader, tester.predict(reader)) for reader in readers]
        means: dict[str, float | None] = {}
        for name in scores[0]:
            defined = [dice for score in scores if (dice := score[name].values["dice"]) is not None]
            means[name] = fmean(defined) if defined else None
        return means

    return mean_dice if readers else None


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
