"""Where a study's cohort, store and runs are."""

from pathlib import Path

import pytest

from job.contract.errors import StudyError
from job.project import Project
from job.storage import LocalStorage, at_home, open_storage
from tests.conftest import tiny_study


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("store", "{project}/store"),
        ("../store", "{project}/../store"),
        ("/data/store", "/data/store"),
        ("~", "{home}"),
        ("~/store", "{home}/store"),
        ("store/~", "{project}/store/~"),
        ("~store", "{project}/~store"),  # a name, and no place in somebody's home
        ("s3://bucket/~/store", "s3://bucket/~/store"),
    ],
)
def test_a_folder_is_relative_to_the_study_file_or_in_the_home_folder(
    home: Path, tmp_path: Path, written: str, meant: str
) -> None:
    found = Project(tmp_path / "project" / "study.toml", tiny_study()).location(written)
    assert found == meant.format(project=tmp_path / "project", home=home)


def test_cohort_and_store_may_be_in_the_home_folder(home: Path, tmp_path: Path) -> None:
    (home / "exams").mkdir()
    study = tiny_study(cohort={"root": "~/exams"}, store={"folder": "~/store"})
    project = Project(tmp_path / "study.toml", study)
    assert [project.cohort.url, project.store.url] == [f"{home}/exams", f"{home}/store"]


def test_a_location_that_a_container_is_told_may_be_in_the_home_folder(home: Path) -> None:
    storage = open_storage("~/runs/one")
    assert isinstance(storage, LocalStorage)
    assert storage.root == home / "runs/one"


def test_without_a_home_folder_the_place_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a container's user that has a number only."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 123_456_789)
    with pytest.raises(
        StudyError, match=r"^~/store: this user has no home folder; write the whole path, or set"
    ):
        at_home("~/store")
