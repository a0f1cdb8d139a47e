from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from job.data.store import ExamReader, open_exams
from job.evaluation.metrics import score_exam
from job.evaluation.whole_exam import ExamTester
from job.networks.design import design_of
from tests.conftest import TinyRun


class Always(nn.Module):
    """A network that sees one class everywhere, and remembers in which mode it was asked."""

    def __init__(self, label: int) -> None:
        super().__init__()
        self.label = nn.Parameter(torch.tensor(float(label)))
        self.modes: list[bool] = []

    def forward(self, tiles_BCZYX: Tensor, output_zyx: tuple[int, int, int]) -> Tensor:
        self.modes.append(self.training)
        logits_BKZYX = torch.zeros(len(tiles_BCZYX), 3, *output_zyx)
        logits_BKZYX[:, int(self.label)] = 1
        return logits_BKZYX


@pytest.fixture
def tiny(make_tiny_run: Any) -> TinyRun:
    run: TinyRun = make_tiny_run()
    return run


@pytest.fixture
def reader(tiny: TinyRun) -> ExamReader:
    return open_exams(tiny.store, tiny.manifest, (0,))[0]


def trained(tiny: TinyRun, network: nn.Module) -> ExamTester:
    return ExamTester(tiny.study, design_of(tiny.study), network, (0, 1, 2, 3), "float32", lambda: None)


def test_outside_the_mask_nothing_is_predicted(tiny: TinyRun, reader: ExamReader) -> None:
    mask_ZYX = reader.mask()
    assert mask_ZYX is not None
    assert 0 < mask_ZYX.mean() < 1
    predicted_ZYX = trained(tiny, Always(2)).predict(reader)
    np.testing.assert_array_equal(predicted_ZYX, np.where(mask_ZYX, 2, 0))


def test_a_network_predicts_in_evaluation_mode(tiny: TinyRun, reader: ExamReader) -> None:
    network = Always(1)
    assert network.training
    trained(tiny, network).predict(reader)
    assert set(network.modes) == {False}


def test_distances_and_volumes_are_those_of_the_label_map_s_file(
    tiny: TinyRun, reader: ExamReader, tiny_cohort: Any
) -> None:
    """A prediction one slice away: along z, where voxels are longer than along x."""
    image = nib.load(tiny_cohort / "cohort/patient-01/visit-1/label.nii.gz")
    x_mm, y_mm, z_mm = (float(mm) for mm in image.header.get_zooms())
    assert x_mm != pytest.approx(z_mm)
    predicted_ZYX = np.roll(reader.label(), 1, axis=0)
    scores = trained(tiny, Always(0)).score(reader, predicted_ZYX)
    structures = {"GTV-T": (1,), "GTV-Ln": (2,)}
    expected = score_exam(reader.label(), predicted_ZYX, structures, (z_mm, y_mm, x_mm))
    assert scores["GTV-T"].values["hd95_mm"] == pytest.approx(expected["GTV-T"].values["hd95_mm"], rel=1e-5)
    assert scores["GTV-T"].reference_ml == pytest.approx(
        (reader.label() == 1).sum() * x_mm * y_mm * z_mm / 1000, rel=1e-5
    )
