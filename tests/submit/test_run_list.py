"""`submit runs`, and runs whose folds are started by other means."""

import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from job.contract.errors import StudyError
from job.project import Project
from job.run import Run
from submit.run_list import show_runs
from submit.sweep import describe_plan, freeze_run, run_sweep

STUDY = """
name = "tiny"
preset = "smoke"
[cohort]
root = "cohort"
pattern = "{patient}/{exam}/{channel}.nii.gz"
labels = "{patient}/{exam}/label.nii.gz"
mask = "{patient}/{exam}/mask.nii.gz"
channels = ["t2", "t2star"]
classes = { "GTV-T" = 1, "GTV-Ln" = 2 }
[training]
steps = 20
validation_patients = 0
[compute]
device = "cpu"
"""
FOLDS = 12
"""3 arms x 4 exams."""


@pytest.fixture
def study(tiny_cohort: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_cohort / "cohort", tmp_path / "cohort")
    file = tmp_path / "study.toml"
    file.write_text(STUDY)
    return file


def freeze(study: Path, folds: range = range(FOLDS)) -> list[str]:
    return freeze_run(Project.read(study), folds, Console(quiet=True))


def only_run(study: Path) -> Run:
    (run,) = Project.read(study).runs.runs()
    return run


def test_a_run_is_made_without_training_and_says_how_its_folds_are_started(study: Path) -> None:
    lines = freeze(study, range(2, 5))
    run = only_run(study)
    assert lines == [
        f"run {run.url}: 0 of {FOLDS} folds done; to do: 2-4",
        f"each by: python -m job fold --run {run.url} --store {study.parent}/store --index N",
    ]
    assert run.folds_with_files().result == ()
    assert freeze(study)[0].endswith("to do: 0-11")
    assert only_run(study).url == run.url


@pytest.mark.parametrize(
    "also", [{"dry_run": True}, {"dry_run": False, "backend": "batch"}, {"dry_run": False, "budget_usd": 1.0}]
)
def test_freezing_beside_what_starts_nothing_or_pays_is_refused(study: Path, also: dict[str, object]) -> None:
    options = {"backend": None, **also}
    with pytest.raises(StudyError, match="--freeze makes a run of this machine and starts nothing"):
        run_sweep(study, array=None, folds=None, freeze=True, console=Console(quiet=True), **options)  # type: ignore[arg-type]
    assert not (study.parent / "runs").exists()


def listed(study: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    capsys.readouterr()
    show_runs(study, as_json=True)
    return {each["run"]: each["what"] for each in json.loads(capsys.readouterr().out)["runs"]}


def test_runs_are_listed_with_what_each_differs_in(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    freeze(study)
    first = only_run(study).name
    assert listed(study, capsys) == {first: "the study as it is now"}
    study.write_text(STUDY.replace("steps = 20", "steps = 30"))
    assert listed(study, capsys) == {first: "training.steps is 30, in the run 20"}
    freeze(study)
    study.write_text(STUDY.replace('"tiny"', '"other"'))
    assert set(listed(study, capsys).values()) == {"of study tiny"}
    (study.parent / "runs" / first / "manifest.json").write_text("{}")
    assert listed(study, capsys)[first].startswith("manifest.json: ")
    show_runs(study, as_json=False)
    assert f"{first} " in capsys.readouterr().out


def test_a_study_without_runs_is_told_how_to_start_one(study: Path) -> None:
    with pytest.raises(StudyError, match="has no run yet; start one with `submit sweep"):
        show_runs(study, as_json=False)


def plan(study: Path) -> list[str]:
    project = Project.read(study)
    return describe_plan(project, project.grid(), range(len(project.grid())))


def test_a_dry_run_says_why_an_earlier_run_serves_or_does_not(study: Path, make_result, score) -> None:
    freeze(study)
    run = only_run(study)
    scores = {structure: score(0.5) for structure in ("GTV-T", "GTV-Ln", "union")}
    for fold in range(FOLDS):
        run.fold(fold).result.write(make_result(run.manifest, fold, scores))
    assert plan(study)[0] == "12 folds = 3 arms x 4 exams x 1 repeat; 12 done; would run 0: none"
    study.write_text(STUDY + "[sweep]\nreference_repeats = 1\n")
    assert plan(study)[0].endswith("x 4 exams; 12 done; would run 4: 12-15")
    study.write_text(STUDY + "[sweep]\nrepeats = 2\n")
    lines = plan(study)
    assert lines[0].endswith(
        "x 2 repeats; 0 done; 12 to be taken over from earlier runs; would run 12: 12-23"
    )
    assert lines[-1] == f"run {run.name}: 12 folds of it serve"
    study.write_text(STUDY.replace("[training]", 'ignore = ["**/truth.json"]\n[training]'))
    lines = plan(study)  # its exams may turn out to be the same
    assert "0 done; would run 12: 0-11" in lines[0]
    assert lines[-1].startswith(
        "the cohort is not prepared as the study says now: what earlier runs have trained"
    )
    study.write_text(STUDY.replace("steps = 20", "steps = 30"))
    lines = plan(study)
    assert "0 done; would run 12: 0-11" in lines[0]
    assert lines[-1] == f"run {run.name}: no fold of it serves (training.steps is 30, in the run 20)"
