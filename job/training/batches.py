"""Batches of patches: drawn, cut and varied once for all arms that train on them.

B patches, C channels of the source, Z Y X voxels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from job.contract.shapes import ShapeZYX
from job.data.patches import cut
from job.data.window import Window
from job.training.clock import PhaseClock
from job.training.draws import PatchDraw, PatchSampler
from job.training.resident import ResidentExams


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What is learnt from in one step."""

    step: int
    channels: tuple[int, ...]
    """Positions in the study's channels, ascending: those of the image, in its order."""
    image_BCZYX: Tensor
    """float32; the source's next batch overwrites it."""
    label_BZYX: Tensor
    """int64, of the voxels that are predicted."""

    @property
    def output_zyx(self) -> ShapeZYX:
        """Voxels that are predicted of a patch."""
        _, z, y, x = self.label_BZYX.shape
        return ShapeZYX((z, y, x))

    def image_of(self, channels: Sequence[int]) -> Tensor:
        """The image of some of the channels, (B, channels, Z, Y, X).

        Raises:
            ValueError: The batch lacks one of them.
        """
        if tuple(channels) == self.channels:
            return self.image_BCZYX
        places = torch.tensor([self.channels.index(channel) for channel in channels])
        return self.image_BCZYX.index_select(1, places.to(self.image_BCZYX.device))


class BatchSource(Protocol):
    """Where the batches of a training come from; each is a function of its step alone."""

    def batch(self, step: int, clock: PhaseClock) -> Batch:
        """The batch of a step; the clock counts what it takes."""
        ...


class PatchBatches:
    """Patches of exams that lie on the device."""

    def __init__(self, sampler: PatchSampler, exams: ResidentExams, window: Window) -> None:
        self._sampler = sampler
        self._exams = exams
        self._window = window
        self._buffer_BCZYX: Tensor | None = None

    def batch(self, step: int, clock: PhaseClock) -> Batch:
        """The batch of a step: drawn, cut, then varied."""
        with clock.phase("sample"):
            draws = self._sampler.draw(step)
            image_BCZYX, label_BZYX = self.cut(draws)
        with clock.phase("augment"):
            self.augment(image_BCZYX, draws)
        return Batch(
            step=step,
            channels=tuple(self._exams.channels),
            image_BCZYX=image_BCZYX,
            label_BZYX=label_BZYX,
        )

    def cut(self, draws: Sequence[PatchDraw]) -> tuple[Tensor, Tensor]:
        """The patches of these draws as (B, C, Z, Y, X) float32, and their labels as (B, Z, Y, X) int64.

        The images are overwritten by the next call.
        """
        window, exams = self._window, self._exams
        image_BCZYX = self._batch(len(draws))
        label_BZYX = torch.empty((len(draws), *window.output_zyx), dtype=torch.int64, device=exams.device)
        for image_CZYX, label_ZYX, draw in zip(image_BCZYX, label_BZYX, draws, strict=True):
            start = _start(draw, window)
            flipped = [axis for axis, flip in enumerate(draw.flips_zyx, start=1) if flip]
            image_CZYX.copy_(cut(exams.images_CZYX[draw.exam], start, window.input_zyx))
            if flipped:  # after the conversion to float32, which is slow from a flipped tensor
                image_CZYX.copy_(image_CZYX.flip(flipped))
            label_start = _label_start(start, draw, window)
            patch_1ZYX = cut(exams.labels_1ZYX[draw.exam], label_start, window.output_zyx)
            label_ZYX.copy_((patch_1ZYX.flip(flipped) if flipped else patch_1ZYX)[0])
        return image_BCZYX, label_BZYX

    def _batch(self, patches: int) -> Tensor:
        """Memory for a batch, taken once: fresh pages would cost a CPU as much as the cutting."""
        wanted = (patches, len(self._exams.channels), *self._window.input_zyx)
        if self._buffer_BCZYX is None or self._buffer_BCZYX.shape != wanted:
            self._buffer_BCZYX = torch.empty(wanted, dtype=torch.float32, device=self._exams.device)
        return self._buffer_BCZYX

    def augment(self, image_BCZYX: Tensor, draws: Sequence[PatchDraw]) -> None:
        """Scales and shifts the intensities of each channel of each patch, in place."""
        channels = list(self._exams.channels)
        factors = np.stack([[draw.scale[channels], draw.shift[channels]] for draw in draws], axis=1)
        scale_BC, shift_BC = torch.from_numpy(factors).to(image_BCZYX.device)
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
