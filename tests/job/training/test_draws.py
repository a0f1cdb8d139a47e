from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.contract.randomness import Stream
from job.contract.study import Training
from job.data.channel_statistics import ChannelStatistics
from job.data.exam_record import ExamRecord, Region
from job.data.store import ExamReader, open_exams
from job.training.draws import OUTSIDE, PatchSampler, class_groups, generator


def training(**changes: Any) -> Training:
    return Training(**{"steps": 10, "batch_size": 40, "segment_shape": (9, 9, 5), **changes})


def spread(sd: float) -> ChannelStatistics:
    return ChannelStatistics(voxels=1, mean=0, sd=1, minimum=0, maximum=0, normalised_sd=sd, sha256="")


def record(
    label_ZYX: np.ndarray, block: tuple[int, int, int], classes: tuple[str, ...] = ("a", "b")
) -> ExamRecord:
    """A record whose counts are taken from the labels, for a sampler that reads the labels themselves."""
    counts = []
    shell = ExamRecord.model_construct(shape_zyx=label_ZYX.shape, block_zyx=block)
    for label in range(len(classes) + 1):
        blocks = range(int(np.prod(shell.blocks_zyx)))
        counts.append(tuple(int((label_ZYX[shell.block_region(b)] == label).sum()) for b in blocks))
    return ExamRecord.model_construct(
        shape_zyx=label_ZYX.shape,
        block_zyx=block,
        classes=classes,
        channels=("c", "d"),
        statistics=(spread(1), spread(0.2)),
        label_counts=tuple(counts),
    )


def sampler_of(*labels: np.ndarray, settings: Training, **stream: int) -> PatchSampler:
    def labels_of(exam: int, region: Region) -> np.ndarray:
        return labels[exam][region]

    records = [record(label, (4, 8, 8)) for label in labels]
    return PatchSampler(records, labels_of, settings, Stream(**{"seed": 0, "repeat": 0, "unit": 0, **stream}))


def cube(shape: tuple[int, int, int], label: int, corner: tuple[int, int, int], edge: int) -> np.ndarray:
    array = np.zeros(shape, np.uint8)
    z, y, x = corner
    array[z : z + edge, y : y + edge, x : x + edge] = label
    return array


def test_a_step_sees_the_same_patches_whatever_was_drawn_before() -> None:
    label = cube((11, 20, 17), 1, (3, 5, 9), 4)
    first, second = (sampler_of(label, settings=training()) for _ in range(2))
    for step in (0, 1, 2):
        first.draw(step)
    for one, other in zip(first.draw(7), second.draw(7), strict=True):
        assert one.centre_zyx == other.centre_zyx
        assert one.flips_zyx == other.flips_zyx
        np.testing.assert_array_equal(one.scale, other.scale)
        np.testing.assert_array_equal(one.shift, other.shift)


@pytest.mark.parametrize("stream", [{"seed": 1}, {"repeat": 1}, {"unit": 1}])
def test_seed_repeat_and_unit_each_change_the_draws(stream: dict[str, int]) -> None:
    label = cube((11, 20, 17), 1, (3, 5, 9), 4)
    one = sampler_of(label, settings=training()).draw(0)
    other = sampler_of(label, settings=training(), **stream).draw(0)
    assert [d.centre_zyx for d in one] != [d.centre_zyx for d in other]


@pytest.mark.parametrize("stream", [{"seed": 1}, {"repeat": 1}, {"unit": 1}])
def test_seed_repeat_and_unit_each_change_the_augmentation(stream: dict[str, int]) -> None:
    label = cube((11, 20, 17), 1, (3, 5, 9), 4)
    one = sampler_of(label, settings=training()).draw(0)
    other = sampler_of(label, settings=training(), **stream).draw(0)
    assert [d.flips_zyx for d in one] != [d.flips_zyx for d in other]
    for numbers in ("scale", "shift"):
        assert not any(
            np.array_equal(getattr(a, numbers), getattr(b, numbers)) for a, b in zip(one, other, strict=True)
        )


