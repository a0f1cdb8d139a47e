"""What is left of a fold when it ends: weights, predictions, scores, cost."""

import platform
import resource
from collections.abc import Callable, Sequence
from hashlib import sha256
from importlib.metadata import version
from statistics import fmean

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from job.contract import layout
from job.contract.grid import Fold
from job.contract.manifest import Manifest
from job.contract.results import Cost, ExamResult, FoldResult, utc_now
from job.data.nifti import write_labels
from job.data.store import ExamReader
from job.evaluation.whole_exam import ExamTester
from job.storage import Storage
from job.training.clock import PhaseClock
from job.training.precision import Precision
from job.training.progress import FoldProgress


def write_weights(run: Storage, fold: int, network: nn.Module) -> str:
    """Writes the trained network; the SHA-256 of the file, which depends on the weights only."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    data = save(tensors)
    run.write(layout.weights(fold), data)
    return sha256(data).hexdigest()


def test_exams(
    run: Storage, fold: int, tester: ExamTester, readers: Sequence[ExamReader], clock: PhaseClock
) -> list[ExamResult]:
    """Tests the exams of a fold and writes its predictions."""
    keys = layout.predictions(fold, len(readers))
    return [_exam_result(run, tester, *test, clock) for test in zip(readers, keys, strict=True)]


def _exam_result(
    run: Storage, tester: ExamTester, reader: ExamReader, prediction: str, clock: PhaseClock
) -> ExamResult:
    """Tests an exam and writes its prediction, in the label map's own values, onto the original grid."""
    record = reader.record
    with clock.phase("inference"):
        predicted_ZYX = tester.predict(reader)
    with clock.phase("metrics"):
        scores = tester.score(reader, predicted_ZYX)
    values = np.array([0, *(values[0] for values in tester.class_values)])
    data = write_labels(values[predicted_ZYX], record.geometry)
    run.write(prediction, data)
    return ExamResult(
        exam=record.exam,
        patient=record.patient,
        digest=record.digest,
        scores=scores,
        prediction_sha256=sha256(data).hexdigest(),
    )


def fold_result(
    manifest: Manifest,
    fold: Fold,
    precision: Precision,
    weights_sha256: str,
    exams: Sequence[ExamResult],
    cost: Cost,
) -> FoldResult:
    """What `result.json` says."""
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
        weights_sha256=weights_sha256,
        exams=tuple(exams),
        cost=cost,
    )


def validation(
    tester: ExamTester, readers: Sequence[ExamReader]
) -> Callable[[], dict[str, float | None]] | None:
    """Gives the mean Dice by structure over whole exams, None where no exam has it defined; None without exams."""

    def mean_dice() -> dict[str, float | None]:
        scores = [tester.score(reader, tester.predict(reader)) for reader in readers]
        means: dict[str, float | None] = {}
        for name in scores[0]:
            defined = [dice for score in scores if (dice := score[name].dice) is not None]
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
        threads=threads,
        conditions=progress.conditions,
        attempts=progress.attempt,
        lost_steps=progress.lost_steps,
        started=progress.started,
        finished=utc_now(),
        seconds=progress.clock.seconds(),
        peak_memory_gib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
        peak_device_memory_gib=round(torch.cuda.max_memory_allocated(device) / 2**30, 3) if cuda else None,
        versions={
            "loosweep": version("loosweep"),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    )


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu {platform.machine()}"
