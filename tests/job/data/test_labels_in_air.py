"""Labels that lie where no channel shows anything, in cohorts without masks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from job.contract.cohort import Channel
from job.contract.errors import DataError
from job.data.labels_in_air import Air
from job.data.normalisation import region_of
from tests.job.data.odd_cohorts import SHAPE, OddCohort, exam_of, nifti, sound_cohort

BODY = np.zeros((30, 30, 30), bool)
BODY[8:22, 8:22, 8:22] = True
IMAGE = np.where(BODY, np.random.default_rng(0).normal(300, 40, BODY.shape), 0)


def said_of(label: NDArray[np.uint8], *images: NDArray[Any], **settings: Any) -> tuple[list[str], list[str]]:
    """Problems and warnings about an exam of 1 mm with channels of these images."""
    air, own = Air(), Channel.model_validate({"name": "c"} | settings)
    for image in images:
        values = image.astype(np.float32)
        air.also(region_of(values, None, own), values, own)
    try:
        return [], [str(w) for w in air.labelled(label, [("a", "f"), ("b", "f")], (1.0, 1.0, 1.0))]
    except DataError as error:
        return [str(problem) for problem in error.problems], []


def block(*where: slice, of: int = 1) -> NDArray[np.uint8]:
    label = np.zeros(BODY.shape, np.uint8)
    label[where] = of
    return label


def test_labels_in_a_corner_are_a_problem() -> None:
    (problem,), _ = said_of(block(np.s_[0:3], np.s_[0:3], np.s_[0:3], of=2), IMAGE)
    assert problem.startswith(
        "f: found 27 of 27 voxels of class b in the air (100.00%), where every channel is background; 27 of them are "
        "more than 5 mm from the body; expected labels where the patient is; flipped, under a wrong header, or "
        "another exam's? look at the page of"
    )


@pytest.mark.parametrize("first", [4, 5])
def test_a_rim_is_said_and_no_problem(first: int) -> None:
    """Columns of the label begin 4 or 3 voxels before the body, whose first is 8: none is 5 mm away."""
    problems, (warning,) = said_of(block(np.s_[first:18], np.s_[10:20], np.s_[10:20]), IMAGE)
    assert problems == []
    share = (8 - first) / (18 - first)
    assert warning.startswith(
        f"f: found {100 * (8 - first)} of {100 * (18 - first)} voxels of class a in the air ({share:.2%}), where "
        "every channel is background; expected labels where the channels show something"
    )


def test_what_is_further_from_the_body_than_a_rim_counts_by_itself() -> None:
    """Columns 0 to 2 are 8 to 6 mm from the first of the body: 300 voxels of 1800 are more than a hundredth."""
    (problem,), _ = said_of(block(np.s_[0:18], np.s_[10:20], np.s_[10:20]), IMAGE)
    assert "800 of 1800 voxels of class a in the air (44.44%)" in problem
    assert "300 of them are more than 5 mm from the body" in problem


def test_zeros_inside_the_body_are_no_air() -> None:
    """A necrosis of 0, as in a map of blood volume."""
    hollow = IMAGE.copy()
    hollow[10:20, 10:20, 10:20] = 0
    assert said_of(block(np.s_[10:20], np.s_[10:20], np.s_[10:20]), hollow) == ([], [])


def test_a_voxel_is_in_the_air_only_if_no_channel_shows_it() -> None:
    wide = np.where(np.roll(BODY, 8, axis=0), IMAGE + 300, 0)
    label = block(np.s_[22:28], np.s_[10:20], np.s_[10:20])
    assert len(said_of(label, IMAGE)[0]) == 1
    assert said_of(label, IMAGE, wide) == ([], [])


def test_an_image_without_a_background_shows_something_everywhere() -> None:
    noisy = np.random.default_rng(1).normal(100, 10, BODY.shape)
    label = block(np.s_[0:3], np.s_[0:3], np.s_[0:3])
    assert said_of(label, noisy) == ([], [])
    assert said_of(label, IMAGE, noisy) == said_of(label, noisy, IMAGE) == ([], [])


@pytest.mark.parametrize(
    "settings", [{"normalisation": "none"}, {"normalisation": "fixed", "range": [0, 900]}]
)
def test_maps_alone_are_no_problem_since_their_zeros_may_be_values(settings: dict[str, Any]) -> None:
    problems, (warning,) = said_of(block(np.s_[0:3], np.s_[0:3], np.s_[0:3]), IMAGE, **settings)
    assert problems == []
    assert warning.startswith("f: found 27 of 27 voxels of class a in the air")


@pytest.fixture
def cohort(tmp_path: Path) -> OddCohort:
    return sound_cohort(tmp_path / "cohort", ("p1", "p2", "p3", "p4"))


def test_an_exam_with_its_labels_in_the_air_is_refused(cohort: OddCohort) -> None:
    label = np.zeros(SHAPE, np.uint8)
    label[:4, :4, :2] = 1
    cohort.write("p2", "label", nifti(label))
    (problem,), _ = cohort.words(mask=None, ignore=["**/mask*"])
    assert problem.startswith("p2/label.nii.gz: found 32 of 32 voxels of class tumour in the air (100.00%)")


def test_maps_that_are_cut_to_the_tumour_are_no_reason_for_a_word(cohort: OddCohort) -> None:
    for seed, patient in enumerate(("p1", "p2", "p3", "p4")):
        tumour = exam_of(seed)["label"] > 0
        cohort.change(patient, "adc", lambda data, t=tumour: nifti(np.where(t, data, 0).astype(np.float32)))
    assert [w for w in cohort.words(mask=None, ignore=["**/mask*"])[1] if "air" in w] == []


def test_labels_and_a_mask_that_do_not_lie_in_one_place_are_not_mended_without_it(cohort: OddCohort) -> None:
    label = np.zeros(SHAPE, np.uint8)
    label[:4, :4, :2] = 1
    label[8:16, 8:12, 4:8] = 1
    cohort.write("p2", "label", nifti(label))
    (problem,), _ = cohort.words()
    assert "found 32 of 160 voxels of class tumour outside the mask (20.00%)" in problem
    assert problem.endswith(
        "; the labels or the mask may be flipped, or another exam's: look at the page of `submit check --output`"
    )
