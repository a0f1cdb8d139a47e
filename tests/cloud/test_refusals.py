"""What stands in the way of a sweep on AWS Batch is said before anything is submitted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from job.contract import cloud
from job.contract.exit_codes import ExitCode
from tests.cloud.conftest import FOLDS, MakeStudy
from tests.cloud.rig import Rig


@pytest.fixture
def nothing_is_submitted(rig: Rig, deployed: dict[str, str]) -> Iterator[None]:
    """Holds after the test that there are no more jobs than before."""
    before = set(rig.jobs())
    yield
    assert set(rig.jobs()) == before


pytestmark = pytest.mark.usefixtures("nothing_is_submitted")


def stack_like(rig: Rig, deployed: dict[str, str], name: str, **outputs: str) -> None:
    """A stack whose outputs are those of the deployed one, but for some."""
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {key: {"Value": value} for key, value in (deployed | outputs).items()},
    }
    rig.client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(template))


def refusal(rig: Rig, study: Path, *more: str, **variables: str) -> str:
    """What a sweep says that ends with the code for what the user must change, on one line."""
    told = rig.submit("sweep", study, "--backend", "batch", *more, code=ExitCode.USAGE, **variables)
    return " ".join(told.split())


def test_an_array_that_is_not_the_grid(rig: Rig, make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(tmp_path)
    assert f"--array 300 is not the size of the study's grid, {FOLDS}" in refusal(
        rig, study, "--array", "300"
    )


def test_a_stack_that_is_not_there(rig: Rig, make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(tmp_path, compute={"stack": "elsewhere"})
    assert "there is no stack elsewhere in us-east-1; run `cdk deploy`" in refusal(rig, study)


def test_no_credentials(rig: Rig, make_study: MakeStudy, tmp_path: Path) -> None:
    nobody: dict[str, Any] = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": str(tmp_path)}
    told = refusal(rig, make_study(tmp_path), **nobody)
    assert "no AWS credentials; sign in (`aws configure` or `aws sso login`), or set AWS_PROFILE" in told


def test_a_bucket_that_is_gone(
    rig: Rig, deployed: dict[str, str], make_study: MakeStudy, tmp_path: Path
) -> None:
    stack_like(rig, deployed, "no-bucket", **{cloud.RESULTS_BUCKET: "gone"})
    told = refusal(rig, make_study(tmp_path, compute={"stack": "no-bucket"}))
    assert "s3://gone/quick" in told
    assert "there is no such bucket; correct its name, or deploy the stack first" in told


def test_an_image_that_cannot_be_pulled(
    rig: Rig, deployed: dict[str, str], make_study: MakeStudy, tmp_path: Path
) -> None:
    gone = f"{deployed[cloud.IMAGE].rpartition(':')[0]}:gone"
    stack_like(rig, deployed, "no-image", **{cloud.IMAGE: gone})
    told = refusal(rig, make_study(tmp_path, compute={"stack": "no-image"}))
    assert gone in told
    assert "cdk deploy" in told


def test_a_study_that_is_not_deployed(rig: Rig, make_study: MakeStudy, tmp_path: Path) -> None:
    assert "study 'other' is not deployed (stack loosweep has quick, slow)" in refusal(
        rig, make_study(tmp_path, "other")
    )


@pytest.mark.parametrize(("section", "key"), [("store", "folder"), ("compute", "runs")])
def test_a_study_that_names_another_place(
    rig: Rig, make_study: MakeStudy, tmp_path: Path, section: str, key: str
) -> None:
    told = refusal(rig, make_study(tmp_path, **{section: {key: "s3://elsewhere/place"}}))
    assert f"{section}.{key} is s3://elsewhere/place, but folds on AWS Batch may only use s3://" in told


def test_a_dry_run_says_what_would_be_submitted(rig: Rig, make_study: MakeStudy, tmp_path: Path) -> None:
    told = rig.submit("sweep", make_study(tmp_path), "--backend", "batch", "--dry-run")
    assert f"would submit {FOLDS} folds" in told
