import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from job.contract import layout
from job.contract.errors import StudyError
from job.contract.manifest import ExamEntry
from job.data.prepare import StoreIndex
from job.project import Project
from job.request import Request, RunsFolder
from job.run import Run
from job.storage.local import LocalStorage
from submit.find import find_run
from submit.runs import latest_run, require_run, run_at, run_named, runs_of
from submit.submissions import BatchSubmission, Submission, claim, next_key, read_submission

STUDY = """
name = "{name}"
preset = "smoke"
[cohort]
root = "cohort"
pattern = "{{patient}}/{{channel}}.nii.gz"
labels = "{{patient}}/label.nii.gz"
channels = ["t2", "t1"]
classes = {{ tumour = 1 }}
"""

WriteStudy = Callable[..., Path]


@pytest.fixture
def write_study(tmp_path: Path) -> WriteStudy:
    """A study file of this name; the runs of all of them are in one folder."""

    def write(name: str = "small") -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(STUDY.format(name=name))
        return path

    return write


def index(*patients: str) -> StoreIndex:
    return StoreIndex(
        recipe="r",
        exams=tuple(
            ExamEntry(exam=patient, patient=patient, digest=f"{n:064x}") for n, patient in enumerate(patients)
        ),
    )


def start(study_file: Path, *patients: str, created: str = "2026-01-01T00:00:00+00:00") -> Path:
    """Makes a run as if at that time; its folder."""
    run = Project.read(study_file).freeze(index(*patients))
    path = Path(run.url, layout.MANIFEST)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"created": created}))
    return path.parent


def test_a_run_is_made_beside_the_study_and_named_after_it(write_study: WriteStudy, tmp_path: Path) -> None:
    study_file = write_study()
    run = Project.read(study_file).freeze(index("a", "b"))
    assert run.name == run.manifest.run == f"small-{run.manifest.digest[:8]}"
    assert Path(run.url) == tmp_path / "runs" / run.name
    assert run.manifest.exams == index("a", "b").exams
    assert Run(run.files).manifest == run.manifest


def test_the_same_experiment_goes_on_in_its_run(write_study: WriteStudy) -> None:
    folder = start(write_study(), "a", "b", created="2020-01-01T00:00:00+00:00")
    run = Project.read(write_study()).freeze(index("a", "b"))
    assert Path(run.url) == folder
    assert run.manifest.created == "2020-01-01T00:00:00+00:00"


def test_further_repeats_of_the_reference_extend_a_run_and_fewer_do_not_shrink_it(
    write_study: WriteStudy,
) -> None:
    """3 arms x 2 exams are 6 folds; each further repeat of the reference adds 2 at the end."""
    folder = start(write_study(), "a", "b", created="2020-01-01T00:00:00+00:00")

    def folds_with(reference_repeats: int) -> int:
        study_file = write_study()
        with study_file.open("a") as file:
            file.write(f"[sweep]\nreference_repeats = {reference_repeats}\n")
        run = Project.read(study_file).freeze(index("a", "b"))
        assert Path(run.url) == folder
        assert run.manifest.created == "2020-01-01T00:00:00+00:00"
        assert Run(run.files).manifest == run.manifest
        return run.manifest.folds

    assert [folds_with(repeats) for repeats in (0, 2, 1, 0)] == [6, 10, 10, 10]


def test_another_experiment_is_another_run(write_study: WriteStudy) -> None:
    assert start(write_study(), "a", "b") != start(write_study(), "a", "b", "c")


def test_a_cohort_that_is_too_small_names_the_study_file(write_study: WriteStudy) -> None:
    study_file = write_study()
    with pytest.raises(StudyError, match=re.escape(f"{study_file}: the cohort has 1 patients; 2 are needed")):
        Project.read(study_file).freeze(index("a"))


def test_a_run_that_holds_another_experiment_is_not_overwritten(write_study: WriteStudy) -> None:
    folder, other = start(write_study(), "a", "b"), start(write_study(), "a", "b", "c")
    (folder / layout.MANIFEST).write_bytes((other / layout.MANIFEST).read_bytes())
    with pytest.raises(StudyError, match=re.escape(f"{folder} holds another experiment (digest ")):
        start(write_study(), "a", "b")


def test_a_run_whose_manifest_was_changed_is_not_used(write_study: WriteStudy) -> None:
    folder = start(write_study(), "a", "b")
    text = (folder / layout.MANIFEST).read_text()
    (folder / layout.MANIFEST).write_text(text.replace('"steps": 150', '"steps": 151'))
    message = f"{folder}/manifest.json: the manifest was changed after it was written; delete it"
    with pytest.raises(StudyError, match=re.escape(message)):
        Project.read(write_study()).freeze(index("a", "b"))


def test_a_run_is_found_by_its_folder_without_a_study_file(write_study: WriteStudy, tmp_path: Path) -> None:
    folder = start(write_study(), "a", "b")
    assert find_run(str(folder), tmp_path / "nothing.toml").url == str(folder)


