"""The exams of a phantom, written in the ways in which groups keep theirs."""

import gzip
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from job.data.phantom import make_phantom

AFFINE = np.array([[-2.0, 0, 0, 15], [0, -2, 0, 13], [0, 0, 3, -12], [0, 0, 0, 1]])
CHANNELS = ("adc", "ktrans", "t1", "t1c", "t2", "t2star", "ve")
"""In the order in which every layout has them."""
CLASSES = ("GTV-T", "GTV-Ln")
"""Values 1 and 2."""


@dataclass(frozen=True)
class ExamArrays:
    """An exam's numbers, by (x, y, z)."""

    patient: int
    visit: int
    channels: Mapping[str, NDArray[np.float32]]
    label: NDArray[np.uint8]
    mask: NDArray[np.uint8]


def phantom(folder: Path) -> None:
    """The four exams as `submit phantom` writes them."""
    make_phantom(folder, patients=4, visits=1, seed=0, shape=(24, 24, 12))


def exams(visits: bool = True) -> list[ExamArrays]:
    """The phantom's four exams as those of three patients, of whom the second comes twice; or of four patients."""
    keys = [(1, 1), (2, 1), (2, 2), (3, 1)] if visits else [(1, 1), (2, 1), (3, 1), (4, 1)]
    return [
        ExamArrays(patient=patient, visit=visit, channels=channels, label=label, mask=mask)
        for (patient, visit), (channels, label, mask) in zip(keys, _arrays(), strict=True)
    ]


@cache
def _arrays() -> list[tuple[dict[str, NDArray[np.float32]], NDArray[np.uint8], NDArray[np.uint8]]]:
    def read(path: Path, dtype: type) -> NDArray[Any]:
        return np.asarray(nib.load(path).dataobj).astype(dtype)

    with tempfile.TemporaryDirectory() as name:
        phantom(Path(name))
        return [
            (
                {channel: read(folder / f"{channel}.nii.gz", np.float32) for channel in CHANNELS},
                read(folder / "label.nii.gz", np.uint8),
                read(folder / "mask.nii.gz", np.uint8),
            )
            for folder in sorted(Path(name).glob("*/*/"))
        ]


def nifti(
    array: NDArray[Any],
    affine: NDArray[np.float64] = AFFINE,
    *,
    qform: NDArray[np.float64] | None = None,
) -> bytes:
    """A `.nii` file; with a qform of its own, one that contradicts itself."""
    image = nib.Nifti1Image(array, affine, dtype=array.dtype)
    if qform is not None:
        image.set_qform(qform, 1)
        image.set_sform(affine, 1)
    contents: bytes = image.to_bytes()
    return contents


def save(path: Path, array: NDArray[Any], affine: NDArray[np.float64] = AFFINE, **header: Any) -> None:
    """A NIfTI file; packed where its name ends with .gz, in any case."""
    path.parent.mkdir(parents=True, exist_ok=True)
    contents = nifti(array, affine, **header)
    packed = path.name.lower().endswith(".gz")
    path.write_bytes(gzip.compress(contents, compresslevel=1, mtime=0) if packed else contents)


Layout = Callable[[Path], None]


def by_exam(
    pattern: str, *, visits: bool = True, labels: str = "label", mask: str = "mask", **names: str
) -> Layout:
    """A layout with a file for each channel, the labels and the mask.

    Args:
        pattern: Path of a file, with {p} for the patient's number, {v} for the visit's, and {file}.
        visits: Whether a patient comes twice.
        labels: What stands for {file} of the labels.
        mask: What stands for {file} of the mask; empty: there is none.
        names: What stands for {file} of a channel, where it is not its name.
    """

    def write(folder: Path) -> None:
        for exam in exams(visits):
            files: dict[str, NDArray[Any]] = {names.get(name, name): a for name, a in exam.channels.items()}
            files |= {labels: exam.label} | ({mask: exam.mask} if mask else {})
            for name, array in files.items():
                save(folder / pattern.format(p=exam.patient, v=exam.visit, file=name), array)

    return write


