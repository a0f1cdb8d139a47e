import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.contract.cohort import NAME
from job.contract.study import STUDY_NAME
from submit.init.pieces import name_of, names_of, study_name


@given(st.lists(st.text(max_size=20), max_size=6))
def test_any_texts_become_names_that_differ_by_more_than_case(texts: list[str]) -> None:
    names = names_of(texts)
    assert all(re.search(NAME, name) for name in names)
    assert len({name.casefold() for name in names}) == len(texts)
    assert not {"union", "background"} & set(names)


@given(st.text(max_size=60))
def test_any_folder_gives_the_name_of_a_study(folder: str) -> None:
    assert re.search(STUDY_NAME, study_name(folder))


@pytest.mark.parametrize(
    ("text", "taken", "name"),
    [
        ("t1", [], "t1"),
        ("T1", ["t1"], "T1 2"),
        ("T1", ["t1", "t1 2"], "T1 3"),
        ("dwi/adc", [], "dwi_adc"),
        ("b{0}", [], "b_0_"),
        (" \t", [], "unnamed"),
        ("background", [], "background 2"),
        ("wässrig", [], "wässrig"),
    ],
)
def test_a_name_stays_as_near_to_the_text_as_it_may(text: str, taken: list[str], name: str) -> None:
    assert name_of(text, taken) == name


@pytest.mark.parametrize(
    ("folder", "name"),
    [("brats2015", "brats2015"), ("Müller, 2020 (MR)", "Mller-2020-MR"), ("日本", "study")],
)
def test_a_study_is_named_after_its_folder(folder: str, name: str) -> None:
    assert study_name(folder) == name
