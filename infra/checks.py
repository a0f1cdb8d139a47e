"""cdk-nag's rules for every synthesis, and how a finding is acknowledged."""

from collections.abc import Iterable, Mapping

import cdk_nag
from aws_cdk import Acknowledgment, App, Stack, Validations, aws_s3
from constructs import IConstruct


def add_checks(app: App) -> None:
    """A finding that nobody has acknowledged makes `cdk synth` and `cdk deploy` fail."""
    Validations.of(app).add_plugins(*rule_packs(app))


def rule_packs(app: App) -> tuple[cdk_nag.NagPack, ...]:
    """AWS Solutions and HIPAA Security."""
    return cdk_nag.AwsSolutionsChecks(app), cdk_nag.HIPAASecurityChecks(app)


def acknowledge(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Accepts findings on a construct and what is in it: for each rule, why it does not apply here."""
    Validations.of(construct).acknowledge(
        *(Acknowledgment(id=rule, reason=reason) for rule, reason in reasons.items())
    )


def acknowledge_wildcards(
    construct: IConstruct, bucket: aws_s3.IBucket, keys: Iterable[str], reason: str
) -> None:
    """Accepts that a policy allows all keys of a bucket that match these patterns, and no other wildcard."""
    (logical_id, attribute) = Stack.of(construct).resolve(bucket.bucket_arn)["Fn::GetAtt"]
    acknowledge(
        construct,
        {f"AwsSolutions-IAM5[Resource::<{logical_id}.{attribute}>/{key}]": reason for key in keys},
    )
