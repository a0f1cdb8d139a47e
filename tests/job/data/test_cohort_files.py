"""Keys of files in, exams out: no file is read."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.contract.cohort import Cohort
from job.contract.errors import DataError, StudyError
from job.data.cohort_files import ExamFiles, find_exams
from job.storage import StoredObject


def cohort(**changes: Any) -> Cohort:
    settings: dict[str, Any] = {
        "root": "cohort",
        "pattern": "{patient}/{channel}.nii.gz",
        "labels": "{patient}/label.nii.gz",
        "channels": ["t1", "t2"],
        "classes": {"tumour": 1},
    }
    return Cohort.model_validate(settings | changes)


def found(keys: Sequence[str], **changes: Any) -> tuple[ExamFiles, ...]:
    objects = [StoredObject(key=key, size_bytes=1, fingerprint=f"of {key}") for key in keys]
    return find_exams(objects, cohort(**changes))


def channels_of(exam: ExamFiles) -> list[str]:
    return [item.key for item in exam.channels]


def problems_of(keys: Sequence[str], **changes: Any) -> list[str]:
    with pytest.raises(DataError) as error:
        found(keys, **changes)
    return [str(problem) for problem in error.value.problems]


def exam_keys(patient: str) -> list[str]:
    return [f"{patient}/{name}.nii.gz" for name in ("t1", "t2", "label")]


NORMALISED = {
    "pattern": "{patient}/{exam}/*{channel}*normali[sz]ation*.nii.gz",
    "labels": "{patient}/{exam}/label.nii.gz",
}


def test_channels_come_in_the_order_of_the_study_with_labels_and_mask() -> None:
    keys = [*exam_keys("p1"), "p1/brain.nii.gz", "p1/notes.txt", "readme"]
    (exam,) = found(keys, channels=["t2", "t1"], mask="{patient}/brain.nii.gz")
    assert (exam.exam, exam.patient) == ("p1", "p1")
    assert channels_of(exam) == ["p1/t2.nii.gz", "p1/t1.nii.gz"]
    assert [item.key for item in exam.all] == [
        "p1/t2.nii.gz",
        "p1/t1.nii.gz",
        "p1/label.nii.gz",
        "p1/brain.nii.gz",
    ]
    assert [[item.fingerprint for item in own] for own in exam.labels] == [["of p1/label.nii.gz"]]


def test_a_pattern_of_wildcards_finds_both_spellings() -> None:
    keys = [
        "anna/2019/x_t1_normalisation_1.nii.gz",
        "anna/2019/t2normalization.nii.gz",
        "anna/2019/t2_raw.nii.gz",
        "anna/2019/label.nii.gz",
    ]
    (exam,) = found(keys, **NORMALISED)
    assert (exam.exam, exam.patient) == ("anna_2019", "anna")
    assert channels_of(exam) == keys[:2]


def test_underscores_belong_to_the_patient_where_the_channel_follows() -> None:
    keys = ["site_1_pat_7_t1.nii.gz", "site_1_pat_7_t2.nii.gz", "site_1_pat_7_label.nii.gz"]
    (exam,) = found(keys, pattern="{patient}_{channel}.nii.gz", labels="{patient}_label.nii.gz")
    assert exam.patient == "site_1_pat_7"


def test_two_stars_and_a_slash_match_any_depth_of_folders_or_none() -> None:
    keys = ["p1/t1.nii.gz", "p1/a/b/t2.nii.gz", "p1/label.nii.gz"]
    (exam,) = found(keys, pattern="{patient}/**/{channel}.nii.gz")
    assert channels_of(exam) == keys[:2]
    (exam,) = found([f"x/y/{key}" for key in keys[::2]] + ["p1/t2.nii.gz"], **UNDER_ANYTHING)
    assert channels_of(exam) == ["x/y/p1/t1.nii.gz", "p1/t2.nii.gz"]


UNDER_ANYTHING = {"pattern": "**/{patient}/{channel}.nii.gz", "labels": "**/{patient}/label.nii.gz"}


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("{patient}/t?.nii", "p/t1.nii", True),
        ("{patient}/t?.nii", "p/t.nii", False),
        ("{patient}/*.nii", "p/q/t1.nii", False),
        ("{patient}?t1.nii", "p/t1.nii", False),
        ("{patient}/t[12].nii", "p/t2.nii", True),
        ("{patient}/t[!12].nii", "p/t2.nii", False),
        ("{patient}/t[!12].nii", "p/t3.nii", True),
        ("{patient}/t[^12].nii", "p/t2.nii", False),
        ("{patient}/t[0-3].nii", "p/t2.nii", True),
        ("{patient}/t[0-3].nii", "p/t-.nii", False),
        ("{patient}[!x]t1.nii", "p/t1.nii", False),
        ("{patient}/[!x]t1.nii", "p/.t1.nii", False),
        ("{patient}/t[[].nii", "p/t[.nii", True),
        ("{patient}/t[&&~~||].nii", "p/t&.nii", True),
        (r"{patient}/t[\].nii", "p/t\\.nii", True),
        ("{patient}/t[1.nii", "p/t[1.nii", True),
        ("{patient}/t(1)+.nii", "p/t(1)+.nii", True),
        ("{patient}/t1.nii", "p/t1xnii", False),
        ("{patient}/t1.nii", "p/t1.nii\n", False),
        ("{patient}/t1.nii", "p/T1.nii", False),
        ("{patient}/*t1.nii", "p/._t1.nii", False),
        ("{patient}/._t1.nii", "p/._t1.nii", True),
        ("{patient}/t1.nii", ".trash/t1.nii", False),
        ("**/{patient}/t1.nii", ".snapshot/p/t1.nii", False),
        ("{patient}/a**/t1.nii", "p/a/t1.nii", True),
        ("{patient}/a**/t1.nii", "p/at1.nii", False),
        ("{patient}/{patient}_t1.nii", "p/p_t1.nii", True),
        ("{patient}/{patient}_t1.nii", "p/q_t1.nii", False),
        ("{patient}/Kᵗʳᵃⁿˢ map.nii", "Jürgen 1/Kᵗʳᵃⁿˢ map.nii", True),
    ],
)
def test_wildcards_match_as_in_a_shell(pattern: str, key: str, matches: bool) -> None:
    """A pattern of the labels, beside a channel that always matches."""
    patient = key.split("/")[0].lstrip(".")
    keys = [f"{patient}.t1", key]
    settings = {"pattern": "{patient}.{channel}", "labels": pattern, "channels": ["t1"]}
    if matches:
        (exam,) = found(keys, **settings)
        assert (exam.patient, [[item.key for item in own] for own in exam.labels]) == (patient, [[key]])
    else:
        assert "no file for labels" in problems_of(keys, **settings)[0]


def test_brackets_without_sense_are_an_error_of_the_study() -> None:
    with pytest.raises(StudyError, match=r"'\{patient\}/\[z-a\].nii' is no valid pattern .*correct its brac"):
        found(exam_keys("p1"), labels="{patient}/[z-a].nii")


PLAIN = st.sampled_from("abcxyzABCXYZ0123456789 ()+^$|.&~#%'=,{}äßé°²-")


@settings(deadline=None)
@given(st.from_regex(r"[a-zA-Z0-9 ()+^$|.&~#%'=,{}äßé°²-]{0,12}[^ ]", fullmatch=True, alphabet=PLAIN))
def test_names_with_special_characters_stand_for_themselves(name: str) -> None:
    name = "x" + name
    channel = {"name": "t1", "files": name.replace("{", "").replace("}", "")}
    keys = [f"{name}/{channel['files']}.nii.gz", f"{name}/label.nii.gz"]
    (exam,) = found(keys, channels=[channel])
    assert (exam.patient, channels_of(exam)) == (name, keys[:1])


def test_a_channel_whose_pattern_also_matches_another_names_both_files() -> None:
    keys = ["p/1/t1_normalisation.nii.gz", "p/1/t1c_normalisation.nii.gz", "p/1/label.nii.gz"]
    (problem,) = problems_of(keys, channels=["t1"], **NORMALISED)
    assert problem == (
        "p/1/*t1*normali[sz]ation*.nii.gz: found 2 files for channel t1: p/1/t1_normalisation.nii.gz, "
        "p/1/t1c_normalisation.nii.gz; expected one file; "
        "make the pattern or the channel's `files` more specific, or name the files that are not meant in "
        "cohort.ignore"
    )
    channels = [{"name": "t1", "files": "t1[!c]"}, "t1c"]
    (exam,) = found(keys, **NORMALISED | {"channels": channels})
    assert channels_of(exam) == keys[:2]


def test_every_missing_file_of_every_exam_is_named() -> None:
    keys = ["p1/t1.nii.gz", "p1/label.nii.gz", "p1/mask.nii.gz", *exam_keys("p3"), "p3/mask.nii.gz"]
    keys += ["p2/t2.nii.gz", "p2/mask.nii.gz", "p2/t3.nii.gz"]
    lines = problems_of(keys, mask="{patient}/mask.nii.gz", channels=["t1", "t2", "t3"], exclude=["p3"])
    assert lines == [
        "p1/t2.nii.gz, p1/t3.nii.gz: found no file for channel t2, channel t3; expected one file for each; "
        "add the files, or leave the exam out with cohort.exclude",
        "p2/t1.nii.gz, p2/label.nii.gz: found no file for channel t1, labels; expected one file for each; "
        "add the files, or leave the exam out with cohort.exclude",
    ]


def test_a_folder_with_hardly_any_file_of_an_exam_may_be_none() -> None:
    """One problem that names the files that are there, since a pattern may have caught them by mistake."""
    (line,) = problems_of(["p1/t1.nii.gz", *exam_keys("p3")])
    assert line == (
        "p1/t1.nii.gz: found 1 of 3 files of an exam p1: no file for channel t2, labels; expected all 3; if this is "
        "no exam, make the patterns more specific or name the files in cohort.ignore; else add the files, or leave "
        "the exam out with cohort.exclude"
    )


def test_where_nothing_matches_examples_show_what_there_is() -> None:
    (problem,) = problems_of(["a.txt", "b/c.nii.gz", "d.nii", "e.nii.gz", "f.nii.gz"])
    assert problem.startswith(
        "{patient}/{channel}.nii.gz: found no match among 5 files, e.g. b/c.nii.gz, d.nii, e.nii.gz; expected"
    )
    assert "found no match among 0 files; expected" in problems_of([])[0]


def test_a_patient_or_one_exam_can_be_left_out_with_what_is_wrong_with_it() -> None:
    keys = [
        f"{exam}/{name}"
        for exam in ("p1/a", "p1/b", "p2/a", "p3/a")
        for name in ("t1_normalisation.nii.gz", "t2_normalisation.nii.gz", "label.nii.gz")
    ]
    keys.remove("p2/a/label.nii.gz")
    exams = found(keys, exclude=["p1/b", "p2"], **NORMALISED)
    assert [exam.exam for exam in exams] == ["p1_a", "p3_a"]
    assert "p2/a/label.nii.gz: found no file for labels" in problems_of(keys, **NORMALISED)[0]


def test_a_name_that_fits_no_file_is_one_problem_with_the_nearest_name() -> None:
    keys = [key.replace("/t2.", "/T2w.") for patient in ("p1", "p2", "p3") for key in exam_keys(patient)]
    (line,) = problems_of(keys)
    assert line.startswith("{patient}/t2.nii.gz: found no file for channel t2 in any of 3 exams; expected")
    assert line.endswith("or the channel's name or `files`; did you mean 'T2w.nii.gz'?")


def test_an_exclusion_that_names_no_exam_or_all_exams_is_a_problem() -> None:
    (problem,) = problems_of([*exam_keys("p1"), *exam_keys("p10")], exclude=["p1", "p"])
    assert problem.startswith("cohort.exclude: found 'p', which is no patient and no patient/exam")
    (problem,) = problems_of(exam_keys("p1"), exclude=["p1"])
    assert problem.startswith("cohort.exclude: found every exam of the cohort (1)")


def test_exams_are_sorted_by_patient_then_exam_whatever_the_listing() -> None:
    names = [("p10", "1"), ("p2", "b"), ("p2", "a"), ("p1", "1")]
    keys = [
        f"{patient}/{exam}/{name}"
        for patient, exam in names
        for name in ("t2_normalisation.nii.gz", "t1_normalisation.nii.gz", "label.nii.gz")
    ]
    exams = found(keys, **NORMALISED)
    assert [exam.exam for exam in exams] == ["p1_1", "p10_1", "p2_a", "p2_b"]
    assert exams == found(sorted(keys), **NORMALISED)


def test_two_exams_with_one_name_are_a_problem() -> None:
    keys = [
        f"{exam}/{name}"
        for exam in ("a/b_c", "a_b/c")
        for name in ("t1_normalisation.nii.gz", "t2_normalisation.nii.gz", "label.nii.gz")
    ]
    (problem,) = problems_of(keys, **NORMALISED)
    assert problem.startswith(
        "a/b_c/label.nii.gz, a_b/c/label.nii.gz: found 2 exams that are both called 'a_b_c'"
    )


def test_a_file_that_serves_twice_is_a_problem() -> None:
    (problem,) = problems_of(exam_keys("p1"), channels=["t1", {"name": "again", "files": "t[1]"}])
    assert problem.startswith("p1/t1.nii.gz: found used 2 times (exams p1); expected one use of each file")
    (problem,) = problems_of(exam_keys("p1"), channels=["t1", {"name": "truth", "files": "label"}])
    assert problem.startswith("p1/label.nii.gz: found used 2 times")


CLASSES = {"labels": "{patient}/{class}.nii.gz", "channels": ["t1"]}


def labels_of(keys: Sequence[str], **changes: Any) -> list[list[str]]:
    (exam,) = found(keys, **CLASSES | changes)
    return [[item.key.split("/")[1].removesuffix(".nii.gz") for item in own] for own in exam.labels]


def test_a_class_has_the_files_of_all_its_texts_once_and_in_the_order_of_their_names() -> None:
    keys = [f"p1/{name}.nii.gz" for name in ("t1", "GTVn2", "GTVn10", "GTVn1", "GTVp", "LN-left")]
    nodes = ["GTVn1", "GTVn10", "GTVn2"]
    assert labels_of(keys, classes={"tumour": "GTVp", "node": "GTVn*"}) == [["GTVp"], nodes]
    assert labels_of(keys, classes={"node": ["LN-*", "GTVn*", "GTVn1"]}) == [[*nodes, "LN-left"]]
    assert labels_of(keys, classes={"node": ["GTVn1", "GTVn2"], "other": "x"}) == [["GTVn1", "GTVn2"], []]


def test_two_files_for_a_label_map_or_a_mask_are_refused_in_the_words_of_their_key() -> None:
    keys = [*exam_keys("p1"), "p1/label2.nii.gz", "p1/mask_a.nii.gz", "p1/mask_b.nii.gz"]
    lines = problems_of(keys, labels="{patient}/label*.nii.gz", mask="{patient}/mask_?.nii.gz")
    assert [line.split("; ")[2] for line in lines] == [
        f"make {key} more specific, or name the files that are not meant in cohort.ignore"
        for key in ("cohort.labels", "cohort.mask")
    ]


def test_files_of_a_class_whose_names_differ_only_by_case_are_refused() -> None:
    keys = ["p1/t1.nii.gz", "p1/GTVna.nii.gz", "p1/GTVnA.nii.gz"]
    (line,) = problems_of(keys, **CLASSES, classes={"node": "GTVn*"})
    assert line.startswith(
        "p1/GTVn*.nii.gz: found 2 files for class node: p1/GTVnA.nii.gz, p1/GTVna.nii.gz, whose"
    )


def test_a_file_of_two_classes_is_a_problem() -> None:
    keys = ["p1/t1.nii.gz", "p1/GTVn1.nii.gz", "p1/GTVp.nii.gz"]
    (line,) = problems_of(keys, **CLASSES, classes={"tumour": "GTV*", "node": "GTVn*"})
    assert line == (
        "p1/GTVn1.nii.gz: found used 2 times (exams p1); expected one use of each file, or of each volume of a 4-D "
        "file; make cohort.pattern, the channels' `files` or the classes' texts more specific"
    )


def test_a_part_of_a_class_that_is_a_dead_link_is_a_problem_though_other_parts_are_there() -> None:
    """The union of the others would be less than the truth."""
    objects = [
        StoredObject(key=f"p1/{name}.nii.gz", size_bytes=1, fingerprint="") for name in ("t1", "GTVn1")
    ]
    with pytest.raises(DataError) as error:
        find_exams(objects, cohort(**CLASSES, classes={"node": "GTVn*"}), dead=["p1/GTVn2.nii.gz"])
    (problem,) = error.value.problems
    assert (problem.file, problem.found) == ("p1/GTVn2.nii.gz", "a link to a file that is not there")


def test_a_channel_whose_name_ends_as_anothers_makes_no_exam() -> None:
    """`ses-pre_ce-GD_T1w` is a channel of exam `pre`, and no T1w of an exam `pre_ce-GD`."""
    names = ("T1w", "ce-GD_T1w", "dseg")
    keys = [f"sub-{n}/anat/sub-{n}_ses-pre_{name}.nii.gz" for n in (1, 2) for name in names]
    settings = {
        "pattern": "**/sub-{patient}_ses-{exam}_{channel}.nii.gz",
        "labels": "**/sub-{patient}_ses-{exam}_dseg.nii.gz",
        "channels": ["T1w", "ce-GD_T1w"],
    }
    exams = found(keys, **settings)
    assert [(exam.patient, exam.visit) for exam in exams] == [("1", "pre"), ("2", "pre")]
    assert channels_of(exams[0]) == keys[:2]
    (line,) = problems_of(keys[:-1], **settings)  # patient 2 lacks labels, and still has one exam
    assert line.startswith("**/sub-2_ses-pre_dseg.nii.gz: found no file for labels")


def test_files_that_are_read_as_an_exam_whose_name_begins_as_anothers_are_explained() -> None:
    """`{exam}` takes all that it can, so that nothing is left for the `*`."""
    names = ("T1w", "T2w", "space-T1w_dseg")
    keys = [f"sub-{n}_ses-pre_{name}.nii.gz" for n in (1, 2) for name in names]
    settings = {
        "pattern": "sub-{patient}_ses-{exam}_{channel}.nii.gz",
        "labels": "sub-{patient}_ses-{exam}_*dseg.nii.gz",
        "channels": ["T1w", "T2w"],
    }
    lines = [line for line in problems_of(keys, **settings) if "of an exam 1/pre_space-T1w" in line]
    assert len(lines) == 1
    assert (
        "if these are files of exam 1/pre, with whose name this one begins, write in the patterns in full"
        in lines[0]
    )
    settings["labels"] = "sub-{patient}_ses-{exam}_space-T1w_dseg.nii.gz"
    assert [exam.visit for exam in found(keys, **settings)] == ["pre", "pre"]


def test_a_pattern_to_ignore_that_matches_nothing_is_refused_as_an_exam_to_exclude_is() -> None:
    keys = [*exam_keys("p1"), *exam_keys("p2"), "p1/old.nii.gz"]
    assert problems_of(keys, ignore=["**/old*", "p3/**"], exclude=["p4"]) == [
        "cohort.ignore: found 'p3/**', which matches no file; expected patterns of files below cohort.root; correct "
        "the pattern or remove it",
        "cohort.exclude: found 'p4', which is no patient and no patient/exam; expected an exam of the cohort; "
        "correct the name or remove it",
    ]


def test_a_name_that_differs_by_its_ending_is_meant_rather_than_one_that_looks_alike() -> None:
    keys = [
        f"p{n}/{name}"
        for n in (1, 2)
        for name in ("t1.nii.gz", "flair_ax.nii", "flair_sag.nii.gz", "label.nii.gz")
    ]
    (line,) = problems_of(keys, channels=["t1", "flair_ax"])
    assert line.endswith("did you mean 'flair_ax.nii'?")


def test_a_file_of_a_name_alike_beside_a_missing_one_is_named() -> None:
    keys = [*exam_keys("p1"), *exam_keys("p2"), "p3/t1.nii.gz", "p3/T2.nii.gz", "p3/label.nii.gz"]
    (line,) = problems_of(keys)
    assert line == (
        "p3/t2.nii.gz: found no file for channel t2; beside is p3/T2.nii.gz, whose name differs by case, blanks, a "
        "number or its ending only; expected one file; if that is meant, rename it; else add the file, or leave the "
        "exam out with cohort.exclude"
    )
