"""Copies are found by what rounding and scaling leave of them; visits and patients are no copies."""

import base64
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from job.data.fingerprint import ALIKE, alike, block_means, fingerprint_of
from job.data.phantom import make_phantom
from tests.job.data.odd_cohorts import exam_of

SHARED = Path(__file__).parents[4] / "shared" / "data"


def print_of(image: NDArray[Any]) -> str | None:
    return fingerprint_of(block_means(np.ascontiguousarray(image, np.float32)))


def unlikeness(*images: NDArray[Any]) -> float:
    """1 - correlation of the fingerprints of two images."""
    prints = [print_of(image) for image in images]
    one, other = (blocks(text).astype(np.float64) for text in prints if text is not None)
    return 1 - float(one @ other / np.sqrt((one @ one) * (other @ other)))


def blocks(text: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text), "<f4")


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
    np.testing.assert_array_equal(blocks(text), [-1] * 8 + [1] * 8)
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
    assert unlikeness(image, rounded(image, 255)) < 2e-6
    assert unlikeness(image, rounded(image, 65535)) < 1e-9
    assert unlikeness(image, image.astype(np.float16)) < 1e-7
    assert unlikeness(image, 0.5 * image - 3) < 1e-9


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

    assert least(lambda a, b: a[0] == b[0] and a[1] != b[1] and a[2] == b[2]) > 30 * ALIKE
    assert least(lambda a, b: a[0] != b[0]) > 300 * ALIKE
    assert least(lambda a, b: a[:2] == b[:2]) > 30 * ALIKE
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
    assert least > 10 * ALIKE
    assert all(unlikeness(image, rounded(image, 255)) < ALIKE / 50 for image in images.values())


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
