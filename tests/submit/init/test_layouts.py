"""Folders in, study files out: the same exams in whatever layout give the same store."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from job.contract.study import Study
from job.data.cohort_files import find_cohort
from job.data.prepare import check_cohort, prepare_cohort
from job.data.store import ExamReader, read_record
from job.project import Project
from job.storage import Storage, open_storage
from job.study_file import load_study, parse_study
from submit.init.command import init_study
from tests.submit.init.layouts import CHANNELS, CLASSES, LAYOUTS, phantom

ORIGINAL = {
    **{name: name for name in CHANNELS},
    **{f"channel_{n}": name for n, name in enumerate(CHANNELS)},
    **{"T1w": "t1", "ce-gd_T1w": "t1c", "T2w": "t2", "T2starw": "t2star"},
    **{"t1n": "t1", "t2w": "t2", "t2f": "t2star", "t2_tse": "t2"},
}
"""Which channel of the cohort a layout's name stands for."""
PATTERNS = {
    "folders of exams": "{patient}/{exam}/{channel}.nii.gz",
    "folders numbered alone": "{patient}/{exam}/{channel}.nii.gz",
    "folders of patients": "{patient}/{channel}.nii.gz",
    "names of patients twice": "{patient}/{patient}_{channel}.nii.gz",
    "visits in names of folders": "{patient}_{exam}/{channel}.nii.gz",
    "visits in names of files": "{patient}/{patient}_{exam}_{channel}.nii.gz",
    "dates in names of files": "{patient}/{exam}_{channel}.nii.gz",
    "folders of channels": "{channel}/{patient}.nii.gz",
    "folders of channels, named again": "{channel}/{patient}_{channel}.nii.gz",
    "one folder": "{patient}_{channel}.nii.gz",
    "one folder, channel first": "{channel}_{patient}.nii.gz",
    "a tree for labels": "images/{patient}/{channel}.nii.gz",
    "a folder below the patient's": "{patient}/nifti/{channel}.nii",
    "flat BIDS names": "sub-{patient}_ses-{exam}_run-1_{channel}.nii.gz",
    "BraTS 2020": "{patient}/{patient}_{channel}.nii",
    "BraTS 2023": "{patient}-{exam}/{patient}-{exam}-{channel}.nii.gz",
    "BraTS 2017": "*/{patient}/{patient}_{channel}.nii.gz",
    "nnU-Net": "imagesTr/{patient}_{channel}.nii.gz",
    "nnU-Net's first version": "imagesTr/{patient}_{channel}.nii.gz",
    "Decathlon": "imagesTr/{patient}.nii.gz",
    "a 4-D file": "{patient}/image.nii.gz",
    "a file for each class": "{patient}/{channel}.nii.gz",
    "BIDS with sessions": "sub-{patient}/ses-{exam}/*/sub-{patient}_ses-{exam}_{channel}.nii.gz",
    "BIDS": "sub-{patient}/*/sub-{patient}_{channel}.nii.gz",
    "two versions": "{patient}/{channel}_normalised.nii.gz",
    "numbered series": "{patient}/*_{channel}_ax.nii.gz",
}
Arrays = tuple[NDArray[np.floating], NDArray[np.uint8]]
"""Image (C, Z, Y, X) with the channels in the order of CHANNELS, and label."""


def quiet(done: int, total: int) -> None:
    """No progress is shown."""


