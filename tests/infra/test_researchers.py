"""What people with the policy of the stack may do."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from infra.settings import MAX_STUDIES, SettingsError, read_settings
from job.contract import cloud

BATCH = "arn:<AWS::Partition>:batch:<AWS::Region>:<AWS::AccountId>"
DATA = "arn:aws:s3:::BucketsData941F65F0"
RESULTS = "arn:aws:s3:::BucketsResultsB59121EA"
JOB = f"{BATCH}:job/0123"

May = Callable[..., bool]


@pytest.fixture(scope="session")
def may(synthesize: Any, effect: Any) -> May:
    """Whether the policy allows a request; the conditions' keys as keywords."""
    stack = synthesize(studies=["glioma", "glioma2"])
    document = stack.one("AWS::IAM::ManagedPolicy", "Researchers")["PolicyDocument"]

    def decide(action: str, resource: str = "*", **context: str) -> bool:
        return bool(effect([document], action, resource, context) == "Allow")

    return decide


def test_everything_that_submit_asks_is_allowed(may: May) -> None:
    for definition in (
        cloud.prepare_definition("loosweep", "glioma"),
        cloud.fold_definition("loosweep", "glioma2"),
        cloud.report_definition("loosweep", "glioma"),
    ):
        assert may("batch:SubmitJob", f"{BATCH}:job-definition/{definition}")
        assert may("batch:SubmitJob", f"{BATCH}:job-definition/{definition}:7")
    assert may("batch:SubmitJob", f"{BATCH}:job-queue/loosweep-gpu")
    assert may("batch:TagResource", JOB, **{"aws:RequestTag/project": "loosweep"})
    assert may("batch:TerminateJob", JOB, **{"aws:ResourceTag/project": "loosweep"})
    for action in ("batch:DescribeJobs", "ec2:DescribeSpotPriceHistory", "pricing:GetProducts"):
        assert may(action)
    for bucket in (DATA, RESULTS):
        assert may("s3:ListBucket", bucket, **{"s3:prefix": "glioma/runs/"})
        for action in ("s3:GetObject", "s3:PutObject", "s3:PutObjectTagging", "s3:DeleteObject"):
            assert may(action, f"{bucket}/glioma/x")


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("batch:SubmitJob", f"{BATCH}:job-queue/loosweep-other-gpu", {}),
        ("batch:SubmitJob", f"{BATCH}:job-definition/another-glioma-report", {}),
        ("batch:SubmitJob", f"{BATCH}:job-definition/loosweep-glioma3-report", {}),
        ("batch:TerminateJob", JOB, {"aws:ResourceTag/project": "another"}),
        ("batch:TerminateJob", JOB, {}),
        ("batch:TagResource", JOB, {"aws:RequestTag/project": "another"}),
        ("batch:RegisterJobDefinition", "*", {}),
        ("batch:UpdateComputeEnvironment", "*", {}),
        ("iam:PassRole", "*", {}),
        ("cloudformation:UpdateStack", "*", {}),
        ("s3:GetObject", f"{RESULTS}/other/x", {}),
        ("s3:DeleteObjectVersion", f"{RESULTS}/glioma/x", {}),
        ("s3:PutBucketPolicy", RESULTS, {}),
        ("s3:ListBucket", RESULTS, {"s3:prefix": ""}),
        ("ec2:RunInstances", "*", {}),
    ],
)
def test_nothing_else_is(may: May, action: str, resource: str, context: dict[str, str]) -> None:
    assert not may(action, resource, **context)


def test_the_policy_is_as_small_as_aws_takes_it_with_as_many_studies_as_may_be(
    synthesize: Any, text: Any
) -> None:
    """6144 characters, spaces not counted; names as long as they may be."""
    studies = [f"{n:02}-{'x' * 37}" for n in range(MAX_STUDIES)]
    stack = synthesize(stack="s" * 40, studies=studies)
    document = stack.one("AWS::IAM::ManagedPolicy", "Researchers")["PolicyDocument"]

    def rendered(value: Any) -> Any:
        if isinstance(value, list):
            return [rendered(each) for each in value]
        if isinstance(value, dict) and not any(key == "Ref" or key.startswith("Fn::") for key in value):
            return {key: rendered(each) for key, each in value.items()}
        return re.sub("(?<=s3:::)Buckets[A-Za-z0-9]+", "b" * 63, text(value))

    written = json.dumps(rendered(document), separators=(",", ":"))
    for name, longest in {
        "Partition": "aws-us-gov",
        "Region": "ap-southeast-1",
        "AccountId": "1" * 12,
    }.items():
        written = written.replace(f"<AWS::{name}>", longest)
    assert written.count("b" * 63) >= 4
    written = re.sub('<[^<>"]+>', "l" * 100, written)  # the log group, the image's repository
    assert "<" not in written
    assert len(written) < 6144
    with pytest.raises(SettingsError, match="at most 8 items"):
        read_settings({"studies": [*studies, "another"]})


def test_the_image_may_be_looked_up_and_not_changed(synthesize: Any, effect: Any) -> None:
    stack = synthesize(image="123456789012.dkr.ecr.eu-central-1.amazonaws.com/group/loosweep@sha256:0123")
    document = stack.one("AWS::IAM::ManagedPolicy", "Researchers")["PolicyDocument"]
    repository = "arn:<AWS::Partition>:ecr:eu-central-1:123456789012:repository/group/loosweep"
    assert effect([document], "ecr:DescribeImages", repository, {}) == "Allow"
    assert effect([document], "ecr:PutImage", repository, {}) is None
    assert effect([document], "ecr:DescribeImages", f"{repository}2", {}) is None


def test_a_region_that_is_named_leaves_no_finding(synthesize: Any) -> None:
    assert not synthesize(region="eu-central-1", studies=["glioma"]).findings


def test_the_policy_is_an_output(default: Any) -> None:
    assert cloud.RESEARCHERS in default.template["Outputs"]
