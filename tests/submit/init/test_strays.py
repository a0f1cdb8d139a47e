"""What patterns find beside: names that begin another's, and files of exams that lack the others."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.submit.init.folders import EXAMS, PATIENTS, Ended, plain
from tests.submit.init.layouts import save


def series(folder: Path, pattern: str, numbers: Mapping[str, int]) -> None:
    """Files named after the scanner's series; {n} in the pattern is its number, which grows from exam to exam."""
    for number, (exam, patient) in enumerate(zip(EXAMS, PATIENTS, strict=True)):
        for array, (name, first) in zip(exam.channels.values(), numbers.items(), strict=False):
            own = pattern.format(
                p=patient, f=name, n=first + number % 3, t=20210304113000 + 37 * number + first
            )
            save(folder / patient / f"{own}.nii.gz", array)
        save(folder / patient / "tumour_seg.nii.gz", exam.label)


@pytest.mark.parametrize(
    ("pattern", "numbers", "expected", "texts"),
    [
        ("{f}_{n}", {"t1": 3, "t1_post": 5, "t2": 7}, "{channel}_[0-9]*", ["t1", "t1_post", "t2"]),
        ("{f}_{n}", {"t1": 8, "t1_post": 9, "t2": 10}, "{channel}_[0-9]*", ["t1", "t1_post", "t2"]),
        ("{n}_{f}", {"t1": 13, "post_t1": 15, "t2": 17}, "*[0-9]_{channel}", ["post_t1", "t1", "t2"]),
        (
            "{t}_{f}_{n}",
            {"t1_tra": 3, "t1_tra_post": 5, "t2_tra": 7},
            "*_{channel}_[0-9]*",
            ["t1_tra", "t1_tra_post", "t2_tra"],
        ),
        (
            "{t}_{f}_{n}",
            {"t1_tra": 3, "t1_tra_post": 5, "dce_t1_tra": 7},
            "*[0-9]_{channel}_[0-9]*",
            ["dce_t1_tra", "t1_tra", "t1_tra_post"],
        ),
        (
            "{p}_{f}_{t}_{n}",
            {"t1_tra": 3, "t1_tra_post": 5, "t2_tra": 7},
            "{patient}_{channel}_[0-9]*",
            ["t1_tra", "t1_tra_post", "t2_tra"],
        ),
    ],
)
def test_a_series_whose_name_begins_or_ends_anothers_is_found_alone(
    pattern: str,
    numbers: dict[str, int],
    expected: str,
    texts: list[str],
    data: Path,
    init: Callable[..., Ended],
) -> None:
    series(data, pattern, numbers)
    ended = init()
    assert ended.cohort.pattern == f"{{patient}}/{expected}.nii.gz"
    assert [channel.files or channel.name for channel in ended.cohort.channels] == texts
    assert not ended.cohort.ignore
    assert ended.problems == []


def test_names_that_no_pattern_tells_apart_are_named_with_the_patterns_that_find_them(
    data: Path, init: Callable[..., Ended]
) -> None:
    for number, (exam, patient) in enumerate(zip(EXAMS, PATIENTS, strict=True)):
        for name, array in zip(("t1", "t1_3mm", "t2"), exam.channels.values(), strict=False):
            save(data / patient / f"{name}_{number}.nii.gz", array)
        save(data / patient / "tumour_seg.nii.gz", exam.label)
    ended = init()
    assert ended.code == 65
    assert "p1/t1_3mm_0.nii.gz, p2/t1_3mm_1.nii.gz, p3/t1_3mm_2.nii.gz and 1 more" in ended.err
    assert "files that {patient}/t1_*.nii.gz and {patient}/t1_3mm_*.nii.gz find" in ended.err
    assert "none of these names is the beginning or end of another's" in ended.err


LAYOUTS = ["{f}/{p}", "{p}/{f}", "{p}_{f}", "{p}/{p}_{f}", "{k}/{p}_{f}"]


@pytest.mark.parametrize("pattern", LAYOUTS)
@pytest.mark.parametrize(
    ("there", "missing"),
    [
        (("label",), "hardly any file of an exam: no channel t1, channel t2"),
        (("t1",), "hardly any file of an exam: no channel t2, labels"),
        (("t1", "t2"), "no file for labels"),
        (("t1", "label"), "no file for channel t2"),
    ],
)
def test_an_exam_that_lacks_files_is_named_and_not_ignored(
    pattern: str, there: tuple[str, ...], missing: str, data: Path, init: Callable[..., Ended]
) -> None:
    for exam, patient in zip(EXAMS, PATIENTS, strict=True):
        files = {"t1": exam.channels["t1"], "t2": exam.channels["t2"], "label": exam.label}
        for name in there if patient == "p4" else files:
            kind = "labelsTr" if name == "label" else "imagesTr"
            save(data / f"{pattern.format(p=patient, f=name, k=kind)}.nii.gz", files[name])
    ended = init()
    assert f"unsure: 1 of 4 exams is not whole (p4: {missing})" in ended.out
    assert "in no exam" not in ended.out
    assert not ended.cohort.ignore
    assert '# exclude = ["p4"]' in ended.text
    (problem,) = ended.problems
    assert "p4" in problem


def test_a_file_that_is_there_twice_is_ignored_and_its_exam_is_not(
    data: Path, init: Callable[..., Ended]
) -> None:
    """An exam of labels alone, packed and unpacked: its whole folder would be as short a pattern."""
    plain(data)
    save(data / "p1/label.nii", EXAMS[0].label)
    (data / "p1/label.nii.gz").unlink()
    save(data / "p9/label.nii.gz", EXAMS[0].label)
    save(data / "p9/label.nii", EXAMS[0].label)
    ended = init()
    assert ended.cohort.labels == "{patient}/label.nii*"
    assert ended.cohort.ignore == ("p9/label.nii",)
    assert "1 of 5 exams is not whole (p9: hardly any file of an exam" in ended.out


def test_a_patient_whose_folder_has_labels_alone_is_an_exam_beside_larger_ones(
    data: Path, init: Callable[..., Ended]
) -> None:
    plain(data)
    save(data / "p9/label.nii.gz", EXAMS[0].label)
    ended = init()
    assert "Found: 5 exams of 5 patients, 4 of them complete" in ended.out
    assert "1 of 5 exams is not whole (p9: hardly any file of an exam" in ended.out
