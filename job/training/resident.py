"""The training exams, whole on the device.

C channels, Z Y X voxels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from job.contract.errors import StudyError
from job.data.exam_record import ExamRecord, Region
from job.data.store import ExamReader
from job.training.draws import OUTSIDE


class ResidentExams:
    """Exams with some of the study's channels: those that any arm of a training has."""

    def __init__(self, readers: Sequence[ExamReader], channels: Sequence[int], device: torch.device) -> None:
        records = [reader.record for reader in readers]
        _require_room(records, len(channels), device)
        self.channels = list(channels)
        self.device = device
        self.images_CZYX = [torch.from_numpy(r.image(channels)).to(device) for r in readers]
        self._host_labels_ZYX = [_labels_in_mask(reader) for reader in readers]
        self.labels_1ZYX = [torch.from_numpy(reader.label())[None].to(device) for reader in readers]

    def labels_of(self, exam: int, region: Region) -> NDArray[np.uint8]:
        """The labels of a region, `OUTSIDE` where the mask is 0."""
        return self._host_labels_ZYX[exam][region]


def _labels_in_mask(reader: ExamReader) -> NDArray[np.uint8]:
    label_ZYX, mask_ZYX = reader.label(), reader.mask()
    return label_ZYX if mask_ZYX is None else np.where(mask_ZYX, label_ZYX, np.uint8(OUTSIDE))


def _require_room(records: Sequence[ExamRecord], channels: int, device: torch.device) -> None:
    if device.type != "cuda":
        return
    voxels = sum(int(np.prod(record.shape_zyx)) for record in records)
    needed = voxels * (channels * np.dtype(records[0].dtype).itemsize + 1)
    free, _ = torch.cuda.mem_get_info(device)
    if needed > free:
        raise StudyError(
            f"the {len(records)} training exams take {needed / 2**30:.1f} GiB on {device}, which has "
            f'{free / 2**30:.1f} GiB free; use a larger GPU, fewer channels, or device = "cpu"'
        )
