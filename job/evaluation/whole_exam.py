"""One exam through a trained network: prediction, scores.

C channels of the arm, Z Y X voxels.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from job.contract.results import Score
from job.contract.study import Study
from job.data.store import ExamReader
from job.evaluation.inference import predict
from job.evaluation.metrics import score_exam
from job.networks.protocol import NetworkDesign
from job.training.precision import Precision, arithmetic


class ExamTester:
    """Predicts and scores whole exams with one network."""

    def __init__(
        self,
        study: Study,
        design: NetworkDesign,
        network: nn.Module,
        channels: Sequence[int],
        precision: Precision,
        before_tiles: Callable[[], None],
    ) -> None:
        self._study = study
        self._design = design
        self._network = network
        self._channels = channels
        self._precision = precision
        self._before_tiles = before_tiles
        self._device = next(network.parameters()).device
        self.class_values = study.cohort.class_values
        """By class, the values that stand for it in the cohort's label maps."""

    def predict(self, reader: ExamReader) -> NDArray[np.uint8]:
        """The (Z, Y, X) labels that the network gives an exam, 0 outside the mask."""
        window = self._design.tile_window(reader.record.shape_zyx)
        image_CZYX = torch.from_numpy(reader.image(self._channels)).to(self._device)
        mask_ZYX = reader.mask()
        roi_ZYX = None if mask_ZYX is None else torch.from_numpy(mask_ZYX)

        def forward(tiles_BCZYX: Tensor) -> Tensor:
            self._before_tiles()
            with arithmetic(self._precision, self._device):
                logits: Tensor = self._network(tiles_BCZYX, window.output_zyx)
            return logits.float()

        self._network.eval()
        batch, stride_zyx = self._study.evaluation.tile_batch, self._design.tile_stride(window)
        return predict(forward, image_CZYX, roi_ZYX, window, batch=batch, stride_zyx=stride_zyx)

    def score(self, reader: ExamReader, predicted_ZYX: NDArray[np.uint8]) -> dict[str, Score]:
        """The scores of a prediction, by structure."""
        record = reader.record
        structures = self._study.cohort.structure_labels
        return score_exam(
            reader.label(), predicted_ZYX, structures, record.spacing_zyx_mm, record.geometry.voxel_ml
        )
