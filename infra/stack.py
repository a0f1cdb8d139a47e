"""Everything a sweep on AWS Batch needs, in the order of the diagram.

data bucket --prepare--> results bucket (store) --fold on spot GPUs--> results bucket (runs) --report-->
                 |                                     |                                        |
             CPU queue                             GPU queue                                CPU queue
"""

from pathlib import Path

from aws_cdk import CfnOutput, Environment, RemovalPolicy, Stack, Tags, aws_logs
from constructs import Construct

from infra.buckets import Buckets
from infra.checks import acknowledge
from infra.compute import Compute, queue_name
from infra.dashboard import add_dashboard
from infra.image import job_image
from infra.jobs import Containers, StudyJobs
from infra.network import Network
from infra.notices import Notices
from infra.researchers import Researchers
from infra.roles import StudyRoles, execution_role
from infra.settings import Settings
from job.contract import cloud

RETENTION = {
    7: aws_logs.RetentionDays.ONE_WEEK,
    14: aws_logs.RetentionDays.TWO_WEEKS,
    30: aws_logs.RetentionDays.ONE_MONTH,
    90: aws_logs.RetentionDays.THREE_MONTHS,
    180: aws_logs.RetentionDays.SIX_MONTHS,
    365: aws_logs.RetentionDays.ONE_YEAR,
    1096: aws_logs.RetentionDays.THREE_YEARS,
    2192: aws_logs.RetentionDays.SIX_YEARS,
}
"""The CDK's names of `settings.LogRetention`."""


class LoosweepStack(Stack):
    """The one stack of the app; its outputs are what `submit` reads."""

    def __init__(self, scope: Construct, settings: Settings, source: Path) -> None:
        super().__init__(
            scope,
            settings.stack,
            stack_name=settings.stack,
            description="loosweep: leave-one-channel-out trainings on AWS Batch",
            # Without an account, so that synthesizing needs no credentials.
            env=Environment(region=settings.region),
        )
        Tags.of(self).add(cloud.PROJECT_TAG, settings.stack)
        buckets = Buckets(self, "Buckets", settings)
        network = Network(self, "Network", settings, buckets.log)
        compute = Compute(self, "Compute", settings, network)
        image = job_image(self, settings, source)
        logs = self._log_group(settings)
        containers = Containers(
            settings=settings, image=image, logs=logs, execution_role=execution_role(self, image, logs)
        )
        for study in settings.studies:
            roles = StudyRoles(self, f"Roles-{study}", study, buckets)
            StudyJobs(self, f"Jobs-{study}", study, roles, containers)
        researchers = Researchers(self, "Researchers", settings, buckets, logs, image)
        queues = [queue.job_queue_arn for queue in (compute.gpu_queue, compute.cpu_queue)]
        notices = Notices(self, "Notices", settings, queues)
        add_dashboard(self, settings, notices, buckets, logs)
        for key, value in {
            cloud.DATA_BUCKET: buckets.data.bucket_name,
            cloud.RESULTS_BUCKET: buckets.results.bucket_name,
            cloud.GPU_QUEUE: queue_name(settings, "gpu"),
            cloud.CPU_QUEUE: queue_name(settings, "cpu"),
            cloud.IMAGE: image.uri,
            cloud.LOG_GROUP: logs.log_group_name,
            cloud.RESEARCHERS: researchers.policy.managed_policy_arn,
            cloud.STUDIES: ",".join(settings.studies),
        }.items():
            CfnOutput(self, key, value=value)

    def _log_group(self, settings: Settings) -> aws_logs.LogGroup:
        logs = aws_logs.LogGroup(
            self,
            "Logs",
            retention=RETENTION[settings.log_retention_days],
            removal_policy=RemovalPolicy.DESTROY,
        )
        acknowledge(
            logs,
            {
                "HIPAA.Security-CloudWatchLogGroupEncrypted": (
                    "CloudWatch encrypts logs at rest with its own key. A key in KMS costs 1 USD a month while "
                    "nothing runs. Logs hold no image data; of patients, at most the pseudonyms that files are "
                    "named by, when one of them is refused."
                )
            },
        )
        return logs
