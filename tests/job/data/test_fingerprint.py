"""Copies are found by what rounding and scaling leave of them; visits and patients are no copies."""

from collections.abc import Callable
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from job.data.fingerprint import ALIKE, alike, block_means, blocks_of, fingerprint_of, label_digest
from job.data.phantom import make_phantom
from tests.job.data.odd_cohorts import exam_of

SHARED = Path(__file__).parents[4] / "shared" / "data"


def print_of(image: NDArray[Any]) -> str | None:
    return fingerprint_of(np.ascontiguousarray(image, np.float32))


def unlikeness(*images: NDArray[Any]) -> float:
    """1 - correlation of the fingerprints of two images, in the way of storage for which it is largest."""
    prints = [print_of(image) for image in images]
    one, other = (blocks_of(text).astype(np.float64) for text in prints if text is not None)
    likeness = max(
        float((np.flip(one.transpose(order), axes) * other).sum())
        for order in permutations(range(3))
        if one.transpose(order).shape == other.shape
        for axes in ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))
    )
    return 1 - likeness / np.sqrt((one**2).sum() * (other**2).sum())


def rounded(image: NDArray[Any], steps: int) -> NDArray[Any]:
    """An image as integers of so many steps over its range."""
    low, high = float(image.min()), float(image.max())
    return np.rint((image - low) / (high - low) * steps)


def test_a_fingerprint_is_the_standardised_means_of_blocks() -> None:
    """Two blocks along an axis of two voxels, eight along one of sixteen: here each has mean 0 or 1."""
    image = np.zeros((2, 16, 1), np.float32)
    image[1] = 1
    text = print_of(image)
    assert text is not None
    np.testing.assert_array_equal(blocks_of(text), [[[-1] * 8, [1] * 8]])
    assert print_of(7 - 3 * image) is not None
    assert unlikeness(image, 5 * image - 100) < 1e-12


@pytest.mark.parametrize("value", [0.0, 1.0, -7e5, 1e-30])
def test_a_volume_without_contrast_has_none(value: float) -> None:
    assert print_of(np.full((9, 9, 9), value)) is None


@pytest.mark.parametrize("value", [0.1, -7e37, 1e-30])
def test_block_means_of_a_constant_are_equal(value: float) -> None:
    means = block_means(np.full((33, 21, 10), value, np.float32))
    np.testing.assert_array_equal(means, float(np.float32(value)))


@pytest.mark.parametrize("place", [(0, 0, 0), (20, 7, 3), (32, 20, 9)])
def test_block_means_change_with_any_voxel_by_as_little_as_it_can(place: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).normal(300, 50, (33, 21, 10)).astype(np.float32)
    before = block_means(image)
    image[place] = np.nextafter(image[place], np.float32(np.inf))
    assert np.count_nonzero(block_means(image) != before) == 1


@pytest.mark.parametrize("wrong", [[np.nan], [np.inf], [np.inf, -np.inf]])
def test_block_means_show_a_voxel_that_is_not_finite(wrong: list[float]) -> None:
    image = np.ones((9, 9, 9), np.float32)
    image[4, 4, : len(wrong)] = wrong
    assert np.count_nonzero(~np.isfinite(block_means(image))) >= 1


@pytest.mark.parametrize("shape", [(24, 20, 12), (16, 16, 8), (48, 48, 24)])
@pytest.mark.parametrize("seed", range(3))
def test_copies_of_8_and_16_bits_are_alike(shape: tuple[int, int, int], seed: int) -> None:
    image = exam_of(seed, shape)["t1"]
    assert unlikeness(image, rounded(image, 255)) < ALIKE / 20
    assert unlikeness(image, rounded(image, 65535)) < 1e-9
    assert unlikeness(image, image.astype(np.float16)) < 1e-6
    assert unlikeness(image, 0.5 * image - 3) < 1e-9


@pytest.mark.parametrize("blur", [0, 2])
@pytest.mark.parametrize("sd", [5, 15, 60])
def test_two_heads_within_one_mask_are_not_alike(sd: float, blur: float) -> None:
    """CT on an atlas: what is inside differs by tens of HU, and from the air around by a thousand."""
    inside = exam_of(0)["mask"] > 0
    heads = []
    for seed in (1, 2):
        noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(inside.shape), blur)
        heads.append(np.where(inside, 40 + sd * noise / noise.std(), -1024))
    assert unlikeness(*heads) > 100 * ALIKE
    assert unlikeness(heads[0], np.rint(heads[0])) < ALIKE / 2
    assert unlikeness(heads[0], np.where(inside, heads[0] / 3, -200)) < 1e-6


def test_a_copy_whose_air_was_cut_off_is_alike(tmp_path: Path) -> None:
    """As an export in 8 bits with a window does: noise of some 50 becomes 0, and the largest values one."""
    images = phantom_images(tmp_path)
    image = next(own for name, own in images.items() if name[2].startswith("t1."))
    exported = np.clip(np.rint((image - 60) / (np.percentile(image, 99.9) - 60) * 255), 0, 255)
    assert np.mean(image == 0) < 0.01
    assert np.mean(exported == 0) > 0.2
    assert unlikeness(image, exported) < ALIKE


def test_even_copies_of_noise_are_alike() -> None:
    noise = np.random.default_rng(0).normal(300, 50, (20, 18, 10)).astype(np.float32)
    assert unlikeness(noise, rounded(noise, 255)) < ALIKE / 2


