"""`submit runs`, and runs whose folds are started by other means."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from job.contract.errors import StudyError
from job.project import Project
from job.run import Run
from submit.run_list import show_runs
from submit.sweep import describe_plan, freeze_run, run_sweep
from tests.submit.tiny_project import STUDY

FOLDS = 12
"""3 arms x 4 exams."""


def freeze(study_file: Path, folds: range = range(FOLDS)) -> list[str]:
    return freeze_run(Project.read(study_file), folds, Console(quiet=True))


def only_run(study_file: Path) -> Run:
    (run,) = Project.read(study_file).runs.runs()
    return run


def test_a_run_is_made_without_training_and_says_how_its_folds_are_started(study_file: Path) -> None:
    lines = freeze(study_file, range(2, 5))
    run = only_run(study_file)
    assert lines == [
        f"run {run.url}: 0 of {FOLDS} folds done; to do: 2-4",
        f"each by: python -m job fold --run {run.url} --store {study_file.parent}/store --index N",
    ]
    assert run.folds_with_files().result == ()
    assert freeze(study_file)[0].endswith("to do: 0-11")
    assert only_run(study_file).url == run.url


@pytest.mark.parametrize(
    "also", [{"dry_run": True}, {"dry_run": False, "backend": "batch"}, {"dry_run": False, "budget_usd": 1.0}]
)
def test_freezing_beside_what_starts_nothing_or_pays_is_refused(
    study_file: Path, also: dict[str, object]
) -> None:
    options = {"backend": None, **also}
    with pytest.raises(StudyError, match="--freeze makes a run of this machine and starts nothing"):
        run_sweep(study_file, array=None, folds=None, freeze=True, console=Console(quiet=True), **options)  # type: ignore[arg-type]
    assert not (study_file.parent / "runs").exists()


def listed(study_file: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    capsys.readouterr()
    show_runs(study_file, as_json=True)
    return {each["run"]: each["what"] for each in json.loads(capsys.readouterr().out)["runs"]}


def test_runs_are_listed_with_what_each_differs_in(
    study_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    freeze(study_file)
    first = only_run(study_file).name
    assert listed(study_file, capsys) == {first: "the study as it is now"}
    study_file.write_text(STUDY.replace("steps = 20", "steps = 30"))
    assert listed(study_file, capsys) == {first: "training.steps is 30, in the run 20"}
    freeze(study_file)
    study_file.write_text(STUDY.replace('"tiny"', '"other"'))
    assert set(listed(study_file, capsys).values()) == {"of study tiny"}
    (study_file.parent / "runs" / first / "manifest.json").write_text("{}")
    assert listed(study_file, capsys)[first].startswith("manifest.json: ")
    show_runs(study_file, as_json=False)
    assert f"{first} " in capsys.readouterr().out


def test_a_study_without_runs_is_told_how_to_start_one(study_file: Path) -> None:
    with pytest.raises(StudyError, match="has no run yet; start one with `submit sweep"):
        show_runs(study_file, as_json=False)


def plan(study_file: Path) -> list[str]:
    project = Project.read(study_file)
    return describe_plan(project, project.grid(), range(len(project.grid())))


def test_a_dry_run_says_why_an_earlier_run_serves_or_does_not(study_file: Path, make_result, score) -> None:
    freeze(study_file)
    run = only_run(study_file)
    scores = {structure: score(0.5) for structure in ("GTV-T", "GTV-Ln", "union")}
    for fold in range(FOLDS):
        run.fold(fold).result.write(make_result(run.manifest, fold, scores))
    assert plan(study_file)[0] == "12 folds = 3 arms x 4 exams x 1 repeat; 12 done; would run 0: none"
    study_file.write_text(STUDY + "[sweep]\nreference_repeats = 1\n")
    assert plan(study_file)[0].endswith("x 4 exams; 12 done; would run 4: 12-15")
    study_file.write_text(STUDY + "[sweep]\nrepeats = 2\n")
    lines = plan(study_file)
    assert lines[0].endswith(
        "x 2 repeats; 0 done; 12 to be taken over from earlier runs; would run 12: 12-23"
    )
    assert lines[-1] == f"run {run.name}: 12 folds of it serve"
    study_file.write_text(STUDY.replace("[training]", 'ignore = ["**/truth.json"]\n[training]'))
    lines = plan(study_file)  # its exams may turn out to be the same
    assert "0 done; would run 12: 0-11" in lines[0]
    assert lines[-1].startswith(
        "the cohort is not prepared as the study says now: what earlier runs have trained"
    )
    study_file.write_text(STUDY.replace("steps = 20", "steps = 30"))
    lines = plan(study_file)
    assert "0 done; would run 12: 0-11" in lines[0]
    assert lines[-1] == f"run {run.name}: no fold of it serves (training.steps is 30, in the run 20)"
