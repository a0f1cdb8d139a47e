import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from job.contract.errors import StudyError
from job.contract.networks import NETWORKS
from job.contract.randomness import Stream
from job.data.store import open_exams
from job.evaluation.whole_exam import ExamTester
from job.fold import load_batches
from job.networks.build import initial_network
from job.networks.deepmedic.design import DeepMedicDesign
from job.networks.design import DESIGNS, design_of
from job.networks.protocol import NetworkDesign
from job.training.clock import PhaseClock
from job.training.trainer import Trainer
from tests.conftest import tiny_study
from tests.job.networks.padding import WINDOW_ZYX, PaddingDesign

torch.set_num_threads(1)

CPU = torch.device("cpu")


def test_every_kind_of_settings_has_a_design() -> None:
    assert DESIGNS.keys() == NETWORKS.keys()


def test_the_design_is_that_of_the_network_which_the_study_names() -> None:
    assert isinstance(design_of(tiny_study()), DeepMedicDesign)


def test_sizes_that_are_impossible_for_the_network_are_an_error_of_the_study() -> None:
    study = tiny_study()
    training = study.training.model_copy(update={"segment_shape": (4, 9, 5)})
    with pytest.raises(StudyError, match=r"^\[training\] a segment of 4 voxels along x gives no output"):
        design_of(study.model_copy(update={"training": training}))


def test_reading_a_study_and_asking_its_design_takes_no_torch() -> None:
    code = (
        "import sys; from job.study_file import parse_study; from job.networks.design import design_of; "
        "from tests.job.toml_studies import make_study; design_of(make_study()).training_window(); "
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_a_network_that_pads_and_overlaps_is_trained_and_tested_by_the_same_code(make_tiny_run: Any) -> None:
    """What `run_fold` does of a design, with one that no study names: nothing else knows the network."""
    tiny = make_tiny_run(
        training={"steps": 60, "batch_size": 4, "learning_rate": 0.01, "optimiser": "adamw", "loss": "dice"}
    )
    study, fold = tiny.study, tiny.manifest.grid.fold(2)
    design: NetworkDesign = PaddingDesign()
    network = initial_network(study, design, fold.arm.channels, Stream(0, 0, 0))
    readers = open_exams(tiny.store, tiny.manifest, fold.training_exams)
    batches = load_batches(study, fold, readers, design.training_window(), CPU)
    trainer, clock = (
        Trainer(network, fold.arm.channels, study.training, "float32", Stream(0, 0, 0)),
        PhaseClock(CPU),
    )
    losses = []
    for _ in range(study.training.steps):
        trainer.update(batches.batch(trainer.step, clock), clock)
        losses.append(trainer.loss_sum.item())
        trainer.loss_sum.zero_()
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])

    passes: list[tuple[int, ...]] = []
    network.register_forward_pre_hook(lambda _, inputs: passes.append(tuple(inputs[0].shape)))
    (reader,) = open_exams(tiny.store, tiny.manifest, fold.test_exams)
    tester = ExamTester(study, design, network, fold.arm.channels, "float32", lambda: None)
    predicted_ZYX = tester.predict(reader)
    assert predicted_ZYX.shape == reader.record.shape_zyx == (12, 32, 32)
    assert {shape[2:] for shape in passes} == {WINDOW_ZYX}
    # Half a window apart: 3 positions along 12 voxels, 5 along 32 (the last overhangs); none is outside the mask.
    assert 2 * 3 * 3 < sum(shape[0] for shape in passes) <= 3 * 5 * 5
    assert len(np.unique(predicted_ZYX)) > 1
