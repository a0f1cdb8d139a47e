import json
from typing import Any

from job.contract import cloud


def test_the_outputs_are_those_of_the_contract(default: Any) -> None:
    outputs = {name: output["Value"] for name, output in default.template["Outputs"].items()}
    assert set(outputs) == {
        cloud.DATA_BUCKET,
        cloud.RESULTS_BUCKET,
        cloud.GPU_QUEUE,
        cloud.CPU_QUEUE,
        cloud.IMAGE,
        cloud.LOG_GROUP,
        cloud.RESEARCHERS,
        cloud.STUDIES,
    }
    assert outputs[cloud.DATA_BUCKET]["Ref"].startswith("BucketsData")
    assert outputs[cloud.RESULTS_BUCKET]["Ref"].startswith("BucketsResults")
    assert (outputs[cloud.GPU_QUEUE], outputs[cloud.CPU_QUEUE]) == ("loosweep-gpu", "loosweep-cpu")
    assert outputs[cloud.STUDIES] == "phantom"


def test_two_groups_share_an_account(synthesize: Any) -> None:
    stack = synthesize(stack="neuro", image="registry.example.org/loosweep:1")
    assert stack.template["Outputs"][cloud.GPU_QUEUE]["Value"] == "neuro-gpu"
    assert all(name.startswith("neuro-") for name in stack.job_definitions())
    assert "loosweep-" not in json.dumps(stack.template["Outputs"])


def test_everything_that_costs_bears_the_tag_of_the_project(default: Any) -> None:
    for each in default.resources("AWS::Batch::ComputeEnvironment").values():
        assert each["ComputeResources"]["Tags"] == {"project": "loosweep"}
    for properties in default.resources("AWS::S3::Bucket").values():
        assert {"Key": "project", "Value": "loosweep"} in properties["Tags"]
    data = default.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    volumes = [each for each in data["TagSpecifications"] if each["ResourceType"] == "volume"]
    assert {"Key": "project", "Value": "loosweep"} in volumes[0]["Tags"]


def test_a_region_is_the_one_of_the_settings(synthesize: Any, default: Any) -> None:
    image = "registry.example.org/loosweep:1"
    for stack, region in (
        (default, "unknown-region"),
        (synthesize(region="eu-central-1", image=image), "eu-central-1"),
    ):
        artifact = stack.manifest["artifacts"]["loosweep"]
        assert artifact["environment"] == f"aws://unknown-account/{region}"
