"""Who may do what: one role per study and kind of job, by prefix; one for the machines, one to start containers."""

from collections.abc import Iterable, Mapping, Sequence

from aws_cdk import aws_iam, aws_logs, aws_s3
from constructs import Construct

from infra.buckets import Buckets
from infra.checks import acknowledge, acknowledge_wildcards
from infra.image import JobImage
from job.contract import cloud, layout

READ = ("s3:GetObject",)
WRITE = ("s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
DELETE = ("s3:DeleteObject",)
"""Hides the newest version; an older one can be brought back. No role may delete versions."""

JOIN_CLUSTER = (
    "ec2:DescribeTags",
    "ecs:DeregisterContainerInstance",
    "ecs:DiscoverPollEndpoint",
    "ecs:ListTagsForResource",
    "ecs:Poll",
    "ecs:RegisterContainerInstance",
    "ecs:StartTelemetrySession",
    "ecs:SubmitAttachmentStateChanges",
    "ecs:SubmitContainerStateChange",
    "ecs:SubmitTaskStateChange",
    "ecs:UpdateContainerInstancesState",
)
"""What the ECS agent of a machine calls, from AmazonEC2ContainerServiceforEC2Role. That policy's rights to pull
images and write logs are left out: jobs share their machine's network, so they could take its credentials."""

Allowed = Mapping[Sequence[str], Sequence[str]]
"""Keys, as patterns, by the actions that are allowed on them."""


class StudyRoles(Construct):
    """The roles of a study's jobs: what they read and write is below its own prefixes."""

    def __init__(self, scope: Construct, construct_id: str, study: str, buckets: Buckets) -> None:
        super().__init__(scope, construct_id)
        cohort, store, runs = (
            f"{prefix(study)}*" for prefix in (cloud.cohort_prefix, cloud.store_prefix, cloud.runs_prefix)
        )
        folds, analysis = f"{runs}/{layout.FOLDS}/*", f"{runs}/{layout.ANALYSIS}/*"
        checkpoints = f"{runs}/{layout.checkpoints(0).replace('/0/', '/*/')}/*"
        self.prepare = self._role(
            "Prepare",
            (buckets.data, {READ: [cohort]}),
            (buckets.results, {READ: [store, runs], WRITE: [store, runs]}),
        )
        """Reads the cohort, makes the store."""
        self.fold = self._role(
            "Fold", (buckets.results, {READ: [store, runs], WRITE: [folds], DELETE: [checkpoints]})
        )
        """Reads store and manifest, writes folds."""
        self.report = self._role("Report", (buckets.results, {READ: [store, runs], WRITE: [analysis]}))
        """Reads store and folds, writes tables and pages."""

    def _role(self, name: str, *permissions: tuple[aws_s3.Bucket, Allowed]) -> aws_iam.Role:
        statements = [
            statement for bucket, allowed in permissions for statement in _statements(bucket, allowed)
        ]
        policy = aws_iam.ManagedPolicy(self, f"{name}Policy", statements=statements)
        for bucket, allowed in permissions:
            keys = {key for patterns in allowed.values() for key in patterns}
            acknowledge_wildcards(
                policy,
                bucket,
                sorted(keys),
                "Exams, runs and folds come after deployment; the prefix of the study is the boundary.",
            )
        return _task_role(self, name, policy)


def _statements(bucket: aws_s3.Bucket, allowed: Allowed) -> Iterable[aws_iam.PolicyStatement]:
    for actions, keys in allowed.items():
        yield aws_iam.PolicyStatement(
            actions=list(actions), resources=[bucket.arn_for_objects(key) for key in keys]
        )
    # Without this right a key that is missing is answered with 403, not 404. S3 takes the key itself as the
    # prefix then, so the condition holds for both.
    yield aws_iam.PolicyStatement(
        actions=["s3:ListBucket"],
        resources=[bucket.bucket_arn],
        conditions={"StringLike": {"s3:prefix": sorted(allowed[READ])}},
    )


def execution_role(scope: Construct, image: JobImage, logs: aws_logs.ILogGroup) -> aws_iam.Role:
    """The role that starts containers: pulls this image, writes to this log group, nothing else."""
    policy = aws_iam.ManagedPolicy(
        scope,
        "ExecutionPolicy",
        statements=[
            aws_iam.PolicyStatement(
                actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[logs.log_group_arn]
            ),
        ],
    )
    if image.repository_arn is not None:
        policy.add_statements(
            aws_iam.PolicyStatement(
                actions=[
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:BatchGetImage",
                    "ecr:GetDownloadUrlForLayer",
                ],
                resources=[image.repository_arn],
            ),
            aws_iam.PolicyStatement(actions=["ecr:GetAuthorizationToken"], resources=["*"]),
        )
        reason = "ecr:GetAuthorizationToken knows no resource: it logs in, and gives no right to any image."
        acknowledge(policy, {"AwsSolutions-IAM5[Resource::*]": reason})
    return _task_role(scope, "ExecutionRole", policy)


def machine_role(scope: Construct) -> aws_iam.Role:
    """The role of the machines: to join a cluster and to hear what to start."""
    policy = aws_iam.ManagedPolicy(
        scope,
        "MachinePolicy",
        statements=[
            aws_iam.PolicyStatement(actions=list(JOIN_CLUSTER), resources=["*"]),
            aws_iam.PolicyStatement(
                actions=["ecs:TagResource"],
                resources=["*"],
                conditions={"StringEquals": {"ecs:CreateAction": ["RegisterContainerInstance"]}},
            ),
        ],
    )
    acknowledge(
        policy,
        {
            "AwsSolutions-IAM5[Resource::*]": (
                "AWS Batch makes the clusters and names them after this policy is written; the actions are "
                "those of the ECS agent on itself and touch no data."
            )
        },
    )
    return aws_iam.Role(
        scope,
        "MachineRole",
        assumed_by=aws_iam.ServicePrincipal("ec2.amazonaws.com"),
        managed_policies=[policy],
    )


def _task_role(scope: Construct, name: str, policy: aws_iam.ManagedPolicy) -> aws_iam.Role:
    return aws_iam.Role(
        scope,
        name,
        assumed_by=aws_iam.ServicePrincipal("ecs-tasks.amazonaws.com"),
        managed_policies=[policy],
    )
