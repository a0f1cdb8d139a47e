"""How an exam's channels and labels go together: numbers that are right by hand, and exams that have others."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from job.contract.cohort import Channel
from job.data.channel_statistics import statistics
from job.data.likeness import ExamLikeness, Likeness
from job.data.normalisation import normalise, region_of
from job.data.prepare import prepare_cohort
from job.data.unlike_exams import Suspect, suspects
from job.storage.local import LocalStorage
from tests.job.data.odd_cohorts import SHAPE, OddCohort, nifti, study

PATIENTS = ("p1", "p2", "p3", "p4", "p5", "p6", "p7")
WHOLE: dict[str, Any] = {"mask": None, "classes": {"core": 1, "node": 2}}


def likeness_of(
    label: NDArray[np.uint8], *images: NDArray[Any], mask: NDArray[np.uint8] | None = None
) -> Likeness:
    own, numbers = Channel(name="c"), ExamLikeness(label, 2)
    for image in images:
        values = image.astype(np.float32)
        region = region_of(values, mask, own)
        numbers.take(values, region, statistics(region, normalise(region, own), own))
    return numbers.numbers()


def ramp() -> NDArray[np.float64]:
    """1000 voxels in a shell of 0, from 1 to 1000; the region's median is 500.5, 5 to 95 % are 50.95 to 950.05."""
    image = np.zeros((12, 12, 12))
    image[1:-1, 1:-1, 1:-1] = np.arange(1, 1001).reshape(10, 10, 10)
    return image


def test_the_contrast_of_a_class_is_in_robust_sds_of_the_region() -> None:
    """The first class has the values 901 to 1000, whose median is 950.5: 450 above, where 3.29 SDs are 899.1."""
    label = np.zeros((12, 12, 12), np.uint8)
    label[10, 1:11, 1:11] = 1
    label[1, 1, 1:5] = 2  # too few to say anything
    (core,), (node,) = likeness_of(label, ramp()).contrasts
    assert core == pytest.approx(450 / (899.1 / 3.29), abs=1e-5)
    assert node is None


def test_channels_of_one_tissue_correlate_and_those_of_another_order_do_not() -> None:
    image = ramp()
    inverse = np.where(image > 0, 1001 - image, 0)
    mixed = image.copy()
    mixed[1:-1, 1:-1, 1:-1] = np.random.default_rng(0).permutation(np.arange(1, 1001)).reshape(10, 10, 10)
    found = likeness_of(np.zeros((12, 12, 12), np.uint8), image, 3 * image + 7 * (image > 0), inverse, mixed)
    assert found.correlations[0] == pytest.approx(1)
    assert found.correlations[1] == pytest.approx(-1)
    assert found.correlations[2] == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("masked", [False, True])
def test_bodies_overlap_by_what_they_share(masked: bool) -> None:
    """One lacks 2 of 10 columns: 2 x 800 / 1800, also where a mask says that all are inside."""
    image = ramp()
    cut = image.copy()
    cut[9:] = 0
    mask = np.ones((12, 12, 12), np.uint8) if masked else None
    found = likeness_of(np.zeros((12, 12, 12), np.uint8), image, image, cut, mask=mask)
    assert found.overlaps == pytest.approx((1.0, 8 / 9, 8 / 9), abs=1e-6)


def exam(seed: int) -> dict[str, NDArray[Any]]:
    """A head of its own width with dark and bright tissue, which t1 and t2 show the other way round; two tumours."""
    draws = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, size) for size in SHAPE), indexing="ij"), axis=-1)
    body = ((grid / draws.uniform([0.7, 0.7, 0.8], [0.95, 0.95, 1.0])) ** 2).sum(axis=-1) < 1
    tissue = ndimage.gaussian_filter(draws.standard_normal(SHAPE), 1.5)
    tissue = np.where(body, tissue / tissue.std(), 0)
    label = np.zeros(SHAPE, np.uint8)
    for number, side in ((1, 1), (2, -1)):
        centre = [side * 0.3, draws.uniform(0.3, 0.4), draws.uniform(-0.1, 0.1)]
        label[(((grid - centre) / [0.25, 0.25, 0.5]) ** 2).sum(axis=-1) < 1] = number

    def image(of_tissue: float, core: float, node: float) -> NDArray[np.float32]:
        values = 300 + of_tissue * tissue + 10 * draws.standard_normal(SHAPE)
        return np.where(body, values + core * (label == 1) + node * (label == 2), 0).astype(np.float32)

    t1, t2 = image(40, -30, -20), image(-40, 120, 60)
    return {"t1": t1, "t2": t2, "adc": image(10, 90, -60) / np.float32(300), "label": label}


@pytest.fixture
def cohort(tmp_path: Path) -> OddCohort:
    own = OddCohort(tmp_path / "cohort")
    for seed, patient in enumerate(PATIENTS):
        for name, data in exam(seed).items():
            own.write(patient, name, nifti(data))
    return own


