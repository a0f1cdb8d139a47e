import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from job.contract import layout
from job.contract.manifest import Manifest
from job.storage.local import LocalStorage
from submit import cli

STUDY = """
name = "small"
preset = "smoke"
[cohort]
root = "cohort"
pattern = "{patient}/{channel}.nii.gz"
labels = "{patient}/label.nii.gz"
channels = ["t2", "t1[late]"]
classes = { tumour = 1 }
"""
"""Three arms and, with the files below, three exams: nine folds."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Submit = Callable[..., Ended]


@pytest.fixture
def submit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Submit:
    """Runs `submit …` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["submit", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        shown = capsys.readouterr()
        return Ended(code=int(end.value.code or 0), out=shown.out, err=shown.err)

    return run


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    """A study with the names of its files; the files are empty."""
    for patient in ("p1", "p2", "p3"):
        for name in ("t2", "t1[late]", "label"):
            path = tmp_path / "cohort" / patient / f"{name}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    path = tmp_path / "study.toml"
    # A channel's own name would be a pattern here: [late] stands for one of four letters.
    path.write_text(STUDY.replace('"t1[late]"', '{ name = "t1[late]", files = "t1[[]late]" }'))
    return path


def test_help_names_every_command(submit: Submit) -> None:
    ended = submit("--help")
    assert ended.code == 0
    for command in ("phantom", "check", "prepare", "sweep", "status", "logs", "cancel", "report"):
        assert command in ended.out


@pytest.mark.parametrize("arguments", [["--help"], ["sweep", "--help"], ["status", "--help"]])
def test_help_comes_without_heavy_imports(arguments: list[str]) -> None:
    program = "\n".join(
        [
            "import sys",
            "from submit.cli import main",
            f"sys.argv = {['submit', *arguments]!r}",
            "try:",
            "    main()",
            "except SystemExit:",
            "    print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)",
        ]
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Usage: submit" in ended.stdout
    heavy = {"torch", "numpy", "pandas", "matplotlib", "scipy", "monai", "nibabel", "tensorstore"}
    assert heavy.isdisjoint(ended.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["sweep", "--nonsense"], ["sweep", "--array", "many"], ["logs", "--fold", "-1"]],
)
def test_a_wrong_command_line_is_wrong_usage(submit: Submit, arguments: list[str]) -> None:
    ended = submit(*arguments)
    assert ended.code == 64
    assert "Usage: submit" in ended.out + ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("command", ["check", "prepare", "sweep", "status", "logs", "cancel", "report"])
def test_a_missing_study_file_is_wrong_usage(submit: Submit, command: str) -> None:
    ended = submit(command)
    assert ended.code == 64
    assert ended.out == ""
    assert ended.err.startswith("error: study.toml: no such file; name the study file")
    assert "Traceback" not in ended.err


def test_every_mistake_in_a_study_is_shown_at_once(submit: Submit, study_file: Path) -> None:
    study_file.write_text(study_file.read_text() + "[training]\nsteps = 0\nlearningrate = 1\n")
    ended = submit("check")
    assert ended.code == 64
    first, second = ended.err.splitlines()
    assert first == "error: study.toml: training.steps: expected a number above 0, got 0"
    assert second.startswith("study.toml: training.learningrate: unknown key; did you mean 'learning_rate'?")


@pytest.mark.parametrize("command", ["check", "prepare", "sweep"])
def test_bad_data_is_a_table_and_an_exit_code_of_its_own(
    submit: Submit, study_file: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (study_file.parent / "cohort/p2/t2.nii.gz").unlink()
    (study_file.parent / "cohort/p3/t1[late].nii.gz").unlink()
    ended = submit(command)
    assert ended.code == 65
    assert ended.out == ""
    assert "2 problems" in ended.err
    assert "p2/t2.nii.gz" in ended.err
    assert "no file for channel t1[late]" in ended.err
    assert "Traceback" not in ended.err


def test_problems_in_a_file_or_a_pipe_are_a_list_that_nothing_crops(submit: Submit, study_file: Path) -> None:
    next(study_file.parent.rglob("*.nii.gz")).write_bytes(b"no image")
    ended = submit("check", str(study_file))
    lines = ended.err.splitlines()
    assert lines[0] == "2 problems in 9 places:"  # the other files are empty
    assert [line.split(":")[0].strip() for line in lines[2:5]] == ["found", "expected", "remedy"]
    assert "│" not in ended.err


def test_a_cohort_that_is_not_there_is_wrong_usage(submit: Submit, study_file: Path) -> None:
    study_file.write_text(study_file.read_text().replace('"cohort"', '"elsewhere"'))
    ended = submit("sweep")
    assert ended.code == 64
    assert "cohort.root is " in ended.err
    assert "which is no folder; correct the path" in ended.err


def test_a_dry_run_says_what_would_be_run_and_makes_nothing(submit: Submit, study_file: Path) -> None:
    before = sorted(study_file.parent.rglob("*"))
    ended = submit("sweep", str(study_file), "--array", "9", "--folds", "0-2,4", "--dry-run")
    assert ended.code == 0
    assert "9 folds = 3 arms x 3 exams x 1 repeat; 0 done; would run 4: 0-2,4" in ended.out
    assert "arms: reference, without t2, without t1[late]" in ended.out
    assert "each: 150 steps of 8 patches, then one test" in ended.out
    assert sorted(study_file.parent.rglob("*")) == before


def test_locations_of_the_command_line_and_of_the_study_may_begin_in_the_home_folder(
    submit: Submit,
    study_file: Path,
    storage: LocalStorage,
    make_manifest: Callable[..., Manifest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of `--study=~/x` no shell makes a path."""
    home = study_file.parent
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir("/")
    study_file.write_text(study_file.read_text().replace('root = "cohort"', 'root = "~/moved"'))
    (home / "cohort").rename(home / "moved")
    assert submit("sweep", "~/study.toml", "--dry-run").code == 0
    ended = submit("status", "--study=~/study.toml")
    assert ended.err.startswith(f"error: {home}/runs has no run of study small yet")
    storage.write(layout.MANIFEST, make_manifest(3).to_json())
    assert storage.root == home / "run"
    ended = submit("report", "~/run", "--store=~/store", "--output=~/report")
    assert ended.code == 0, ended.err
    assert f"report: {home}/report/report.html" in ended.out
    ended = submit("phantom", "~/moved")
    assert ended.err.startswith(f"error: {home}/moved: is not empty")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--array", "288"],
            "--array 288 is not the size of the study's grid, 9 (3 arms x 3 exams x 1 repeat); use --array 9",
        ),
        (["--folds", "0-9"], "--folds '0-9': fold 9 is outside 0..8 (3 arms x 3 exams x 1 repeat)"),
        (["--folds", "x"], "--folds 'x': 'x' is neither a number nor a range; write e.g. 0-7,12"),
        (["--backend", "slurm"], "--backend slurm is not known; use local or batch"),
    ],
)
def test_a_request_that_does_not_fit_the_study_is_refused(
    submit: Submit, study_file: Path, options: list[str], message: str
) -> None:
    ended = submit("sweep", str(study_file), *options, "--dry-run")
    assert ended.code == 64
    assert ended.err.startswith(f"error: {message}")


def test_a_cohort_that_is_too_small_for_the_study_is_refused(submit: Submit, study_file: Path) -> None:
    study_file.write_text(study_file.read_text() + "[training]\nvalidation_patients = 2\n")
    ended = submit("sweep", "--dry-run")
    assert ended.code == 64
    assert "study.toml: the cohort has 3 patients; 4 are needed" in ended.err


def test_status_logs_and_cancel_speak_of_a_run(
    submit: Submit, storage: LocalStorage, make_manifest: Callable[..., Manifest]
) -> None:
    storage.write(layout.MANIFEST, make_manifest(3).to_json())
    storage.write(layout.log(4), b"a line\n")
    ended = submit("status", storage.url, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert len(json.loads(ended.out)["folds"]) == 9
    assert submit("logs", storage.url, "--fold", "4").out == "a line\n"
    assert submit("logs", storage.url, "--fold", "9").code == 64
    ended = submit("cancel", storage.url)
    assert (ended.code, ended.err) == (64, f"error: {storage.url}: was never started; use `submit sweep`\n")


def test_a_manifest_that_was_changed_is_wrong_usage(
    submit: Submit, storage: LocalStorage, make_manifest: Callable[..., Manifest]
) -> None:
    storage.write(layout.MANIFEST, make_manifest(3).to_json().replace(b'"steps": 150', b'"steps": 151'))
    ended = submit("status", storage.url)
    assert ended.code == 64
    assert "the manifest was changed after it was written" in ended.err
    assert "Traceback" not in ended.err


def test_a_place_that_cannot_be_written_is_named_with_a_remedy(submit: Submit, study_file: Path) -> None:
    for place in (str(study_file), f"{study_file}/below"):
        ended = submit("phantom", place)
        assert (ended.code, ended.out) == (64, "")
        assert ended.err.startswith(f"error: {study_file}")
        assert ended.err.endswith("Not a directory; name a folder, not a file, then run the command again\n")
    ended = submit("phantom", "/proc/x")
    assert ended.code == 75
    assert ended.err.startswith("error: /proc/x")
    assert "Traceback" not in ended.err
