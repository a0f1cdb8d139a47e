"""`submit check` as a process, over files."""

import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from job.data.prepare import check_cohort
from job.storage.local import LocalStorage
from job.study_file import parse_study
from submit.check.pictures import Album
from tests.job.conftest import AFFINE, SHAPE_XYZ, exam_files

STUDY = """
name = "small"
preset = "smoke"
[cohort]
root = "cohort"
pattern = "{patient}/{channel}.nii.gz"
labels = "{patient}/label.nii.gz"
mask = "{patient}/mask.nii.gz"
channels = ["t1", "t2", { name = "adc", normalisation = "fixed", range = [0.0, 3000.0] }]
classes = { GTV-T = 1, GTV-Ln = 2 }
"""
HEAVY = ("matplotlib", "PIL", "jinja2", "pandas", "torch")
RUN = f"""
import sys
from submit import cli
try:
    cli.main()
finally:
    sys.stdout.flush()
    print("loaded:", *(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)
"""
PATIENTS = ("p1", "p2", "p3", "p4")

Ended = subprocess.CompletedProcess[str]
Changes = dict[str, NDArray[Any] | bytes | None]


def write_cohort(folder: Path, changes: Changes, patients: Sequence[str] = PATIENTS) -> LocalStorage:
    """Exams of noise, each of its own; `changes` replaces files, None leaves one out."""
    files: Changes = {}
    for seed, patient in enumerate(patients):
        files |= {f"{patient}/{name}": data for name, data in exam_files(seed, SHAPE_XYZ).items()}
    for key, data in {**files, **changes}.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, bytes):
            path.write_bytes(data)
        elif data is not None:
            nib.Nifti1Image(data, AFFINE, dtype=data.dtype).to_filename(path)
    return LocalStorage(folder)


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., Ended]:
    """Runs `submit check` over a cohort with some changes."""

    def run(*arguments: str, changes: Changes | None = None) -> Ended:
        write_cohort(tmp_path / "cohort", changes or {})
        (tmp_path / "study.toml").write_text(STUDY)
        command = [sys.executable, "-c", RUN, "check", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def test_a_sound_cohort_is_shown_and_ends_with_what_the_study_does_with_it(
    check: Callable[..., Ended],
) -> None:
    ended = check()
    assert ended.returncode == 0
    lines = ended.stdout.splitlines()
    titles = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert titles == [
        "Files as the patterns read them:",
        "4 exams of 4 patients:",
        "Classes:",
        "Values of the label maps:",
        "Grids:",
        "Channels:",
        "Exams:",
    ]
    assert "  adc     p1/adc.nii.gz     p1" in lines
    assert lines[-4].startswith("A swap or a flip is seen in pictures: `submit check --output FOLDER` draws")
    assert lines[-3] == "cohort: 4 exams of 4 patients, no problem found"
    assert lines[-2] == "grid: 16 folds = 4 arms x 4 exams x 1 repeat"
    assert lines[-1].startswith("network: deepmedic paper, receptive field ")


def test_without_a_page_nothing_is_loaded_that_draws(check: Callable[..., Ended]) -> None:
    assert check().stderr.splitlines()[-1] == "loaded:"
    assert check("--output", "page").stderr.splitlines()[-1] == "loaded: PIL jinja2"


def test_warnings_come_last_and_do_not_fail(check: Callable[..., Ended]) -> None:
    ended = check(changes={"p2/t1_old.nii.gz": np.ones((20, 18, 10), np.int16)})
    assert ended.returncode == 0
    assert "no problem found, 1 warning" in ended.stdout
    assert ended.stderr.startswith("1 warning:\nwarning: p2/t1_old.nii.gz\n")


def test_what_could_be_understood_is_shown_beside_problems(check: Callable[..., Ended]) -> None:
    ended = check(changes={"p2/t1.nii.gz": b"no image", "p3/t2.nii.gz": None})
    assert ended.returncode == 65
    assert "3 exams of 3 patients:" in ended.stdout
    assert "1 of the exams could not be read: p2. What follows is of the others." in ended.stdout
    assert "2 of 2" in ended.stdout
    assert "no problem found" not in ended.stdout
    assert "grid:" not in ended.stdout
    assert ended.stderr.startswith("2 problems:\np3/t2.nii.gz\n")
    assert "p2/t1.nii.gz" in ended.stderr


def test_a_page_is_written_where_it_is_asked_for(check: Callable[..., Ended], tmp_path: Path) -> None:
    ended = check("--output", "out/page")
    assert ended.returncode == 0
    assert "page: out/page/check.html" in ended.stdout
    assert "--output" not in ended.stdout
    assert [path.name for path in (tmp_path / "out" / "page").iterdir()] == ["check.html"]
    html = (tmp_path / "out" / "page" / "check.html").read_text()
    assert html.count('<section class="exam') == 4
    assert html.count("data:image/webp") == 4 * 5


def test_a_page_is_written_of_a_cohort_with_problems_too(check: Callable[..., Ended], tmp_path: Path) -> None:
    ended = check("--output", "page", changes={"p2/t1.nii.gz": b"no image"})
    assert ended.returncode == 65
    html = (tmp_path / "page" / "check.html").read_text()
    assert html.count('<section class="exam') == 4
    assert html.count("data:image/webp") == 3 * 5 + 4


def test_a_folder_that_cannot_be_is_an_error_before_anything_is_read(
    check: Callable[..., Ended], tmp_path: Path
) -> None:
    (tmp_path / "page").write_text("a file")
    ended = check("--output", "page")
    assert ended.returncode == 64
    assert ended.stdout == ""
    assert "name a folder, not a file" in ended.stderr


def test_labels_that_are_flipped_in_their_file_are_drawn_on_the_other_side(tmp_path: Path) -> None:
    label = np.zeros(SHAPE_XYZ, np.uint8)
    label[2:6, 3:8, 4] = 1
    outlines = []
    for each in (label, label[::-1]):
        changes: Changes = {"p1/label.nii.gz": each, "p1/mask.nii.gz": np.ones_like(label)}
        source, album = write_cohort(tmp_path / "cohort", changes, ["p1"]), Album()
        study = parse_study(tomllib.loads(STUDY), source="study.toml")
        check_cohort(source, study, workers=1, progress=lambda *_: None, watch=album.watch)
        outlines.append(album.exams["p1"][0].outlines[1])
    # The file's x grows to the left, as the picture's columns do; its y to the back, as the rows.
    assert outlines == ["M2 3h4M2 8h4M2 3v5M6 3v5", "M14 3h4M14 8h4M14 3v5M18 3v5"]


def test_pictures_cost_no_second_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, reads = write_cohort(tmp_path / "cohort", {}), []
    study = parse_study(tomllib.loads(STUDY), source="study.toml")
    read = source.read

    def counted(key: str) -> bytes:
        reads.append(key)
        return read(key)

    monkeypatch.setattr(source, "read", counted)
    check_cohort(source, study, workers=1, progress=lambda *_: None)
    without = sorted(reads)
    reads.clear()
    check_cohort(source, study, workers=1, progress=lambda *_: None, watch=Album().watch)
    assert sorted(reads) == without
