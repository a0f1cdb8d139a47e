"""`cdk deploy` with the CDK's own command line, on the emulator: what is there afterwards."""

import pytest

from job.contract import cloud
from tests.cloud import containers
from tests.cloud.conftest import SLOW, STUDY
from tests.cloud.rig import Rig


def test_outputs_name_queues_and_buckets_that_are_there(rig: Rig, deployed: dict[str, str]) -> None:
    queues = rig.client("batch").describe_job_queues()["jobQueues"]
    assert {queue["jobQueueName"] for queue in queues} == {
        deployed[cloud.GPU_QUEUE],
        deployed[cloud.CPU_QUEUE],
    }
    assert {queue["state"] for queue in queues} == {"ENABLED"}
    groups = rig.client("logs").describe_log_groups()["logGroups"]
    assert deployed[cloud.LOG_GROUP] in {group["logGroupName"] for group in groups}
    assert {deployed[cloud.DATA_BUCKET], deployed[cloud.RESULTS_BUCKET]} <= buckets(rig)


def test_every_queue_has_its_machines_in_order(rig: Rig, deployed: dict[str, str]) -> None:
    batch = rig.client("batch")
    environments = {
        found["computeEnvironmentArn"]: found["computeResources"]
        for found in batch.describe_compute_environments()["computeEnvironments"]
    }
    kinds = {}
    for queue in batch.describe_job_queues()["jobQueues"]:
        order = sorted(queue["computeEnvironmentOrder"], key=lambda item: item["order"])
        kinds[queue["jobQueueName"]] = [environments[item["computeEnvironment"]]["type"] for item in order]
    assert kinds == {
        deployed[cloud.GPU_QUEUE]: ["SPOT", "EC2"],
        deployed[cloud.CPU_QUEUE]: ["SPOT", "EC2"],
    }
    assert all(resources["minvCpus"] in (0, "0") for resources in environments.values())


@pytest.mark.parametrize("study", [STUDY, SLOW])
def test_a_study_has_a_job_definition_for_every_kind_of_job(
    rig: Rig, deployed: dict[str, str], study: str
) -> None:
    found = {
        definition["jobDefinitionName"]: definition
        for definition in rig.client("batch").describe_job_definitions()["jobDefinitions"]
    }
    names = {cloud.fold_definition(cloud.STACK, study)}
    names |= {cloud.prepare_definition(cloud.STACK, study), cloud.report_definition(cloud.STACK, study)}
    assert names <= found.keys()
    for name in names:
        container = found[name]["containerProperties"]
        assert container["image"] == deployed[cloud.IMAGE]
        assert container["user"] == "1000:1000"
        assert container["logConfiguration"]["options"]["awslogs-group"] == deployed[cloud.LOG_GROUP]
        assert found[name]["retryStrategy"]["evaluateOnExit"][0]["onStatusReason"] == "Host EC2*"
        assert found[name]["timeout"]["attemptDurationSeconds"] == 24 * 3600


def test_the_image_was_built_and_pushed(rig: Rig, deployed: dict[str, str], image: str) -> None:
    repository, _, tag = image.partition("/")[2].partition(":")
    images = rig.client("ecr").describe_images(repositoryName=repository)["imageDetails"]
    assert tag in {name for found in images for name in found["imageTags"]}
    assert containers.has_image(image)


def test_destroying_the_stack_keeps_the_buckets(rig: Rig, deployed: dict[str, str]) -> None:
    name = "short-lived"
    outputs = rig.deploy([STUDY], stack=name, image="example.org/image:1")
    before = buckets(rig)
    rig.cdk("destroy", "--force", "--context", f'loosweep={{"stack": "{name}"}}')
    queues = rig.client("batch").describe_job_queues()["jobQueues"]
    assert not [queue for queue in queues if queue["jobQueueName"].startswith(name)]
    assert before == buckets(rig)
    assert {outputs[cloud.DATA_BUCKET], outputs[cloud.RESULTS_BUCKET]} <= before


def buckets(rig: Rig) -> set[str]:
    """Of the emulator, where CloudFormation makes them; jobs use the S3 server's of the same names."""
    found = rig.client("s3", rig.url).list_buckets()["Buckets"]
    return {bucket["Name"] for bucket in found}
