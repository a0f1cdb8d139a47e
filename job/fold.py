"""One fold from manifest to result: read this function first.

manifest -> exams on the device -> patches -> network -> weights -> prediction -> scores -> result.json
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from job.artifacts import finish_fold, fold_result, weights_file
from job.contract.grid import Fold
from job.contract.manifest import Manifest
from job.contract.study import Study
from job.data.store import ExamReader, open_exams
from job.evaluation.whole_exam import ExamTester, zyx
from job.networks.build import initial_network
from job.provenance import conditions_of, cost_of
from job.run import Run
from job.storage import Storage
from job.testing import test_exam, validation
from job.training.checkpoint import Checkpoints
from job.training.clock import PhaseClock
from job.training.draws import PatchSampler
from job.training.loop import Patches, TrainingPlan, TrainingState, train
from job.training.precision import Precision, make_deterministic, resolve_precision
from job.training.progress import FoldProgress
from job.training.resident import PatchShape, ResidentExams

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Worker:
    """Where a fold runs."""

    run: Run
    store: Storage
    device: torch.device
    threads: int
    checkpoint_seconds: float
    """Time between two checkpoints."""
    stop_requested: Callable[[], bool]
    machine: str | None = None
    """What EC2 says of it."""


def run_fold(worker: Worker, index: int) -> None:
    """Trains and tests one fold, going on from its last checkpoint; does nothing if it is done.

    Raises:
        StudyError: There is no such run or fold, or the device cannot do what the study asks for.
        DataError: The store lacks an exam of the run, or holds another one.
        Stopped: The worker was asked to stop; all is saved.
    """
    manifest = worker.run.manifest
    study, fold = manifest.study, manifest.grid.fold(index)
    files = worker.run.fold(index)
    checkpoints = Checkpoints(files, worker.checkpoint_seconds)
    if files.result.exists():
        log.info("fold %d is done already", index)
        checkpoints.delete()  # which a worker that was killed right after its result had left
        return
    clock, readers = PhaseClock(worker.device), partial(open_exams, worker.store, manifest)
    precision = resolve_precision(study.training.precision, worker.device)
    make_deterministic(precision, worker.device, worker.threads)
    conditions = conditions_of(worker.device, worker.threads, precision)
    with FoldProgress(
        files, study.training.steps, clock, worker.stop_requested, conditions, worker.machine
    ) as progress:
        with clock.phase("load"):
            network = initial_network(study, fold.arm.channels, repeat=fold.repeat, unit=fold.unit)
            state = TrainingState(network.to(worker.device), study.training, precision)
            state.restore(checkpoints)
        progress.resume(state.step, state.recorded)
        tester = ExamTester(study, network, fold.arm.channels, precision, progress.alive)
        if state.recorded < study.training.steps:
            with clock.phase("load"):
                patches = load_patches(manifest, fold, readers(fold.training_exams), worker.device)
            plan = training_plan(study, fold, precision, forward_of(network, patches.shape))
            validate = validation(tester, readers(fold.validation_exams))
            train(state, patches, plan, validate, checkpoints, progress)
        progress.beat("test", state.step)
        tested = [test_exam(tester, reader, clock) for reader in readers(fold.test_exams)]
        weights, cost = weights_file(network), cost_of(progress, worker.device, worker.threads)
        result = fold_result(manifest, fold, precision, weights, [own for own, _ in tested], cost)
        progress.require_alone()
        finish_fold(worker.run, result, weights, {own.exam: data for own, data in tested})
        checkpoints.delete()
        progress.beat("done", state.step)


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


def training_plan(
    study: Study, fold: Fold, precision: Precision, forward: Callable[[Tensor], Tensor]
) -> TrainingPlan:
    """How the fold's network is trained."""
    stream = (study.sweep.seed, fold.repeat, fold.unit)
    return TrainingPlan(settings=study.training, precision=precision, stream=stream, forward=forward)
