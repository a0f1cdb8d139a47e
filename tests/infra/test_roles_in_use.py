"""What the jobs really ask of S3, held against what their roles allow."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.client
import pytest

from job.__main__ import exit_code_of
from job.contract import environment
from job.contract.exit_codes import ExitCode
from job.request import RunsFolder, open_run
from job.storage import open_storage
from job.study_file import load_study
from submit.cli import app
from tests.submit.test_whole_sweep import TWO_CHANNELS, toml

Calls = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The requests of boto's clients, as (operation, parameters)."""
    made: Calls = []
    inner = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]

    def recorded(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        made.append((operation, parameters))
        return inner(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", recorded)
    return made


def asked(calls: Calls) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Each request as IAM sees it: action, key, context. TensorStore's own are reads of blocks in the store."""
    for operation, parameters in calls:
        key = parameters.get("Key", "")
        match operation:
            case "PutObject":
                yield "s3:PutObject", key, {}
                if "Tagging" in parameters:
                    yield "s3:PutObjectTagging", key, {}
            case "GetObject" | "HeadObject":
                yield "s3:GetObject", key, {}
                yield "s3:ListBucket", "", {"s3:prefix": key}  # else a missing key is answered with 403
            case "ListObjectsV2":
                yield "s3:ListBucket", "", {"s3:prefix": parameters["Prefix"]}
            case "DeleteObjects":
                for item in parameters["Delete"]["Objects"]:
                    yield "s3:DeleteObject", item["Key"], {}
            case "HeadBucket":  # S3 says the region also to those whom it refuses
                pass
            case _:
                raise AssertionError(f"no right is known for {operation}")


@pytest.fixture
def may(synthesize: Any, allowed: Any) -> Callable[..., bool]:
    """Whether the role of a kind of job may do something with a key of the data or results bucket."""
    stack = synthesize(studies=["tiny"])
    arns = {
        bucket: f"arn:aws:s3:::{name}"
        for name in stack.resources("AWS::S3::Bucket")
        for bucket in ("Data", "Results")
        if name.startswith(f"Buckets{bucket}")
    }
    roles = {
        kind: next(name for name in stack.resources("AWS::IAM::Role") if name[:-8] == f"Rolestiny{kind}")
        for kind in ("Prepare", "Fold", "Report")
    }

    def decide(kind: str, action: str, key: str, context: dict[str, str]) -> bool:
        buckets = ("Data", "Results") if kind == "Prepare" else ("Results",)
        return any(
            allowed(stack, roles[kind], action, f"{arns[b]}/{key}" if key else arns[b], **context)
            for b in buckets
        )

    return decide


@pytest.fixture
def request_url(s3_bucket: str, tiny_cohort: Path, tmp_path: Path) -> str:
    """A request for a run of the tiny study, with all its places in one bucket."""
    cohort, root = tiny_cohort / "cohort", f"{s3_bucket}/tiny"
    for file in cohort.rglob("*.nii.gz"):
        open_storage(f"{root}/cohort").write(file.relative_to(cohort).as_posix(), file.read_bytes())
    table = TWO_CHANNELS | {
        "cohort": TWO_CHANNELS["cohort"] | {"root": f"{root}/cohort"},
        "compute": {"runs": f"{root}/runs"},
    }
    table["store"] = TWO_CHANNELS.get("store", {}) | {"folder": f"{root}/store"}
    file = tmp_path / "study.toml"
    file.write_text("\n".join(f"{key} = {toml(value)}" for key, value in table.items()))
    request = RunsFolder(f"{root}/runs").request("0123456789ab")
    request.ask(load_study(file))
    return request.url


def test_every_request_of_a_job_is_allowed_to_its_role(
    calls: Calls, may: Callable[..., bool], request_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(environment.RUN, request_url)
    monkeypatch.setenv(environment.STORE, f"{request_url.partition('/runs/')[0]}/store")
    monkeypatch.setenv(environment.BATCH_JOB, "job")
    monkeypatch.setenv(environment.METADATA, "http://127.0.0.1:1")

    def held(kind: str, work: Callable[[], object]) -> None:
        calls.clear()
        work()
        refused = [one for one in asked(calls) if not may(kind, *one)]
        assert calls
        assert not refused

    fold = ["fold", "--index", "0", "--device", "cpu", "--threads", "1", "--checkpoint-minutes", "0"]
    held("Prepare", lambda: exit_code_of(["prepare"]))
    run = open_run(request_url)
    held("Prepare", lambda: exit_code_of(["prepare"]))  # once more, as after an interruption
    held("Fold", lambda: exit_code_of(fold))
    assert run.fold(0).result.exists()
    held("Fold", lambda: exit_code_of(fold))  # done already
    run.fold(0).result.delete()
    held("Fold", lambda: exit_code_of(fold))  # its files are there, its result is not
    assert run.fold(0).result.exists()
    run.fold(1).history.write(b"no JSON")
    calls.clear()
    assert exit_code_of(["fold", "--index", "1", "--device", "cpu"]) == ExitCode.BUG
    assert not [one for one in asked(calls) if not may("Fold", *one)]
    failure = run.fold(1).failure.read()
    assert failure is not None
    assert failure.exit_code == ExitCode.BUG

    def report() -> None:
        with pytest.raises(SystemExit) as end:
            app(["report", request_url, "--store", f"{request_url.partition('/runs/')[0]}/store"])
        assert end.value.code == 0

    held("Report", report)
