"""One fold from manifest to result: read this function first.

manifest -> exams on the device -> patches -> network -> weights -> prediction -> scores -> result.json
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from job.contract import layout
from job.contract.errors import StudyError
from job.contract.grid import Fold
from job.contract.manifest import Manifest
from job.contract.results import FoldResult
from job.data.store import ExamReader, read_record
from job.evaluation.whole_exam import ExamTester, zyx
from job.networks.build import initial_network
from job.outcome import cost_of, exam_result, mean_dice, write_weights
from job.storage import Storage
from job.training.checkpoint import Checkpoints
from job.training.clock import PhaseClock
from job.training.draws import PatchSampler
from job.training.loop import Patches, TrainingPlan, TrainingState, train
from job.training.precision import make_deterministic, resolve_precision
from job.training.progress import FoldProgress
from job.training.resident import PatchShape, ResidentExams

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Worker:
    """Where a fold runs."""

    run: Storage
    store: Storage
    device: torch.device
    threads: int
    stop_requested: Callable[[], bool]


def run_fold(worker: Worker, index: int) -> None:
    """Trains and tests one fold, going on from its last checkpoint; does nothing if it is done.

    Raises:
        StudyError: There is no such run or fold, or the device cannot do what the study asks for.
        DataError: The store lacks an exam of the run, or holds another one.
        Stopped: The worker was asked to stop; all is saved.
    """
    manifest = read_manifest(worker.run)
    fold = fold_of(manifest, index)
    if worker.run.exists(layout.result(index)):
        log.info("fold %d is done already", index)
        return
    study, clock = manifest.study, PhaseClock(worker.device)
    precision = resolve_precision(study.training.precision, worker.device)
    make_deterministic(precision, worker.device, worker.threads)
    progress = FoldProgress(worker.run, index, study.training.steps, clock, worker.stop_requested)
    checkpoints = Checkpoints(worker.run, index, study.compute.checkpoint_minutes * 60)
    readers = partial(open_exams, worker.store, manifest)
    with clock.phase("load"):
        network = initial_network(study, fold.arm.channels, repeat=fold.repeat, unit=fold.unit)
        state = TrainingState(network.to(worker.device), study.training, precision)
        state.restore(checkpoints)
        progress.resume(state.step, state.recorded)
        progress.beat("load", state.step)
    tester = ExamTester(study, network, fold.arm.channels, precision, progress.alive)
    if state.recorded < study.training.steps:
        with clock.phase("load"):
            patches = load_patches(manifest, fold, readers(fold.training_exams), worker.device)
        plan = TrainingPlan(
            settings=study.training,
            precision=precision,
            stream=(study.sweep.seed, fold.repeat, fold.unit),
            forward=forward_of(network, patches.shape),
            validate=partial(mean_dice, tester, readers(fold.validation_exams))
            if fold.validation_exams
            else None,
        )
        train(state, patches, plan, checkpoints, progress)
    progress.beat("test", state.step)
    weights_sha256 = write_weights(worker.run, index, network)
    predictions = layout.predictions(index, len(fold.test_exams))
    exams = [
        exam_result(worker.run, tester, reader, key, clock)
        for reader, key in zip(readers(fold.test_exams), predictions, strict=True)
    ]
    result = FoldResult(
        run=manifest.run,
        manifest=manifest.digest,
        fold=index,
        arm=fold.arm.name,
        left_out=fold.arm.left_out,
        repeat=fold.repeat,
        unit=fold.unit,
        training_exams=fold.training_exams,
        validation_exams=fold.validation_exams,
        steps=state.step,
        precision=precision,
        weights_sha256=weights_sha256,
        exams=tuple(exams),
        cost=cost_of(progress, worker.device, worker.threads),
    )
    worker.run.create(layout.result(index), result.to_json())
    checkpoints.delete()
    progress.beat("done", state.step)


def read_manifest(run: Storage) -> Manifest:
    """The manifest of a run.

    Raises:
        StudyError: There is none, or it was changed.
    """
    try:
        return Manifest.model_validate_json(run.read(layout.MANIFEST))
    except FileNotFoundError:
        raise StudyError(f"{run.url}: no {layout.MANIFEST}; name the folder of a run") from None
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise StudyError(f"{run.url}/{layout.MANIFEST}: {reason}") from None


def fold_of(manifest: Manifest, index: int) -> Fold:
    """The fold of this number.

    Raises:
        StudyError: There is none.
    """
    try:
        return manifest.grid.fold(index)
    except ValueError as error:
        raise StudyError(str(error)) from None


def open_exams(store: Storage, manifest: Manifest, exams: Sequence[int]) -> list[ExamReader]:
    """Readers of exams of a run, by their positions.

    Raises:
        DataError: The store lacks one, or holds another.
    """
    entries = [manifest.exams[exam] for exam in exams]
    return [ExamReader(store, read_record(store, manifest.recipe, e.exam, e.digest)) for e in entries]


def load_patches(
    manifest: Manifest, fold: Fold, readers: Sequence[ExamReader], device: torch.device
) -> Patches:
    """The source of a fold's training patches."""
    study = manifest.study
    architecture = study.network.architecture
    segment = study.training_segment
    output = architecture.output_shape(segment)
    patch = study.training.patch_shape or architecture.input_shape(segment)
    exams = ResidentExams(readers, fold.arm.channels, device)
    return Patches(
        sampler=PatchSampler(
            [reader.record for reader in readers],
            exams.labels_of,
            study.training,
            seed=study.sweep.seed,
            repeat=fold.repeat,
            unit=fold.unit,
        ),
        exams=exams,
        shape=PatchShape(
            input_zyx=zyx(patch),
            output_zyx=zyx(output),
            offset_zyx=zyx(architecture.output_start(patch, output)),
        ),
    )


def forward_of(network: nn.Module, shape: PatchShape) -> Callable[[Tensor], Tensor]:
    """The network's logits for exactly the predicted voxels of a patch."""
    return partial(network, output_zyx=shape.output_zyx)
