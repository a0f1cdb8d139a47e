from collections.abc import Callable
from typing import Any

import pytest


def buckets(stack: Any) -> dict[str, dict[str, Any]]:
    return {name[7:-8]: properties for name, properties in stack.resources("AWS::S3::Bucket").items()}


def test_buckets_are_encrypted_closed_and_versioned(default: Any) -> None:
    assert set(buckets(default)) == {"Data", "Results", "Log"}
    for properties in buckets(default).values():
        (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert len(properties["PublicAccessBlockConfiguration"]) == 4
        assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
        assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


@pytest.mark.parametrize("name", ["Data", "Results", "Log"])
def test_buckets_refuse_all_that_is_not_tls_1_2(
    default: Any, effect: Callable[..., str | None], name: str
) -> None:
    (logical_id,) = (key for key in default.resources("AWS::S3::Bucket") if key.startswith(f"Buckets{name}"))
    document = default.one("AWS::S3::BucketPolicy", f"Buckets{name}")["PolicyDocument"]
    assert all(
        statement["Principal"] == {"AWS": "*"}
        for statement in document["Statement"]
        if statement["Effect"] == "Deny"
    )
    for resource in (f"arn:aws:s3:::{logical_id}", f"arn:aws:s3:::{logical_id}/any/key"):
        for action in ("s3:GetObject", "s3:PutObject", "s3:ListBucket"):
            for context, answer in (
                ({"aws:SecureTransport": "false"}, "Deny"),
                ({"aws:SecureTransport": "true", "s3:TlsVersion": "1.1"}, "Deny"),
                ({"aws:SecureTransport": "true", "s3:TlsVersion": "1.2"}, None),
            ):
                assert effect([document], action, resource, context) == answer


def test_buckets_let_nobody_in_but_the_services_that_write_logs(default: Any) -> None:
    principals = [
        statement["Principal"]
        for policy in default.resources("AWS::S3::BucketPolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]
    services = {"logging.s3.amazonaws.com", "delivery.logs.amazonaws.com"}
    assert {principal["Service"] for principal in principals} == services


def test_reads_of_data_and_results_are_logged(default: Any) -> None:
    for name in ("Data", "Results"):
        logging = buckets(default)[name]["LoggingConfiguration"]
        assert logging["DestinationBucketName"]["Ref"].startswith("BucketsLog")


def test_destroying_the_stack_keeps_the_buckets_and_what_protects_them(default: Any) -> None:
    for resource in default.template["Resources"].values():
        if resource["Type"] in ("AWS::S3::Bucket", "AWS::S3::BucketPolicy"):
            assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"


def test_what_nobody_needs_expires_and_what_somebody_needs_does_not(synthesize: Any) -> None:
    def rules(stack: Any, bucket: str) -> dict[str, Any]:
        listed = buckets(stack)[bucket]["LifecycleConfiguration"]["Rules"]
        assert {rule["Status"] for rule in listed} == {"Enabled"}
        return {rule["Id"]: rule for rule in listed}

    stack = synthesize()
    for bucket in ("Data", "Results", "Log"):
        tidy = rules(stack, bucket)["tidy"]
        assert tidy["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}
        assert tidy["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
        assert "ExpirationInDays" not in tidy
    assert set(rules(stack, "Data")) == {"tidy"}
    assert rules(stack, "Log")["expire"]["ExpirationInDays"] == 90
    checkpoints = rules(stack, "Results")["checkpoints"]
    assert checkpoints["TagFilters"] == [{"Key": "kind", "Value": "checkpoint"}]
    assert checkpoints["ExpirationInDays"] == 30
    assert checkpoints["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
    assert set(rules(stack, "Results")) == {"tidy", "checkpoints"}
    limited = rules(synthesize(studies=["glioma", "glioma2"], run_days=400), "Results")["runs-glioma2"]
    assert (limited["Prefix"], limited["ExpirationInDays"]) == ("glioma2/runs/", 400)