def nnunet(version: int) -> Layout:
    """`imagesTr/CASE_0000.nii.gz`, `labelsTr/CASE.nii.gz`, and cases to test without labels."""

    def write(folder: Path) -> None:
        for exam in exams(visits=False):
            for n, name in enumerate(CHANNELS):
                save(folder / f"imagesTr/BRAIN_{exam.patient:03}_{n:04}.nii.gz", exam.channels[name])
                save(folder / f"imagesTs/BRAIN_9{exam.patient:02}_{n:04}.nii.gz", exam.channels[name])
            save(folder / f"labelsTr/BRAIN_{exam.patient:03}.nii.gz", exam.label)
        channels = {str(n): name for n, name in enumerate(CHANNELS)}
        labels: dict[str, Any] = {"background": 0} | {name: n for n, name in enumerate(CLASSES, start=1)}
        table: dict[str, Any] = (
            {"channel_names": channels, "labels": labels, "numTraining": 4, "file_ending": ".nii.gz"}
            if version == 2
            else {
                "modality": channels,
                "labels": {str(n): name for name, n in labels.items()},
                "numTraining": 4,
            }
        )
        (folder / "dataset.json").write_text(json.dumps(table))

    return write


def decathlon(folder: Path) -> None:
    """One 4-D file for each exam, as the Medical Segmentation Decathlon has it."""
    for exam in exams(visits=False):
        save(
            folder / f"imagesTr/BRATS_{exam.patient:03}.nii.gz",
            np.stack(list(exam.channels.values()), axis=3),
        )
        save(folder / f"labelsTr/BRATS_{exam.patient:03}.nii.gz", exam.label)
    table = {
        "tensorImageSize": "4D",
        "modality": {str(n): name for n, name in enumerate(CHANNELS)},
        "labels": {"0": "background"} | {str(n): name for n, name in enumerate(CLASSES, start=1)},
        "training": [{"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"}],
    }
    (folder / "dataset.json").write_text(json.dumps(table))


def one_4d_file(folder: Path) -> None:
    """A folder for each patient with a 4-D file and a label map."""
    for exam in exams(visits=False):
        save(folder / f"p{exam.patient}/image.nii.gz", np.stack(list(exam.channels.values()), axis=3))
        save(folder / f"p{exam.patient}/label.nii.gz", exam.label)


def file_for_each_class(folder: Path) -> None:
    """Binary masks, as radiotherapy exports are; an exam without a lymph node has no file for it."""
    for exam in exams(visits=False):
        for name, array in exam.channels.items():
            save(folder / f"p{exam.patient}/{name}.nii.gz", array)
        for value, name in enumerate(("GTV", "LN"), start=1):
            if (exam.label == value).any():
                save(folder / f"p{exam.patient}/masks/{name}.nii.gz", (exam.label == value).astype(np.uint8))


def bids(*, sessions: bool) -> Layout:
    """Brain Imaging Data Structure: maps beside the anatomy, labels and mask among the derivatives."""

    def write(folder: Path) -> None:
        suffixes = {"t1": "T1w", "t1c": "ce-gd_T1w", "t2": "T2w", "t2star": "T2starw"}
        for exam in exams(visits=sessions):
            subject, session = f"sub-{exam.patient:02}", f"ses-{exam.visit}"
            place = f"{subject}/{session}" if sessions else subject
            name = f"{subject}_{session}" if sessions else subject
            for channel, suffix in suffixes.items():
                save(folder / place / f"anat/{name}_{suffix}.nii.gz", exam.channels[channel])
            for channel in ("adc", "ktrans", "ve"):
                save(folder / place / f"perf/{name}_{channel}.nii.gz", exam.channels[channel])
            derived = folder / "derivatives/manual" / place / "anat"
            save(derived / f"{name}_dseg.nii.gz", exam.label)
            save(derived / f"{name}_desc-brain_mask.nii.gz", exam.mask)
        (folder / "dataset_description.json").write_text('{"Name": "small", "BIDSVersion": "1.9.0"}')

    return write


