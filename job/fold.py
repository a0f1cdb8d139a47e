"""One fold from manifest to result: read this function first.

manifest -> exams on the device -> batches -> trainer -> weights -> prediction -> scores -> result.json
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from job.artifacts import finish_fold, fold_result
from job.contract.grid import Fold
from job.contract.randomness import Stream
from job.contract.study import Study
from job.data.store import ExamReader, open_exams
from job.data.window import Window
from job.evaluation.whole_exam import ExamTester
from job.networks.build import initial_network
from job.networks.design import design_of
from job.networks.weights import weights_file
from job.provenance import conditions_of, cost_of
from job.run import Run
from job.storage import Storage
from job.testing import test_exam, validation
from job.training.batches import PatchBatches
from job.training.checkpoint import Checkpoints
from job.training.clock import PhaseClock
from job.training.draws import PatchSampler
from job.training.loop import TrainingArm, train
from job.training.precision import make_deterministic, resolve_precision
from job.training.progress import FoldProgress
from job.training.resident import ResidentExams
from job.training.trainer import Trainer

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
    job: str | None = None
    """The job that this attempt is one of, where the worker is to count attempts, since the backend only knows the
    last exit code, as AWS Batch does; None: who started the worker counts."""


def run_fold(worker: Worker, index: int) -> None:
    """Trains and tests one fold, going on from its last checkpoint; does nothing if it is done.

    Raises:
        StudyError: There is no such run or fold, or the device cannot do what the study asks for.
        DataError: The store lacks an exam of the run, or holds another one.
        Stopped: The worker was asked to stop; all is saved.
    """
    manifest = worker.run.manifest
    study, fold = manifest.study, manifest.grid.fold(index)
    design = design_of(study)
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
        files, study.training.steps, clock, worker.stop_requested, conditions, worker.machine, worker.job
    ) as progress:
        with clock.phase("load"):
            network = initial_network(study, design, fold.arm.channels, stream_of(study, fold))
            trainer = Trainer(
                network.to(worker.device),
                fold.arm.channels,
                study.training,
                precision,
                stream_of(study, fold),
            )
            trainer.restore(checkpoints)
        progress.resume(trainer.step, trainer.recorded)
        tester = ExamTester(study, design, network, fold.arm.channels, precision, progress.alive)
        if trainer.recorded < study.training.steps:
            with clock.phase("load"):
                exams = readers(fold.training_exams)
                batches = load_batches(study, fold, exams, design.training_window(), worker.device)
            validate = validation(tester, readers(fold.validation_exams))
            arm = TrainingArm(trainer=trainer, validate=validate, checkpoints=checkpoints, progress=progress)
            for end in train([arm], batches).values():
                raise end
        progress.beat("test", trainer.step)
        tested = [test_exam(tester, reader, clock) for reader in readers(fold.test_exams)]
        weights, cost = weights_file(network), cost_of(progress, worker.device, worker.threads)
        result = fold_result(manifest, fold, precision, weights, [own for own, _ in tested], cost)
        progress.require_alone()
        finish_fold(worker.run, result, weights, {own.exam: data for own, data in tested})
        checkpoints.delete()
        progress.beat("done", trainer.step)


def load_batches(
    study: Study, fold: Fold, readers: Sequence[ExamReader], window: Window, device: torch.device
) -> PatchBatches:
    """The source of a fold's training batches, cut by the network's window."""
    exams = ResidentExams(readers, fold.arm.channels, device)
    sampler = PatchSampler(
        [reader.record for reader in readers],
        exams.labels_of,
        study.training,
        stream_of(study, fold),
    )
    return PatchBatches(sampler, exams, window)


def stream_of(study: Study, fold: Fold) -> Stream:
    """What all random draws of a fold depend on."""
    return Stream(study.sweep.seed, fold.repeat, fold.unit)
