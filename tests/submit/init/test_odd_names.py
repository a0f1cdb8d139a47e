"""Names of all kinds, and what other programs leave beside."""

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from job.data.cohort_files import find_cohort
from job.data.patterns import composed
from job.project import Project
from tests.submit.init.folders import CHANNELS, EXAMS, PATIENTS, Ended, plain
from tests.submit.init.layouts import save


def test_names_with_spaces_quotes_and_umlauts(data: Path, init: Callable[..., Ended]) -> None:
    patients = ("anna maria", "jörg", 'otto "der große"', "back\\slash")
    plain(data, patients, channels=("t1 axial", "wässrig", "b{0}", "t2 [late]"))
    ended = init()
    assert ended.cohort.channel_names == ("b_0_", "t1 axial", "t2 [late]", "wässrig")
    assert ended.problems == []
    found = find_cohort(Project.read(ended.study_file).cohort, ended.cohort)
    assert sorted(exam.patient for exam in found) == sorted(patients)


@pytest.mark.parametrize(
    ("pattern", "patients", "channels"),
    [
        ("{p}/{f}", ("anna%20maria", "otto%2F1", "3%", "100%"), ("t1%20ax", "t2", "adc", "flair")),
        ("{p}_{f}", ("anna%20maria", "otto%2F1", "3%", "100%"), ("t1%20ax", "t2", "adc", "flair")),
        ("{p}/{f}", ("CON", "aux", "nul", "com1"), ("lpt1", "prn", "t1", "t2")),
        ("{p}/{f}", ("1", "2", "3", "10"), ("1", "2", "3", "4")),
        ("{p}_{f}", ("1", "2", "3", "10"), ("1", "2", "3", "4")),
        ("{p}/{f}", ("t1", "t2", "adc", "p4"), ("adc", "flair", "t1", "t2")),
        ("{p}/{f}", ("mask_1", "seg_2", "label_3", "t1_4"), CHANNELS),
        ("{p}/{f}", ("p😀", "пациент", "患者", "a\u0308"), ("t1", "t1c", "t1ce", "t1ce2")),
        ("{p}_{f}", ("p😀", "пациент", "患者", "a\u0308"), ("t1", "t1c", "t1ce", "t1ce2")),
    ],
)
def test_names_of_all_kinds(
    pattern: str, patients: tuple[str, ...], channels: tuple[str, ...], data: Path, init: Callable[..., Ended]
) -> None:
    for exam, patient in zip(EXAMS, patients, strict=True):
        files = dict(zip((*channels, "label"), (*exam.channels.values(), exam.label), strict=True))
        for name, array in files.items():
            save(data / f"{pattern.format(p=patient, f=name)}.nii.gz", array)
    ended = init()
    assert sorted(ended.cohort.channel_names) == sorted(channels)
    found = find_cohort(Project.read(ended.study_file).cohort, ended.cohort)
    assert sorted(exam.patient for exam in found) == sorted(map(composed, patients))
    assert ended.problems == []
    assert "another form" not in ended.out


def test_a_channel_in_unicodes_two_forms_is_one(data: Path, init: Callable[..., Ended]) -> None:
    plain(data, channels=("w\u00e4ssrig", "t2", "adc", "flair"))
    (data / "p1/w\u00e4ssrig.nii.gz").rename(data / "p1/wa\u0308ssrig.nii.gz")
    ended = init()
    assert ended.cohort.channel_names == ("adc", "flair", "t2", "w\u00e4ssrig")
    assert ended.problems == []


@pytest.mark.parametrize("name", ["p1 ", "p\n1"])
def test_a_patient_with_characters_that_cannot_be_seen_is_left_to_the_user(
    name: str, data: Path, init: Callable[..., Ended]
) -> None:
    plain(data, (name, "p2", "p3", "p4"))
    ended = init()
    assert "1 of 4 exams is not whole" in ended.out
    assert "names with characters that cannot be seen" in ended.out


def test_a_space_at_the_end_of_one_files_name_makes_it_another(
    data: Path, init: Callable[..., Ended]
) -> None:
    plain(data)
    (data / "p2/t1.nii.gz").rename(data / "p2/t1 .nii.gz")
    ended = init()
    assert "1 of 4 exams is not whole (p2: no file for channel t1, but one of a name alike)" in ended.out
    assert "not used: {patient}/t1  (1 of 4 exams)" in ended.out


