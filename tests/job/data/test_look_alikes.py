"""An expected path and a name beside it: whether the one may be meant by the other."""

import pytest

from job.data.look_alikes import LookAlikes


@pytest.mark.parametrize(
    ("expected", "there"),
    [
        ("P3/T1 post Gd.nii.gz", "P3/T1 post gd.nii.gz"),
        ("P3/T1 post Gd.nii.gz", "P3/T1_post_Gd.nii.gz"),
        ("P3/T1 post Gd.nii.gz", "P3/T1postGd.nii.gz"),
        ("P3/t1.nii.gz", "P3/t1 .nii.gz"),
        ("P3/t1.nii.gz", "P3/T1.NII.GZ"),
        ("P3/t1.nii.gz", "P3/t1.nii"),
        ("P3/t1.nii.gz", "P3/t1_2.nii.gz"),
        ("P3/t1.nii.gz", "P3/t1 (1).nii.gz"),
        ("P3/ADC.nii.gz", "P3/adc_2.nii.gz"),
        ("P3/ADC.nii.gz", "P3/adc2.nii.gz"),
        ("P3/label.nii.gz", "p3/Label.nii.gz"),
        ("P3/*_t1_[0-9]*.nii.gz", "P3/2019_T1_4.nii.gz"),
        ("*/P3/t1.nii.gz", "site/P3/T1.nii.gz"),
        ("t1/P3.nii.gz", "T1/P3.nii.gz"),
        ("P3_t1.nii.gz", "P3-t1.nii.gz"),
    ],
)
def test_a_name_that_differs_by_case_blanks_a_number_or_its_ending_may_be_meant(
    expected: str, there: str
) -> None:
    assert LookAlikes(["P3/readme.txt", there, "P4/t1.nii.gz"]).of(expected) == there


@pytest.mark.parametrize(
    ("expected", "there"),
    [
        ("P3/t1.nii.gz", "P3/t2.nii.gz"),
        ("P3/t1.nii.gz", "P3/t1c.nii.gz"),
        ("P3/t1.nii.gz", "P3/t1_post.nii.gz"),
        ("P3/t1.nii.gz", "P4/T1.nii.gz"),
        ("P3_0000.nii.gz", "P3_0004.nii.gz"),
        ("P3/ADC.nii.gz", "P3/ADC map.nii.gz"),
        ("P3/gtv1.nii.gz", "P3/gtv2.nii.gz"),
        ("P3/*.nii.gz", "P3/anything.nii.gz"),
    ],
)
def test_other_names_are_others(expected: str, there: str) -> None:
    assert LookAlikes([there]).of(expected) is None