def test_a_study_file_stands_for_its_newest_run(write_study: WriteStudy, tmp_path: Path) -> None:
    folder = start(write_study(), "a", "b")
    assert find_run(str(write_study()), tmp_path / "nothing.toml").url == str(folder)


def test_a_run_is_found_by_its_name(write_study: WriteStudy) -> None:
    study_file = write_study()
    folder = start(study_file, "a", "b")
    start(study_file, "a", "b", "c")
    assert find_run(folder.name, study_file).url == str(folder)


def test_a_run_of_another_name_is_not_found_and_the_others_are_named(write_study: WriteStudy) -> None:
    study_file = write_study()
    with pytest.raises(StudyError, match="has no run 'x'; its runs: none"):
        find_run("x", study_file)
    names = sorted([start(study_file, "a", "b").name, start(study_file, "a", "b", "c").name])
    with pytest.raises(StudyError, match=f"has no run 'x'; its runs: {', '.join(names)}"):
        find_run("x", study_file)


def test_a_name_needs_a_study_file_to_be_looked_up(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"x: no folder of a run, and .*study\.toml is not there"):
        find_run("x", tmp_path / "study.toml")


def test_without_a_name_the_newest_run_of_the_study_is_found(write_study: WriteStudy) -> None:
    study_file = write_study()
    start(study_file, "a", "b", created="2026-01-02T00:00:00+00:00")
    newest = start(study_file, "a", "b", "c", created="2026-01-03T00:00:00+00:00")
    start(study_file, "a", "b", "c", "d", created="2025-12-31T00:00:00+00:00")
    start(write_study("other"), "a", "b", created="2026-01-09T00:00:00+00:00")
    assert find_run(None, study_file).url == str(newest)


def begin(folder: Path, started: str) -> None:
    submission = Submission(backend="local", host="node", pid=1, started=started, store="/store")
    (folder / layout.SUBMISSION).write_text(submission.model_dump_json())


def test_a_run_that_goes_on_is_the_newest_again(write_study: WriteStudy) -> None:
    study_file = write_study()
    first = start(study_file, "a", "b", created="2026-01-01T00:00:00+00:00")
    second = start(study_file, "a", "b", "c", created="2026-01-02T00:00:00+00:00")
    begin(first, "2026-01-01T00:00:01+00:00")
    begin(second, "2026-01-02T00:00:01+00:00")
    assert find_run(None, study_file).url == str(second)
    begin(first, "2026-01-03T00:00:00+00:00")
    assert find_run(None, study_file).url == str(first)


@pytest.mark.parametrize("contents", ["", "{}", "3"])
def test_a_damaged_submission_leaves_the_time_when_the_run_was_made(
    write_study: WriteStudy, contents: str
) -> None:
    study_file = write_study()
    newest = start(study_file, "a", "b", created="2026-01-02T00:00:00+00:00")
    (newest / layout.SUBMISSION).write_text(contents)
    start(study_file, "a", "b", "c", created="2026-01-01T00:00:00+00:00")
    assert find_run(None, study_file).url == str(newest)


@pytest.mark.parametrize(
    ("change", "noted"),
    [
        ("", False),
        ("[compute]\ncores_per_fold = 2\n", False),
        ("[sweep]\nseed = 1\n", "sweep.seed is 1, in the run 0"),
        ("[training]\nvalidation_patients = 9\n", "training.validation_patients is 9, in the run 0"),
    ],
)
def test_a_run_of_an_earlier_text_of_the_study_is_noted(
    write_study: WriteStudy, capsys: pytest.CaptureFixture[str], change: str, noted: str | bool
) -> None:
    study_file = write_study()
    run = start(study_file, "a", "b")
    study_file.write_text(study_file.read_text() + change)
    assert find_run(None, study_file).url == str(run)
    shown = capsys.readouterr()
    note = f"note: {run.name} was started last, but {study_file} was changed since ({noted})\n"
    assert (shown.out, shown.err) == ("", note if noted else "")


def test_a_study_without_runs_says_how_to_start_one(write_study: WriteStudy) -> None:
    start(write_study("other"), "a", "b")
    study_file = write_study()
    message = f"has no run of study small yet; start one with `submit sweep {study_file}`"
    with pytest.raises(StudyError, match=re.escape(message)):
        find_run(None, study_file)


def test_a_run_of_another_version_does_not_hide_the_newest(write_study: WriteStudy) -> None:
    study_file = write_study()
    older = start(study_file, "a", "b", created="2025-01-01T00:00:00+00:00")
    manifest = older / layout.MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"key_of_an_older_version": 1}))
    newest = start(study_file, "a", "b", "c")
    assert find_run(None, study_file).url == str(newest)


@pytest.mark.parametrize("contents", ["", "{}", "[]", '{"created": "2026", "study": 3}'])
def test_a_damaged_manifest_is_named(write_study: WriteStudy, contents: str) -> None:
    study_file = write_study()
    manifest = start(study_file, "a", "b") / layout.MANIFEST
    manifest.write_text(contents)
    with pytest.raises(
        StudyError, match=re.escape(f"{manifest} is damaged; delete it and run the sweep again")
    ):
        find_run(None, study_file)


