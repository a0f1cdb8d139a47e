import gzip
import shutil
from pathlib import Path
from typing import Any

import pytest

from job.contract.errors import DataError
from job.data.prepare import check_cohort, prepare_cohort
from job.storage import open_storage
from tests.conftest import tiny_study


def refuse(folder: Path, study: Any) -> str:
    """What both ways to read a cohort say of it; they must agree."""
    cohort = open_storage(str(folder / "cohort"))
    store = open_storage(str(folder / "store"))
    found = check_cohort(cohort, study, workers=2, progress=lambda *_: None)
    with pytest.raises(DataError) as prepared:
        prepare_cohort(cohort, store, study, workers=2, progress=lambda *_: None)
    assert prepared.value.problems == found.problems
    return str(prepared.value)


def test_an_exam_that_is_there_under_two_patients_is_refused(tiny_cohort: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_cohort / "cohort", tmp_path / "cohort")
    shutil.copytree(tmp_path / "cohort/patient-01", tmp_path / "cohort/patient-09")
    message = refuse(tmp_path, tiny_study())
    assert message.count("the same image as") == 1
    assert (
        "patient-01/visit-1/t2.nii.gz: found the same image as patient-09/visit-1/t2.nii.gz; "
        "so are 3 other channels of these exams" in message
    )


def test_a_copy_that_was_compressed_again_is_refused(tiny_cohort: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_cohort / "cohort", tmp_path / "cohort")
    shutil.copytree(tmp_path / "cohort/patient-01", tmp_path / "cohort/patient-09")
    for file in (tmp_path / "cohort/patient-09/visit-1").iterdir():
        file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()), compresslevel=1, mtime=1))
    assert "so are 3 other channels of these exams" in refuse(tmp_path, tiny_study())


def test_a_channel_that_is_a_copy_of_another_is_refused(tiny_cohort: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_cohort / "cohort", tmp_path / "cohort")
    exam = tmp_path / "cohort/patient-03/visit-1"
    shutil.copy(exam / "t2.nii.gz", exam / "t1c.nii.gz")
    assert "t1c.nii.gz" in refuse(tmp_path, tiny_study())


def test_copied_labels_of_two_patients_are_refused(tiny_cohort: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_cohort / "cohort", tmp_path / "cohort")
    shutil.copy(
        tmp_path / "cohort/patient-01/visit-1/label.nii.gz",
        tmp_path / "cohort/patient-03/visit-1/label.nii.gz",
    )
    assert refuse(tmp_path, tiny_study()) == (
        "patient-01/visit-1/label.nii.gz: found the same labels as patient-03/visit-1/label.nii.gz; expected a truth "
        "of its own for each exam; replace the copies by the right files, or leave exams out with cohort.exclude"
    )
