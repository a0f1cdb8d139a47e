"""Files that a greedy pattern takes for what they are not: known by names unlike those of other exams."""

from collections.abc import Iterable
from typing import Any

import pytest

from job.contract.cohort import Cohort
from job.contract.errors import Problem
from job.data.cohort_files import find_exams
from job.data.name_forms import odd_forms
from job.storage import StoredObject

GREEDY: dict[str, Any] = {
    "root": ".",
    "pattern": "{patient}/*{channel}*.nii.gz",
    "labels": "{patient}/*label*.nii.gz",
    "channels": ["t1", "t2", "adc"],
    "classes": {"tumour": 1},
}
PATIENTS = [f"p{n}" for n in range(1, 7)]


def odd(keys: Iterable[str], **changes: Any) -> list[Problem]:
    cohort = Cohort.model_validate(GREEDY | changes)
    objects = [StoredObject(key=f"{key}.nii.gz", size_bytes=1, fingerprint="") for key in keys]
    return odd_forms(find_exams(objects, cohort), cohort)


def keys(patients: Iterable[str] = PATIENTS, form: str = "{p}/{role}", **odd_ones: str) -> list[str]:
    """Keys of exams; by role and patient, as `t1_p5`, the form of the name of one file."""
    return [
        odd_ones.get(f"{role}_{p}", form).format(p=p, role=role, n=n)
        for n, p in enumerate(patients)
        for role in ("t1", "t2", "adc", "label")
    ]


@pytest.mark.parametrize("role", ["t1", "adc", "label"])
def test_another_contrast_in_one_exam_is_said(role: str) -> None:
    (warning,) = odd(keys(**{f"{role}_p5": "{p}/{role}_post"}))
    assert warning.file == f"p5/{role}_post.nii.gz"
    name = "labels" if role == "label" else f"channel {role}"
    assert warning.found == (
        f"{name} of 1 exam under a name of another form than in the 5 others (p1/{role}.nii.gz, say)"
    )


def test_files_of_classes_and_masks_have_forms_too() -> None:
    files = [f"{p}/{name}" for p in PATIENTS for name in ("t1", "t2", "adc")]
    files += [f"{p}/{'gtv_old' if p == 'p2' else 'gtv'}" for p in PATIENTS]
    files += [f"{p}/{'mask_dilated' if p == 'p3' else 'mask'}" for p in PATIENTS]
    found = odd(files, labels="{patient}/*{class}*.nii.gz", classes=["gtv"], mask="{patient}/mask*.nii.gz")
    assert [(each.cause, each.file) for each in found] == [
        ("class gtv under a name of another form", "p2/gtv_old.nii.gz"),
        ("mask under a name of another form", "p3/mask_dilated.nii.gz"),
    ]


def test_the_channels_of_one_file_are_one_cause() -> None:
    volumes = [{"name": name, "index": n} for n, name in enumerate(("t1", "t2"))]
    files = [f"{p}/{'image_old' if p == 'p2' else 'image'}" for p in PATIENTS] + [
        f"{p}/label" for p in PATIENTS
    ]
    (warning,) = odd(files, pattern="{patient}/image*.nii.gz", channels=volumes)
    assert warning.file == "p2/image_old.nii.gz"


def test_another_b_value_is_another_form() -> None:
    form = {f"adc_{p}": "{p}/{role}_b0800" for p in PATIENTS} | {"adc_p2": "{p}/{role}_b0000"}
    assert [each.file for each in odd(keys(**form))] == ["p2/adc_b0000.nii.gz"]


@pytest.mark.parametrize(
    "form",
    [
        "{p}/{role}",
        "{p}/{n}_{role}",  # numbers of series
        "{p}/2019-0{n}-01_{role}",
        "{p}/{p}_{role}",
        "{p}/x{n}y{n}_{role}",  # a name of the exam's own, in each of its files
    ],
)
def test_names_dates_and_numbers_make_no_form(form: str) -> None:
    assert odd(keys(form=form)) == []


def test_a_word_that_all_channels_of_an_exam_have_is_the_exams() -> None:
    """The scanner of one exam; and an exam in a folder of its own."""
    scanner = {f"{role}_p5": "{p}/GE_{role}" for role in ("t1", "t2", "adc", "label")}
    assert odd(keys(**scanner)) == []
    deeper = {"pattern": "{patient}/**/{channel}.nii.gz", "labels": "{patient}/**/label.nii.gz"}
    folder = {f"{role}_p5": "{p}/rescan/{role}" for role in ("t1", "t2", "adc", "label")}
    assert odd(keys(**folder), **deeper) == []


def test_forms_that_many_exams_have_are_usual() -> None:
    """Two of six; and words that differ from exam to exam."""
    two = {f"t1_{p}": "{p}/{role}_mprage" for p in PATIENTS[:2]}
    assert odd(keys(**two)) == []
    words = {f"t1_{p}": f"{{p}}/{{role}}_{word}" for p, word in zip(PATIENTS, "abcdef", strict=True)}
    assert odd(keys(**words)) == []


def test_numbers_of_patients_may_be_those_of_channels() -> None:
    cohort = {
        "pattern": "{patient}/{channel}.nii.gz",
        "labels": "{patient}/label.nii.gz",
        "channels": ["1", "2", "3"],
    }
    assert (
        odd([f"{p}/{role}" for p in ("1", "2", "3", "10") for role in ("1", "2", "3", "label")], **cohort)
        == []
    )


def test_case_spelling_and_packing_make_no_form() -> None:
    files = keys(
        form="{p}/{role}_normalisation", t1_p2="{p}/{role}_Normalization", t2_p3="{p}/{role}-normalisation"
    )
    assert odd(files) == []


def test_a_warning_about_many_exams_is_short() -> None:
    patients = [f"p{n:04}" for n in range(3000)]
    few = {f"t1_{p}": "{p}/{role}_post" for p in patients[:500]}
    (warning,) = odd(keys(patients, **few))
    assert "channel t1 of 500 exams under a name of another form than in the 2500 others" in warning.found
    assert warning.file.endswith("and 495 more")
    assert len(str(warning)) < 600


def test_two_exams_say_nothing_of_what_is_usual() -> None:
    assert odd(keys(PATIENTS[:2], t1_p2="{p}/{role}_post")) == []
    assert len(odd(keys(PATIENTS[:3], t1_p2="{p}/{role}_post"))) == 1
