from typing import Any

from job.contract import cloud, environment


def requirements(definition: dict[str, Any]) -> dict[str, int]:
    return {
        each["Type"]: int(each["Value"]) for each in definition["ContainerProperties"]["ResourceRequirements"]
    }


def test_each_study_has_the_job_definitions_of_the_contract(synthesize: Any) -> None:
    assert set(synthesize(studies=["glioma", "glioma2"]).job_definitions()) == {
        name
        for study in ("glioma", "glioma2")
        for name in (
            cloud.prepare_definition("loosweep", study),
            cloud.report_definition("loosweep", study),
            cloud.fold_definition("loosweep", study),
        )
    }


def test_containers_run_the_command_of_their_job(default: Any) -> None:
    commands = {
        name: definition["ContainerProperties"]["Command"]
        for name, definition in default.job_definitions().items()
    }
    assert commands == {
        "loosweep-phantom-prepare": ["prepare"],
        "loosweep-phantom-fold": ["fold"],
        "loosweep-phantom-report": ["report"],
    }


def test_a_fold_gets_a_gpu_and_fails_without_one(default: Any) -> None:
    definition = default.job_definitions()[cloud.fold_definition("loosweep", "phantom")]
    assert requirements(definition)["GPU"] == 1
    variables = {each["Name"]: each["Value"] for each in definition["ContainerProperties"]["Environment"]}
    assert variables[environment.DEVICE] == "cuda"


def test_preparing_and_reporting_need_no_gpu(default: Any) -> None:
    for name in ("loosweep-phantom-prepare", "loosweep-phantom-report"):
        assert "GPU" not in requirements(default.job_definitions()[name])
        variables = default.job_definitions()[name]["ContainerProperties"]["Environment"]
        assert environment.DEVICE not in {each["Name"] for each in variables}


def test_a_fold_has_as_many_threads_on_every_machine(default: Any) -> None:
    """A container sees the cores of the whole machine, and the number of threads changes bits."""
    definition = default.job_definitions()[cloud.fold_definition("loosweep", "phantom")]
    variables = {each["Name"]: each["Value"] for each in definition["ContainerProperties"]["Environment"]}
    assert int(variables[environment.THREADS]) == requirements(definition)["VCPU"]


def test_containers_know_their_region(default: Any) -> None:
    for definition in default.job_definitions().values():
        variables = {each["Name"]: each["Value"] for each in definition["ContainerProperties"]["Environment"]}
        assert variables["AWS_REGION"] == variables["AWS_DEFAULT_REGION"] == {"Ref": "AWS::Region"}


def test_containers_are_neither_root_nor_privileged(default: Any) -> None:
    for definition in default.job_definitions().values():
        container = definition["ContainerProperties"]
        assert container["User"] == "1000:1000"
        assert not container.get("Privileged")


def test_containers_have_shared_memory_within_their_memory(default: Any) -> None:
    for definition in default.job_definitions().values():
        shared = definition["ContainerProperties"]["LinuxParameters"]["SharedMemorySize"]
        assert 1024 <= shared <= requirements(definition)["MEMORY"] / 8


def test_containers_log_to_the_group_of_the_stack(default: Any) -> None:
    (group,) = default.resources("AWS::Logs::LogGroup")
    assert default.resources("AWS::Logs::LogGroup")[group]["RetentionInDays"] == 90
    for definition in default.job_definitions().values():
        log = definition["ContainerProperties"]["LogConfiguration"]
        assert log["LogDriver"] == "awslogs"
        assert log["Options"]["awslogs-group"] == {"Ref": group}


def test_an_attempt_ends_after_the_hours_of_the_settings(synthesize: Any) -> None:
    for hours in (24, 1.5):
        for definition in synthesize(job_hours=hours).job_definitions().values():
            assert definition["Timeout"] == {"AttemptDurationSeconds": hours * 3600}


def test_a_new_version_leaves_the_old_one_to_jobs_that_wait(default: Any) -> None:
    for definition in default.job_definitions().values():
        assert definition["ResourceRetentionPolicy"] == {"SkipDeregisterOnUpdate": True}
