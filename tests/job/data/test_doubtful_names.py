"""Names that leave in doubt what was meant: said where it may matter, and nothing else."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from job.contract.cohort import Cohort
from job.contract.errors import DataError
from job.data.cohort_files import ExamFiles, find_cohort, find_exams, sound_exams
from job.data.doubtful_names import doubtful_names, doubtful_people
from job.storage import StoredObject
from job.storage.local import LocalStorage

NAMES = ("t1.nii.gz", "t2.nii.gz", "label.nii.gz")


def cohort(**changes: Any) -> Cohort:
    settings: dict[str, Any] = {
        "root": ".",
        "pattern": "{patient}/{channel}.nii.gz",
        "labels": "{patient}/label.nii.gz",
        "channels": ["t1", "t2"],
        "classes": {"tumour": 1},
    }
    return Cohort.model_validate(settings | changes)


def tree(root: Path, keys: Iterable[str]) -> LocalStorage:
    """A folder with empty files, or with links that lead nowhere where a key begins with `->`."""
    for key in keys:
        path = root / key.removeprefix("->")
        path.parent.mkdir(parents=True, exist_ok=True)
        if key.startswith("->"):
            path.symlink_to("../.git/annex/objects/xx/gone")
        else:
            path.touch()
    return LocalStorage(root)


def exams_of(*patients: str) -> list[str]:
    return [f"{patient}/{name}" for patient in patients for name in NAMES]


def warnings_of(root: Path, keys: Iterable[str], **changes: Any) -> list[str]:
    source, own = tree(root, keys), cohort(**changes)
    return [str(warning) for warning in doubtful_names(source, own, find_cohort(source, own))]


def found(root: Path, keys: Iterable[str], **changes: Any) -> tuple[ExamFiles, ...]:
    return find_cohort(tree(root, keys), cohort(**changes))


def refused(root: Path, keys: Iterable[str], **changes: Any) -> list[str]:
    with pytest.raises(DataError) as error:
        found(root, keys, **changes)
    return [str(problem) for problem in error.value.problems]


def counted(name: str, *numbers: int) -> list[str]:
    return [name.format(number) for number in range(*numbers)]


@pytest.mark.parametrize(
    "patients",
    [
        counted("p{}", 1, 5),
        counted("p{}", 1, 40),
        counted("pat_{:02}", 1, 37),
        counted("pat_{:02}", 1, 34),
        counted("patient{:02}", 1, 6),
        counted("sub-{:02}", 1, 3),
        counted("{:03}", 1, 20),
        counted("V{:02}", 1, 12),
        counted("M{:02}", 1, 4) + counted("F{:02}", 1, 4),
        counted("HN_V{:02}", 1, 12),
        [*counted("siteA_{:02}", 1, 9), *counted("siteB_{:02}", 1, 4)],
        [*counted("site1-{:02}", 1, 20), *counted("site2-{:02}", 1, 5)],
        counted("BraTS-GLI-{:05}-000", 1, 9),
        counted("Brats17_TCIA_{}_1", 101, 109),
        counted("UCSF-PDGM-{:04}", 1, 9),
        counted("LUNG1-{:03}", 1, 20),
        counted("TCGA-02-{:04}", 3, 9),
        ["IXI002-Guys-0828", "IXI012-HH-1211", "IXI013-HH-1212"],
        ["002_S_0295", "002_S_0413", "006_S_0498"],
        ["anna", "bert", "cora"],
        ["Ärzte", "Ärztin"],
    ],
    ids=lambda names: f"{names[0]} to {names[-1]}",
)
def test_names_that_count_patients_are_no_visits(tmp_path: Path, patients: list[str]) -> None:
    assert warnings_of(tmp_path, exams_of(*patients)) == []


@pytest.mark.parametrize(
    ("patients", "people", "named"),
    [
        (["P01_v1", "P01_v2", "P02_v1", "P03"], 1, "'P01_v1' and 'P01_v2'"),
        (["P01", "P01_v2", "P02"], 1, "'P01' and 'P01_v2'"),
        (["P01a", "P01b", "P02a"], 1, "'P01a' and 'P01b'"),
        (["P01-1", "P01-2", "P02-1", "P02-2"], 2, "'P01-1' and 'P01-2'; 'P02-1' and 'P02-2'"),
        (["P01_20190101", "P01_20190501", "P02_20190101"], 1, "'P01_20190101' and 'P01_20190501'"),
        (["P01_2019-01-01", "P01_2019-05-01", "P02"], 1, "'P01_2019-01-01' and 'P01_2019-05-01'"),
        (["P1_pre", "P1_post", "P2_pre"], 2, "'P1_post' and 'P1_pre'; 'P2_pre'"),
        (["HN1_preRT", "HN1_midRT"], 1, "'HN1_midRT' and 'HN1_preRT'"),
        (["anna baseline", "anna follow-up2", "bert"], 1, "'anna baseline' and 'anna follow-up2'"),
        (
            ["sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1"],
            2,
            "'sub-01_ses-1' and 'sub-01_ses-2'; 'sub-02_ses-1'",
        ),
        (
            [*counted("sub-01_ses-{}", 1, 10), "sub-02_ses-1"],
            2,
            "'sub-01_ses-1' and 'sub-01_ses-2' and 'sub-01_ses-3'; 'sub-02_ses-1'",
        ),
        (["sub-01_ses-1_run-1", "sub-01_ses-2_run-1"], 1, "'sub-01_ses-1_run-1' and 'sub-01_ses-2_run-1'"),
        (["sub-01_run-1", "sub-01_run-2", "sub-02_run-1"], 1, "'sub-01_run-1' and 'sub-01_run-2'"),
        (["OAS1_0001_MR1", "OAS1_0001_MR2", "OAS1_0002_MR1"], 1, "'OAS1_0001_MR1' and 'OAS1_0001_MR2'"),
        (["UPENN-GBM-00001_11", "UPENN-GBM-00001_21", "UPENN-GBM-00002_11"], 1, "'UPENN-GBM-00001_11' and "),
        (
            [*counted("BraTS-GLI-{:05}-000", 1, 9), "BraTS-GLI-00003-001"],
            1,
            "'BraTS-GLI-00003-000' and 'BraTS-GLI-00003-001'",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_names_that_look_like_visits_of_one_patient_are_said(
    tmp_path: Path, patients: list[str], people: int, named: str
) -> None:
    """Else one visit would be trained on when another is tested."""
    (warning,) = warnings_of(tmp_path, exams_of(*patients))
    assert warning.startswith(named)
    said = "1 person" if people == 1 else f"{people} people"
    assert f"patients whose names look like exams of {said}, with a visit" in warning


@pytest.mark.parametrize("people", [36, 3000])
def test_a_warning_about_visits_of_many_people_is_short(people: int) -> None:
    names = [f"P{n:04}_{visit}" for n in range(people) for visit in "ab"]
    objects = [StoredObject(key=key, size_bytes=1, fingerprint="") for key in exams_of(*names)]
    (warning,) = doubtful_people(find_exams(objects, cohort()), objects, cohort())
    assert f"{2 * people} patients whose names look like exams of {people} people" in warning.found
    assert len(str(warning)) < 800


@pytest.mark.parametrize(
    ("patients", "pattern"),
    [
        (["P1_v1", "P1_v2", "P2_v1"], "{patient}_v{exam}"),
        (["P1_pre", "P1_post", "P2_pre"], "{patient}_{exam}"),
        (["anna_1", "anna_2", "otto_1", "ida_1"], "{patient}_{exam}"),
        (["sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1"], "{patient}_ses-{exam}"),
        (["P01v1", "P01v2", "P02v1"], "{patient}v{exam}"),
        (["P1_2019", "P1_2020", "P2_2019"], "{patient}_{exam}"),
        (["BraTS-GLI-00001-000", "BraTS-GLI-00001-001", "BraTS-GLI-00002-000"], "{patient}-{exam}"),
        (["P01_ses-1", "P02_ses-1"], "{patient}_ses-{exam}"),
    ],
)
def test_visits_have_patterns_that_make_them_exams(patients: list[str], pattern: str, tmp_path: Path) -> None:
    """The patterns are in the remedy, and with them there is one patient for each person."""
    patterns = {"pattern": "{patient}_{channel}.nii.gz", "labels": "{patient}_label.nii.gz"}
    keys = [f"{patient}_{name}" for patient in patients for name in NAMES]
    (warning,) = warnings_of(tmp_path, keys, **patterns)
    new = {key: text.replace("{patient}", pattern) for key, text in patterns.items()}
    assert f"if they are visits, write pattern = '{new['pattern']}', labels = '{new['labels']}';" in warning
    people = {re.split("_|v|-00(?=[01]$)", name.removeprefix("sub-"))[0] for name in patients}
    assert len({exam.patient for exam in find_cohort(LocalStorage(tmp_path), cohort(**new))}) == len(people)


def test_visits_that_no_pattern_tells_from_the_other_patients_are_renamed_or_left_out(tmp_path: Path) -> None:
    """`{patient}_{exam}` would make one patient HN of the first three."""
    (warning,) = warnings_of(tmp_path, exams_of("HN_001", "HN_002", "HN_003_v1", "HN_003_v2"))
    assert warnings_of(tmp_path, [], exclude=["HN_003_v2"]) == []
    assert warning.startswith(
        "'HN_003_v1' and 'HN_003_v2': found 2 patients whose names look like exams of 1 person"
    )
    assert (
        "rename all files in one way, such as 'HN_001' to 'HN_001_v1', and write {patient}_v{exam}" in warning
    )
    assert "or leave out all but one exam of each: exclude = ['HN_003_v2']" in warning
    renamed = exams_of("HN_001_v1", "HN_002_v1", "HN_003_v1", "HN_003_v2")
    new = {"pattern": "{patient}_v{exam}/{channel}.nii.gz", "labels": "{patient}_v{exam}/label.nii.gz"}
    exams = found(tmp_path / "renamed", renamed, **new)
    assert [(exam.patient, exam.visit) for exam in exams] == [
        ("HN_001", "1"), ("HN_002", "1"), ("HN_003", "1"), ("HN_003", "2"),
    ]  # fmt: skip


def test_visits_of_patients_who_have_exams_already_are_renamed(tmp_path: Path) -> None:
    keys = exams_of("P1_v1/a", "P1_v2/a", "P2_v1/a")
    new = {"pattern": "{patient}/{exam}/{channel}.nii.gz", "labels": "{patient}/{exam}/label.nii.gz"}
    (warning,) = warnings_of(tmp_path, keys, **new)
    assert "if they are visits, rename the files so that {patient} is the same in all exams" in warning


def test_a_patient_whose_name_begins_anothers_is_said(tmp_path: Path) -> None:
    """As `{patient}_{exam}` makes of HN_001, HN_002 and HN_003_v1."""
    new = {"pattern": "{patient}_{exam}/{channel}.nii.gz", "labels": "{patient}_{exam}/label.nii.gz"}
    (warning,) = warnings_of(tmp_path, exams_of("HN_001", "HN_002", "HN_003_v1"), **new)
    assert warning.startswith("'HN' and 'HN_003': found 1 patient with whose whole name another's begins")
    assert "if the patterns cut names short, so that several people are one patient, correct them" in warning


def test_patients_whose_numbers_differ_by_zeros_are_said(tmp_path: Path) -> None:
    (warning,) = warnings_of(tmp_path, exams_of("P1", "P01", "P2"))
    assert warning.startswith("'P01' and 'P1': found 1 person, by their names, in several spellings")


def test_visits_that_the_pattern_knows_are_no_matter(tmp_path: Path) -> None:
    keys = [f"sub-01_ses-{n}_{name}" for n in (1, 2) for name in NAMES] + [
        f"sub-02_ses-1_{name}" for name in NAMES
    ]
    patterns = {
        "pattern": "sub-{patient}_ses-{exam}_{channel}.nii.gz",
        "labels": "sub-{patient}_ses-{exam}_label.nii.gz",
    }
    assert warnings_of(tmp_path, keys, **patterns) == []


def test_hidden_files_of_other_systems_are_not_mentioned(tmp_path: Path) -> None:
    keys = [
        *exams_of("p1", "p2"),
        "p1/._t1.nii.gz",
        "p1/.DS_Store",
        "__MACOSX/p1/t1.nii.gz",
        ".Trash/p3/t1.nii.gz",
    ]
    keys += ["p1/.t1.nii.gz.swp", "p2/Thumbs.db", "->p1/.hidden.nii.gz", "readme.txt", "p1/notes.docx"]
    assert warnings_of(tmp_path, keys) == []


def test_images_beside_those_of_an_exam_are_named_once_for_each_kind(tmp_path: Path) -> None:
    keys = [
        *exams_of("p1", "p2", "p3"),
        *(f"p{n}/flair_{n}.nii.gz" for n in (1, 2, 3)),
        "p1/old.mha",
        "p1/x.dcm",
    ]
    (warning,) = warnings_of(tmp_path, keys)
    assert "no pattern matched: flair_#.nii.gz (3), old.mha (1), x.dcm (1); expected" in warning
    assert warnings_of(tmp_path, keys, ignore=["**/flair*", "p1/old.*", "**/*.dcm"]) == []


def test_images_beside_those_of_an_exam_that_lacks_a_file_are_named_too(tmp_path: Path) -> None:
    source = tree(tmp_path, [*exams_of("p1", "p2"), "p3/t1.nii.gz", "p3/adc.nii.gz", "p3/label.nii.gz"])
    exams, problems = sound_exams(source.list(), cohort())
    assert [problem.file for problem in problems] == ["p3/t2.nii.gz"]
    (warning,) = doubtful_names(source, cohort(), exams)
    assert "images in folders of exams that no pattern matched: adc.nii.gz (1); expected" in str(warning)


def test_a_file_beside_a_class_that_differs_by_a_number_only_may_be_a_part_of_it(tmp_path: Path) -> None:
    """A second lymph node that the text does not find counts as background."""
    settings = {"labels": "{patient}/{class}.nii.gz", "classes": {"tumour": "GTV-T", "node": "GTV-N1"}}
    names = ("t1", "t2", "GTV-T", "GTV-N1")
    keys = [f"{patient}/{name}.nii.gz" for patient in ("p1", "p2") for name in names]
    (warning,) = warnings_of(tmp_path, [*keys, "p2/GTV-N2.nii.gz"], **settings)
    assert warning.startswith(
        "p2/GTV-N2.nii.gz: found 1 image that no pattern matched, and that differ from a class's by a number only: "
        "p2/GTV-N2.nii.gz beside GTV-N1.nii.gz of class node; expected all parts of a class in it"
    )
    settings["classes"] = {"tumour": "GTV-T", "node": "GTV-N*"}
    assert warnings_of(tmp_path, [], **settings) == []


def test_a_name_that_several_exams_have_is_shown_as_it_is(tmp_path: Path) -> None:
    (warning,) = warnings_of(tmp_path, [*exams_of("p1", "p2"), "p1/t1post.nii.gz", "p2/t1post.nii.gz"])
    assert "no pattern matched: t1post.nii.gz (2); expected" in warning


def test_folders_without_an_exam_are_named_with_a_reason(tmp_path: Path) -> None:
    keys = [*exams_of("p1", "p2"), *exams_of("p3/scan"), "p4/t1.NII.GZ", "derivatives/x/y/z.nii"]
    (warning,) = warnings_of(tmp_path, keys)
    assert warning.startswith(
        "derivatives (1 file, e.g. z.nii), p3 (3 files, e.g. label.nii.gz), p4 (1 file, e.g. t1.NII.GZ): found 3 "
        "folders with 5 images of which no pattern matched any: 4 lie deeper than the pattern, 1 end with capitals "
        "(.NII.GZ); expected exams as {patient}/{channel}.nii.gz"
    )
    (warning,) = warnings_of(tmp_path, keys, ignore=["p3/**", "derivatives/**"])
    assert warning.startswith("p4 (1 file, e.g. t1.NII.GZ): found 1 folder with 1 image of which")
    assert warnings_of(tmp_path, keys, ignore=["p[34]/**", "derivatives/**"]) == []


def test_files_of_excluded_exams_are_not_mentioned(tmp_path: Path) -> None:
    assert warnings_of(tmp_path, exams_of("p1", "p2", "p3"), exclude=["p2"]) == []


def test_dead_links_are_said_where_no_exam_needs_them(tmp_path: Path) -> None:
    (warning,) = warnings_of(tmp_path, [*exams_of("p1", "p2"), "->p1/flair.nii.gz"])
    assert warning.startswith("p1/flair.nii.gz: found 1 link to files that are not there")
    assert warnings_of(tmp_path, [], ignore=["**/flair*"]) == []
    (problem,) = refused(tmp_path, ["p3/t1.nii.gz", "p3/t2.nii.gz", "->p3/label.nii.gz"])
    assert problem.startswith("p3/label.nii.gz: found a link to a file that is not there")


def test_names_are_one_in_either_form_of_unicode(tmp_path: Path) -> None:
    """A patient folder as macOS writes it, a label as Linux does, and a study file as an editor does."""
    patterns = {"pattern": "images/{patient}/Größe {channel}.nii.gz", "labels": "labels/{patient}.nii.gz"}
    keys = [f"images/Ju\u0308rgen/Gro\u0308ße {name}" for name in NAMES[:2]]
    (exam,) = found(tmp_path, [*keys, "labels/J\u00fcrgen.nii.gz"], **patterns)
    assert exam.exam == "J\u00fcrgen"
    assert [item.key for item in exam.channels] == keys
    (warning,) = warnings_of(tmp_path, [], **patterns)
    assert "names are written in two forms of Unicode" in warning


def test_one_name_in_two_forms_side_by_side_is_two_files(tmp_path: Path) -> None:
    keys = [*exams_of("a\u0308"), *exams_of("\u00e4")]
    lines = refused(tmp_path, keys)
    assert len(lines) == 3
    assert all(
        "whose names differ only by case or Unicode's form; expected one file; rename one" in line
        for line in lines
    )


@pytest.mark.parametrize(("one", "other"), [("p1", "P1"), ("straße", "STRASSE"), ("\u00c4nne", "a\u0308nne")])
def test_patients_that_differ_only_by_case_are_refused(tmp_path: Path, one: str, other: str) -> None:
    """A Mac or Windows would merge them, and people mean one patient."""
    (line,) = refused(tmp_path, [*exams_of(one, "p2"), *exams_of(other)])
    assert "which differ only by case; expected one spelling of a name in all files" in line


def test_a_name_that_is_not_utf_8_is_a_problem_for_an_exam_and_said_beside_it(tmp_path: Path) -> None:
    latin = os.fsdecode(b"p\xe41")
    (line,) = refused(tmp_path / "one", exams_of(latin, "p2"))
    assert line.startswith(r"p\xe41/")
    assert "found a name that is not UTF-8; expected names in UTF-8; rename it, e.g. with `convmv" in line
    (warning,) = warnings_of(tmp_path / "two", [*exams_of("p1", "p2"), f"{latin}/flair.nii.gz"])
    assert warning.startswith(r"p\xe41 (1 file, e.g. flair.nii.gz): found 1 folder with 1 image of which")
    assert "1 have names that are not UTF-8" in warning


@pytest.mark.parametrize(
    ("patient", "found"),
    [
        ("p\x07", "found the name 'p\\x07', with characters that cannot be seen"),
        ("p\n1", "found the name 'p\\n1', with characters that cannot be seen"),
        ("p\u200b1", "found the name 'p\\u200b1', with characters that cannot be seen"),
        ("p1 ", "found the name 'p1 ', with characters that cannot be seen"),
        (100 * "ä" + "x", "found a name of 201 bytes; expected at most 200 for patient and exam together"),
    ],
)
def test_names_that_cannot_be_kept_apart_or_stored_are_refused(
    tmp_path: Path, patient: str, found: str
) -> None:
    (line,) = refused(tmp_path, exams_of(patient, "p2"))
    assert found in line
    assert line.isprintable()


def test_a_name_of_200_bytes_is_stored(tmp_path: Path) -> None:
    assert found(tmp_path, exams_of(100 * "ä"))[0].exam == 100 * "ä"
