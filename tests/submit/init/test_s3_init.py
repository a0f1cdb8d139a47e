"""A cohort in a bucket."""

from pathlib import Path

import pytest
from rich.console import Console

from job.data.cohort_files import find_cohort
from job.project import Project
from job.storage import open_storage
from job.study_file import load_study
from submit.init.command import init_study
from tests.submit.init.layouts import LAYOUTS

pytestmark = pytest.mark.cloud


def test_a_bucket_is_looked_at_like_a_folder(s3_bucket: str, tmp_path: Path) -> None:
    LAYOUTS["folders of exams"](tmp_path / "data")
    url = f"{s3_bucket}/init/cohort"
    bucket = open_storage(url)
    for path in (tmp_path / "data").rglob("*.nii.gz"):
        bucket.write(path.relative_to(tmp_path / "data").as_posix(), path.read_bytes())
    init_study(url, tmp_path / "study.toml", Console(stderr=True))
    study = load_study(tmp_path / "study.toml")
    assert (study.name, study.cohort.root) == ("cohort", url)
    assert len(find_cohort(Project(tmp_path / "study.toml", study).cohort, study.cohort)) == 4
