import tomllib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from job.contract.study_file import parse_study
from submit.init.layout import FoundChannel, FoundClass, Layout
from submit.init.text import key, quoted, study_text, summary

LAYOUT = Layout(
    pattern="{patient}/{channel}.nii.gz",
    labels="{patient}/label.nii.gz",
    mask=None,
    channels=(
        FoundChannel(name="t1", files=None, example="p1/t1.nii.gz"),
        FoundChannel(
            name="ktrans", files="k*", example="p1/kmap.nii.gz", low=0.012345, high=0.4, is_map=True
        ),
    ),
    classes=(
        FoundClass(name="class_1", value=1, voxels=1234, exams=3, patients=3, is_named=False),
        FoundClass(name="lymph node", value=2, voxels=7, exams=1, patients=1),
    ),
    structures={"all of it": ("class_1", "lymph node")},
    units=(("p1", ""), ("p2", ""), ("p3", "")),
    lacking={},
    counted_exams=3,
    example=("p1", ""),
)


def text_of(layout: Layout) -> str:
    return study_text(layout, name="s", folder="data", root="data")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_a_string_and_a_key_of_toml(text: str) -> None:
    assert tomllib.loads(f"{key(text)} = {quoted(text)}") == {text: text}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_name_may_be_in_a_comment(name: str) -> None:
    layout = replace(LAYOUT, unsure=(name,), example=(name, ""), mask=name, mask_example=name)
    channel = FoundChannel(name="t1", files=None, example=name)
    layout = replace(layout, channels=(channel, LAYOUT.channels[1]))
    assert tomllib.loads(text_of(layout))["cohort"]["channels"][0] == "t1"


def test_a_study_file_says_what_was_counted() -> None:
    text = text_of(LAYOUT)
    assert "# Found: 3 exams of 3 patients, 2 channels, 2 classes." in text
    assert "class_1 = 1  # 1,234 voxels, in 3 exams; give it a name" in text
    assert '"lymph node" = 2  # 7 voxels, in 1 exam. In 1 patient only: join it' in text
    assert "3 exams x 3 arms = 9 folds" in text
    assert '    "t1",  # p1/t1.nii.gz\n' in text
    assert 'or { name = "ktrans", files = "k*", normalisation = "fixed", range = [0.0123, 0.4] }' in text


def test_its_comments_are_right_when_they_become_lines() -> None:
    lines = text_of(LAYOUT).replace("# endpoint", "endpoint").splitlines()
    fixed = next(line for line in lines if "; or {" in line).partition("; or ")[2]
    text = "\n".join(fixed + "," if "; or {" in line else line for line in lines)
    study = parse_study(tomllib.loads(text), source="text")
    assert study.cohort.channels[1].range == (0.0123, 0.4)
    assert study.endpoint.structure == "all of it"


def test_exams_that_lack_files_are_named_and_not_counted() -> None:
    layout = replace(LAYOUT, lacking={("p2", ""): ("no channel t1", "no labels")})
    text = text_of(layout)
    assert "3 exams of 3 patients, 2 of them complete" in text
    assert "unsure: 1 of 3 exams is not whole (p2: no channel t1, no labels)" in text
    assert '# exclude = ["p2"]' in text
    assert "2 exams x 3 arms = 6 folds" in text
    study = parse_study(tomllib.loads(text.replace("# exclude", "exclude")), source="text")
    assert study.cohort.exclude == ("p2",)


def test_a_terminal_shows_the_same_in_short() -> None:
    lines = summary(replace(LAYOUT, unsure=("the names",)))
    assert "  channels: t1, ktrans" in lines
    assert lines[-1] == "unsure: the names"
    many = tuple(replace(LAYOUT.classes[0], name=f"c{n}", value=n) for n in range(1, 31))
    assert any(line.endswith("c12 and 18 more") for line in summary(replace(LAYOUT, classes=many)))