def test_centres_are_on_voxels_of_each_class_in_equal_shares() -> None:
    label = cube((11, 20, 17), 1, (3, 5, 9), 4) + cube((11, 20, 17), 2, (8, 14, 1), 2)
    sampler = sampler_of(label, settings=training(class_proportions="equal"))
    hits = Counter(int(label[d.centre_zyx]) for step in range(50) for d in sampler.draw(step))
    # 2000 draws, share 1/3: the SD is 21, so 5 SD are 105.
    assert all(abs(hits[k] - 2000 / 3) < 105 for k in (0, 1, 2)), hits


def test_all_voxels_of_a_class_are_drawn_alike_across_blocks() -> None:
    label = cube((11, 20, 17), 1, (3, 7, 7), 3)  # 27 voxels in 8 blocks of 4 x 8 x 8
    sampler = sampler_of(label, settings=training(class_proportions={"a": 1.0}))
    hits = Counter(d.centre_zyx for step in range(100) for d in sampler.draw(step))
    assert set(hits) == {tuple(int(i) for i in v) for v in np.argwhere(label)}
    # 4000 draws over 27 voxels: chi-square with 26 degrees of freedom is below 54 with p = 0.999.
    assert sum((n - 4000 / 27) ** 2 / (4000 / 27) for n in hits.values()) < 54


def test_exams_with_a_class_are_drawn_alike_whatever_their_size() -> None:
    small, large = cube((8, 8, 8), 1, (0, 0, 0), 1), cube((16, 24, 24), 1, (2, 2, 2), 10)
    empty = np.zeros((8, 8, 8), np.uint8)
    sampler = sampler_of(small, empty, large, settings=training(class_proportions={"a": 1.0}))
    hits = Counter(d.exam for step in range(50) for d in sampler.draw(step))
    assert set(hits) == {0, 2}
    assert abs(hits[0] - 1000) < 5 * 22.4  # 2000 draws, share 1/2


def test_a_class_without_voxels_leaves_its_share_to_the_others() -> None:
    label = cube((8, 8, 8), 1, (2, 2, 2), 3)
    sampler = sampler_of(label, settings=training(class_proportions={"a": 0.5, "b": 0.5}))
    assert {int(label[d.centre_zyx]) for step in range(5) for d in sampler.draw(step)} == {1}


def test_the_share_of_a_class_without_voxels_goes_to_all_others_in_their_proportions() -> None:
    label = cube((8, 8, 8), 1, (2, 2, 2), 3)
    proportions = {"background": 0.25, "a": 0.25, "b": 0.5}
    sampler = sampler_of(label, settings=training(class_proportions=proportions))
    hits = Counter(int(label[d.centre_zyx]) for step in range(50) for d in sampler.draw(step))
    assert abs(hits[1] - 1000) < 5 * 22.4  # 2000 draws, share 1/2


def test_no_patch_is_centred_outside_the_mask(make_tiny_run: Any) -> None:
    tiny = make_tiny_run()
    readers = open_exams(tiny.store, tiny.manifest, (0, 1))

    def labels_of(exam: int, region: Region) -> np.ndarray:
        label, mask = readers[exam].label(region), readers[exam].mask(region)
        assert mask is not None
        return np.where(mask, label, OUTSIDE)

    sampler = PatchSampler([r.record for r in readers], labels_of, training(), Stream(0, 0, 0))
    for step in range(5):
        for draw in sampler.draw(step):
            mask = readers[draw.exam].mask()
            assert mask is not None
            assert mask[draw.centre_zyx]


def test_blocks_read_one_by_one_give_the_same_draws_as_the_whole_volume(make_tiny_run: Any) -> None:
    """What a store larger than memory will rely on."""
    tiny = make_tiny_run()
    readers = open_exams(tiny.store, tiny.manifest, (0, 2))
    whole = [_inside(reader) for reader in readers]
    records = [reader.record for reader in readers]
    resident = PatchSampler(records, lambda e, r: whole[e][r], training(), Stream(3, 0, 1))
    streaming = PatchSampler(records, lambda e, r: _inside(readers[e], r), training(), Stream(3, 0, 1))
    for step in range(3):
        a, b = resident.draw(step), streaming.draw(step)
        assert [(d.exam, d.centre_zyx) for d in a] == [(d.exam, d.centre_zyx) for d in b]


