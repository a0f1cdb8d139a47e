"""Exams without a cohort."""

from collections.abc import Callable

import numpy as np
import pytest

from job.data.channel_statistics import ChannelStatistics
from job.data.exam import Exam
from job.data.nifti import read_volume

SHAPE_ZYX = (10, 18, 20)
CHANNELS = 3


@pytest.fixture(scope="module")
def make_exam(nifti_bytes: Callable[..., bytes]) -> Callable[..., Exam]:
    """An exam of noise with two classes; its shape is z, y, x."""

    def make(
        shape: tuple[int, int, int] = SHAPE_ZYX, dtype: str = "float16", *, mask: bool = True, seed: int = 0
    ) -> Exam:
        draws = np.random.default_rng(seed)
        nifti = nifti_bytes(np.zeros(shape[::-1], np.uint8))
        statistics = ChannelStatistics(
            voxels=9, mean=1.5, sd=0.5, minimum=-1, maximum=3, normalised_sd=1, sha256="0"
        )
        return Exam(
            image_CZYX=draws.normal(size=(CHANNELS, *shape)).astype(dtype),
            label_ZYX=draws.choice(np.array([0, 0, 1, 2], np.uint8), shape),
            mask_ZYX=(draws.random(shape) < 0.7).astype(np.uint8) if mask else None,
            geometry=read_volume(nifti, "label").geometry,
            statistics=(statistics,) * CHANNELS,
            outside_mask=0,
            sha256={},
        )

    return make
