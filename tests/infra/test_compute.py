from typing import Any


def environments(stack: Any, queue: str) -> list[dict[str, Any]]:
    """The compute resources behind a queue, in its order."""
    (found,) = (
        properties
        for properties in stack.resources("AWS::Batch::JobQueue").values()
        if properties["JobQueueName"] == queue
    )
    order = sorted(found["ComputeEnvironmentOrder"], key=lambda entry: int(entry["Order"]))
    all_of_them = stack.resources("AWS::Batch::ComputeEnvironment")
    return [all_of_them[entry["ComputeEnvironment"]["Fn::GetAtt"][0]]["ComputeResources"] for entry in order]


def test_folds_run_on_spot_machines_with_on_demand_ones_behind(default: Any) -> None:
    single, fallback = environments(default, "loosweep-gpu")
    assert (single["Type"], single["AllocationStrategy"]) == ("SPOT", "SPOT_PRICE_CAPACITY_OPTIMIZED")
    assert (fallback["Type"], fallback["AllocationStrategy"]) == ("EC2", "BEST_FIT_PROGRESSIVE")
    assert single["InstanceTypes"][0] == fallback["InstanceTypes"][0] == "g4dn.xlarge"
    assert {type_.split(".")[0] for type_ in single["InstanceTypes"]} == {"g4dn", "g5", "g6"}
    assert [each["MaxvCpus"] for each in (single, fallback)] == [192, 16]


def test_gpu_machines_have_the_gpu_image_and_nothing_but_gpu_types(default: Any) -> None:
    for resources in environments(default, "loosweep-gpu"):
        assert resources["Ec2Configuration"] == [{"ImageType": "ECS_AL2023_NVIDIA"}]
        assert all(type_.startswith("g") for type_ in resources["InstanceTypes"])
    for resources in environments(default, "loosweep-cpu"):
        assert resources["Ec2Configuration"] == [{"ImageType": "ECS_AL2023"}]
        assert "optimal" not in resources["InstanceTypes"]


def test_another_family_is_one_value(synthesize: Any) -> None:
    for resources in environments(synthesize(gpu_families=["g6"]), "loosweep-gpu"):
        assert {type_.split(".")[0] for type_ in resources["InstanceTypes"]} == {"g6"}


def test_on_demand_only_has_no_spot_machines(private: Any) -> None:
    for queue in ("loosweep-gpu", "loosweep-cpu"):
        assert {resources["Type"] for resources in environments(private, queue)} == {"EC2"}


def test_without_on_demand_vcpus_there_is_no_fallback(synthesize: Any) -> None:
    stack = synthesize(max_vcpus_on_demand=0)
    assert [resources["Type"] for resources in environments(stack, "loosweep-gpu")] == ["SPOT"]


def test_a_job_that_can_never_start_leaves_the_queue(default: Any) -> None:
    for queue in default.resources("AWS::Batch::JobQueue").values():
        limits = {action["Reason"]: action for action in queue["JobStateTimeLimitActions"]}
        assert {reason: limit["MaxTimeSeconds"] for reason, limit in limits.items()} == {
            "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT": 600,
            "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE": 600,
            "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY": 24 * 3600,
        }
        assert {limit["Action"] for limit in limits.values()} == {"CANCEL"}


def test_machines_are_launched_by_the_newest_version_of_the_template(default: Any) -> None:
    (template,) = default.resources("AWS::EC2::LaunchTemplate")
    for each in default.resources("AWS::Batch::ComputeEnvironment").values():
        assert each["ComputeResources"]["LaunchTemplate"] == {
            "LaunchTemplateId": {"Ref": template},
            "Version": {"Fn::GetAtt": [template, "LatestVersionNumber"]},
        }


def test_metadata_need_a_token_and_stay_on_the_machine(default: Any) -> None:
    options = default.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["MetadataOptions"]
    assert options == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}


def test_disks_are_encrypted(default: Any) -> None:
    (disk,) = default.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["BlockDeviceMappings"]
    assert disk["Ebs"]["Encrypted"] is True
    assert disk["Ebs"]["VolumeType"] == "gp3"
    assert disk["DeviceName"] == "/dev/xvda", "the root of Amazon Linux 2023"


def test_a_reclaimed_machine_drains_and_gives_time_for_a_checkpoint(default: Any) -> None:
    data = default.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["UserData"]["Fn::Base64"]
    (before, script, after) = data["Fn::Join"][1]
    assert before.startswith("Content-Type: multipart/mixed"), "AWS Batch takes no other user data"
    assert "text/x-shellscript" in before
    assert after.strip().endswith("--")
    lines = script["Fn::Base64"].splitlines()
    assert lines[0] == "#!/bin/bash"
    assert "echo ECS_ENABLE_SPOT_INSTANCE_DRAINING=true >> /etc/ecs/ecs.config" in lines
    assert "echo ECS_CONTAINER_STOP_TIMEOUT=100s >> /etc/ecs/ecs.config" in lines
