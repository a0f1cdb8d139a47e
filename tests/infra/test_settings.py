import json
import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App
from pydantic import ValidationError

from infra.app import build
from infra.machines import FAMILIES, FOLD
from infra.settings import Settings, SettingsError, merged, read_settings
from job.contract import cloud

ROOT = Path(__file__).resolve().parents[2]


def test_without_settings_the_defaults_hold() -> None:
    for context in (None, {}):
        assert read_settings(context) == Settings()
    assert Settings().stack == cloud.STACK


def test_settings_of_the_command_line_change_those_of_the_file_and_leave_the_others() -> None:
    table = {"studies": ["glioma"], "gpu_families": ["g5"]}
    assert merged(table, '{"gpu_families": ["g6"]}') == {"studies": ["glioma"], "gpu_families": ["g6"]}
    with pytest.raises(SettingsError, match="loosweep is neither a table nor JSON"):
        merged(table, "{")
    with pytest.raises(SettingsError, match="must be a table of settings, got 3"):
        read_settings(merged(table, "3"))


def test_a_file_of_settings_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "cdk.json").write_text("{")
    app = App(context={"loosweep": "{}"})
    with pytest.raises(SettingsError, match=re.escape(f"{tmp_path / 'cdk.json'}: not valid JSON: Expecting")):
        build(app, tmp_path)


def test_the_stack_has_the_file_s_settings_and_those_of_the_command_line(tmp_path: Path) -> None:
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    own = {"stack": "ours", "region": "eu-west-1", "image": "registry.example/loosweep:1"}
    (tmp_path / "cdk.json").write_text(json.dumps({"context": context | {"loosweep": own}}))
    app = App(context=context | {"loosweep": '{"region": "eu-central-1"}'}, outdir=str(tmp_path / "out"))
    stack = build(app, tmp_path)
    assert (stack.stack_name, stack.region) == ("ours", "eu-central-1")


def test_a_wrong_name_is_one_mistake_and_not_two() -> None:
    with pytest.raises(SettingsError, match=r"loosweep\.studies\.0: String should match pattern") as told:
        read_settings({"studies": ["glioma/2"]})
    assert "at least 1 item" not in str(told.value)


def test_the_family_of_all_machines_changes_by_one_value() -> None:
    before, after = Settings(gpu_families=("g4dn",)), Settings(gpu_families=("g6",))
    assert {type_.split(".")[0] for type_ in before.fold_types(spot=True)} == {"g4dn"}
    assert {type_.split(".")[0] for type_ in after.fold_types(spot=True)} == {"g6"}


def test_on_demand_machines_are_the_smallest_of_each_family() -> None:
    assert Settings().fold_types(spot=False) == ("g4dn.xlarge", "g5.xlarge", "g6.xlarge")


def test_named_types_replace_those_of_the_families() -> None:
    settings = Settings(instance_types=("p3.2xlarge",))
    assert settings.fold_types(spot=True) == settings.fold_types(spot=False) == ("p3.2xlarge",)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gpu_familes": ["g6"]}, "loosweep.gpu_familes: unknown setting; did you mean 'gpu_families'?"),
        ({"vpn": 1}, "loosweep.vpn: unknown setting; settings: stack, region, studies, "),
        ({"gpu_families": ["p99"]}, "family 'p99' is not among g4dn, g5, g6, g6e; name the types"),
        ({"gpu_families": []}, "loosweep.gpu_families: Tuple should have at least 1 item"),
        ({"instance_types": ["g5"]}, "loosweep.instance_types.0: String should match pattern"),
        ({"studies": ["a", "b", "a"]}, "a is there twice; name each once"),
        ({"studies": ["glioma/2"]}, "loosweep.studies.0: String should match pattern"),
        (
            {"purchase": "reserved"},
            "loosweep.purchase: Input should be 'spot' or 'on-demand'; got 'reserved'",
        ),
        ({"subnets": "open"}, "loosweep.subnets: Input should be 'public' or 'private'; got 'open'"),
        ({"max_vcpus": 2}, "loosweep.max_vcpus: Input should be greater than or equal to 4; got 2"),
        ({"monthly_budget_usd": 0}, "loosweep.monthly_budget_usd: Input should be greater than 0; got 0"),
        ({"notification_email": "nobody"}, "loosweep.notification_email: String should match pattern"),
        ({"log_retention_days": 91}, "loosweep.log_retention_days: Input should be 7, 14, 30, 90"),
        ({"region": "Frankfurt"}, "loosweep.region: String should match pattern"),
        ([1], "loosweep must be a table of settings, got [1]"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_may_be(settings: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=r".") as error:
        read_settings(settings)
    assert message in str(error.value)


def test_all_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"(?s)purchase.*max_vcpus"):
        read_settings({"max_vcpus": 2, "purchase": "free"})


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().max_vcpus = 8  # type: ignore[misc]  # which is the point


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "cloud.md").read_text()
    for name in Settings.model_fields:
        assert f"`{name}`" in page, f"docs/cloud.md does not tell of {name}"


def test_the_committed_settings_are_read() -> None:
    read_settings(json.loads((ROOT / "cdk.json").read_text())["context"]["loosweep"])


VCPUS_AND_GIB = {
    "g4dn.xlarge": (4, 16),
    "g4dn.2xlarge": (8, 32),
    "g5.xlarge": (4, 16),
    "g5.2xlarge": (8, 32),
    "g6.xlarge": (4, 16),
    "g6.2xlarge": (8, 32),
    "g6e.xlarge": (4, 32),
    "g6e.2xlarge": (8, 64),
}
"""From AWS's tables of accelerated instances."""


def test_every_type_of_a_family_has_room_for_its_fold() -> None:
    for family, sizes in FAMILIES.items():
        for size in sizes:
            vcpus, gib = VCPUS_AND_GIB[f"{family}.{size}"]
            assert FOLD.vcpus <= vcpus
            assert FOLD.memory_gib <= 0.93 * gib, "the system and the ECS agent need some"