def phantom_images(folder: Path) -> dict[tuple[str, str, str], NDArray[Any]]:
    """By patient, visit and channel."""
    make_phantom(folder, patients=3, visits=2, seed=0, shape=(48, 48, 20))
    return {
        (path.parts[-3], path.parts[-2], path.name): np.asarray(nib.load(path).dataobj).T
        for path in sorted(folder.glob("*/*/*.nii.gz"))
        if path.name not in ("label.nii.gz", "mask.nii.gz")
    }


def test_visits_patients_and_channels_of_the_phantom_are_not_alike(tmp_path: Path) -> None:
    images = phantom_images(tmp_path)
    pairs = {(one, other): unlikeness(images[one], images[other]) for one, other in combinations(images, 2)}

    def least(chosen: Callable[[Any, Any], bool]) -> float:
        return min(value for (one, other), value in pairs.items() if chosen(one, other))

    assert least(lambda a, b: a[0] == b[0] and a[1] != b[1] and a[2] == b[2]) > 50 * ALIKE
    assert least(lambda a, b: a[0] != b[0]) > 300 * ALIKE
    assert least(lambda a, b: a[:2] == b[:2]) > 50 * ALIKE
    assert all(unlikeness(image, rounded(image, 255)) < ALIKE / 20 for image in images.values())


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
@pytest.mark.parametrize("cohort", ["brats2015", "openms"])
def test_real_scans_are_alike_to_their_copies_only(cohort: str) -> None:
    images = {
        path: np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj, np.float32).T
        for path in sorted((SHARED / cohort).glob("*/*.nii.gz"))
        if "label" not in path.name and "mask" not in path.name
    }
    assert len(images) >= 4
    least = min(unlikeness(images[one], images[other]) for one, other in combinations(images, 2)
                if images[one].shape == images[other].shape)  # fmt: skip
    assert least > 20 * ALIKE
    assert all(unlikeness(image, rounded(image, 255)) < ALIKE / 50 for image in images.values())
    assert all(
        unlikeness(image, np.clip(image, *np.percentile(image, (0, 99.9)))) < ALIKE
        for image in images.values()
    )


def test_pairs_are_found_once_among_fingerprints_of_several_lengths() -> None:
    draws = np.random.default_rng(1)
    one, other, small = draws.random((9, 9, 9)), draws.random((9, 9, 9)), draws.random((9, 9, 2))
    images = [one, small, other, 2 * one + 3, rounded(other, 60_000), small, one]
    prints = [print_of(image) for image in images]
    assert alike([text for text in prints if text is not None]) == [(0, 3), (0, 6), (1, 5), (2, 4), (3, 6)]
    assert alike([]) == []


def test_pairs_are_found_across_the_batches_that_are_compared_at_once() -> None:
    draws = np.random.default_rng(2)
    images = [draws.random((4, 4, 4)).astype(np.float32) for _ in range(2100)]
    images += [images[3], images[2060]]
    prints = [print_of(image) for image in images]
    assert alike([text for text in prints if text is not None]) == [(3, 2100), (2060, 2101)]


WAYS = [
    (order, axes)
    for order in permutations(range(3))
    for axes in ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))
]


def stored_in(array: NDArray[Any], way: tuple[tuple[int, ...], tuple[int, ...]]) -> NDArray[Any]:
    order, axes = way
    return np.ascontiguousarray(np.flip(array.transpose(order), axes))


@pytest.mark.parametrize("shape", [(24, 20, 12), (21, 17, 11), (19, 9, 3), (5, 1, 9)])
def test_a_copy_in_any_of_the_48_ways_is_alike(shape: tuple[int, int, int]) -> None:
    """Also where blocks are no whole number of voxels, or some axes have fewer voxels than a fingerprint blocks."""
    draws = np.random.default_rng(3)
    images = [draws.random(shape).astype(np.float32) for _ in range(3)]
    copies = [stored_in(images[1], way) for way in WAYS]
    prints = [print_of(image) for image in images + copies]
    assert len(copies) == 48
    own = [1, *range(3, 51)]
    assert alike([text for text in prints if text is not None]) == list(combinations(own, 2))


def test_a_copy_along_other_axes_that_was_rounded_is_alike() -> None:
    image = exam_of(0)["t1"]
    for way in WAYS:
        assert unlikeness(image, stored_in(rounded(image, 255), way)) < ALIKE / 20


@pytest.mark.parametrize("shape", [(6, 5, 4), (5, 5, 5), (5, 5, 3)])
def test_labels_have_one_digest_in_all_48_ways(shape: tuple[int, int, int]) -> None:
    draws = np.random.default_rng(4)
    label = (draws.random(shape) < 0.2).astype(np.uint8) * draws.integers(1, 3, shape).astype(np.uint8)
    assert len({label_digest(stored_in(label, way)) for way in WAYS}) == 1
    other = label.copy()
    other[tuple(np.argwhere(label == 1)[0])] = 2
    assert label_digest(other) != label_digest(label)


def test_labels_with_equal_sums_over_slices_are_told_apart_and_found_mirrored() -> None:
    """Two voxels on one diagonal of a corner, or on another: no way of storage makes one the other."""
    one, other = np.zeros((2, 4, 4, 4), np.uint8)
    one[0, 0, 0] = one[1, 1, 1] = other[0, 0, 1] = other[1, 1, 0] = 1
    digests = [label_digest(stored_in(label, way)) for way in WAYS for label in (one, other)]
    assert len(set(digests)) == 2


def test_labels_without_a_structure_differ_by_their_shape() -> None:
    assert label_digest(np.zeros((2, 3, 4), np.uint8)) == label_digest(np.zeros((4, 3, 2), np.uint8))
    assert label_digest(np.zeros((2, 3, 4), np.uint8)) != label_digest(np.zeros((2, 2, 4), np.uint8))
