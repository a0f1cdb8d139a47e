"""Maps that say nothing, in another unit, or unlike other exams': refused where they cannot be right, else said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from job.contract.cohort import Channel
from job.data.channel_statistics import ChannelStatistics, statistics
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
    return statistics(region, normalise(region, own), own)


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


def ball(radius: float, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """A ball in the middle of a volume, whose half edges are 1."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij"), axis=-1)
    inside: NDArray[np.bool_] = (grid**2).sum(axis=-1) < radius**2
    return inside


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
        (2, 900, "of the voxels that are not background 100% at or above 1: from 46.9 to 855.1, median 451",
         "the values times 0.001 would fit: multiply the file by it, or if all exams are in this unit, write range = "
         "[0, 1000]"),
        (1e-5, 9e-4, "values that use 0.0008 of the range: from 5.45e-05 to 0.0008555",
         "the values times 1000 would fit: multiply the file by it, or if all exams are in this unit, write range = "
         "[0, 0.001]"),
        (2e-4, 9e-3, "values that use 0.0079 of the range: from 0.00064 to 0.00856",
         "the values times 60 would fit: multiply the file by it, or if all exams are in this unit, write range = "
         "[0, 0.0166667]"),
        (2, 90, "of the voxels that are not background 100% at or above 1: from 6.4 to 85.6",
         "the values times 0.01 would fit"),
        (-9, -2, "of the voxels that are not background 100% at or below 0: from -8.65 to -2.35",
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


@pytest.mark.parametrize("radius", [0.35, 0.6, 0.95])
@pytest.mark.parametrize("window", [[-160, 240], [-100, 300], [0, 80], [-1000, 400]])
def test_a_window_of_ct_is_right_however_much_air_is_around(radius: float, window: list[float]) -> None:
    """A body of 2 to 45 % of the volume in noisy air, which the window's lower end is to take away."""
    draws = np.random.default_rng(0)
    inside = ball(radius, (30, 40, 40))
    image = np.where(inside, draws.normal(40, 30, inside.shape), draws.normal(-1000, 15, inside.shape))
    assert said_of(np.rint(image), channel(normalisation="fixed", range=window)) == ([], [])


def test_a_map_that_is_clipped_at_the_top_in_more_than_half_is_said() -> None:
    errors, warnings = said_of(ramp(0.1, 2.6), channel(**FIXED))
    assert errors == []
    assert len(warnings) == 1
    assert warnings[0].startswith(
        "f: found of the voxels that are not background 64% at or above 1: from 0.225 to"
    )
    assert warnings[0].endswith("; correct the file, or write the range that the values have")
    assert said_of(ramp(0.1, 1.8), channel(**FIXED)) == ([], [])
    assert said_of(ramp(-1.6, 0.9), channel(**FIXED)) == ([], [])


def test_a_map_whose_values_are_beyond_both_ends_is_refused() -> None:
    """The range would leave two values of it: three quarters 0, a quarter 1."""
    image = ramp(-3, 1)
    image[image > 0] += 1
    (problem,), _ = said_of(image, channel(**FIXED))
    assert "of the voxels that are not background 75% at or below 0 and 25% at or above 1: from " in problem


@pytest.mark.parametrize(
    ("low", "high", "range_", "factor"),
    [
        (-1000, 1000, [-1, 1], "0.001"),  # thousands
        (-300, 3000, [2e5, 4e5], None),  # 100 would be a unit of maps that are never below 0
        (-50, 400, [5000, 30000], None),
        (300, 3000, [-200, 200], None),
        (30, 300, [2000, 20000], "60"),
    ],
)
def test_units_of_values_below_0_differ_by_thousands_only(
    low: float, high: float, range_: list[float], factor: str | None
) -> None:
    (problem,), _ = said_of(ramp(low, high), channel(normalisation="fixed", range=range_))
    assert problem.startswith("f: found of the voxels that are not background ")
    assert ("would fit" in problem) == (factor is not None)
    assert factor is None or f"the values times {factor} would fit" in problem


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
    assert warning.startswith(
        "f: found no value that most of the border has and hardly any voxel nearly has (channel c)"
    )
    assert "give a mask (body, brain)" in warning
    assert said_of(noise, channel(), np.ones((10, 10, 10), np.uint8)) == ([], [])


def body(value: float, sd: float) -> NDArray[np.float64]:
    """A ball of an eighth of a volume, in nothing."""
    draws = np.random.default_rng(1).normal(value, sd, (40, 40, 40))
    return np.where(ball(0.62, (40, 40, 40)), np.rint(draws), 0)


def air(sd: float, rounded: Callable[[Any], Any]) -> NDArray[np.float64]:
    """The size of complex noise, as integers (Gudbjartsson and Patz, MRM 1995)."""
    draws = np.random.default_rng(2)
    real, imaginary = draws.normal(0, sd, (2, 40, 40, 40))
    return np.asarray(rounded(np.hypot(real, imaginary)), np.float64)


@pytest.mark.parametrize(
    ("sd", "rounded", "value", "share"),
    [(2, np.rint, 0, 0.03), (1, np.rint, 1, 0.56), (0.5, np.floor, 0, 0.86)],
)
def test_a_tail_of_noise_is_no_background(
    sd: float, rounded: Callable[[Any], Any], value: float, share: float
) -> None:
    """Else the channel would be scaled over the air that happened not to be rounded to it."""
    image = np.where(body(400, 60) > 0, body(400, 60), air(sd, rounded))
    assert np.mean(image[0] == value) == pytest.approx(share, abs=0.02)
    errors, (warning,) = said_of(image, channel())
    assert errors == []
    assert warning.startswith("f: found no value that most of the border has and hardly any voxel nearly has")
    assert found_in(image, channel()).background is None


def test_the_waves_of_cubic_interpolation_are_no_background() -> None:
    """Far from the body they fade to 0, near it they do not: a fifth of the volume would be scaled with it."""
    image = ndimage.shift(body(400, 60), 0.5, order=3)
    assert found_in(image, channel()).background is None
    straight = ndimage.shift(body(400, 60), 0.5, order=1)
    assert found_in(straight, channel()).background == 0


@pytest.mark.parametrize("value", [0.0, -1024.0, -3.1607306])
def test_a_body_that_is_cut_at_the_border_has_a_background(value: float) -> None:
    """A slab through its middle: a third of the faces is body, with voxels at its edge that are part air."""
    image = ndimage.shift(body(400, 60), 0.3, order=1)[17:23, 4:-4, 4:-4] + value
    faces = np.concatenate([np.take(image, end, axis).ravel() for axis in range(3) for end in (0, -1)])
    assert 0.5 < np.mean(faces == value) < 0.7
    assert found_in(image, channel()).background == pytest.approx(value)


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


@pytest.mark.parametrize(
    "settings", [{"normalisation": "fixed", "range": [-1024, 976]}, {"normalisation": "none"}]
)
def test_a_map_that_is_mostly_air_names_the_air(settings: dict[str, Any]) -> None:
    image = np.full((20, 20, 20), -1024.0)
    image[9:12, 9:12, 9:12] = np.linspace(-900, 900, 27).reshape(3, 3, 3)
    errors, warnings = said_of(image, channel(**settings))
    assert errors == []
    assert any(
        w.startswith("f: found nothing but -1024 in 99.7% of the volume (channel c)") for w in warnings
    )


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


def test_an_image_that_is_cut_off_is_said(cohort: OddCohort) -> None:
    """Its tumour, the brightest tenth, has one value: in one exam the contrast to the others is lost."""
    cohort.change("p2", "t1", lambda data: nifti(np.minimum(data * 0.6, 255).astype(np.uint8)))
    problems, (warning,) = cohort.words()
    assert problems == []
    assert warning.startswith(
        "p2/t1.nii.gz: found one value, 255, in the highest 5 % or more of the voxels that are"
    )


def test_a_label_map_as_a_channel_is_said(cohort: OddCohort) -> None:
    cohort.write("p2", "t1", nifti(np.roll(exam_of(1)["label"], 1, axis=0)))  # another's: else it is an error
    problems, warnings = cohort.words()
    assert problems == []
    assert any(w.startswith("p2/t1.nii.gz: found one value, 1, in the highest 5 % or more") for w in warnings)


def test_masks_that_are_all_of_every_volume_are_said_once(cohort: OddCohort) -> None:
    nearly_all = np.ones(SHAPE, np.uint8)
    nearly_all[0, 0, :] = 0  # 12 of 5760 voxels
    for patient in ("p1", "p2", "p3"):
        cohort.write(patient, "mask", nifti(nearly_all))
    assert [warning for warning in cohort.words()[1] if "in all" in warning] == []
    cohort.write("p4", "mask", nifti(np.ones(SHAPE, np.uint8)))
    problems, (warning,) = cohort.words()
    assert problems == []
    assert warning.startswith(
        "{patient}/mask.nii.gz: found masks that are 99.8% of the volume, or more, in all 4 exams; expected masks of "
        "a part of it (body, brain); the channels are scaled over the air too"
    )


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
