"""Folders that are not as they should be: what is written, said, or refused."""

import gzip
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from job.contract.cohort import Cohort
from job.contract.study_file import load_study
from job.data.cohort_files import find_cohort
from job.data.patterns import composed
from job.data.prepare import check_cohort
from job.places import cohort_root
from submit import cli
from tests.submit.init import layouts
from tests.submit.init.layouts import AFFINE, LAYOUTS, ExamArrays, bids, nnunet, save

PATIENTS = ("p1", "p2", "p3", "p4")
CHANNELS = ("adc", "flair", "t1", "t2")
SHAPE_XYZ = (16, 14, 8)


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


def drawn(seed: int) -> ExamArrays:
    """An exam with a core (1) and a rim (2) around it."""
    draws = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE_XYZ), indexing="ij")
    mask = (x**2 + y**2 + z**2 < 0.9).astype(np.uint8)
    where = draws.uniform(-0.2, 0.2, 3)
    distance = np.sqrt((x - where[0]) ** 2 + (y - where[1]) ** 2 + (z - where[2]) ** 2)
    label = np.where(distance < 0.3, 1, np.where(distance < 0.5, 2, 0)).astype(np.uint8)
    channels = {
        name: np.where(mask, draws.normal(300 + 100 * (label > 0), 50), 0).astype(np.float32)
        for name in CHANNELS
    }
    return ExamArrays(patient=seed + 1, visit=1, channels=channels, label=label, mask=mask)


EXAMS = [drawn(seed) for seed in range(4)]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How `submit init data` ended."""

    code: int
    out: str
    err: str
    study_file: Path

    @property
    def cohort(self) -> Cohort:
        """Of the study file that was written."""
        assert self.code == 0, self.err
        return load_study(self.study_file).cohort

    @property
    def text(self) -> str:
        """The study file."""
        return self.study_file.read_text()

    @property
    def problems(self) -> list[str]:
        """What `submit check` finds."""
        study = load_study(self.study_file)
        source = cohort_root(self.study_file, study)
        found = check_cohort(source, study, workers=2, progress=lambda done, total: None)
        return [str(problem) for problem in found.problems]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder that is looked at."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def init(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Runs `submit init data`."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["submit", "init", *(arguments or ("data",))])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return Ended(code=code, out=shown.out, err=shown.err, study_file=tmp_path / "study.toml")

    return run


def plain(
    folder: Path,
    patients: Sequence[str] = PATIENTS,
    *,
    channels: Sequence[str] = CHANNELS,
    label: str = "label",
    mask: str = "",
) -> None:
    """A folder for each patient with channels, a label map and a mask, the latter two where they have a name."""
    for exam, patient in zip(EXAMS, patients, strict=False):
        for name, array in zip(channels, exam.channels.values(), strict=False):
            save(folder / patient / f"{name}.nii.gz", array)
        if label:
            save(folder / patient / f"{label}.nii.gz", exam.label)
        if mask:
            save(folder / patient / f"{mask}.nii.gz", exam.mask)


# --- names


def test_names_with_spaces_quotes_and_umlauts(data: Path, init: Callable[..., Ended]) -> None:
    patients = ("anna maria", "jörg", 'otto "der große"', "back\\slash")
    plain(data, patients, channels=("t1 axial", "wässrig", "b{0}", "t2 [late]"))
    ended = init()
    assert ended.cohort.channel_names == ("b_0_", "t1 axial", "t2 [late]", "wässrig")
    assert ended.problems == []
    found = find_cohort(cohort_root(ended.study_file, load_study(ended.study_file)), ended.cohort)
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
    found = find_cohort(cohort_root(ended.study_file, load_study(ended.study_file)), ended.cohort)
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
    assert "1 of 4 exams is not whole (p2: no file for channel t1)" in ended.out
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
    assert len(find_cohort(cohort_root(ended.study_file, study), whole)) == 3


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


def test_a_folder_beside_those_of_the_groups_is_ignored(data: Path, init: Callable[..., Ended]) -> None:
    LAYOUTS["BraTS 2017"](data)
    save(data / "atlas/Brats17_X/Brats17_X_t1.nii.gz", EXAMS[0].channels["t1"])
    ended = init()
    assert ended.cohort.pattern == "*/{patient}/{patient}_{channel}.nii.gz"
    assert ended.cohort.ignore == ("atlas/**",)
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


def test_an_exam_of_which_alone_there_are_several_runs_is_not_in_the_study(
    data: Path, init: Callable[..., Ended]
) -> None:
    for number, exam in enumerate(EXAMS):
        bids_exam(data, f"sub-0{number}", exam, ["_run-1", "_run-2"] if number == 2 else [""])
    ended = init()
    assert "Found: 3 exams of 3 patients" in ended.out
    assert "unsure: 5 images in no exam: sub-02/anat/sub-02_dseg.nii.gz" in ended.out
    assert ended.problems == []


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
    assert len(find_cohort(cohort_root(ended.study_file, load_study(ended.study_file)), ended.cohort)) == 3
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


# --- what is refused


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
        (_labels_without_a_word, ["files that two patterns find", "a word of their own"]),
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
