"""What a report says of a cohort that was corrected since its run was prepared."""

import os
import shutil
from pathlib import Path

import pytest

from job.contract.manifest import Manifest
from job.data.prepare import prepare_cohort
from job.project import Project
from job.study_file import load_study
from submit.cohort_changes import changes_since
from tests.submit.tiny_project import STUDY


@pytest.fixture
def manifest(study_file: Path) -> Manifest:
    own = load_study(study_file)
    index = prepare_cohort(
        Project(study_file, own).cohort,
        Project(study_file, own).store,
        own,
        workers=2,
        progress=lambda *_: None,
    ).index
    return Manifest.freeze(own, exams=index.exams, recipe=index.recipe, created="", code_version="0")


def said(manifest: Manifest, study_file: Path) -> list[str]:
    return changes_since(manifest, Project.read(study_file).store, study_file)


def test_a_cohort_that_was_only_touched_or_left_is_not_spoken_of(
    manifest: Manifest, study_file: Path
) -> None:
    assert said(manifest, study_file) == []
    for file in (study_file.parent / "cohort").rglob("*.nii.gz"):
        os.utime(file)
    assert said(manifest, study_file) == []


def test_a_file_that_was_corrected_names_its_exam(manifest: Manifest, study_file: Path) -> None:
    exam = study_file.parent / "cohort" / "patient-02" / "visit-2"
    shutil.copy(exam / "t2star.nii.gz", exam / "t2.nii.gz")
    assert said(manifest, study_file) == ["1 exam made from files that are others now (patient-02_visit-2)"]


def test_other_files_for_a_channel_are_of_all_exams(manifest: Manifest, study_file: Path) -> None:
    words = STUDY.replace('["t2", "t2star"]', '[{ name = "t2", files = "t1" }, "t2star"]')
    study_file.write_text(words)
    (change,) = said(manifest, study_file)
    assert change == (
        "4 exams made from files that are others now (patient-01_visit-1, patient-02_visit-1, patient-02_visit-2, …)"
    )


def test_exams_that_came_or_went_are_named(manifest: Manifest, study_file: Path) -> None:
    cohort = study_file.parent / "cohort"
    shutil.copytree(cohort / "patient-01", cohort / "patient-09")
    shutil.rmtree(cohort / "patient-02" / "visit-2")
    assert said(manifest, study_file) == [
        "1 exam in the cohort and not in the run (patient-09_visit-1)",
        "1 exam in the run and no longer in the cohort (patient-02_visit-2)",
    ]


def test_a_cohort_that_cannot_be_read_any_more_is_said(manifest: Manifest, study_file: Path) -> None:
    (study_file.parent / "cohort" / "patient-02" / "visit-2" / "t2.nii.gz").unlink()
    (change,) = said(manifest, study_file)
    assert change.startswith("the cohort can no longer be read as the study says (")


def test_a_run_is_reported_without_its_cohort_or_study(
    manifest: Manifest, study_file: Path, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "cohort")
    assert said(manifest, study_file) == []
    study_file.write_text(STUDY.replace('"tiny"', '"other"'))
    assert said(manifest, study_file) == []
    assert changes_since(manifest, Project.read(study_file).store, Path("no-study.toml")) == []
