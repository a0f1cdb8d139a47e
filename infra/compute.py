"""Machines and the queues in front of them."""

from collections.abc import Iterable, Sequence
from typing import Literal

from aws_cdk import Duration, aws_batch, aws_ec2
from constructs import Construct

from infra.network import Network
from infra.roles import machine_role
from infra.settings import Settings

QueueKind = Literal["gpu", "cpu"]

MAX_ENVIRONMENTS = 3
"""Compute environments that a queue of AWS Batch can have."""

ECS_CONFIG = {
    # Off by default: without it a reclaimed machine vanishes, and its container gets no SIGTERM.
    "ECS_ENABLE_SPOT_INSTANCE_DRAINING": "true",
    # From SIGTERM to SIGKILL, 30 s by default: a checkpoint goes to S3, within the two minutes' notice.
    "ECS_CONTAINER_STOP_TIMEOUT": "100s",
    # The role of the machine may not write logs; the execution role may.
    "ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE": "true",
    # Images are named by their contents, so that a machine's second fold need not ask for it again.
    "ECS_IMAGE_PULL_BEHAVIOR": "prefer-cached",
}


class Compute(Construct):
    """Queues for folds, and for the rest. While empty, they cost nothing."""

    def __init__(self, scope: Construct, construct_id: str, settings: Settings, network: Network) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        self._network = network
        self._role = machine_role(self)
        self._template = self._launch_template()
        self.gpu_queue = self._queue("gpu", list(self._gpu_environments()))
        """For folds."""
        self.cpu_queue = self._queue("cpu", list(self._cpu_environments()))
        """For preparing and reporting."""

    def _gpu_environments(self) -> Iterable[aws_batch.ManagedEc2EcsComputeEnvironment]:
        """Tried in this order; a later one also takes what is above the vCPUs of an earlier one."""
        settings = self._settings
        spot, types = settings.purchase == "spot", settings.fold_types
        yield self._environment("Gpu", types(spot=spot), settings.max_vcpus, spot=spot, gpu=True)
        if spot and settings.max_vcpus_on_demand:
            yield self._environment(
                "GpuOnDemand", types(spot=False), settings.max_vcpus_on_demand, spot=False, gpu=True
            )

    def _cpu_environments(self) -> Iterable[aws_batch.ManagedEc2EcsComputeEnvironment]:
        types, spot = self._settings.cpu_instance_types, self._settings.purchase == "spot"
        yield self._environment("Cpu", types, 64, spot=spot, gpu=False)
        if spot:
            yield self._environment("CpuOnDemand", types, 16, spot=False, gpu=False)

    def _environment(
        self, name: str, types: Sequence[str], max_vcpus: int, *, spot: bool, gpu: bool
    ) -> aws_batch.ManagedEc2EcsComputeEnvironment:
        image_type = aws_batch.EcsMachineImageType
        environment = aws_batch.ManagedEc2EcsComputeEnvironment(
            self,
            name,
            vpc=self._network.vpc,
            security_groups=[self._network.security_group],
            instance_types=[aws_ec2.InstanceType(type_) for type_ in dict.fromkeys(types)],
            use_optimal_instance_classes=False,  # true, the default, adds CPU families
            images=[
                aws_batch.EcsMachineImage(
                    image_type=image_type.ECS_AL2023_NVIDIA if gpu else image_type.ECS_AL2023
                )
            ],
            instance_role=self._role,
            launch_template=self._template,
            spot=spot,
            allocation_strategy=(
                aws_batch.AllocationStrategy.SPOT_PRICE_CAPACITY_OPTIMIZED
                if spot
                else aws_batch.AllocationStrategy.BEST_FIT_PROGRESSIVE
            ),
            minv_cpus=0,
            maxv_cpus=max_vcpus,
            update_timeout=Duration.minutes(30),
        )
        # Else AWS Batch takes the default version of the template, which is its first for ever.
        resource = environment.node.default_child
        assert isinstance(resource, aws_batch.CfnComputeEnvironment)
        resource.add_property_override(
            "ComputeResources.LaunchTemplate.Version", self._template.latest_version_number
        )
        return environment

    def _launch_template(self) -> aws_ec2.LaunchTemplate:
        user_data = aws_ec2.MultipartUserData()  # the only kind that AWS Batch merges with its own
        commands = aws_ec2.UserData.for_linux()
        user_data.add_user_data_part(commands, aws_ec2.MultipartBody.SHELL_SCRIPT, make_default=True)
        commands.add_commands(
            *(f"echo {name}={value} >> /etc/ecs/ecs.config" for name, value in ECS_CONFIG.items())
        )
        return aws_ec2.LaunchTemplate(
            self,
            "Machine",
            require_imdsv2=True,
            # Jobs of AWS Batch share their machine's network, so the notice of a reclaim is one hop away.
            http_put_response_hop_limit=1,
            user_data=user_data,
            block_devices=[
                aws_ec2.BlockDevice(
                    device_name="/dev/xvda",
                    volume=aws_ec2.BlockDeviceVolume.ebs(
                        self._settings.disk_gib,
                        encrypted=True,
                        volume_type=aws_ec2.EbsDeviceVolumeType.GP3,
                        delete_on_termination=True,
                    ),
                )
            ],
        )

    def _queue(
        self, kind: QueueKind, environments: Sequence[aws_batch.ManagedEc2EcsComputeEnvironment]
    ) -> aws_batch.JobQueue:
        assert len(environments) <= MAX_ENVIRONMENTS
        return aws_batch.JobQueue(
            self,
            f"{kind.title()}Queue",
            job_queue_name=queue_name(self._settings, kind),
            compute_environments=[
                aws_batch.OrderedComputeEnvironment(compute_environment=environment, order=order)
                for order, environment in enumerate(environments, start=1)
            ],
            job_state_time_limit_actions=list(_time_limits()),
        )


def queue_name(settings: Settings, kind: QueueKind) -> str:
    """Name of a job queue."""
    return f"{settings.stack}-{kind}"


def _time_limits() -> Iterable[aws_batch.JobStateTimeLimitAction]:
    """A job that can never start would block all behind it; one that waits for capacity may wait for a day."""
    reasons = aws_batch.JobStateTimeLimitActionsReason
    for reason, limit in (
        (reasons.JOB_RESOURCE_REQUIREMENT, Duration.minutes(10)),
        (reasons.COMPUTE_ENVIRONMENT_MAX_RESOURCE, Duration.minutes(10)),
        (reasons.INSUFFICIENT_INSTANCE_CAPACITY, Duration.hours(24)),
    ):
        yield aws_batch.JobStateTimeLimitAction(
            max_time=limit,
            reason=reason,
            state=aws_batch.JobStateTimeLimitActionsState.RUNNABLE,
            action=aws_batch.JobStateTimeLimitActionsAction.CANCEL,
        )