def _inside(reader: ExamReader, region: Region | None = None) -> np.ndarray:
    label, mask = reader.label(region), reader.mask(region)
    assert mask is not None
    return np.where(mask, label, np.uint8(OUTSIDE))


def test_flips_happen_half_the_time_and_only_along_chosen_axes() -> None:
    label = cube((8, 8, 8), 1, (2, 2, 2), 3)
    sampler = sampler_of(label, settings=training(flip_axes=("x", "z")))
    flips = np.array([d.flips_zyx for step in range(50) for d in sampler.draw(step)])
    assert not flips[:, 1].any()
    assert abs(flips[:, 2].sum() - 1000) < 112
    assert abs(flips[:, 0].sum() - 1000) < 112


@pytest.mark.parametrize(("axis", "position"), [("z", 0), ("y", 1), ("x", 2)])
def test_a_patch_is_flipped_along_the_axis_that_is_named(axis: str, position: int) -> None:
    label = cube((8, 8, 8), 1, (2, 2, 2), 3)
    draws = sampler_of(label, settings=training(flip_axes=(axis,))).draw(0)
    assert {n for draw in draws for n, flip in enumerate(draw.flips_zyx) if flip} == {position}


def test_intensity_draws_are_in_standard_deviations_of_each_channel_of_the_study() -> None:
    """The second channel has an SD of 0.2: a fixed range instead of a z-score."""
    label = cube((8, 8, 8), 1, (2, 2, 2), 3)
    sampler = sampler_of(label, settings=training(intensity_shift_sd=0.05, intensity_scale_sd=0.01))
    draws = [d for step in range(100) for d in sampler.draw(step)]
    shift, scale = np.array([d.shift for d in draws]), np.array([d.scale for d in draws])
    assert shift.shape == (4000, 2)
    np.testing.assert_allclose(shift.std(axis=0), [0.05, 0.01], rtol=0.06)
    np.testing.assert_allclose(scale.std(axis=0), 0.01, rtol=0.06)
    np.testing.assert_allclose(scale.mean(axis=0), 1, atol=0.001)
    assert abs(np.corrcoef(shift.T)[0, 1]) < 0.08


def test_shifts_are_in_the_mean_standard_deviation_of_all_training_exams() -> None:
    """SDs of 1 and 3 in two exams make draws twice as large as those for an SD of 1."""
    label = cube((8, 8, 8), 1, (2, 2, 2), 3)
    one = record(label, (4, 8, 8)).model_copy(update={"statistics": (spread(1), spread(1))})
    other = one.model_copy(update={"statistics": (spread(3), spread(1))})
    samplers = [
        PatchSampler(records, lambda e, r: label[r], training(), Stream(0, 0, 0))
        for records in ((one, one), (one, other), (other, one))
    ]
    shifts = [np.array([draw.shift for draw in sampler.draw(0)]) for sampler in samplers]
    np.testing.assert_allclose(shifts[1], shifts[0] * [2, 1], rtol=1e-6)
    np.testing.assert_array_equal(shifts[1], shifts[2])


def test_class_groups_by_hand() -> None:
    assert class_groups("foreground", ("a", "b")) == [(0.5, (0,)), (0.5, (1, 2))]
    assert class_groups("equal", ("a",)) == [(0.5, (0,)), (0.5, (1,))]
    groups = class_groups({"background": 0.2, "b": 0.6, "a": 0.0}, ("a", "b"))
    assert groups == [(pytest.approx(0.75), (2,)), (pytest.approx(0.25), (0,))]


def test_random_numbers_of_a_stream_never_change() -> None:
    """Golden numbers: results of different versions of this project are compared."""
    numbers = generator(Stream(7, 1, 2), "patches", 3).random(3)
    np.testing.assert_array_equal(numbers, GOLDEN)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_different_steps_have_different_numbers(one: int, other: int) -> None:
    same = np.array_equal(
        generator(Stream(0, 0, 0), "p", one).random(4), generator(Stream(0, 0, 0), "p", other).random(4)
    )
    assert same == (one == other)


GOLDEN = [0.1052734118272256, 0.12039423514417436, 0.18677638393321305]
