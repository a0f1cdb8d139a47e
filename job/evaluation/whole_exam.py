"""One exam through a trained network: prediction, scores.

C channels of the arm, Z Y X voxels.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from job.contract.architecture import Shape
from job.contract.results import Score
from job.contract.study import Study
from job.data.store import ExamReader
from job.evaluation.inference import TilePlan, predict
from job.evaluation.metrics import score_exam
from job.training.precision import Precision, arithmetic


def tile_plan(study: Study, volume_zyx: Shape) -> TilePlan:
    """The study's tile for a volume, no larger than the volume needs."""
    architecture = study.network.architecture
    wanted = architecture.output_shape(study.evaluation_segment)
    shrinkage = [s - o for s, o in zip(study.evaluation_segment, wanted, strict=True)]
    smallest = architecture.smallest_output
    x, y, z = (
        max(min(size, volume), least) + shrunk
        for size, volume, least, shrunk in zip(wanted, reversed(volume_zyx), smallest, shrinkage, strict=True)
    )
    patch = architecture.input_shape((x, y, z))
    output = architecture.output_shape((x, y, z))
    return TilePlan(
        input_zyx=zyx(patch), output_zyx=zyx(output), offset_zyx=zyx(architecture.output_start(patch, output))
    )


def zyx(shape_xyz: Shape) -> Shape:
    """(z, y, x) of a study's (x, y, z)."""
    x, y, z = shape_xyz
    return (z, y, x)


class ExamTester:
    """Predicts and scores whole exams with one network."""

    def __init__(
        self,
        study: Study,
        network: nn.Module,
        channels: Sequence[int],
        precision: Precision,
        before_tiles: Callable[[], None],
    ) -> None:
        self._study = study
        self._network = network
        self._channels = channels
        self._precision = precision
        self._before_tiles = before_tiles
        self._device = next(network.parameters()).device
        self.class_values = study.cohort.class_values
        """By class, the values that stand for it in the cohort's label maps."""

    def predict(self, reader: ExamReader) -> NDArray[np.uint8]:
        """The (Z, Y, X) labels that the network gives an exam, 0 outside the mask."""
        plan = tile_plan(self._study, reader.record.shape_zyx)
        image_CZYX = torch.from_numpy(reader.image(self._channels)).to(self._device)
        mask_ZYX = reader.mask()
        roi_ZYX = None if mask_ZYX is None else torch.from_numpy(mask_ZYX)

        def forward(tiles_BCZYX: Tensor) -> Tensor:
            self._before_tiles()
            with arithmetic(self._precision, self._device):
                logits: Tensor = self._network(tiles_BCZYX, plan.output_zyx)
            return logits.float()

        self._network.eval()
        return predict(forward, image_CZYX, roi_ZYX, plan, batch=self._study.evaluation.tile_batch)

    def score(self, reader: ExamReader, predicted_ZYX: NDArray[np.uint8]) -> dict[str, Score]:
        """The scores of a prediction, by structure."""
        record = reader.record
        structures = self._study.cohort.structure_labels
        return score_exam(
            reader.label(), predicted_ZYX, structures, record.spacing_zyx_mm, record.geometry.voxel_ml
        )
