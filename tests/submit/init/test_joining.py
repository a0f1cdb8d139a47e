import pytest

from submit.init.files import Image
from submit.init.joining import ending_of, joined, largest_joined
from submit.init.reading import Role


def role(template: str, *endings: str) -> Role:
    folders = tuple(template.split("/"))
    files = {
        (f"p{n}", ""): Image(key="", components=folders, ending=ending, size_bytes=1)
        for n, ending in enumerate(endings or (".nii.gz",))
    }
    return Role(template=folders, files=files)


@pytest.mark.parametrize(
    ("templates", "pattern", "texts"),
    [
        (["{patient}/t1", "{patient}/t2"], "{patient}/{channel}", ("t1", "t2")),
        (["{patient}_t1", "{patient}_t1_post"], "{patient}_{channel}", ("t1", "t1_post")),
        (["{patient}_t1_norm", "{patient}_t2_norm"], "{patient}_{channel}_norm", ("t1", "t2")),
        (["{patient}/mr_t1", "{patient}/mr_t2"], "{patient}/mr_{channel}", ("t1", "t2")),
        (["{patient}_t1_pre", "{patient}_t1_late"], "{patient}_{channel}", ("t1_pre", "t1_late")),
        (["t1/{patient}", "t2/{patient}"], "{channel}/{patient}", ("t1", "t2")),
        (["t1/{patient}_t1", "t2/{patient}_t2"], "{channel}/{patient}_{channel}", ("t1", "t2")),
        (["{patient}/anat/T1w", "{patient}/dwi/adc"], "{patient}/*/{channel}", ("T1w", "adc")),
        (["{patient}/t1/scan", "{patient}/t2/scan"], "{patient}/{channel}/scan", ("t1", "t2")),
        (["{patient}/t1", "{patient}/dwi/adc"], "{patient}/{channel}", ("t1", "dwi/adc")),
        (["{patient}/x/t1", "{patient}/y/t1"], "{patient}/{channel}/t1", ("x", "y")),
        (["{patient}/t1 [[]late]", "{patient}/b[{]0}"], "{patient}/{channel}", ("t1 [[]late]", "b[{]0}")),
    ],
)
def test_what_differs_becomes_the_placeholder(
    templates: list[str], pattern: str, texts: tuple[str, ...]
) -> None:
    found = joined([tuple(template.split("/")) for template in templates], "{channel}")
    assert found is not None
    assert (found.pattern, found.texts) == (pattern, texts)


def test_names_around_the_patient_have_no_one_pattern() -> None:
    assert joined([("{patient}_t1",), ("t2_{patient}",)], "{channel}") is None


def test_as_many_roles_as_one_pattern_can_have_are_kept() -> None:
    roles = [role("{patient}/t1"), role("raw/t2_{patient}"), role("{patient}/flair")]
    found = largest_joined(roles, "{channel}")
    assert found is not None
    assert found[0].pattern == "{patient}/{channel}"
    assert found[1] == (roles[0], roles[2])
    assert largest_joined(roles[:2], "{channel}") is None


@pytest.mark.parametrize(
    ("endings", "pattern"),
    [
        ((".nii.gz", ".nii.gz"), ".nii.gz"),
        ((".NII.GZ",), ".NII.GZ"),
        ((".nii", ".nii.gz"), ".nii*"),
        ((".nii.gz", ".NII.gz"), ".[nN][iI][iI].[gG][zZ]"),
        ((".nii", ".NII.GZ"), ".[nN][iI][iI]*"),
    ],
)
def test_endings_are_written_as_they_are_found(endings: tuple[str, ...], pattern: str) -> None:
    assert ending_of([role("{patient}/t1", *endings)]) == pattern
