from typing import Any

import numpy as np
import pytest
import torch

from job.contract.randomness import Stream
from job.data.store import ExamReader, open_exams
from job.data.window import Window
from job.training.batches import Batch, PatchBatches
from job.training.clock import PhaseClock
from job.training.draws import OUTSIDE, PatchDraw, PatchSampler
from job.training.resident import ResidentExams

CPU = torch.device("cpu")
SYMMETRIC = Window(input_zyx=(5, 9, 9), output_zyx=(3, 5, 5), offset_zyx=(1, 2, 2))
LOPSIDED = Window(input_zyx=(6, 10, 9), output_zyx=(3, 4, 5), offset_zyx=(1, 4, 3))


def draw(centre: tuple[int, int, int], flips: tuple[bool, bool, bool] = (False, False, False)) -> PatchDraw:
    ones = np.ones(4, np.float32)
    return PatchDraw(exam=0, centre_zyx=centre, flips_zyx=flips, scale=ones, shift=0 * ones)


def batches(exams: ResidentExams, window: Window = SYMMETRIC) -> PatchBatches:
    """Patches of exams, whose draws each test makes itself."""
    sampler: Any = None
    return PatchBatches(sampler, exams, window)


@pytest.fixture
def reader(make_tiny_run: Any) -> ExamReader:
    tiny = make_tiny_run()
    return open_exams(tiny.store, tiny.manifest, (0,))[0]


@pytest.mark.parametrize("window", [SYMMETRIC, LOPSIDED])
@pytest.mark.parametrize(
    "flips", [(False, False, False), (True, False, False), (False, True, True), (True, True, True)]
)
def test_labels_lie_where_the_output_lies_in_the_image(
    reader: ExamReader, window: Window, flips: tuple[bool, bool, bool]
) -> None:
    """The image is replaced by the label itself: cutting its output region out must give the label patch."""
    exams = ResidentExams([reader], [0], CPU)
    exams.images_CZYX = [exams.labels_1ZYX[0].to(torch.float16)]
    image_BCZYX, label_BZYX = batches(exams, window).cut([draw((6, 15, 16), flips)])
    z, y, x = (slice(o, o + n) for o, n in zip(window.offset_zyx, window.output_zyx, strict=True))
    torch.testing.assert_close(image_BCZYX[0, 0, z, y, x].long(), label_BZYX[0])


@pytest.mark.parametrize("window", [SYMMETRIC, LOPSIDED])
@pytest.mark.parametrize("flips", [(False, False, False), (True, True, True)])
@pytest.mark.parametrize("centre", [(0, 0, 0), (6, 15, 16), (11, 31, 31)])
def test_the_drawn_centre_is_in_the_middle_of_the_output(
    reader: ExamReader, window: Window, flips: tuple[bool, bool, bool], centre: tuple[int, int, int]
) -> None:
    exams = ResidentExams([reader], [0], CPU)
    marked = torch.zeros_like(exams.labels_1ZYX[0])
    marked[0][centre] = 1
    exams.labels_1ZYX = [marked]
    _, label_BZYX = batches(exams, window).cut([draw(centre, flips)])
    # For an even size there is no middle voxel; a flip mirrors which of the two beside it is meant.
    middle = tuple(n - 1 - n // 2 if f else n // 2 for n, f in zip(window.output_zyx, flips, strict=True))
    assert label_BZYX[0][middle] == 1


def test_a_flip_mirrors_the_patch(reader: ExamReader) -> None:
    source = batches(ResidentExams([reader], [0, 1], CPU))
    plain = source.cut([draw((6, 15, 16))])[0].clone()
    flipped, _ = source.cut([draw((6, 15, 16), (False, False, True))])
    torch.testing.assert_close(flipped, plain.flip(4))


def test_arms_cut_the_same_voxels_and_share_scale_and_shift_of_common_channels(reader: ExamReader) -> None:
    every = ResidentExams([reader], [0, 1, 2, 3], CPU)
    arm = ResidentExams([reader], [0, 2, 3], CPU)
    numbers = np.arange(1, 5, dtype=np.float32)
    one = PatchDraw(
        exam=0,
        centre_zyx=(6, 15, 16),
        flips_zyx=(False, True, True),
        scale=1 + numbers / 100,
        shift=numbers / 10,
    )
    images = []
    for exams in (every, arm):
        image_BCZYX, label_BZYX = batches(exams).cut([one, draw((3, 3, 3))])
        batches(exams).augment(image_BCZYX, [one, draw((3, 3, 3))])
        images.append((image_BCZYX, label_BZYX))
    torch.testing.assert_close(images[0][0][:, [0, 2, 3]], images[1][0], rtol=0, atol=0)
    torch.testing.assert_close(images[0][1], images[1][1])


def test_intensities_are_scaled_then_shifted_by_channel(reader: ExamReader) -> None:
    exams = ResidentExams([reader], [1, 3], CPU)
    one = PatchDraw(
        exam=0,
        centre_zyx=(6, 15, 16),
        flips_zyx=(False, False, False),
        scale=np.array([9, 2, 9, 3], np.float32),
        shift=np.array([9, 0.5, 9, -1], np.float32),
    )
    image_BCZYX = torch.ones(1, 2, 1, 1, 2)
    batches(exams).augment(image_BCZYX, [one])
    assert image_BCZYX.flatten().tolist() == [2.5, 2.5, 2.0, 2.0]


def test_labels_for_the_sampler_are_marked_outside_the_mask(reader: ExamReader) -> None:
    region = (slice(1, 11), slice(0, 32), slice(3, 30))
    label_ZYX, mask_ZYX = reader.label(region), reader.mask(region)
    assert mask_ZYX is not None
    assert 0 < mask_ZYX.mean() < 1
    seen_ZYX = ResidentExams([reader], [0], CPU).labels_of(0, region)
    np.testing.assert_array_equal(seen_ZYX == OUTSIDE, ~mask_ZYX)
    np.testing.assert_array_equal(seen_ZYX[mask_ZYX], label_ZYX[mask_ZYX])


def test_a_batch_gives_each_arm_its_own_channels(make_tiny_run: Any) -> None:
    tiny = make_tiny_run(training={"batch_size": 2, "intensity_shift_sd": 0.5})
    readers = open_exams(tiny.store, tiny.manifest, (0, 1))
    of_channels = {}
    for channels in ((0, 1, 2, 3), (0, 2, 3)):
        exams = ResidentExams(readers, channels, CPU)
        records = [reader.record for reader in readers]
        sampler = PatchSampler(records, exams.labels_of, tiny.study.training, Stream(0, 0, 0))
        of_channels[channels] = PatchBatches(sampler, exams, SYMMETRIC).batch(5, PhaseClock(CPU))
    whole, own = of_channels.values()
    assert (whole.step, whole.channels, whole.output_zyx) == (5, (0, 1, 2, 3), SYMMETRIC.output_zyx)
    assert torch.equal(whole.image_of((0, 2, 3)), own.image_of((0, 2, 3)))
    assert torch.equal(whole.label_BZYX, own.label_BZYX)
    assert own.image_of((0, 2, 3)) is own.image_BCZYX


def test_a_batch_without_a_channel_of_the_arm_is_refused() -> None:
    image_BCZYX, label_BZYX = torch.zeros(1, 2, 1, 1, 1), torch.zeros(1, 1, 1, 1, dtype=torch.int64)
    batch = Batch(step=0, channels=(0, 2), image_BCZYX=image_BCZYX, label_BZYX=label_BZYX)
    with pytest.raises(ValueError, match="not in tuple"):
        batch.image_of((0, 1))
