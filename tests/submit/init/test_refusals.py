"""Folders that make no study: what is said."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from job.study_file import load_study
from tests.submit.init.folders import EXAMS, PATIENTS, SHAPE_XYZ, Ended, plain
from tests.submit.init.layouts import save


def test_an_existing_file_stays_as_it_is(data: Path, init: Callable[..., Ended], tmp_path: Path) -> None:
    plain(data)
    (tmp_path / "study.toml").write_text("mine")
    ended = init()
    assert ended.code == 64
    assert "study.toml: is there already and stays as it is" in ended.err
    assert ended.text == "mine"
    assert init("data", "--output", "other/new.toml").code == 0
    assert load_study(tmp_path / "other/new.toml").cohort.root == "../data"


def test_a_folder_that_is_not_there_is_wrong_usage(init: Callable[..., Ended], data: Path) -> None:
    for wrong in ("nowhere", "gopher://x"):
        ended = init(wrong)
        assert ended.code == 64
        assert not ended.study_file.exists()
    assert init("data", "--output", "data").code == 64


def _empty(folder: Path) -> None:
    pass


def _one_file(folder: Path) -> None:
    save(folder / "p1/t1.nii.gz", EXAMS[0].channels["t1"])


def _one_exam_without_a_folder(folder: Path) -> None:
    plain(folder, ("",))


def _only_images(folder: Path) -> None:
    plain(folder, label="")


def _one_channel(folder: Path) -> None:
    plain(folder, channels=("t1",))


def _only_labels(folder: Path) -> None:
    plain(folder, channels=())


def _labels_in_4d(folder: Path) -> None:
    plain(folder, label="")
    for exam, patient in zip(EXAMS, PATIENTS, strict=True):
        each = np.stack([exam.label == 1, exam.label == 2], axis=3).astype(np.uint8)
        save(folder / patient / "label.nii.gz", each)


def _probabilities(folder: Path) -> None:
    plain(folder, label="")
    for exam, patient in zip(EXAMS, PATIENTS, strict=True):
        save(folder / patient / "label.nii.gz", exam.label.astype(np.float32) * 0.4)


def _no_class(folder: Path) -> None:
    plain(folder, label="")
    for patient in PATIENTS:
        save(folder / patient / "label.nii.gz", np.zeros(SHAPE_XYZ, np.uint8))


def _labels_without_a_word(folder: Path) -> None:
    for exam, patient in zip(EXAMS, PATIENTS, strict=True):
        save(folder / f"{patient}_t1.nii.gz", exam.channels["t1"])
        save(folder / f"{patient}_t2.nii.gz", exam.channels["t2"])
        save(folder / f"{patient}.nii.gz", exam.label)


def _other_kinds(folder: Path) -> None:
    for patient in ("p1", "p2"):
        (folder / patient).mkdir()
        (folder / patient / "t1.mha").write_bytes(b"ObjectType = Image")
        (folder / patient / "seg.hdr").write_bytes(b"")


def _dicom_without_ending(folder: Path) -> None:
    (folder / "p1").mkdir()
    (folder / "p1/IM0001").write_bytes(bytes(128) + b"DICM")


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (_empty, ["found:    no file", "name the folder that has the images"]),
        (_one_file, ["1 file (1 .nii/.nii.gz), e.g. p1/t1.nii.gz", "{patient}/{channel}.nii.gz"]),
        (_one_exam_without_a_folder, ["5 files", "give each patient a folder"]),
        (_only_images, ["4 exams of 4 patients, and no labels"]),
        (_one_channel, ["labels ({patient}/label) and 1 channel ({patient}/t1)", "at least two channels"]),
        (_labels_in_4d, ["2 volumes in a file of labels", "fslsplit"]),
        (_probabilities, ["voxels that are not integral"]),
        (_no_class, ["nothing but background in the labels of 4 exams"]),
        (
            _labels_without_a_word,
            ["files that {patient}_t1.nii.gz and {patient}.nii.gz find", "a word of their own"],
        ),
        (_other_kinds, ["2 .hdr, 2 .mha", ".mha: read them with 3D Slicer", "fslchfiletype"]),
        (_dicom_without_ending, ["a DICOM file", "dcm2niix"]),
    ],
)
def test_what_makes_no_study_is_refused_with_what_was_found(
    write: Callable[[Path], None], words: list[str], data: Path, init: Callable[..., Ended]
) -> None:
    write(data)
    ended = init()
    assert ended.code == 65
    for each in words:
        assert each in ended.err
    assert not ended.study_file.exists()


def test_labels_without_images_say_what_is_missing(data: Path, init: Callable[..., Ended]) -> None:
    """As of a challenge that gives its truths alone."""
    plain(data, channels=(), label="label_midRT")
    for exam, patient in zip(EXAMS, PATIENTS, strict=True):
        save(data / patient / "preRT_mask_registered.nii.gz", np.roll(exam.label, 1, 0))
    ended = init()
    assert ended.code == 65
    assert "4 exams of 4 patients with labels ({patient}/label_midRT) and no image" in ended.err
    assert "add the images of every exam beside its labels" in ended.err
