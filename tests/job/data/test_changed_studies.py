"""A study that is changed and prepared again leaves in its store what a fresh one would hold, byte for byte."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from job.contract import layout
from job.contract.cohort import Channel, Cohort
from job.contract.study import Store, Study
from job.data.prepare import Prepared, prepare_cohort
from job.storage.local import LocalStorage
from job.study_file import parse_study
from tests.job.data.odd_cohorts import AFFINE, COHORT, NAMES, OddCohort, exam_of, nifti, sound_cohort

PATIENTS = ("p1", "p2", "p3", "p4")
ADC = {"name": "adc", "normalisation": "fixed", "range": [0.0, 3.0]}
VALUES = {"classes": {"tumour": 1, "node": 2}, "background": [0, 5]}
OF_FILES = {"labels": "{patient}/gtv_{class}.nii.gz"}
IN_ONE_FILE = {"pattern": "{patient}/all.nii.gz"}


def write_exams(root: Path, *, first_seed: int = 0) -> OddCohort:
    """Exams with all that the studies below choose from: images twice, and once in one 4-D file; labels and masks
    twice, and the labels as files of classes too."""
    odd = OddCohort(root)
    for seed, patient in enumerate(PATIENTS, start=first_seed):
        one, other = exam_of(seed), exam_of(100 + seed)
        for name in ("t1", "t2", "adc", "mask"):
            odd.write(patient, name, nifti(one[name]))
            odd.write(patient, f"{name}_b", nifti(other[name]))
        odd.write(patient, "all", nifti(np.stack([one[name] for name in ("t1", "t2", "adc")], axis=-1)))
        odd.write(patient, "mask_b", nifti(np.roll(one["mask"], 1, axis=2)))
        odd.write(patient, "label", nifti(values_of(one["label"])))
        odd.write(patient, "label_b", nifti(values_of(other["label"])[::-1].copy()))
        odd.write(patient, "odd_x", nifti(one["label"] * np.uint8(5 if patient == "p1" else 1)))
        for number, name in enumerate(("t", "n1", "n2")):
            part = nifti(np.uint8(values_of(one["label"]) == (1, 2, 5)[number]))
            odd.write(patient, f"gtv_{name}", part)
            if (patient, name) not in (("p1", "n1"), ("p4", "t")):
                odd.write(patient, f"lone_{name}", part)
    return odd


def values_of(label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The tumour in three parts along z: 1, 2 and 5."""
    values = label.copy()
    for slices, value in zip(
        np.array_split(np.flatnonzero(label.any(axis=(0, 1))), 3), (1, 2, 5), strict=True
    ):
        values[:, :, slices] *= np.uint8(value)
    return values


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cohorts side by side: `one`; `other`, whose files have the same names; `headers`, in whose files sform and
    qform differ in the edge of a voxel along x; `grids`, where T2 has voxels of its own."""
    root = tmp_path_factory.mktemp("roots")
    write_exams(root / "one")
    write_exams(root / "other", first_seed=50)
    headers = sound_cohort(root / "headers", PATIENTS)
    for patient in PATIENTS:
        for name in NAMES:
            headers.change(patient, name, lambda data: with_qform(data, AFFINE @ np.diag([1.2, 1, 1, 1])))
    grids = sound_cohort(root / "grids", PATIENTS)
    for patient in PATIENTS:
        grids.change(
            patient, "t2", lambda data: nifti(data[:, :, ::2].copy(), AFFINE @ np.diag([1, 1, 2, 1]))
        )
    return root


def with_qform(data: NDArray[Any], affine: NDArray[np.float64]) -> nib.Nifti1Image:
    image = nifti(data)
    image.set_qform(affine, code=1)
    image.set_sform(AFFINE, code=1)
    return image


def study(**changes: Any) -> Study:
    cohort = {key: value for key, value in changes.items() if key not in Store.model_fields}
    store = {key: value for key, value in changes.items() if key in Store.model_fields}
    table = {
        "name": "changed",
        "preset": "smoke",
        "cohort": COHORT | {"root": "one"} | VALUES | cohort,
        "store": {"dtype": "float32", "block_shape": [16, 16, 8]} | store,
    }
    return parse_study(table, source="study.toml")


def prepare(roots: Path, store: Path, own: Study) -> Prepared:
    return prepare_cohort(
        LocalStorage(roots / own.cohort.root), LocalStorage(store), own, workers=2, progress=lambda *_: None
    )


def stored(store: Path, prepared: Prepared) -> dict[str, bytes]:
    """All files of the exams of an index, and the index."""
    recipe, storage = prepared.index.recipe, LocalStorage(store)
    names = [layout.store_index(recipe)]
    for entry in prepared.index.exams:
        names.append(layout.exam_record(recipe, entry.exam, entry.digest))
        names += [
            item.key for item in storage.list(layout.exam_arrays(recipe, entry.exam, entry.digest) + "/")
        ]
    return {name: storage.read(name) for name in names}


def arrays(store: Path, prepared: Prepared) -> dict[str, bytes]:
    """The arrays of the exams of an index by exam and name, wherever the recipe puts them."""
    return {
        f"{key.split('/')[2].split('.')[0]}/{key.split('.zarr/')[1]}": data
        for key, data in stored(store, prepared).items()
        if ".zarr/" in key
    }


def channels(*names: str | dict[str, Any]) -> dict[str, Any]:
    return {"channels": list(names)}


def files_of(tumour: Any, node: Any) -> dict[str, Any]:
    return OF_FILES | {"classes": {"tumour": tumour, "node": node}, "background": [0]}


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "root": ({}, {"root": "other"}),
    "pattern": ({}, {"pattern": "{patient}/{channel}_b.nii.gz"}),
    "labels": ({}, {"labels": "{patient}/label_b.nii.gz"}),
    "labels: the same files as a map, and as those of a class": (
        {"labels": "{patient}/odd_x.nii.gz", "classes": {"tumour": 1}},
        {"labels": "{patient}/odd_{class}.nii.gz", "classes": {"tumour": "x"}},
    ),
    "mask": ({}, {"mask": "{patient}/mask_b.nii.gz"}),
    "mask: none": ({}, {"mask": None}),
    "channels": ({}, channels("t2", "t1", ADC)),
    "channels: one less": ({}, channels("t1", "t2")),
    "channel.name": (channels("t1", "t2"), channels("t1_b", "t2")),
    "channel.files": (
        channels({"name": "a", "files": "t1"}, {"name": "b", "files": "t2"}),
        channels({"name": "a", "files": "t2"}, {"name": "b", "files": "t1"}),
    ),
    "channel.index": (
        IN_ONE_FILE | channels({"name": "a", "index": 0}, {"name": "b", "index": 1}),
        IN_ONE_FILE | channels({"name": "a", "index": 1}, {"name": "b", "index": 0}),
    ),
    "channel.normalisation": ({}, channels("t1", {"name": "t2", "normalisation": "percentile"}, ADC)),
    "channel.range": ({}, channels("t1", "t2", ADC | {"range": [0.0, 4.0]})),
    "classes": ({}, {"classes": {"tumour": 2, "node": 1}}),
    "classes: their order": ({}, {"classes": {"node": 2, "tumour": 1}}),
    "classes: texts": (files_of("t", "n1"), files_of("n1", "t")),
    "classes: texts, where exams have a file of one class only": (
        {"labels": "{patient}/lone_{class}.nii.gz", "classes": {"tumour": "t", "node": "n1"}},
        {"labels": "{patient}/lone_{class}.nii.gz", "classes": {"tumour": "n1", "node": "t"}},
    ),
    "classes: parts": (files_of("t", "n1"), files_of("t", "n*")),
    "classes: parts that change their class": (files_of(["t", "n1"], "n2"), files_of("t", ["n1", "n2"])),
    "background": ({}, {"classes": {"tumour": 1, "node": [2, 5]}, "background": [0]}),
    "exclude": ({}, {"exclude": ["p2"]}),
    "ignore": (
        {"pattern": "{patient}/{channel}*.nii.gz", "ignore": ["*/*_b.nii.gz"]},
        {"pattern": "{patient}/{channel}*.nii.gz", "ignore": ["*/t?.nii.gz", "*/adc.nii.gz"]},
    ),
    "geometry": (
        {"root": "headers", "geometry": "sform", "classes": {"tumour": 1}},
        {"root": "headers", "geometry": "qform", "classes": {"tumour": 1}},
    ),
    "resample_to": (
        {"root": "grids", "resample_to": "t1", "classes": {"tumour": 1}},
        {"root": "grids", "resample_to": "t2", "classes": {"tumour": 1}},
    ),
    "dtype": ({}, {"dtype": "float16"}),
    "block_shape": ({}, {"block_shape": [8, 8, 4]}),
}
"""By field of the study, what it may be changed from and to."""
NEUTRAL: dict[str, dict[str, Any]] = {
    "structures": {"structures": {"both": ["tumour", "node"]}},
    "acquisitions": {"acquisitions": {"mr": ["t1", "t2"]}},
}
"""Fields that change nothing of what is stored."""


def test_every_field_that_may_change_what_is_stored_is_tried() -> None:
    tried = {name.split(":")[0] for name in (*CHANGES, *NEUTRAL)}
    fields = {
        *Cohort.model_fields,
        *(f"channel.{name}" for name in Channel.model_fields),
        *Store.model_fields,
    }
    assert tried == fields - {"folder"}  # another folder is another store


@pytest.mark.parametrize("field", CHANGES)
def test_a_changed_study_is_prepared_as_in_a_fresh_store(roots: Path, tmp_path: Path, field: str) -> None:
    """There and back again; the change is one that shows."""
    before, after = (study(**changes) for changes in CHANGES[field])
    fresh = [tmp_path / "before", tmp_path / "after"]
    first, second = (prepare(roots, store, own) for store, own in zip(fresh, (before, after), strict=True))
    assert arrays(fresh[0], first) != arrays(fresh[1], second)
    for own, store, prepared in (
        (before, fresh[0], first),
        (after, fresh[1], second),
        (before, fresh[0], first),
    ):
        again = prepare(roots, tmp_path / "used", own)
        assert again.index == prepared.index
        assert stored(tmp_path / "used", again) == stored(store, prepared)


@pytest.mark.parametrize("field", NEUTRAL)
def test_what_changes_nothing_that_is_stored_makes_no_exam_anew(
    roots: Path, tmp_path: Path, field: str
) -> None:
    index = prepare(roots, tmp_path, study()).index
    again = prepare(roots, tmp_path, study(**NEUTRAL[field]))
    assert (again.made, again.index) == (0, index)


LABELS = [
    {},
    {"labels": "{patient}/label_b.nii.gz"},
    {"classes": {"tumour": 2, "node": [1, 5]}, "background": [0]},
    files_of("t", "n1"),
    files_of("n1", "t"),
    files_of("t", "n*"),
    files_of(["t", "n1"], "n2"),
    {"labels": "{patient}/lone_{class}.nii.gz", "classes": {"tumour": "t", "node": "n1"}},
    {"labels": "{patient}/lone_{class}.nii.gz", "classes": {"tumour": "n1", "node": "t"}},
]
IMAGES = [
    {},
    {"pattern": "{patient}/{channel}_b.nii.gz"},
    channels({"name": "t1", "files": "t2"}, {"name": "t2", "files": "t1"}, ADC),
    IN_ONE_FILE | channels({"name": "t1", "index": 0}, {"name": "t2", "index": 1}, ADC | {"index": 2}),
    IN_ONE_FILE | channels({"name": "t1", "index": 1}, {"name": "t2", "index": 0}, ADC | {"index": 2}),
]
REST = [{}, {"mask": None}, {"exclude": ["p2"]}, {"root": "other"}, {"dtype": "float16"}]
STUDIES = st.builds(
    lambda *parts: study(**{key: value for part in parts for key, value in part.items()}),
    *map(st.sampled_from, (LABELS, IMAGES, REST)),
)


@settings(max_examples=12)
@given(own=st.lists(STUDIES, min_size=2, max_size=4))
def test_a_store_that_serves_one_study_after_another_holds_each_as_a_fresh_one_would(
    roots: Path, tmp_path_factory: pytest.TempPathFactory, own: list[Study]
) -> None:
    used = tmp_path_factory.mktemp("used")
    for each in own:
        fresh = tmp_path_factory.mktemp("fresh")
        expected = stored(fresh, prepare(roots, fresh, each))
        assert stored(used, prepare(roots, used, each)) == expected
