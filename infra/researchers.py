"""What those who submit sweeps may do: one policy to attach to a person, a group or a permission set."""

from aws_cdk import Stack, aws_iam, aws_logs
from constructs import Construct

from infra.buckets import Buckets
from infra.checks import acknowledge, acknowledge_wildcards
from infra.image import JobImage
from infra.roles import DELETE, READ, WRITE
from infra.settings import Settings
from job.contract import cloud

LOOK = (
    "batch:DescribeComputeEnvironments",
    "batch:DescribeJobQueues",
    "batch:DescribeJobs",
    "batch:ListJobs",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeSpotPriceHistory",
    "pricing:GetProducts",
)
"""Actions that know no resource: where jobs are, and what machines cost."""


class Researchers(Construct):
    """All that `submit` asks of AWS, and the upload of cohorts; the stack itself cannot be changed with it."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        settings: Settings,
        buckets: Buckets,
        logs: aws_logs.ILogGroup,
        image: JobImage,
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        stack = Stack.of(self)
        self._batch = f"arn:{stack.partition}:batch:{stack.region}:{stack.account}"
        looks = [
            _allow(LOOK, "*"),
            _allow(("cloudformation:DescribeStacks",), self._stack_in_any_life),
            _allow(("logs:GetLogEvents",), logs.log_group_arn),
        ]
        if image.repository_arn is not None:
            looks.append(_allow(("ecr:DescribeImages",), image.repository_arn))
        self.policy = aws_iam.ManagedPolicy(
            self, "Policy", statements=[*looks, *self._jobs(), *self._files(buckets)]
        )
        """To be attached by an administrator."""
        self._acknowledge(buckets)

    @property
    def _stack_in_any_life(self) -> str:
        """The stack by its name: the rest of its id is another after it was destroyed and deployed again."""
        stack = Stack.of(self)
        name = self._settings.stack
        return f"arn:{stack.partition}:cloudformation:{stack.region}:{stack.account}:stack/{name}/*"

    def _jobs(self) -> list[aws_iam.PolicyStatement]:
        """Submits the stack's jobs, and ends those that bear its tag."""
        queues = [f"{self._batch}:job-queue/{self._settings.stack}-{kind}" for kind in ("gpu", "cpu")]
        tag = {f"aws:RequestTag/{cloud.PROJECT_TAG}": self._settings.stack}
        own = {f"aws:ResourceTag/{cloud.PROJECT_TAG}": self._settings.stack}
        return [
            _allow(("batch:SubmitJob",), *queues, *self._definitions),
            _allow(("batch:TagResource",), self._any_job, StringEquals=tag),
            _allow(("batch:TerminateJob",), self._any_job, StringEquals=own),
        ]

    @property
    def _any_job(self) -> str:
        return f"{self._batch}:job/*"

    @property
    def _definitions(self) -> list[str]:
        """The job definitions of each study, in every revision; one by one they would not fit into a policy."""
        return [
            f"{self._batch}:job-definition/{cloud.definitions(self._settings.stack, study)}"
            for study in self._settings.studies
        ]

    def _files(self, buckets: Buckets) -> list[aws_iam.PolicyStatement]:
        """Cohorts, stores and runs of the stack's studies."""
        keys = [f"{study}/*" for study in self._settings.studies]
        return [
            statement
            for bucket in (buckets.data, buckets.results)
            for statement in (
                _allow((*READ, *WRITE, *DELETE), *(bucket.arn_for_objects(key) for key in keys)),
                _allow(("s3:ListBucket",), bucket.bucket_arn, StringLike={"s3:prefix": keys}),
            )
        ]

    def _acknowledge(self, buckets: Buckets) -> None:
        for bucket in (buckets.data, buckets.results):
            keys = [f"{study}/*" for study in self._settings.studies]
            reason = (
                "Cohorts, stores and runs come after deployment; the prefix of the study is the boundary."
            )
            acknowledge_wildcards(self.policy, bucket, keys, reason)
        stack = Stack.of(self)
        reasons = {
            "*": "These actions know no resource; they show names, states and prices, and change nothing.",
            self._stack_in_any_life: "A stack gets the rest of its id when it is deployed; its name is the boundary.",
            self._any_job: "Jobs get their ids when they are submitted; the condition on the tag is the boundary.",
            **dict.fromkeys(
                self._definitions,
                "Every deployment makes new revisions of a study's job definitions; their names are the boundary.",
            ),
        }
        acknowledge(
            self.policy,
            {f"AwsSolutions-IAM5[Resource::{_spelled(stack, name)}]": why for name, why in reasons.items()},
        )


def _allow(actions: tuple[str, ...], *resources: str, **conditions: object) -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(
        actions=list(actions), resources=list(resources), conditions=conditions or None
    )


def _spelled(stack: Stack, arn: str) -> str:
    """An ARN as cdk-nag writes it: with <AWS::Region> and the like for what is known at deployment."""
    for token, name in (
        (stack.partition, "AWS::Partition"),
        (stack.region, "AWS::Region"),
        (stack.account, "AWS::AccountId"),
    ):
        if "Token[" in token:
            arn = arn.replace(token, f"<{name}>")
    return arn
