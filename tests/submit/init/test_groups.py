"""Folders of sites above the patients'."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.submit.init.folders import Ended, plain
from tests.submit.init.layouts import by_exam


@pytest.mark.parametrize(
    "exams",
    [
        ("FR/001/0mo", "FR/002/0mo", "B/001/0mo", "B/004/0mo"),
        ("FR/001/0mo", "FR/002/0mo", "FR/003/0mo", "B/001/0mo"),
        ("FR/001/0mo", "FR/001/3mo", "B/001/0mo", "B/004/12mo"),
    ],
)
def test_one_number_in_two_sites_with_visits_is_refused_with_what_to_rename(
    exams: tuple[str, ...], data: Path, init: Callable[..., Ended]
) -> None:
    plain(data, exams)
    ended = init()
    assert ended.code == 65
    assert "B/001/0mo, FR/001/0mo" in ended.err
    assert "patients of one name (001) in the folders B and FR, each of which has whole exams" in ended.err
    assert "rename the patients (B-001, FR-001), or name one of the folders alone" in ended.err
    assert not ended.study_file.exists()


def test_visits_of_one_number_in_two_sites_are_one_person_with_a_doubt(
    data: Path, init: Callable[..., Ended]
) -> None:
    plain(data, ("FR/001/0mo", "FR/002/0mo", "B/001/3mo", "B/004/0mo"))
    ended = init()
    assert ended.cohort.pattern == "*/{patient}/{exam}/{channel}.nii.gz"
    assert "names of patients are in several of these folders: 001 (B and FR); each is taken" in ended.out


def test_trees_of_the_same_exams_are_no_sites(data: Path, init: Callable[..., Ended]) -> None:
    by_exam("{file}/{p}/{v}.nii.gz")(data)
    by_exam("second/{file}/{p}/{v}.nii.gz")(data)
    assert init().code == 0