def two_versions(folder: Path) -> None:
    """Each image raw and normalised: a word of the name says which are meant."""
    for exam in exams(visits=False):
        for name, array in exam.channels.items():
            save(folder / f"p{exam.patient}/{name}_raw.nii.gz", array + 1000)
            save(folder / f"p{exam.patient}/{name}_normalised.nii.gz", array)
        save(folder / f"p{exam.patient}/label.nii.gz", exam.label)
        save(folder / f"p{exam.patient}/mask.nii.gz", exam.mask)


def numbered_series(folder: Path) -> None:
    """Files named after the scanner's series, whose numbers differ from exam to exam."""
    for exam in exams(visits=False):
        for n, (name, array) in enumerate(exam.channels.items()):
            save(folder / f"p{exam.patient}/{3 * exam.patient + 2 * n:03}_{name}_ax.nii.gz", array)
        save(folder / f"p{exam.patient}/label.nii.gz", exam.label)
        save(folder / f"p{exam.patient}/mask.nii.gz", exam.mask)


def labels_apart(folder: Path) -> None:
    """Images, labels and masks in trees of their own."""
    for exam in exams(visits=False):
        for name, array in exam.channels.items():
            save(folder / f"images/p{exam.patient}/{name}.nii.gz", array)
        save(folder / f"labels/p{exam.patient}.nii.gz", exam.label)
        save(folder / f"masks/p{exam.patient}.nii.gz", exam.mask)


def grades(folder: Path) -> None:
    """Patients in the folders of two groups, as BraTS 2017."""
    for exam in exams(visits=False):
        group = "HGG" if exam.patient < 3 else "LGG"
        name = f"Brats17_CBICA_{'ABCD'[exam.patient - 1]}AB_1"
        for channel, array in exam.channels.items():
            save(folder / group / name / f"{name}_{channel}.nii.gz", array)
        save(folder / group / name / f"{name}_seg.nii.gz", exam.label)


LAYOUTS: dict[str, Layout] = {
    "folders of exams": by_exam("patient-{p}/visit-{v}/{file}.nii.gz"),
    "folders numbered alone": by_exam("{p}/{v}/{file}.nii.gz"),
    "folders of patients": by_exam("p{p}/{file}.nii.gz", visits=False),
    "names of patients twice": by_exam(
        "p{p}/p{p}_{file}.nii.gz", visits=False, labels="seg", mask="brainmask"
    ),
    "visits in names of folders": by_exam("p{p}_visit{v}/{file}.nii.gz"),
    "visits in names of files": by_exam("p{p}/p{p}_v{v}_{file}.nii.gz"),
    "dates in names of files": by_exam("p{p}/200{v}-0{p}-01_{file}.nii.gz"),
    "folders of channels": by_exam("{file}/p{p}.nii.gz", visits=False),
    "folders of channels, named again": by_exam("{file}/p{p}_{file}.nii.gz", visits=False),
    "one folder": by_exam("p_{p}_{file}.nii.gz", visits=False, t2="t2_tse"),
    "one folder, channel first": by_exam("{file}_p{p}.nii.gz", visits=False),
    "a tree for labels": labels_apart,
    "a folder below the patient's": by_exam("p{p}/nifti/{file}.nii", visits=False),
    "flat BIDS names": by_exam("sub-{p:02}_ses-{v}_run-1_{file}.nii.gz"),
    "BraTS 2020": by_exam(
        "BraTS20_Training_00{p}/BraTS20_Training_00{p}_{file}.nii", visits=False, labels="seg", mask=""
    ),
    "BraTS 2023": by_exam(
        "BraTS-GLI-0000{p}-00{v}/BraTS-GLI-0000{p}-00{v}-{file}.nii.gz",
        labels="seg",
        mask="",
        **{"t1": "t1n", "t2": "t2w", "t2star": "t2f"},
    ),
    "BraTS 2017": grades,
    "nnU-Net": nnunet(2),
    "nnU-Net's first version": nnunet(1),
    "Decathlon": decathlon,
    "a 4-D file": one_4d_file,
    "a file for each class": file_for_each_class,
    "BIDS with sessions": bids(sessions=True),
    "BIDS": bids(sessions=False),
    "two versions": two_versions,
    "numbered series": numbered_series,
}
"""By name."""
