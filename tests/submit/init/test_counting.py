"""Voxels of labels, counted file by file."""

from pathlib import Path

import numpy as np
import pytest

from job.storage import LocalStorage
from submit.init.counting import Counts, Extent, count_labels, share_inside_mask
from submit.init.files import Image
from submit.init.identities import Unit
from submit.init.reading import Role
from tests.submit.init.layouts import save

SHAPE = (4, 3, 2)


def array(*values: float) -> np.ndarray:
    filled = np.zeros(24, np.float32)
    filled[: len(values)] = values
    return filled.reshape(SHAPE)


def role(folder: Path, name: str, files: dict[Unit, np.ndarray]) -> Role:
    """A role whose files are written."""
    images = {}
    for (patient, exam), values in files.items():
        key = f"{patient}{exam}/{name}.nii"
        save(folder / key, values)
        images[patient, exam] = Image(key=key, components=(patient, name), ending=".nii", size_bytes=1)
    return Role(template=("{patient}", name), files=images)


def counts(folder: Path, *roles: Role, per_class: bool = False) -> Counts:
    units = sorted({unit for each in roles for unit in each.files})
    source = LocalStorage(folder)
    return count_labels(source, roles, units, per_class=per_class, workers=2, progress=lambda *_: None)


def test_values_of_label_maps_are_counted_by_exam_and_patient(tmp_path: Path) -> None:
    files = {("a", "1"): array(1, 1, 2), ("a", "2"): array(1), ("b", "1"): array(2, 2)}
    found = counts(tmp_path, role(tmp_path, "label", files))
    assert found.total == {0: 66, 1: 3, 2: 3}
    assert found.where(lambda value: value == 1) == Extent(voxels=3, exams=2, patients=1)
    assert found.where(lambda value: value > 0) == Extent(voxels=6, exams=3, patients=2)


def test_files_of_classes_are_the_bits_of_a_voxel(tmp_path: Path) -> None:
    """One voxel in the first file, two in both, two in the second, which has 7 for 1; an exam without a file."""
    first = role(tmp_path, "first", {("a", ""): array(1, 1, 1)})
    second = role(tmp_path, "second", {("a", ""): array(0, 7, 7, 7, 7), ("b", ""): array(7)})
    found = counts(tmp_path, first, second, per_class=True)
    assert found.by_exam == {("a", ""): {0: 19, 0b01: 1, 0b11: 2, 0b10: 2}, ("b", ""): {0: 23, 0b10: 1}}


@pytest.mark.parametrize("values", [(0.4, 0.8), (float("nan"),)])
def test_files_without_whole_numbers_are_said_and_not_counted(
    values: tuple[float, ...], tmp_path: Path
) -> None:
    found = counts(tmp_path, role(tmp_path, "label", {("a", ""): array(*values), ("b", ""): array(1)}))
    assert list(found.by_exam) == [("b", "")]
    assert found.unreadable[0].startswith("a/label.nii: found ")


def test_a_mask_holds_a_share_of_the_labels(tmp_path: Path) -> None:
    label = role(tmp_path, "label", {("a", ""): array(1, 1, 2), ("b", ""): array()})
    mask = role(tmp_path, "mask", {("a", ""): array(0, 1, 1, 1), ("b", ""): array(1)})
    assert share_inside_mask(LocalStorage(tmp_path), [label], mask) == pytest.approx(2 / 3)
    empty = role(tmp_path, "empty", {("a", ""): array()})
    assert share_inside_mask(LocalStorage(tmp_path), [empty], mask) is None
