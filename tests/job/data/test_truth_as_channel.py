"""The truth among the channels: it would teach every network what it is tested on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.job.data.odd_cohorts import AFFINE, SHAPE, OddCohort, nifti, sound_cohort

PATIENTS = ("p1", "p2", "p3")
CHANNELS: dict[str, Any] = {"channels": ["t1", "t2", {"name": "seg", "normalisation": "none"}]}
WITHOUT_MASK = {"mask": None}


@pytest.fixture
def cohort(tmp_path: Path) -> OddCohort:
    """Exams of which the tumour has the values 1 and 4, which are one class."""
    odd = sound_cohort(tmp_path / "cohort", PATIENTS)
    for patient in PATIENTS:
        odd.change(
            patient,
            "label",
            lambda data: nifti(data * np.uint8([1, 4])[np.arange(len(data)) % 2, None, None]),
        )
    return odd


def add_seg(
    odd: OddCohort, make: Callable[[NDArray[Any], NDArray[Any]], nib.Nifti1Image | bytes]
) -> dict[str, Any]:
    """Writes a third channel, made of labels and mask; the cohort's settings for it."""
    for patient in PATIENTS:
        label, mask = (np.asarray(nib.load(odd.file(patient, name)).dataobj) for name in ("label", "mask"))
        odd.write(patient, "seg", make(label, mask))
    return CHANNELS | {"classes": {"tumour": [1, 4]}}


def refused(odd: OddCohort, settings: dict[str, Any]) -> list[str]:
    """What was found, for each exam."""
    lines = odd.words(**settings)[0]
    assert all(line.endswith("which have found the truth; or remove the channel") for line in lines)
    return [line.split("found ")[1].split("; expected")[0] for line in lines]


@pytest.mark.parametrize("mask", [{}, WITHOUT_MASK], ids=["mask", "no mask"])
@pytest.mark.parametrize(
    "make",
    [
        lambda label, _: nifti(label),
        lambda label, _: nifti(label.astype(np.float64)),
        lambda label, _: nib.as_closest_canonical(nifti(label.astype(np.int32))),
        lambda label, _: nifti(label.astype(np.int16), scl_slope=1.0),
    ],
    ids=["copied", "as floats", "along other axes", "as integers"],
)
def test_a_channel_with_the_values_of_the_label_map_is_refused(
    cohort: OddCohort, make: Any, mask: dict[str, Any]
) -> None:
    found = refused(cohort, add_seg(cohort, make) | mask)
    assert found == [f"the values of {patient}/label.nii.gz (channel seg)" for patient in PATIENTS]


def test_the_same_bytes_are_refused_where_exams_are_resampled(cohort: OddCohort) -> None:
    """Interpolated, they have other values than the labels, which are not."""
    settings = add_seg(cohort, lambda label, _: nifti(label)) | {"resample_to": "t2"}
    for patient in PATIENTS:
        cohort.change(
            patient, "t2", lambda data: nifti(data[:, :, ::2].copy(), AFFINE @ np.diag([1, 1, 2, 1]))
        )
    assert refused(cohort, settings) == [f"the values of {p}/label.nii.gz (channel seg)" for p in PATIENTS]


def test_a_channel_with_the_values_of_the_mask_or_of_a_file_of_a_class_is_refused(cohort: OddCohort) -> None:
    settings = add_seg(cohort, lambda _, mask: nifti(mask.astype(np.float32)))
    assert refused(cohort, settings)[0] == "the values of p1/mask.nii.gz (channel seg)"
    settings = add_seg(cohort, lambda label, _: nifti(np.float32(label > 0)))
    for patient in PATIENTS:
        cohort.change(patient, "label", lambda data: nifti(np.uint8(data > 0)))
    found = refused(cohort, settings | {"labels": "{patient}/{class}.nii.gz", "classes": {"tumour": "label"}})
    assert found[0] == "the values of p1/label.nii.gz (channel seg)"


@pytest.mark.parametrize("mask", [{}, WITHOUT_MASK], ids=["mask", "no mask"])
def test_the_truth_under_other_numbers_is_refused(cohort: OddCohort, mask: dict[str, Any]) -> None:
    """As a probability of 0.1 to 0.9, or the values of both parts put together."""
    settings = add_seg(cohort, lambda label, _: nifti(np.where(label > 0, 0.9, 0.1).astype(np.float32)))
    expected = ["one value for each class of the labels, and one for the rest (channel seg)"] * 3
    assert refused(cohort, settings | mask) == expected
    one_voxel = add_seg(cohort, lambda label, _: nifti(but_one_voxel(np.where(label > 0, 0.9, 0.1))))
    assert refused(cohort, one_voxel | mask) == []


def but_one_voxel(image: NDArray[np.float64]) -> NDArray[np.float32]:
    image[12, 10, 5] = 0.5
    return image.astype(np.float32)


def test_a_channel_of_at_most_8_integers_is_said(cohort: OddCohort) -> None:
    """A segmentation of tissues, say; the labels are in none of its parts."""

    def tissues(count: int, dtype: Any = np.int16, low: float = 3) -> dict[str, Any]:
        def make(label: NDArray[Any], mask: NDArray[Any]) -> nib.Nifti1Image:
            stripes = (
                low + (np.arange(SHAPE[1]) + int(np.argwhere(label).sum())) % count
            )  # other ones in each exam
            return nifti((mask * stripes[:, None]).astype(dtype))

        return add_seg(cohort, make)

    def said(settings: dict[str, Any]) -> list[str]:
        problems, warnings = cohort.words(**settings)
        assert problems == []
        return [line.split("; expected")[0] for line in warnings if "whole region" in line]

    values = "8 values in the whole region: 3, 4, 5, 6, 7, 8, 9, 10"
    expected = [f"{patient}/seg.nii.gz: found {values} (channel seg)" for patient in PATIENTS]
    assert said(tissues(8)) == expected
    assert said(tissues(8, np.float32)) == expected
    assert said(tissues(9)) == []
    assert said(tissues(4, np.float32, low=1.5)) == []
