"""Classes of files, from the voxels that the files share: a number's bits are the files that hold a voxel."""

import pytest

from submit.init.classes import classes_of
from submit.init.counting import Counts
from submit.init.files import Image
from submit.init.metadata import NOTHING
from submit.init.parts import Parts
from submit.init.pieces import Piece
from submit.init.reading import Role


def classes(names: list[str], voxels: dict[int, int], patients: int = 3) -> Piece:
    """The classes of files with these names where each patient has these voxels."""
    units = [(f"p{n}", "") for n in range(patients)]
    roles = [
        Role(
            template=("{patient}", name),
            files={
                unit: Image(
                    key=f"{unit[0]}/{name}", components=(*unit[:1], name), ending=".nii.gz", size_bytes=1
                )
                for unit in units
            },
        )
        for name in names
    ]
    counts = Counts(by_exam=dict.fromkeys(units, voxels))
    return classes_of(Parts(labels=tuple(roles), per_class=True), counts, NOTHING, patients)


def test_numbered_files_are_parts_of_one_class() -> None:
    found = classes(["GTVn1", "GTVn2", "GTVp"], {0: 90, 0b001: 5, 0b010: 3, 0b100: 7, 0b011: 1})
    assert found.table["labels"] == "{patient}/{class}.nii.gz"
    assert found.table["classes"] == {"GTVn": ["GTVn1", "GTVn2"], "GTVp": "GTVp"}
    assert found.notes == {"class GTVn": "27 voxels, in 3 exams", "class GTVp": "21 voxels, in 3 exams"}
    assert found.unsure == ("GTVn1, GTVn2: taken for parts of one class, GTVn",)


def test_a_file_without_a_number_is_the_first_part() -> None:
    assert classes(["lesion", "lesion2", "gland"], {1: 5, 2: 5, 4: 5}).table["classes"] == {
        "gland": "gland",
        "lesion": ["lesion", "lesion2"],
    }


def test_numbered_files_inside_one_another_are_classes_of_their_own() -> None:
    """Dose levels: all of CTV1 (bit 0) lies in CTV2."""
    found = classes(["CTV1", "CTV2"], {0b11: 10, 0b10: 30})
    assert found.table["classes"] == {"CTV1": "CTV1", "rest of CTV2": "CTV2"}
    assert found.table["structures"] == {"CTV2": ["CTV1", "rest of CTV2"]}


@pytest.mark.parametrize("names", [["label_1", "label_2"], ["1", "2"], ["class1", "class2"]])
def test_numbers_of_classes_are_no_parts(names: list[str]) -> None:
    assert len(classes(names, {1: 5, 2: 5}).table["classes"]) == 2


@pytest.mark.parametrize(
    ("shared", "used"),
    [
        (8, ["lesion_A"]),  # Dice 2 x 8 / (8 + 2 + 8 + 1) = 0.84
        (5, ["lesion_A", "lesion_B"]),  # 2 x 5 / (5 + 2 + 5 + 1) = 0.77
        (3, ["lesion_B", "lesion_A"]),  # 2 x 3 / (3 + 2 + 3 + 1) = 0.67
    ],
)
def test_two_drawings_of_one_structure_overlap(shared: int, used: list[str]) -> None:
    found = classes(["lesion_A", "lesion_B"], {0b11: shared, 0b01: 2, 0b10: 1})
    assert list(found.table["classes"]) == (used[:1] if shared >= 5 else used)
    assert any("taken for one structure that two people drew" in doubt for doubt in found.unsure) == (
        shared >= 5
    )


@pytest.mark.parametrize(
    ("names", "used"),
    [
        (["GTV_KB", "GTV_MM"], ["GTV_KB"]),
        (["GTV-ABC", "GTV-XY"], ["GTV-ABC"]),
        (["tumour_TC", "tumour_WT"], ["tumour_TC", "tumour_WT"]),  # tumour core, whole tumour
    ],
)
def test_initials_tell_people_apart_and_capitals_of_regions_do_not(names: list[str], used: list[str]) -> None:
    found = classes(names, {0b11: 8, 0b01: 2, 0b10: 1})  # Dice 16 / 19 = 0.84
    assert sorted(found.table["classes"]) == used


def test_initials_of_structures_that_lie_apart_are_classes() -> None:
    assert len(classes(["GTV_KB", "GTV_MM"], {0b11: 3, 0b01: 2, 0b10: 1}).table["classes"]) == 2  # 0.67


def test_structures_of_other_names_may_overlap() -> None:
    found = classes(["tumour", "edema"], {0b11: 8, 0b01: 2, 0b10: 1})
    assert len(found.table["classes"]) == 2
    assert "files of classes overlap: edema and tumour (24 voxels)" in found.unsure[0]


def test_a_class_that_one_patient_has_is_said() -> None:
    found = classes(["tumour", "edema"], {0b01: 2})
    assert (
        found.notes["class edema"]
        == "0 voxels, in 0 exams. In 0 patients only: join it to another class, or to the background"
    )
