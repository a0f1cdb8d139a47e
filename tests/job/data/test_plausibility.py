"""Maps that say nothing, in another unit, or unlike other exams': refused where they cannot be right, else said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from job.contract.cohort import Channel
from job.data.channel_statistics import ChannelStatistics, statistics
from job.data.fingerprint import block_means
from job.data.normalisation import normalise, region_of
from job.data.plausibility import beside_others, implausible, odd
from tests.job.data.odd_cohorts import SHAPE, OddCohort, exam_of, nifti, sound_cohort


@pytest.fixture
def cohort(tmp_path: Path) -> OddCohort:
    return sound_cohort(tmp_path / "cohort", ("p1", "p2", "p3", "p4"))


def channel(**settings: Any) -> Channel:
    return Channel.model_validate({"name": "c"} | settings)


def found_in(image: NDArray[Any], own: Channel, mask: NDArray[np.uint8] | None = None) -> ChannelStatistics:
    """The statistics of an image that is (Z, Y, X)."""
    values = image.astype(np.float32)
    region = region_of(values, mask, own)
    return statistics(region, normalise(region, own), own, means_ZYX=block_means(values))


def said_of(
    image: NDArray[Any], own: Channel, mask: NDArray[np.uint8] | None = None
) -> tuple[list[str], list[str]]:
    """Errors and warnings about one exam's image."""
    found = found_in(image, own, mask)
    return [str(p) for p in implausible(found, own, "f")], [str(w) for w in odd(found, own, "f")]


def ramp(low: float, high: float) -> NDArray[np.float64]:
    """1000 voxels in a shell of 0, evenly from one value to another."""
    image = np.zeros((12, 12, 12))
    image[1:-1, 1:-1, 1:-1] = np.linspace(low, high, 1000).reshape(10, 10, 10)
    return image


FIXED = {"normalisation": "fixed", "range": [0, 1]}


@pytest.mark.parametrize("settings", [FIXED, {"normalisation": "none"}])
def test_one_value_in_the_whole_mask_is_refused(settings: dict[str, Any]) -> None:
    image, mask = np.full((4, 4, 4), 0.25), np.zeros((4, 4, 4), np.uint8)
    image[0], mask[1:] = 7, 1
    errors, _ = said_of(image, channel(**settings), mask)
    assert len(errors) == 1
    assert errors[0].startswith(
        "f: found one value everywhere in the region, 0.25 (channel c); expected values that vary"
    )


@pytest.mark.parametrize("normalisation", ["zscore", "none"])
def test_one_value_in_nine_tenths_is_refused(normalisation: str) -> None:
    """As where a fit stopped at its limit: the standard deviation is that of the few that did not."""
    image = ramp(5, 5)
    image[5, 5, 1:6] = 1, 2, 3, 4, 6
    mask = (image > 0).astype(np.uint8)
    errors, _ = said_of(image, channel(normalisation=normalisation), mask)
    assert errors[0].startswith("f: found one value in more than 80 % of the region, 5 (channel c)")


@pytest.mark.parametrize(
    ("low", "high", "found", "remedy"),
    [
        (2, 900, "100% of the voxels that are not background at or above 1: from 46.9 to 855.1, median 451",
         "the values times 0.001 would fit: multiply the file by it, or if all exams are in this unit, write range = "
         "[0, 1000]"),
        (1e-5, 9e-4, "values that use 0.0008 of the range: from 5.45e-05 to 0.0008555",
         "the values times 1000 would fit: multiply the file by it, or if all exams are in this unit, write range = "
         "[0, 0.001]"),
        (2e-4, 9e-3, "values that use 0.0079 of the range: from 0.00064 to 0.00856",
         "the values times 60 would fit: multiply the file by it, or if all exams are in this unit, write range = "
         "[0, 0.0166667]"),
        (2, 90, "100% of the voxels that are not background at or above 1: from 6.4 to 85.6",
         "the values times 0.01 would fit"),
        (-9, -2, "100% of the voxels that are not background at or below 0: from -8.65 to -2.35",
         "correct the file, or write the range that the values have"),
    ],
)  # fmt: skip
def test_a_map_in_another_unit_is_refused_with_the_factor(
    low: float, high: float, found: str, remedy: str
) -> None:
    errors, _ = said_of(ramp(low, high), channel(**FIXED))
    assert len(errors) == 1
    assert errors[0].startswith(f"f: found {found}")
    assert remedy in errors[0]
    assert "expected values that fill the range [0, 1] (channel c)" in errors[0]


