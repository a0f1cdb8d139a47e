"""The training exams, whole on the device; patches are cut and varied there.

B patches, C channels of the arm, Z Y X voxels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from job.contract.errors import StudyError
from job.contract.shapes import ShapeZYX
from job.data.exam_record import ExamRecord, Region
from job.data.patches import cut
from job.data.store import ExamReader
from job.data.window import Window
from job.training.draws import OUTSIDE, PatchDraw


class ResidentExams:
    """Exams of a fold with the channels of its arm."""

    def __init__(self, readers: Sequence[ExamReader], channels: Sequence[int], device: torch.device) -> None:
        records = [reader.record for reader in readers]
        _require_room(records, len(channels), device)
        self.channels = list(channels)
        self.device = device
        self._images_CZYX = [torch.from_numpy(r.image(channels)).to(device) for r in readers]
        self._host_labels_ZYX = [_labels_in_mask(reader) for reader in readers]
        self._buffer_BCZYX: Tensor | None = None
        self._labels_1ZYX = [torch.from_numpy(reader.label())[None].to(device) for reader in readers]

    def labels_of(self, exam: int, region: Region) -> NDArray[np.uint8]:
        """The labels of a region, `OUTSIDE` where the mask is 0."""
        return self._host_labels_ZYX[exam][region]

    def cut(self, draws: Sequence[PatchDraw], window: Window) -> tuple[Tensor, Tensor]:
        """The patches of a batch as (B, C, Z, Y, X) float32, and their labels as (B, Z, Y, X) int64.

        The images are overwritten by the next call.
        """
        image_BCZYX = self._batch(len(draws), window)
        label_BZYX = torch.empty((len(draws), *window.output_zyx), dtype=torch.int64, device=self.device)
        for image_CZYX, label_ZYX, draw in zip(image_BCZYX, label_BZYX, draws, strict=True):
            start = _start(draw, window)
            flipped = [axis for axis, flip in enumerate(draw.flips_zyx, start=1) if flip]
            image_CZYX.copy_(cut(self._images_CZYX[draw.exam], start, window.input_zyx))
            if flipped:  # after the conversion to float32, which is slow from a flipped tensor
                image_CZYX.copy_(image_CZYX.flip(flipped))
            label_start = _label_start(start, draw, window)
            patch_1ZYX = cut(self._labels_1ZYX[draw.exam], label_start, window.output_zyx)
            label_ZYX.copy_((patch_1ZYX.flip(flipped) if flipped else patch_1ZYX)[0])
        return image_BCZYX, label_BZYX

    def _batch(self, patches: int, window: Window) -> Tensor:
        """Memory for a batch, taken once: fresh pages would cost a CPU as much as the cutting."""
        wanted = (patches, len(self.channels), *window.input_zyx)
        if self._buffer_BCZYX is None or self._buffer_BCZYX.shape != wanted:
            self._buffer_BCZYX = torch.empty(wanted, dtype=torch.float32, device=self.device)
        return self._buffer_BCZYX

    def augment(self, image_BCZYX: Tensor, draws: Sequence[PatchDraw]) -> None:
        """Scales and shifts the intensities of each channel of each patch, in place."""
        factors = np.stack([[draw.scale[self.channels], draw.shift[self.channels]] for draw in draws], axis=1)
        scale_BC, shift_BC = torch.from_numpy(factors).to(self.device)
        image_BCZYX.mul_(scale_BC[:, :, None, None, None]).add_(shift_BC[:, :, None, None, None])


def _start(draw: PatchDraw, window: Window) -> ShapeZYX:
    """First voxel of the input; the drawn centre is in the middle of the output, flipped or not."""
    z, y, x = (
        centre - output // 2 - (size - offset - output if flip else offset)
        for centre, flip, size, output, offset in zip(
            draw.centre_zyx,
            draw.flips_zyx,
            window.input_zyx,
            window.output_zyx,
            window.offset_zyx,
            strict=True,
        )
    )
    return ShapeZYX((z, y, x))


def _label_start(start: ShapeZYX, draw: PatchDraw, window: Window) -> ShapeZYX:
    """First voxel of the output in the volume: a flip turns the input's end into its beginning."""
    z, y, x = (
        first + (size - offset - output if flip else offset)
        for first, flip, size, output, offset in zip(
            start, draw.flips_zyx, window.input_zyx, window.output_zyx, window.offset_zyx, strict=True
        )
    )
    return ShapeZYX((z, y, x))


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