def exchange(cohort: OddCohort, one: tuple[str, str], other: tuple[str, str]) -> None:
    files = cohort.file(*one), cohort.file(*other)
    first, second = (file.read_bytes() for file in files)
    files[0].write_bytes(second)
    files[1].write_bytes(first)


def test_sound_exams_are_not_mentioned(cohort: OddCohort) -> None:
    assert cohort.words(**WHOLE) == ([], [])


def test_exchanged_channels_of_an_exam_are_said(cohort: OddCohort) -> None:
    exchange(cohort, ("p3", "t1"), ("p3", "t2"))
    problems, (warning,) = cohort.words(**WHOLE)
    assert problems == []
    assert warning.startswith(
        "p3/t1.nii.gz: found t1 and t2, each of which looks as the other does in the other exams"
    )
    assert warning.endswith(
        "; exchanged channels? Look at exam p3 on the page of `submit check --output`; it may be right"
    )


def test_a_channel_of_another_patient_is_said(cohort: OddCohort) -> None:
    exchange(cohort, ("p3", "adc"), ("p5", "adc"))
    problems, warnings = cohort.words(**WHOLE)
    assert problems == []
    assert [warning.split(" by 0.")[0] for warning in warnings] == [
        f"{patient}/adc.nii.gz: found t1 and adc whose bodies overlap" for patient in ("p3", "p5")
    ]
    assert all(
        "exchanged channels, a flip, a file that is not registered, or another patient's?" in w
        for w in warnings
    )


FLIPS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "to the other side": lambda label: label[::-1],
    "front to back": lambda label: label[:, ::-1],
    "by another coding": lambda label: np.where(label > 0, 3 - label, 0).astype(np.uint8),
}


@pytest.mark.parametrize("how", FLIPS)
def test_labels_that_are_flipped_or_exchanged_are_said(cohort: OddCohort, how: str) -> None:
    """Each tumour has a side of its own, so that a flip to the other side exchanges them too, nearly."""
    cohort.change("p3", "label", lambda data: nifti(np.ascontiguousarray(FLIPS[how](data))))
    problems, (warning,) = cohort.words(**WHOLE)
    assert problems == []
    assert warning.startswith("p3/label.nii.gz: found ")
    assert ("each of which looks as the other does" in warning) == (how != "front to back")


def usual(**changes: Any) -> Likeness:
    return replace(
        Likeness(correlations=(0.8,), overlaps=(0.99,), contrasts=((2.0, 1.0), (-1.0, 0.5))), **changes
    )


def said(odd: Likeness, others: int = 7) -> Suspect | None:
    exams = [usual(correlations=(0.8 + 0.01 * n,), overlaps=(0.99 - 0.001 * n,)) for n in range(others)]
    *rest, last = suspects([*exams, odd], ["a", "b"], ["core", "node"])
    assert rest == [None] * others
    return last


def test_a_correlation_of_another_sign_is_said_with_those_of_the_others() -> None:
    found = said(usual(correlations=(-0.23,)))
    assert found is not None
    assert found.found == "a and b that correlate by -0.23"
    assert found.expected == "0.81 to 0.85, as in the other exams"
    assert found.channels == (0, 1)


@pytest.mark.parametrize(
    "likeness",
    [
        usual(correlations=(0.55,)),
        usual(overlaps=(0.95,)),
        usual(contrasts=((1.0, 0.5), (-0.5, 0.2))),  # half of the usual contrast
        usual(contrasts=((2.0, 1.0), (0.9, -0.4))),  # one class of two is shown
        usual(contrasts=((None, None), (None, None)), correlations=(None,), overlaps=(None,)),
    ],
)
def test_what_real_exams_differ_by_is_not_said(likeness: Likeness) -> None:
    assert said(likeness) is None


def test_of_few_exams_any_may_be_the_odd_one() -> None:
    assert said(usual(correlations=(-0.23,)), others=4) is not None
    assert said(usual(correlations=(-0.23,)), others=3) is None


def test_exams_that_are_many_are_a_group_of_their_own() -> None:
    one, other = usual(), usual(overlaps=(0.85,))
    assert suspects([one] * 8 + [other] * 2, ["a", "b"], ["core", "node"]).count(None) == 8
    assert suspects([one] * 7 + [other] * 3, ["a", "b"], ["core", "node"]) == [None] * 10


def test_maps_of_a_part_have_no_body_to_compare() -> None:
    maps = [usual(overlaps=(0.1 * n,), correlations=(0.3 * n - 0.9,)) for n in range(7)]
    assert suspects(maps, ["a", "b"], ["core", "node"]) == [None] * 7


def test_the_store_says_the_same_as_a_check(cohort: OddCohort) -> None:
    exchange(cohort, ("p3", "t1"), ("p3", "t2"))
    source, store = LocalStorage(cohort.root), LocalStorage(cohort.root.parent / "store")
    for _ in range(2):  # as made, and as read from the records
        done = prepare_cohort(source, store, study(**WHOLE), workers=2, progress=lambda *_: None)
        assert [str(warning) for warning in done.warnings] == cohort.words(**WHOLE)[1] != []