def test_a_map_that_is_clipped_in_more_than_half_is_said() -> None:
    """CT in a window for soft tissue, with noisy air around: right, and worth a look."""
    own = channel(normalisation="fixed", range=[-100, 300])
    draws = np.random.default_rng(0)
    image = draws.normal(-1000, 20, (20, 20, 20))
    image[4:16, 4:16, 4:18] = draws.normal(50, 40, (12, 12, 14))
    errors, warnings = said_of(image, own)
    assert errors == []
    assert len(warnings) == 1
    assert warnings[0].startswith("f: found 75% of the voxels that are not background at or below -100")
    assert said_of(ramp(0.1, 1.8), channel(**FIXED)) == ([], [])


def test_a_sound_map_is_not_mentioned() -> None:
    for own in (channel(), channel(normalisation="percentile"), channel(normalisation="none")):
        assert said_of(ramp(100, 900), own) == ([], [])
    assert said_of(ramp(0.02, 0.7), channel(**FIXED)) == ([], [])


def test_a_background_that_is_not_0_is_left_out_and_said() -> None:
    image = np.where(ramp(1, 2) == 0, -1024, 1000 * ramp(1, 2))
    own = channel()
    found = found_in(image, own)
    assert (found.voxels, found.background) == (1000, -1024)
    assert found.mean == pytest.approx(1500)
    errors, (warning,) = said_of(image, own)
    assert errors == []
    assert warning.startswith("f: found a background of -1024 instead of 0 (channel c)")


def test_a_volume_without_any_background_is_scaled_as_a_whole_and_said() -> None:
    noise = np.random.default_rng(0).normal(100, 10, (10, 10, 10))
    assert found_in(noise, channel()).voxels == 1000
    errors, (warning,) = said_of(noise, channel())
    assert errors == []
    assert warning.startswith("f: found no value that most of the border has (channel c)")
    assert "give a mask (body, brain)" in warning
    assert said_of(noise, channel(), np.ones((10, 10, 10), np.uint8)) == ([], [])


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("settings", [{}, FIXED, {"normalisation": "none"}])
def test_a_map_inside_a_small_region_only_is_said(masked: bool, settings: dict[str, Any]) -> None:
    """It would show the network where the tumour is."""
    image = np.zeros((20, 20, 20))
    image[9:12, 9:12, 9:12] = np.linspace(0.2, 0.9, 27).reshape(3, 3, 3)
    mask = np.ones((20, 20, 20), np.uint8)
    mask[0, 0, 0] = 0
    errors, warnings = said_of(image, channel(**settings), mask if masked else None)
    assert errors == []
    assert len(warnings) == 1
    where = "mask" if masked else "volume"
    assert warnings[0].startswith(f"f: found nothing but 0 in 99.7% of the {where} (channel c)")


