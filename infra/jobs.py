"""Job definitions: what a container is, and when it is tried again."""

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Duration, Size, Stack, aws_batch, aws_ecs, aws_iam, aws_logs
from constructs import Construct

from infra.checks import acknowledge
from infra.image import JobImage
from infra.machines import FOLD, PREPARE, REPORT, Machine
from infra.retries import RetryRule, attempts, retry_rules
from infra.roles import StudyRoles
from infra.settings import Settings
from job.contract import cloud, environment

USER = "1000:1000"
"""User and group of every container; the Dockerfile makes a home for it."""
SHARED_MEMORY_GIB = 1
"""/dev/shm of a container."""


@dataclass(frozen=True, kw_only=True)
class Containers:
    """What all containers of a stack share."""

    settings: Settings
    image: JobImage
    logs: aws_logs.ILogGroup
    execution_role: aws_iam.Role


class StudyJobs(Construct):
    """The job definitions of a study. What to work on comes with a submission, by `job.contract.environment`."""

    def __init__(
        self, scope: Construct, construct_id: str, study: str, roles: StudyRoles, containers: Containers
    ) -> None:
        super().__init__(scope, construct_id)
        self._containers = containers
        stack = containers.settings.stack
        self._definition(cloud.prepare_definition(stack, study), "prepare", PREPARE, roles.prepare)
        self._definition(cloud.fold_definition(stack, study), "fold", FOLD, roles.fold)
        self._definition(cloud.report_definition(stack, study), "report", REPORT, roles.report)
        if containers.settings.image and containers.image.repository_arn:
            reason = "The CDK cannot see that the execution role's own policy names this repository."
            acknowledge(self, {"@aws-cdk/aws-ecs:ecrImageRequiresPolicy": reason})

    def _definition(self, name: str, command: str, machine: Machine, role: aws_iam.Role) -> None:
        settings = self._containers.settings
        aws_batch.EcsJobDefinition(
            self,
            name,
            job_definition_name=name,
            container=self._container(name, command, machine, role),
            timeout=Duration.minutes(round(settings.job_hours * 60)),
            retry_attempts=attempts(),
            retry_strategies=[_strategy(rule) for rule in retry_rules(counts=command == "fold")],
            propagate_tags=True,
            # What is in the queue while a new version is deployed still runs with the old one.
            skip_deregister_on_update=True,
        )

    def _container(
        self, name: str, command: str, machine: Machine, role: aws_iam.Role
    ) -> aws_batch.EcsEc2ContainerDefinition:
        shared = self._containers
        linux = aws_batch.LinuxParameters(
            self,
            f"{name}-linux",
            shared_memory_size=Size.gibibytes(SHARED_MEMORY_GIB),
            init_process_enabled=True,  # passes SIGTERM on
        )
        return aws_batch.EcsEc2ContainerDefinition(
            self,
            f"{name}-container",
            image=aws_ecs.ContainerImage.from_registry(shared.image.uri),
            command=[command],
            cpu=machine.vcpus,
            memory=Size.gibibytes(machine.memory_gib),
            gpu=machine.gpus or None,
            environment=self._environment(machine),
            # The policies of both roles are whole; the construct is not to add its own.
            execution_role=shared.execution_role.without_policy_updates(),
            job_role=role.without_policy_updates(),
            linux_parameters=linux,
            logging=aws_ecs.LogDriver.aws_logs(stream_prefix=command, log_group=shared.logs),
            user=USER,
        )

    def _environment(self, machine: Machine) -> Mapping[str, str]:
        region = Stack.of(self).region  # which ECS does not tell containers on EC2
        variables = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
        # A container sees all cores of its machine: on larger ones folds would run with more threads, in other bits.
        variables[environment.THREADS] = str(machine.vcpus)
        if machine.gpus:
            variables[environment.DEVICE] = "cuda"  # a fold that finds no GPU fails, and is not slow for days
        return variables


def _strategy(rule: RetryRule) -> aws_batch.RetryStrategy:
    return aws_batch.RetryStrategy.of(
        aws_batch.Action[rule.action],
        aws_batch.Reason.custom(
            on_exit_code=rule.exit_code, on_reason=rule.reason, on_status_reason=rule.status_reason
        ),
    )
