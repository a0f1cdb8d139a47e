"""Buckets: data (cohorts), results (stores and runs), and the log of who read what."""

from aws_cdk import Duration, RemovalPolicy, aws_s3
from constructs import Construct

from infra.checks import acknowledge
from infra.settings import Settings
from job.contract import cloud


class Buckets(Construct):
    """Encrypted, over TLS only, closed to the public, versioned, and kept when the stack is destroyed."""

    def __init__(self, scope: Construct, construct_id: str, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        kept_logs = aws_s3.LifecycleRule(
            id="expire", expiration=Duration.days(settings.log_retention_days), prefix=""
        )
        self.log = self._bucket("Log", None, kept_logs)
        """Access logs of the other two, and of the network."""
        self.data = self._bucket("Data", self.log)
        """Cohorts. No role of this stack writes to it."""
        self.results = self._bucket("Results", self.log, *self._results_rules())
        """Block stores and runs, by study."""
        self._acknowledge()

    def _bucket(
        self, name: str, access_log: aws_s3.IBucket | None, *rules: aws_s3.LifecycleRule
    ) -> aws_s3.Bucket:
        bucket = aws_s3.Bucket(
            self,
            name,
            encryption=aws_s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=True,
            removal_policy=RemovalPolicy.RETAIN,
            server_access_logs_bucket=access_log,
            server_access_logs_prefix=f"{name.lower()}/" if access_log else None,
            lifecycle_rules=[
                aws_s3.LifecycleRule(
                    id="tidy",
                    abort_incomplete_multipart_upload_after=Duration.days(2),
                    noncurrent_version_expiration=Duration.days(self._settings.noncurrent_days),
                    expired_object_delete_marker=True,
                ),
                *rules,
            ],
        )
        # Else a destroyed stack would leave buckets that also talk without TLS.
        assert bucket.policy is not None
        bucket.policy.apply_removal_policy(RemovalPolicy.RETAIN)
        return bucket

    def _results_rules(self) -> list[aws_s3.LifecycleRule]:
        settings = self._settings
        rules = [
            # A fold replaces its checkpoint every few minutes and deletes it at its end: the versions that
            # this leaves are many and of no use.
            aws_s3.LifecycleRule(
                id="checkpoints",
                tag_filters=cloud.CHECKPOINT_TAG,
                expiration=Duration.days(settings.checkpoint_days),
                noncurrent_version_expiration=Duration.days(1),
            )
        ]
        if settings.run_days is not None:
            rules += [
                aws_s3.LifecycleRule(
                    id=f"runs-{study}",
                    prefix=cloud.runs_prefix(study),
                    expiration=Duration.days(settings.run_days),
                )
                for study in settings.studies
            ]
        return rules

    def _acknowledge(self) -> None:
        acknowledge(
            self,
            {
                "HIPAA.Security-S3DefaultEncryptionKMS": (
                    "Encrypted at rest with keys of S3 (AES-256). A key in KMS costs 1 USD a month while nothing "
                    "runs and a fee per request, and would add no separation: the same account administers both."
                ),
                "HIPAA.Security-S3BucketReplicationEnabled": (
                    "The cohort is a copy of the hospital's own archive and results can be computed again from "
                    "it, so a second region would double the storage and spread patient data. Versioning "
                    "guards against mistakes."
                ),
            },
        )