@pytest.mark.parametrize(
    "copy", ["Copy of t1", "t1 (1)", "t1 - Kopie", "t1 copy 2", "t1~", "~$t1", "Copy (2) of t1"]
)
@pytest.mark.parametrize("patients", [PATIENTS[:1], PATIENTS])
def test_copies_are_no_channels(
    patients: Sequence[str], copy: str, data: Path, init: Callable[..., Ended]
) -> None:
    plain(data)
    for exam, patient in zip(EXAMS, patients, strict=False):
        save(data / patient / f"{copy}.nii.gz", exam.channels["t1"] + 1)
        save(data / patient / "Copy of label.nii.gz", exam.label)
    ended = init()
    assert ended.cohort.channel_names == CHANNELS
    assert ended.cohort.labels == "{patient}/label.nii.gz"
    assert "copies by their names, not used" in ended.out
    assert ended.problems == []


@pytest.mark.parametrize(
    "name", ["._t1.nii.gz", ".t1.nii.gz", "t1.nii.gz~", "t1.nii.gz.bak", "t1.nii (1).gz"]
)
def test_what_other_programs_leave_is_not_looked_at(
    name: str, data: Path, init: Callable[..., Ended]
) -> None:
    plain(data)
    (data / "p2" / name).write_bytes(b"\0\5\x16\7")
    ended = init()
    assert ended.cohort.channel_names == CHANNELS
    assert "unsure" not in ended.out
    assert ended.problems == []


def test_endings_in_capitals_are_written_as_they_are(data: Path, init: Callable[..., Ended]) -> None:
    plain(data)
    for path in data.glob("*/*"):
        path.rename(path.with_name(path.name.replace(".nii.gz", ".NII.GZ")))
    ended = init()
    assert ended.cohort.pattern == "{patient}/{channel}.NII.GZ"
    assert ended.problems == []


def test_a_channel_in_capitals_in_one_exam_is_the_same_channel(
    data: Path, init: Callable[..., Ended]
) -> None:
    plain(data)
    (data / "p2/t1.nii.gz").rename(data / "p2/T1.nii.gz")
    ended = init()
    assert ended.cohort.channels[2].files == "[tT]1"
    assert ended.problems == []


def test_case_inside_a_longer_name_makes_no_other_channel(data: Path, init: Callable[..., Ended]) -> None:
    plain(data, channels=("adc", "flair", "T1 post Gd", "t2"))
    (data / "p2/T1 post Gd.nii.gz").rename(data / "p2/T1 post gd.nii.gz")
    ended = init()
    assert ended.cohort.channels[2].files == "T1 post [Gg]d"
    assert ended.cohort.channel_names == ("adc", "flair", "T1 post Gd", "t2")
    assert "not whole" not in ended.out
    assert ended.problems == []


def test_labels_in_capitals_in_one_exam_are_labels(data: Path, init: Callable[..., Ended]) -> None:
    plain(data)
    (data / "p2/label.nii.gz").rename(data / "p2/Label.nii.gz")
    ended = init()
    assert ended.cohort.labels == "{patient}/[lL]abel.nii.gz"
    assert "unsure" not in ended.out


def test_packed_and_unpacked_files_beside_each_other(data: Path, init: Callable[..., Ended]) -> None:
    plain(data)
    for path in list(data.glob("*/*")):
        contents = gzip.decompress(path.read_bytes())
        path.with_suffix("").write_bytes(contents)
        if path.parent.name == "p2":
            path.unlink()
    ended = init()
    assert ended.cohort.pattern == "{patient}/{channel}.nii*"
    assert len(ended.cohort.ignore) > 0
    assert ended.problems == []


def test_patients_that_differ_by_case_are_left_to_the_user(data: Path, init: Callable[..., Ended]) -> None:
    plain(data, ("P1", "p1", "p3", "p4"))
    ended = init()
    assert '# exclude = ["P1", "p1"]' in ended.text
    assert "patients that differ only by case" in ended.out


@pytest.mark.parametrize(
    ("one", "other", "another_person"),
    [
        ("anna", "anna_followup", "otto"),
        ("anna_1", "anna_2", "otto_1"),
        ("P01_2019", "P01_2020", "P02_2019"),
        ("P01", "P1", "P02"),
    ],
)
def test_patients_that_look_like_visits_are_a_doubt(
    one: str, other: str, another_person: str, data: Path, init: Callable[..., Ended]
) -> None:
    plain(data, (one, other, another_person, "ida"))
    ended = init()
    assert ended.cohort.pattern == "{patient}/{channel}.nii.gz"
    assert f"unsure: '{one}' and '{other}'" in ended.text


def test_patients_whose_names_all_end_with_a_visit_have_exams(data: Path, init: Callable[..., Ended]) -> None:
    plain(data, ("P01_year1", "P01_year2", "P02_year1", "P03_year1"))
    ended = init()
    assert ended.cohort.pattern == "{patient}_{exam}/{channel}.nii.gz"
    assert "unsure" not in ended.text
