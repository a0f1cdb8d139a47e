"""Requests, and what tells them from runs: the file in a folder, and never its name."""

import re
from collections.abc import Callable

import pytest

from job.contract import layout
from job.contract.errors import StudyError
from job.contract.study import Study
from job.request import Request, RunsFolder, open_run, open_run_or_request, requests_of
from job.run import Run
from job.storage import open_storage
from tests.job.test_run import frozen

ID = "0123456789ab"


@pytest.fixture
def study(make_study: Callable[..., Study]) -> Study:
    return make_study()


@pytest.fixture
def runs(location: str) -> RunsFolder:
    """A folder of runs, and one in a bucket."""
    return RunsFolder(location)


@pytest.fixture
def request_of_two(runs: RunsFolder, study: Study) -> Request:
    """A request that waits for its cohort."""
    request = runs.request(ID)
    request.ask(study)
    return request


def make_run(runs: RunsFolder, study: Study) -> Run:
    manifest = frozen(study, ("a", "a"), ("b", "b"))
    run = Run(runs.run(manifest.run).files, manifest)
    run.create()
    return run


def test_a_request_says_what_is_asked_for(request_of_two: Request, study: Study, location: str) -> None:
    found = open_run_or_request(f"{location}/requests/{ID}")
    assert isinstance(found, Request)
    assert (found.url, found.id, found.study) == (request_of_two.url, ID, study)
    assert found.run() is None
    with pytest.raises(StudyError, match="its cohort is not prepared yet, so that it has no run"):
        open_run(found.url)


def test_a_request_that_is_fulfilled_leads_to_its_run_and_the_run_to_its_requests(
    request_of_two: Request, runs: RunsFolder, study: Study
) -> None:
    run, again = make_run(runs, study), runs.request("ba9876543210")
    again.ask(study)
    assert requests_of(run) == []
    for each in (request_of_two, again):
        each.fulfil(run)
        found = each.run()
        assert found is not None
        assert found.url == run.url == open_run(each.url).url
    assert [each.url for each in requests_of(run)] == [request_of_two.url, again.url]
    assert isinstance(open_run_or_request(request_of_two.url), Request)  # which its jobs are told of for good
    assert request_of_two.files.read(layout.REQUESTED_RUN) == f'{{\n "run": "{run.name}"\n}}\n'.encode()
    assert run.files.read(f"requests/{ID}.json") == b"{}\n"


def test_a_run_is_a_run_however_its_folder_is_called(location: str, study: Study) -> None:
    """As a copy that somebody put there: what it is called says nothing."""
    place = f"{location}/requests/{ID}"
    run = Run(open_storage(place), frozen(study, ("a", "a"), ("b", "b")))
    run.create()
    assert isinstance(open_run_or_request(place), Run)
    assert open_run(place).manifest == run.manifest
    run.files.write(layout.REQUESTED_STUDY, study.model_dump_json(by_alias=True).encode())
    assert isinstance(open_run_or_request(place), Run)


def test_a_request_is_a_request_however_its_folder_is_called(location: str, study: Study) -> None:
    asked = Request(open_storage(f"{location}/small-01234567"))
    asked.ask(study)
    assert isinstance(open_run_or_request(asked.url), Request)


def test_what_is_neither_is_told_as_no_run(location: str) -> None:
    with pytest.raises(StudyError, match=r"no manifest\.json; name the folder of a run"):
        _ = open_run(f"{location}/requests/{ID}").manifest


def test_a_request_without_a_study_is_none(runs: RunsFolder) -> None:
    asked = runs.request(ID)
    message = f"{asked.url}: no study.json; name a request that `submit` made"
    with pytest.raises(StudyError, match=f"^{re.escape(message)}$"):
        _ = asked.study


def test_a_folder_of_runs_lists_runs_and_requests_apart(
    request_of_two: Request, runs: RunsFolder, study: Study
) -> None:
    run = make_run(runs, study)
    open_storage(f"{runs.location}/notes").write("text", b"no run")
    assert [each.url for each in runs.runs()] == [run.url]
    assert [each.url for each in runs.requests()] == [request_of_two.url]
    slashed = RunsFolder(f"{runs.location}/")
    assert [each.url for each in slashed.runs()] == [run.url]
    assert slashed.request(ID).url == request_of_two.url
