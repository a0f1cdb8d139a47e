from pathlib import Path

import pytest

from job.contract.errors import StudyError
from job.study_file import load_study
from submit import phantom
from submit.phantom import write_phantom


def test_a_phantom_is_a_cohort_and_its_study(tmp_path: Path) -> None:
    study_file = write_phantom(tmp_path / "new", patients=2, visits=1, seed=0)
    study = load_study(study_file)
    assert study.name == "phantom"
    assert study.margin == 0.03
    assert study.sweep.margin_justification == "simulated: about the scatter of retraining"
    assert sorted(path.name for path in study_file.parent.iterdir()) == ["cohort", "study.toml"]
    assert len(list(study_file.parent.glob("cohort/*/*/label.nii.gz"))) == 2


def test_an_attempt_that_was_interrupted_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(folder: Path, **_: int) -> None:
        folder.mkdir(parents=True)
        (folder / "half").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(phantom, "make_phantom", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_phantom(tmp_path, patients=2, visits=1, seed=0)
    assert not (tmp_path / "study.toml").exists()
    write_phantom(tmp_path, patients=2, visits=1, seed=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cohort", "study.toml"]
    assert not (tmp_path / "cohort/half").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "cohort").mkdir()
    with pytest.raises(StudyError, match="is not empty; name a new folder, or remove it first"):
        write_phantom(tmp_path, patients=2, visits=1, seed=0)
