"""Folders that are not as they should be: what is written, and said."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from job.contract.cohort import Cohort
from job.data.cohort_files import find_cohort
from job.project import Project
from job.study_file import load_study
from tests.submit.init import layouts
from tests.submit.init.folders import CHANNELS, EXAMS, PATIENTS, SHAPE_XYZ, Ended, plain
from tests.submit.init.layouts import AFFINE, LAYOUTS, ExamArrays, bids, nnunet, save


def _lists_are_classes() -> bool:
    """Whether a class may have several files."""
    tables = {
        "root": ".",
        "pattern": "{patient}/{channel}",
        "labels": "{patient}/{class}",
        "channels": ["a", "b"],
    }
    try:
        Cohort.model_validate(tables | {"classes": {"GTVn": ["GTVn1", "GTVn2"]}})
    except ValueError:
        return False
    return True


LISTS_ARE_CLASSES = _lists_are_classes()


# --- files beside, and files that are missing


def test_an_exam_without_labels_is_named_and_the_rest_is_found(
    data: Path, init: Callable[..., Ended]
) -> None:
    plain(data)
    (data / "p3/label.nii.gz").unlink()
    ended = init()
    assert "1 of 4 exams is not whole (p3: no file for labels)" in ended.out
    study = load_study(ended.study_file)
    whole = study.cohort.model_copy(update={"exclude": ("p3",)})
    assert len(find_cohort(Project(ended.study_file, study).cohort, whole)) == 3


def test_files_beside_are_named_and_not_used(data: Path, init: Callable[..., Ended]) -> None:
    plain(data)
    save(data / "p1/localizer.nii.gz", EXAMS[0].channels["t1"])
    save(data / "atlas.nii.gz", EXAMS[0].channels["t1"])
    (data / "p1/t1.json").write_text("{}")
    (data / "p9").mkdir()
    (data / "p9/IM1.dcm").write_bytes(bytes(128) + b"DICM")
    ended = init()
    assert ended.problems == []
    assert "unsure: not used: {patient}/localizer (1 of 4 exams)" in ended.out
    assert "unsure: 1 image in no exam: atlas.nii.gz" in ended.out
    assert "1 file .dcm cannot be used (p9/IM1.dcm): convert each series with dcm2niix" in ended.out


@pytest.mark.parametrize("patients", [1, 4])
def test_files_that_a_wildcard_would_find_are_ignored(
    patients: int, data: Path, init: Callable[..., Ended]
) -> None:
    bids(sessions=False)(data)
    for exam in layouts.exams(visits=False)[:patients]:
        name = f"sub-{exam.patient:02}"
        save(data / name / f"old/{name}_T1w.nii.gz", exam.channels["t1"] + 1)
    ended = init()
    assert ended.cohort.channel_names == ("adc", "ce-gd_T1w", "ktrans", "T1w", "T2starw", "T2w", "ve")
    assert ended.cohort.pattern == "sub-{patient}/*/sub-{patient}_{channel}.nii.gz"
    assert ended.cohort.ignore == ("*/old/*_T1w.nii.gz",)
    assert ended.problems == []


def test_a_folder_beside_those_of_the_groups_is_left_to_the_user(
    data: Path, init: Callable[..., Ended]
) -> None:
    LAYOUTS["BraTS 2017"](data)
    save(data / "atlas/Brats17_X/Brats17_X_t1.nii.gz", EXAMS[0].channels["t1"])
    ended = init()
    assert ended.cohort.pattern == "*/{patient}/{patient}_{channel}.nii.gz"
    assert "1 of 5 exams is not whole (Brats17_X: hardly any file of an exam" in ended.out
    (problem,) = ended.problems
    assert problem.startswith("atlas/Brats17_X/Brats17_X_t1.nii.gz: found 1 of 8 files of an exam Brats17_X")
    ended.study_file.write_text(ended.text.replace("channels = [", 'ignore = ["atlas/**"]\nchannels = ['))
    assert ended.problems == []


def test_two_raters_drew_the_same(data: Path, init: Callable[..., Ended]) -> None:
    plain(data, label="seg_rater1")
    for exam, patient in zip(EXAMS, PATIENTS, strict=True):
        save(data / patient / "seg_rater2.nii.gz", exam.label)
    ended = init()
    assert ended.cohort.labels == "{patient}/seg_rater1.nii.gz"
    assert "{patient}/seg_rater2 seem to be of others" in ended.out


def test_drawings_of_one_lesion_that_only_a_letter_tells_apart(
    data: Path, init: Callable[..., Ended]
) -> None:
    """Shifted by a voxel of a lesion that is about 7 wide."""
    plain(data, label="")
    for exam, patient in zip(EXAMS, PATIENTS, strict=True):
        lesion = (exam.label > 0).astype(np.uint8)
        save(data / patient / "lesion_A.nii.gz", lesion)
        save(data / patient / "lesion_B.nii.gz", np.roll(lesion, 1, 0))
    ended = init()
    assert ended.cohort.classes == {"lesion_A": "lesion_A"}
    assert "unsure: lesion_A and lesion_B overlap (Dice 0.8" in ended.out
    assert ended.problems == []


@pytest.mark.skipif(not LISTS_ARE_CLASSES, reason="needs classes of several files")
def test_numbered_files_are_parts_of_one_class(data: Path, init: Callable[..., Ended]) -> None:
    plain(data, label="")
    for number, (exam, patient) in enumerate(zip(EXAMS, PATIENTS, strict=True)):
        save(data / patient / "GTVp.nii.gz", (exam.label == 1).astype(np.uint8))
        save(data / patient / "GTVn1.nii.gz", np.roll(exam.label == 1, 5, 0).astype(np.uint8))
        if number == 1:
            save(data / patient / "GTVn2.nii.gz", np.roll(exam.label == 1, -5, 0).astype(np.uint8))
    ended = init()
    assert ended.cohort.classes == {"GTVn": ("GTVn1", "GTVn2"), "GTVp": "GTVp"}
    assert "unsure: GTVn1, GTVn2: taken for parts of one class, GTVn" in ended.out
    assert ended.problems == []


# --- runs, sessions, sites


def bids_exam(data: Path, folder: str, exam: ExamArrays, runs: Sequence[str] = ("",)) -> None:
    """Two channels, taken once or several times, and the labels of a BIDS exam."""
    name = folder.replace("/", "_")
    for run in runs:
        save(data / folder / f"anat/{name}{run}_T1w.nii.gz", exam.channels["t1"])
        save(data / folder / f"anat/{name}{run}_FLAIR.nii.gz", exam.channels["flair"])
    save(data / folder / f"anat/{name}_dseg.nii.gz", exam.label)


def test_the_first_of_several_runs_is_used(data: Path, init: Callable[..., Ended]) -> None:
    for number, exam in enumerate(EXAMS):
        bids_exam(data, f"sub-0{number % 2}/ses-{number // 2}", exam, ["_run-1", "_run-2"])
    ended = init()
    assert ended.cohort.pattern == (
        "sub-{patient}/ses-{exam}/anat/sub-{patient}_ses-{exam}_run-1_{channel}.nii.gz"
    )
    assert "unsure: images were taken several times; " in ended.out
    assert "run-2_T1w are not used" in ended.out
    assert ended.problems == []


def test_an_exam_of_which_alone_there_are_several_runs_is_not_whole(
    data: Path, init: Callable[..., Ended]
) -> None:
    for number, exam in enumerate(EXAMS):
        bids_exam(data, f"sub-0{number}", exam, ["_run-1", "_run-2"] if number == 2 else [""])
    ended = init()
    assert "Found: 4 exams of 4 patients, 3 of them complete" in ended.out
    assert "(02: hardly any file of an exam: no channel FLAIR, channel T1w)" in ended.out
    assert "unsure: 4 images in no exam: sub-02/anat/sub-02_run-1_FLAIR.nii.gz" in ended.out


def test_an_exam_with_a_series_twice_is_left_to_the_user(data: Path, init: Callable[..., Ended]) -> None:
    for number, (exam, patient) in enumerate(zip(EXAMS, PATIENTS, strict=True)):
        for n, name in enumerate(("t1", "t2") if number != 1 else ("t1", "t2", "t2")):
            save(data / patient / f"{7 * number + n}01_{name}.nii.gz", exam.channels[name])
        save(data / patient / "label.nii.gz", exam.label)
    ended = init()
    assert "1 of 4 exams is not whole (p2: several files for channel t2)" in ended.out
    assert not ended.cohort.ignore


def test_patients_without_a_session_beside_others_are_named(data: Path, init: Callable[..., Ended]) -> None:
    for number, exam in enumerate(EXAMS):
        bids_exam(data, f"sub-0{number}" if number == 3 else f"sub-0{number}/ses-1", exam)
    ended = init()
    assert len(find_cohort(Project.read(ended.study_file).cohort, ended.cohort)) == 3
    assert "unsure: 1 patient without a folder for the exam, as others have it (sub-03)" in ended.out


def test_patients_of_one_name_in_several_sites_are_a_doubt(data: Path, init: Callable[..., Ended]) -> None:
    plain(data, ("siteA/p1", "siteA/p2", "siteB/p1", "siteB/p2"))
    ended = init()
    assert ended.cohort.pattern == "{patient}/{exam}/{channel}.nii.gz"
    assert 'rename the patients: "p1" is in several groups, and no pattern tells them apart' in ended.out


# --- labels and masks


def test_files_of_classes_that_lie_inside_each_other(data: Path, init: Callable[..., Ended]) -> None:
    """The core (value 1) is a part of the whole tumour: a class of its own, and the whole a union."""
    plain(data, label="")
    for exam, patient in zip(EXAMS, PATIENTS, strict=True):
        save(data / patient / "seg_a_whole.nii.gz", (exam.label > 0).astype(np.uint8))
        save(data / patient / "seg_core.nii.gz", (exam.label == 1).astype(np.uint8))
    ended = init()
    assert ended.cohort.labels == "{patient}/seg_{class}.nii.gz"
    assert list(ended.cohort.classes.items()) == [("core", "core"), ("rest of a_whole", "a_whole")]
    assert ended.cohort.structures == {"a_whole": ("core", "rest of a_whole")}
    assert ended.problems == []


def test_a_structure_without_a_file_in_some_exams(data: Path, init: Callable[..., Ended]) -> None:
    plain(data, label="", mask="body")
    for number, (exam, patient) in enumerate(zip(EXAMS, PATIENTS, strict=True)):
        save(data / patient / "GTVp.nii.gz", (exam.label == 1).astype(np.uint8) * 255)
        if number % 2 == 0:
            save(data / patient / "GTVn.nii.gz", (exam.label == 2).astype(np.uint8))
        if number == 1:
            save(data / patient / "GTV-N.nii.gz", (exam.label == 2).astype(np.uint8))
    ended = init()
    assert ended.cohort.classes == {"GTVn": "GTVn", "GTVp": "GTVp"}
    assert ended.cohort.mask == "{patient}/body.nii.gz"
    assert "{patient}/GTV-N (1 exam): no classes here" in ended.out
    assert ended.problems == []


@pytest.mark.parametrize("name", ["BODY", "External", "brain_mask"])
def test_the_outline_of_a_body_among_structures_is_the_mask_and_no_class(
    name: str, data: Path, init: Callable[..., Ended]
) -> None:
    plain(data, label="")
    for exam, patient in zip(EXAMS, PATIENTS, strict=True):
        save(data / patient / "RTSTRUCT/GTV-T.nii.gz", (exam.label == 1).astype(np.uint8))
        save(data / patient / "RTSTRUCT/GTV-N.nii.gz", (exam.label == 2).astype(np.uint8))
        save(data / patient / f"RTSTRUCT/{name}.nii.gz", exam.mask)
    ended = init()
    assert ended.cohort.mask == f"{{patient}}/RTSTRUCT/{name}.nii.gz"
    assert ended.cohort.classes == {"GTV-N": "GTV-N", "GTV-T": "GTV-T"}
    assert ended.problems == []


@pytest.mark.parametrize("labels", ["alone", "with values"])
def test_a_brain_that_is_all_that_is_labelled_is_the_labels(
    labels: str, data: Path, init: Callable[..., Ended]
) -> None:
    plain(data, label="")
    for exam, patient in zip(EXAMS, PATIENTS, strict=True):
        save(data / patient / "labels/brain.nii.gz", exam.label if labels == "with values" else exam.mask)
    ended = init()
    assert ended.cohort.labels == "{patient}/labels/brain.nii.gz"
    assert len(ended.cohort.classes) == (2 if labels == "with values" else 1)


@pytest.mark.parametrize("name", ["dose", "RTDOSE", "RTD"])
def test_a_planned_dose_among_the_channels_is_a_doubt(
    name: str, data: Path, init: Callable[..., Ended]
) -> None:
    plain(data, channels=(name, "CT", "t1", "t2"))
    ended = init()
    assert f"unsure: {name}: a dose by its name; it is planned on the target" in ended.out
    assert "unsure: CT: CT or PET by its name, among channels of MRI" in ended.out


def test_visits_that_become_channels_of_one_exam_are_a_doubt(data: Path, init: Callable[..., Ended]) -> None:
    """As in HNTS-MRG, where midRT has copies of preRT that were registered to it."""
    for exam, patient in zip(EXAMS, PATIENTS, strict=True):
        for visit, array in zip(("preRT", "midRT"), exam.channels.values(), strict=False):
            save(data / patient / visit / f"{patient}_{visit}_T2.nii.gz", array)
            save(data / patient / visit / f"{patient}_{visit}_mask.nii.gz", exam.label)
        save(data / patient / "midRT" / f"{patient}_preRT_T2_registered.nii.gz", exam.channels["t2"])
        save(data / patient / "midRT" / f"{patient}_preRT_mask_registered.nii.gz", exam.label)
    ended = init()
    assert (
        "unsure: channels are called after several visits (midRT, preRT), as if these were one exam"
        in ended.out
    )


def test_channels_before_and_after_contrast_are_no_visits(data: Path, init: Callable[..., Ended]) -> None:
    plain(data, channels=("t1_pre", "t1_post", "t1_late", "t2"))
    assert "several visits" not in init().out


def test_tomography_without_mri_is_no_doubt(data: Path, init: Callable[..., Ended]) -> None:
    plain(data, channels=("CT", "PT"))
    assert "by its name" not in init().out


def test_the_range_of_a_map_holds_what_three_files_have(data: Path, init: Callable[..., Ended]) -> None:
    """Up to 1.2, 2.2, 3.2 and 4.2: 99.5 % of the first three is at most 3.19, and 4 is the next round number."""
    plain(data)
    for number, patient in enumerate(PATIENTS, start=1):
        values = np.linspace(0.2, number + 0.2, 16 * 14 * 8, dtype=np.float32).reshape(SHAPE_XYZ)
        save(data / patient / "adc.nii.gz", values)
        save(data / patient / "t1_map.nii.gz", values * 1000 - 2000)
    ended = init()
    assert '{ name = "adc", normalisation = "fixed", range = [0, 4] }' in ended.text
    assert '{ name = "t1_map", normalisation = "fixed", range = [-2000, 1500] }' in ended.text


def test_a_mask_alone_is_the_labels_and_a_doubt(data: Path, init: Callable[..., Ended]) -> None:
    plain(data, label="", mask="mask")
    ended = init()
    assert (ended.cohort.labels, ended.cohort.mask) == ("{patient}/mask.nii.gz", None)
    assert "they may be a body's outline" in ended.out


def test_a_mask_that_cuts_labels_off_is_not_used(data: Path, init: Callable[..., Ended]) -> None:
    plain(data)
    for patient in PATIENTS:
        mask = np.zeros(SHAPE_XYZ, np.uint8)
        mask[:8] = 1
        save(data / patient / "mask.nii.gz", mask)
    ended = init()
    assert ended.cohort.mask is None
    assert "{patient}/mask: not used as the mask, since" in ended.out


def test_labels_are_known_by_their_contents_where_no_name_says_so(
    data: Path, init: Callable[..., Ended]
) -> None:
    plain(data, label="outcome")
    ended = init()
    assert ended.cohort.labels == "{patient}/outcome.nii.gz"
    assert ended.cohort.classes == {"class_1": 1, "class_2": 2}
    assert "taken for the labels by what is in them" in ended.out


def test_one_class_has_the_name_of_its_file(data: Path, init: Callable[..., Ended]) -> None:
    plain(data, label="")
    for exam, patient in zip(EXAMS, PATIENTS, strict=True):
        save(data / patient / "lesion.nii.gz", (exam.label > 0).astype(np.uint8) * 7)
    assert init().cohort.classes == {"lesion": 7}


def test_a_label_map_that_cannot_be_read_is_a_doubt(data: Path, init: Callable[..., Ended]) -> None:
    plain(data)
    (data / "p1/label.nii.gz").write_bytes(b"<html>")
    (data / "p2/t1.nii.gz").write_bytes(b"")
    ended = init()
    assert "unsure: p1/label.nii.gz: found a web page or other text" in ended.out
    assert "# Voxels in the labels of 3 exams of 4." in ended.text
    assert len(ended.problems) == 2


def test_a_constant_channel_in_the_first_exam_is_no_mask(data: Path, init: Callable[..., Ended]) -> None:
    plain(data, channels=("a", "b", "c", "d"))
    save(data / "p1/a.nii.gz", np.zeros(SHAPE_XYZ, np.float32))
    assert init().cohort.channel_names == ("a", "b", "c", "d")


# --- 4-D files, grids


def test_a_diffusion_series_beside_the_channels_is_not_used(data: Path, init: Callable[..., Ended]) -> None:
    plain(data)
    for patient in PATIENTS:
        save(data / patient / "dwi.nii.gz", np.zeros((*SHAPE_XYZ, 3), np.float32))
    ended = init()
    assert ended.cohort.channel_names == CHANNELS
    assert "{patient}/dwi: 3 volumes in one file, not used" in ended.out


def test_files_on_several_grids_are_a_doubt(data: Path, init: Callable[..., Ended]) -> None:
    plain(data)
    for exam, patient in zip(EXAMS, PATIENTS, strict=True):
        save(data / patient / "adc.nii.gz", exam.channels["adc"][::2], AFFINE @ np.diag([2, 1, 1, 1]))
    ended = init()
    assert '# resample_to = "flair"' in ended.text
    assert "files of an exam are on different grids" in ended.out


def test_a_cohort_in_a_folder_of_an_nnunet_tree(data: Path, init: Callable[..., Ended]) -> None:
    nnunet(2)(data / "Dataset005_Brain")
    ended = init()
    assert ended.cohort.pattern == "Dataset005_Brain/imagesTr/{patient}_{channel}.nii.gz"
    assert [channel.files for channel in ended.cohort.channels] == [f"{n:04}" for n in range(7)]
    assert ended.cohort.channel_names == layouts.CHANNELS


def test_regions_of_nnunet_become_structures(data: Path, init: Callable[..., Ended]) -> None:
    nnunet(2)(data)
    table = json.loads((data / "dataset.json").read_text())
    table |= {"labels": {"background": 0, "whole": [1, 2], "core": 1}, "regions_class_order": [2, 1]}
    (data / "dataset.json").write_text(json.dumps(table))
    ended = init()
    assert ended.cohort.classes == {"core": 1, "rest of whole": 2}
    assert ended.cohort.structures == {"whole": ("core", "rest of whole")}