def test_nan_outside_the_mask_counts_as_0_and_is_counted(cohort: OddCohort) -> None:
    mask = exam_of(1)["mask"]
    outside = int((mask == 0).sum())

    def spoiled(data: NDArray[Any]) -> Any:
        return nifti(np.where(mask > 0, data, np.nan).astype(np.float32))

    before, scan = cohort.class_means(), cohort.exam("p2").channels["t2"].sha256
    cohort.change("p2", "t2", spoiled)
    problems, (warning,) = cohort.words()
    assert problems == []
    assert warning.startswith(
        f"p2/t2.nii.gz: found {outside} voxels outside the mask that are NaN or infinite (channel t2)"
    )
    assert cohort.exam("p2").channels["t2"].filled == outside
    assert cohort.class_means() == before
    assert cohort.exam("p2").channels["t2"].sha256 == scan  # whose air is 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_nan_inside_the_mask_is_refused_with_its_share(cohort: OddCohort, value: float) -> None:
    inside = np.argwhere(exam_of(1)["mask"])

    def spoiled(data: NDArray[Any]) -> Any:
        data = data.astype(np.float64)
        data[tuple(inside[:20].T)] = value
        return nifti(data)

    cohort.change("p2", "t2", spoiled)
    (problem,), _ = cohort.words()
    assert problem.startswith(
        "p2/t2.nii.gz: found 20 voxels that are NaN, infinite or beyond 32-bit floats inside the mask "
        f"({20 / len(inside):.2%} of it); expected finite values inside the mask"
    )
    (problem,), _ = cohort.words(mask=None, ignore=["**/mask*"])
    assert problem.startswith(
        "p2/t2.nii.gz: found 20 voxels that are NaN, infinite or beyond 32-bit floats; expected"
    )
    assert "or give cohort.mask: outside of it they do not matter" in problem


CHANNELS = ["t1", "t2", {"name": "adc", "normalisation": "none"}]


@pytest.mark.parametrize(
    ("factor", "refused"), [(1.0, None), (3.0, None), (6.0, False), (40.0, True), (1 / 50, True)]
)
def test_a_map_whose_values_are_unlike_the_other_exams_is_said_or_refused(
    cohort: OddCohort, factor: float, refused: bool | None
) -> None:
    cohort.change("p2", "adc", lambda data: nifti(data * np.float32(factor)))
    problems, warnings = cohort.words(channels=CHANNELS)
    assert len(problems) == (refused is True)
    assert len(warnings) == (refused is False)
    for line in problems + warnings:
        assert line.startswith("p2/adc.nii.gz: found values ")
        assert float(line.split("values ")[1].split(" times")[0]) == pytest.approx(factor, rel=0.1)
        assert "times those of the other exams (median" in line
    assert all("it would be like the others: correct the file's unit" in line for line in problems)


def test_half_the_maps_in_another_unit_are_refused_though_none_is_the_odd_one(cohort: OddCohort) -> None:
    for patient in ("p1", "p2"):
        cohort.change(patient, "adc", lambda data: nifti(data * np.float32(1000)))
    problems, _ = cohort.words(channels=CHANNELS)
    assert [problem.split(":")[0] for problem in problems] == [f"p{n}/adc.nii.gz" for n in (1, 2, 3, 4)]


def test_a_mask_unlike_the_other_exams_is_said_for_each_channel_that_is_scaled_over_it(
    cohort: OddCohort,
) -> None:
    cohort.write("p2", "mask", nifti(np.ones(SHAPE, np.uint8)))
    problems, warnings = cohort.words()
    assert problems == []
    assert [
        warning.split(";")[0].split("(")[1]
        for warning in warnings
        if "a region of 100% of the volume" in warning
    ] == [
        "channel t1)",
        "channel t2)",
    ]


def test_another_contrast_is_said(cohort: OddCohort) -> None:
    """One extreme voxel squeezes all others."""

    def extreme(data: NDArray[Any]) -> Any:
        data = data.copy()
        data[10, 10, 6] = 1e6
        return nifti(data)

    cohort.change("p2", "t1", extreme)
    problems, (warning,) = cohort.words()
    assert problems == []
    assert warning.startswith("p2/t1.nii.gz: found normalised values from ")
    assert "extreme voxels (try percentile)" in warning


def test_of_two_exams_neither_is_the_odd_one() -> None:
    one, other = (
        found_in(ramp(1, 2), channel(normalisation="none")),
        found_in(ramp(1e4, 2e4), channel(normalisation="none")),
    )
    assert beside_others(channel(normalisation="none"), {"a": ("a", one), "b": ("b", other)}) == ([], [])