def test_a_submission_says_who_runs_a_run(storage: LocalStorage) -> None:
    submission = Submission(backend="local", host="node", pid=1, started="2026-01-01", store="/store")
    storage.write(layout.SUBMISSION, submission.model_dump_json().encode())
    assert read_submission(Run(storage)) == submission


def test_a_run_that_nobody_started_has_no_submission(storage: LocalStorage) -> None:
    with pytest.raises(StudyError, match=re.escape(f"{storage.url}: was never started; use `submit sweep`")):
        read_submission(Run(storage))


def test_a_damaged_submission_is_named(storage: LocalStorage) -> None:
    storage.write(layout.SUBMISSION, b"{")
    with pytest.raises(StudyError, match=r"submission\.json is damaged; delete it and run the sweep again"):
        read_submission(Run(storage))


REQUEST = "0123456789ab"


class Batch:
    """What AWS Batch would say: where runs are, and that the jobs of all requests live or have ended."""

    def __init__(self, *, living: bool) -> None:
        self.living = living

    def runs_of(self, project: Project) -> RunsFolder:
        return RunsFolder(str(project.file.parent / "deployed"))

    def lives(self, request: Request) -> bool:
        return self.living


def ask(study_file: Path, *, started: str) -> Request:
    """A request for a run of the study as it is now, submitted at that time."""
    project = Project.read(study_file)
    request = project.runs.request(REQUEST)
    request.ask(project.study)
    submission = BatchSubmission(
        host="h", pid=1, started=started, store="s", stack="s", region="r", study="small", token="t"
    )
    claim(request, next_key(request), submission)
    return request


def test_a_location_is_what_its_files_say(write_study: WriteStudy) -> None:
    study_file = write_study()
    folder, request = start(study_file, "a", "b"), ask(study_file, started="2026-01-02T00:00:00+00:00")
    for found, kind in ((run_at(str(folder)), Run), (run_at(request.url), Request)):
        assert isinstance(found.run, kind)
        assert found.notes == ()
    request.fulfil(Run(LocalStorage(folder)))
    assert run_at(request.url).run.url == str(folder)


def test_a_request_is_found_by_its_id_and_stands_for_the_run_that_it_becomes(write_study: WriteStudy) -> None:
    study_file = write_study()
    request, runs = ask(study_file, started="2026-01-02T00:00:00+00:00"), Project.read(study_file).runs
    found = run_named(REQUEST, runs).run
    assert (type(found), found.url) == (Request, request.url)
    with pytest.raises(StudyError, match="is not prepared, so that it has no results; `submit status "):
        require_run(found)
    folder = start(study_file, "a", "b")
    request.fulfil(Run(LocalStorage(folder)))
    assert require_run(run_named(REQUEST, runs).run).url == str(folder)


def test_the_latest_is_a_request_as_long_as_its_jobs_live(write_study: WriteStudy) -> None:
    study_file = write_study()
    folder = start(study_file, "a", "b", created="2026-01-01T00:00:00+00:00")
    project = Project.read(study_file)
    assert latest_run(project, Batch(living=True)).run.url == str(folder)
    request = ask(study_file, started="2026-01-02T00:00:00+00:00")
    living = latest_run(project, Batch(living=True))
    assert (type(living.run), living.run.url, living.notes) == (Request, request.url, ())
    in_vain = latest_run(project, Batch(living=False))
    assert in_vain.run.url == str(folder)
    assert in_vain.notes == (f"{request.url} was submitted later, and its cohort was not prepared",)


def test_a_request_of_another_text_is_noted_and_refused_where_the_very_study_is_asked_for(
    write_study: WriteStudy,
) -> None:
    study_file = write_study()
    request = ask(study_file, started="2026-01-02T00:00:00+00:00")
    study_file.write_text(study_file.read_text() + "[training]\nsteps = 151\n")
    found = latest_run(Project.read(study_file), Batch(living=True))
    assert found.run.url == request.url
    assert found.notes == (
        f"{REQUEST} was started last, but {study_file} was changed since (training.steps is 151, in the run 150)",
    )
    message = f"{study_file} has no run as it is now; name one: {request.url}"
    with pytest.raises(StudyError, match=f"^{re.escape(message)}$"):
        latest_run(Project.read(study_file), Batch(living=True), exact=True)


def test_runs_of_a_study_on_aws_batch_are_where_its_deployment_has_them(write_study: WriteStudy) -> None:
    study_file = write_study()
    assert runs_of(Project.read(study_file), Batch(living=True)).url == str(study_file.parent / "runs")
    study_file.write_text(study_file.read_text() + '[compute]\nbackend = "batch"\n')
    assert runs_of(Project.read(study_file), Batch(living=True)).url == str(study_file.parent / "deployed")