def stored(source: Storage, store: Storage, study: Study) -> list[Arrays]:
    """What the store of a study holds."""
    index = prepare_cohort(source, store, study, workers=2, progress=quiet).index
    names = [ORIGINAL[name] for name in study.cohort.channel_names]
    order = [names.index(name) for name in CHANNELS]
    readers = [
        ExamReader(store, read_record(store, index.recipe, exam.exam, exam.digest)) for exam in index.exams
    ]
    return [(reader.image(order), reader.label()) for reader in readers]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], list[Arrays]]:
    """The store of the phantom by a study that was written by hand, with and without the mask."""
    folder = tmp_path_factory.mktemp("expected")
    phantom(folder / "data")
    stores: dict[bool, list[Arrays]] = {}
    for masked in (True, False):
        cohort = {
            "root": "data",
            "pattern": "{patient}/{exam}/{channel}.nii.gz",
            "labels": "{patient}/{exam}/label.nii.gz",
            "channels": list(CHANNELS),
            "classes": {name: n for n, name in enumerate(CLASSES, start=1)},
        } | ({"mask": "{patient}/{exam}/mask.nii.gz"} if masked else {})
        study = parse_study({"name": "by-hand", "preset": "smoke", "cohort": cohort}, source="by hand")
        store = open_storage(str(folder / f"store{masked}"))
        stores[masked] = stored(open_storage(str(folder / "data")), store, study)
    return lambda masked: stores[masked]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_store(
    layout: str, tmp_path: Path, expected: Callable[[bool], list[Arrays]]
) -> None:
    LAYOUTS[layout](tmp_path / "data")
    study_file = tmp_path / "study.toml"
    init_study(str(tmp_path / "data"), study_file, Console(stderr=True))
    study = load_study(study_file)
    assert study.cohort.pattern == PATTERNS[layout]
    source = Project(study_file, study).cohort
    assert check_cohort(source, study, workers=2, progress=quiet).problems == ()
    found = stored(source, open_storage(str(tmp_path / "store")), study)
    for (image, label), (expected_image, expected_label) in zip(
        found, expected(study.cohort.mask is not None), strict=True
    ):
        assert np.array_equal(label, expected_label)
        assert np.array_equal(image, expected_image)


@pytest.mark.parametrize(
    ("layout", "mask"),
    [
        ("folders of exams", "{patient}/{exam}/mask.nii.gz"),
        ("names of patients twice", "{patient}/{patient}_brainmask.nii.gz"),
        ("a tree for labels", "masks/{patient}.nii.gz"),
        ("BIDS", "derivatives/manual/sub-{patient}/anat/sub-{patient}_desc-brain_mask.nii.gz"),
        ("BraTS 2020", None),
    ],
)
def test_a_mask_is_found_by_its_name_and_contents(layout: str, mask: str | None, tmp_path: Path) -> None:
    LAYOUTS[layout](tmp_path / "data")
    init_study(str(tmp_path / "data"), tmp_path / "study.toml", Console(stderr=True))
    assert load_study(tmp_path / "study.toml").cohort.mask == mask


@pytest.mark.parametrize(
    ("layout", "exams"),
    [
        (
            "visits in names of folders",
            [("p1", "visit1"), ("p2", "visit1"), ("p2", "visit2"), ("p3", "visit1")],
        ),
        ("BIDS with sessions", [("01", "1"), ("02", "1"), ("02", "2"), ("03", "1")]),
        (
            "BraTS 2023",
            [
                ("BraTS-GLI-00001", "001"),
                ("BraTS-GLI-00002", "001"),
                ("BraTS-GLI-00002", "002"),
                ("BraTS-GLI-00003", "001"),
            ],
        ),
        ("BraTS 2020", [(f"BraTS20_Training_00{n}", "") for n in range(1, 5)]),
        ("one folder", [(f"p_{n}", "") for n in range(1, 5)]),
    ],
)
def test_exams_of_one_patient_are_known_as_such(
    layout: str, exams: list[tuple[str, str]], tmp_path: Path
) -> None:
    LAYOUTS[layout](tmp_path / "data")
    init_study(str(tmp_path / "data"), tmp_path / "study.toml", Console(stderr=True))
    study = load_study(tmp_path / "study.toml")
    found = find_cohort(Project(tmp_path / "study.toml", study).cohort, study.cohort)
    assert [(exam.patient, exam.visit) for exam in found] == exams


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("folder", "channels", "mask", "classes"),
    [
        (
            "brats2015",
            ("flair", "t1c"),
            "{patient}/brainmask.nii.gz",
            {"necrosis": 1, "oedema": 2, "non-enhancing": 3, "enhancing": 4},
        ),
        ("openms", ("flair", "t1", "t1post", "t2"), None, {"class_1": 1}),
    ],
)
def test_real_cohorts_are_recognised(
    folder: str, channels: tuple[str, ...], mask: str | None, classes: dict[str, int], tmp_path: Path
) -> None:
    shared = Path(__file__).parents[3] / "../shared/data"
    said = init_study(str(shared / folder), tmp_path / "study.toml", Console(stderr=True))
    cohort = load_study(tmp_path / "study.toml").cohort
    assert cohort.channel_names == channels
    assert (cohort.labels, cohort.mask) == ("{patient}/label.nii.gz", mask)
    assert cohort.classes == classes
    if folder == "openms":  # lesions of 1,300, 49,769 and 8,227 voxels
        assert "59,296 voxels, in 3 exams" in (tmp_path / "study.toml").read_text()
    assert "unsure" not in said or folder == "brats2015"
