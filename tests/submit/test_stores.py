"""The block store of a run is found where its exams are, and nowhere else."""

import errno
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from job.contract import layout
from job.contract.errors import StudyError
from job.contract.manifest import Manifest
from job.run import Run
from job.storage import LocalStorage, Storage
from submit.stores import find_store
from submit.submissions import Submission, write_submission

STUDY = """
name = "small"
preset = "smoke"
[cohort]
root = "cohort"
pattern = "{patient}/{channel}.nii.gz"
labels = "{patient}/label.nii.gz"
channels = ["t2", "t1"]
classes = { tumour = 1 }
"""
NOWHERE = Path("no-study.toml")


@pytest.fixture
def manifest(make_manifest: Callable[..., Manifest]) -> Manifest:
    """A run of three exams."""
    return make_manifest(3)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a study file; what its run is, and in which stores exams are, each test says."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "study.toml").write_text(STUDY)
    return folder


@pytest.fixture
def run(project: Path) -> LocalStorage:
    """A run in the project that was swept when the project was elsewhere."""
    storage = LocalStorage(project / "runs" / "small-1")
    started = Submission(host="node", pid=1, started="2026-01-01T00:00:00+00:00", store="/before/store")
    write_submission(Run(storage), started)
    return storage


def fill(folder: Path, manifest: Manifest, exams: int = 3) -> str:
    """Makes a store of some of the exams; its URL."""
    store = LocalStorage(folder)
    for entry in manifest.exams[:exams]:
        store.write(layout.exam_record(manifest.recipe, entry.exam, entry.digest), b"{}")
    return store.url


def swept_with(run: Storage, store: str) -> None:
    write_submission(Run(run), Submission(host="n", pid=1, started="2026-01-02T00:00:00+00:00", store=store))


def test_the_store_of_the_last_sweep_comes_first(
    run: LocalStorage, project: Path, tmp_path: Path, manifest: Manifest
) -> None:
    fill(project / "store", manifest)
    swept_with(run, fill(tmp_path / "elsewhere", manifest))
    assert find_store(Run(run, manifest), project / "study.toml").url == str(tmp_path / "elsewhere")


def test_a_moved_project_has_its_store_where_its_study_file_says(
    run: LocalStorage, project: Path, manifest: Manifest
) -> None:
    fill(project / "store", manifest)
    assert find_store(Run(run, manifest), project / "study.toml").url == str(project / "store")


def test_a_run_of_a_moved_project_is_enough_to_find_its_store(
    run: LocalStorage, project: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named by its folder, from anywhere, also by a path relative to where one is."""
    fill(project / "store", manifest)
    assert find_store(Run(run, manifest), NOWHERE).url == str(project / "store")
    monkeypatch.chdir(run.root.parent)
    assert find_store(Run(LocalStorage(Path(run.root.name)), manifest), NOWHERE).url == str(project / "store")


def test_a_study_file_of_another_experiment_does_not_hide_that_of_the_run(
    run: LocalStorage,
    project: Path,
    tmp_path: Path,
    manifest: Manifest,
    make_manifest: Callable[..., Manifest],
) -> None:
    fill(project / "store", manifest)
    (tmp_path / "study.toml").write_text(STUDY)
    other = make_manifest([("another", "another"), ("exam", "more")])
    fill(tmp_path / "store", other)
    assert find_store(Run(run, manifest), tmp_path / "study.toml").url == str(project / "store")
    (tmp_path / "study.toml").write_text("no TOML")
    assert find_store(Run(run, manifest), tmp_path / "study.toml").url == str(project / "store")


def test_a_folder_at_the_old_place_with_other_exams_is_not_taken(
    run: LocalStorage,
    project: Path,
    tmp_path: Path,
    manifest: Manifest,
    make_manifest: Callable[..., Manifest],
) -> None:
    """A new project where the old one was; an exam of the same name has another digest."""
    entries = [entry.model_copy(update={"digest": "f" * 64}) for entry in manifest.exams]
    changed = manifest.model_copy(update={"exams": tuple(entries)})
    swept_with(run, fill(tmp_path / "before", changed))
    fill(project / "store", manifest)
    assert find_store(Run(run, manifest), project / "study.toml").url == str(project / "store")


def test_a_store_that_lacks_an_exam_is_better_than_none(
    run: LocalStorage, project: Path, tmp_path: Path, manifest: Manifest
) -> None:
    swept_with(run, fill(tmp_path / "elsewhere", manifest, exams=1))
    fill(project / "store", manifest, exams=2)
    assert find_store(Run(run, manifest), project / "study.toml").url == str(project / "store")


def test_a_place_that_cannot_be_read_does_not_hide_another(
    run: LocalStorage, project: Path, manifest: Manifest
) -> None:
    fill(project / "store", manifest)
    for unreadable in ("ftp://server/store", "/" + "x" * 300):
        swept_with(run, unreadable)
        assert find_store(Run(run, manifest), NOWHERE).url == str(project / "store")
    run.write(layout.SUBMISSION, b"{")
    assert find_store(Run(run, manifest), NOWHERE).url == str(project / "store")


def test_a_store_that_is_nowhere_is_told_with_every_place(
    run: LocalStorage, project: Path, manifest: Manifest
) -> None:
    message = (
        f"the run's block store is not found (/before/store has none of its 3 exams; {Path.cwd() / NOWHERE}: no such "
        f"file; name the study file, or run in the folder that has it; {project / 'store'} has none of its 3 exams); "
        "name it with --store"
    )
    with pytest.raises(StudyError, match=f"^{re.escape(message)}$"):
        find_store(Run(run, manifest), NOWHERE)
    swept_with(run, "/" + "x" * 300)
    with pytest.raises(StudyError, match=f"\\[Errno {errno.ENAMETOOLONG}\\] File name too long"):
        find_store(Run(run, manifest), NOWHERE)
    run.delete(layout.SUBMISSION)
    with pytest.raises(StudyError, match="small-1: was never started"):
        find_store(Run(run, manifest), NOWHERE)
