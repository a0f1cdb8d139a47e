import tomllib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.study_file import parse_study
from submit.init.layout import Layout
from submit.init.text import key, quoted, study_text, summary, value

LAYOUT = Layout(
    table={
        "pattern": "{patient}/{channel}.nii.gz",
        "labels": "{patient}/label.nii.gz",
        "channels": ["t1", {"name": "ktrans", "files": "k*"}],
        "classes": {"class_1": 1, "lymph node": 2},
        "structures": {"all of it": ["class_1", "lymph node"]},
        "background": [0],
    },
    notes={
        "channel t1": "p1/t1.nii.gz",
        "channel ktrans": "p1/kmap.nii.gz",
        "range of ktrans": "[0.0123, 0.4]",
        "class class_1": "1,234 voxels",
    },
    units=(("p1", ""), ("p2", ""), ("p3", "")),
    counted_exams=3,
)


def text_of(layout: Layout) -> str:
    return study_text(layout, name="s", folder="data", root="data")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_a_string_and_a_key_of_toml(text: str) -> None:
    assert tomllib.loads(f"{key(text)} = {quoted(text)}") == {text: text}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_name_may_be_in_a_comment(name: str) -> None:
    notes = dict.fromkeys(("pattern", "mask", "channels", "channel t1", "range of x", "class class_1"), name)
    layout = replace(LAYOUT, unsure=(name,), notes=notes, table={**LAYOUT.table, "mask": "{patient}/m"})
    assert tomllib.loads(text_of(layout))["cohort"] | {"background": [0]} == layout.table | {"root": "data"}


@pytest.mark.parametrize(
    "item", [1, 'a"b\x7f', [1, 2], ["x", "ä"], {"name": "t 1", "files": "*"}, {"a": [1], "b c": "d"}]
)
def test_any_value_is_one_of_toml(item: Any) -> None:
    assert tomllib.loads(f"x = {value(item)}") == {"x": item}


def test_a_class_of_several_files_lists_their_texts() -> None:
    table = {**LAYOUT.table, "labels": "{patient}/{class}.nii.gz", "classes": {"GTVn": ["GTVn1", "GTVn2"]}}
    assert 'GTVn = ["GTVn1", "GTVn2"]' in text_of(replace(LAYOUT, table=table))


def test_a_study_file_says_what_was_found() -> None:
    text = text_of(LAYOUT)
    assert "# Found: 3 exams of 3 patients, 2 channels, 2 classes." in text
    assert "class_1 = 1  # 1,234 voxels" in text
    assert "3 exams x 3 arms = 9 folds" in text
    assert '    "t1",  # p1/t1.nii.gz\n' in text
    assert 'or { name = "ktrans", files = "k*", normalisation = "fixed", range = [0.0123, 0.4] }' in text


def test_its_comments_are_right_when_they_become_lines() -> None:
    lines = text_of(LAYOUT).replace("# endpoint", "endpoint").splitlines()
    fixed = next(line for line in lines if "; or {" in line).partition("; or ")[2]
    text = "\n".join(fixed + "," if "; or {" in line else line for line in lines)
    study = parse_study(tomllib.loads(text), source="text")
    assert study.cohort.channels[1].range == (0.0123, 0.4)
    assert study.endpoint.structure == "class_1"
    assert "by default Dice of the first class; it may be a union too (all of it)." in " ".join(
        line.removeprefix("# ") for line in lines
    )
    assert parse_study(tomllib.loads(text_of(LAYOUT)), source="text").endpoint == study.endpoint


def test_exams_that_lack_files_are_named_and_not_counted() -> None:
    layout = replace(LAYOUT, lacking=(("p2", ""),), faults=("no file for channel t1", "no file for labels"))
    text = text_of(layout)
    assert "3 exams of 3 patients, 2 of them complete" in text
    assert "unsure: 1 of 3 exams is not whole (p2: no file for channel t1, no file for labels)" in text
    assert '# exclude = ["p2"]' in text
    assert "2 exams x 3 arms = 6 folds" in text
    study = parse_study(tomllib.loads(text.replace("# exclude", "exclude")), source="text")
    assert study.cohort.exclude == ("p2",)


def test_a_terminal_shows_the_same_in_short() -> None:
    lines = summary(replace(LAYOUT, unsure=("the names",)))
    assert "  channels: t1, ktrans" in lines
    assert lines[-1] == "unsure: the names"
    many = {**LAYOUT.table, "classes": {f"c{n}": n for n in range(1, 31)}}
    assert any(line.endswith("c12 and 18 more") for line in summary(replace(LAYOUT, table=many)))
