import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

VARIANTS: list[dict[str, Any]] = [
    {},
    {
        "subnets": "private",
        "purchase": "on-demand",
        "notification_email": "group@example.org",
        "budget_scope": "tag",
    },
    {
        "image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/group/loosweep@sha256:0123",
        "restrict_default_security_group": False,
        "notification_email": "group@example.org",
        "run_days": 400,
        "studies": ["glioma", "glioma2"],
    },
]
"""Every branch of the settings is in one of them."""


@pytest.mark.parametrize("settings", VARIANTS)
def test_no_finding_of_the_rule_packs_is_left(synthesize: Any, settings: dict[str, Any]) -> None:
    assert synthesize(**settings).findings == frozenset()


@pytest.mark.parametrize("settings", VARIANTS)
def test_every_acknowledgement_hides_a_finding_and_says_why(
    synthesize_unacknowledged: Any, settings: dict[str, Any]
) -> None:
    stack = synthesize_unacknowledged(**settings)
    assert len(stack.acknowledged) > 8
    for rule, path, reason in stack.acknowledged:
        assert len(reason.split()) >= 10, f"why is {rule} no problem?"
        if rule.startswith("@aws-cdk/"):  # a warning of the CDK itself
            continue
        hidden = [found for name, found in stack.findings if name == rule and found.startswith(f"{path}/")]
        assert hidden, f"{rule} is acknowledged on {path}, but there is no such finding"


def _open_bucket(stack: Any) -> None:
    from aws_cdk import aws_s3

    aws_s3.Bucket(stack, "Bad", block_public_access=aws_s3.BlockPublicAccess(block_public_acls=False))


def _open_port(stack: Any) -> None:
    from aws_cdk import aws_ec2

    network = stack.node.find_child("Network")
    network.security_group.add_ingress_rule(aws_ec2.Peer.any_ipv4(), aws_ec2.Port.tcp(22))


def _all_powerful_fold(stack: Any) -> None:
    from aws_cdk import aws_iam

    role = stack.node.find_child("Roles-phantom").fold
    role.add_to_policy(aws_iam.PolicyStatement(actions=["s3:*"], resources=["*"]))


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        (_open_bucket, {"AwsSolutions-S10", "HIPAA.Security-S3BucketVersioningEnabled"}),
        (_open_port, {"AwsSolutions-EC23", "HIPAA.Security-EC2RestrictedSSH"}),
        (_all_powerful_fold, {"AwsSolutions-IAM5[Action::s3:*]", "HIPAA.Security-IAMNoInlinePolicy"}),
    ],
)
def test_a_bad_stack_is_found(synthesize_changed: Any, change: Any, rules: set[str]) -> None:
    assert rules <= {rule for rule, _ in synthesize_changed(change).findings}


def test_a_finding_makes_the_synthesis_fail(synthesize: Any, source: Path, tmp_path: Path) -> None:
    from aws_cdk import App

    from infra.app import build

    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    app = App(context=context, outdir=str(tmp_path))
    _open_bucket(build(app, source))
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()
    report = json.loads((tmp_path / "validation-report.json").read_text())
    assert {plugin["conclusion"] for plugin in report["pluginReports"]} == {"failure"}


@pytest.mark.parametrize("settings", VARIANTS)
def test_cfn_lint_finds_nothing(synthesize: Any, settings: dict[str, Any]) -> None:
    from cfnlint.api import ManualArgs, lint

    regions = ["us-east-1", "eu-central-1"]
    found = lint(json.dumps(synthesize(**settings).template), config=ManualArgs(regions=regions))
    ours = [
        f"{match.rule.id} {match.message}"
        for match in found
        # The CDK's own function for the default security group states a dependency twice.
        if not (match.rule.id == "W3005" and "CustomVpcRestrictDefaultSG" in match.message)
    ]
    assert ours == []


def test_cfn_lint_finds_a_wrong_template(default: Any) -> None:
    from cfnlint.api import ManualArgs, lint

    template = json.loads(json.dumps(default.template))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Batch::JobQueue":
            resource["Properties"]["Priority"] = "high"
    assert lint(json.dumps(template), config=ManualArgs(regions=["us-east-1"]))


def test_the_template_needs_no_look_up(default: Any) -> None:
    """A look-up calls AWS while synthesizing; the CLI learns from `missing` that it has to."""
    assert "missing" not in default.manifest


def test_one_stack_is_all_so_that_a_bare_deploy_suffices(default: Any) -> None:
    kinds = [artifact["type"] for artifact in default.manifest["artifacts"].values()]
    assert kinds.count("aws:cloudformation:stack") == 1


def test_the_command_of_cdk_json_synthesizes_without_network_or_credentials(
    needs_node: None, tmp_path: Path
) -> None:
    isolated = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") is None or subprocess.run([*isolated, "true"], check=False).returncode:
        pytest.skip("no network namespace of our own can be made here")
    ended = _run(["-m", "infra.app"], tmp_path, {"image": "registry.example.org/loosweep:1"}, isolated)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "out" / "loosweep.template.json").is_file()


def test_a_wrong_setting_ends_the_command_with_a_line(needs_node: None, tmp_path: Path) -> None:
    ended = _run(["-m", "infra.app"], tmp_path, {"max_vcpu": 8})
    assert ended.returncode == 1
    assert "loosweep.max_vcpu: unknown setting; did you mean 'max_vcpus'?" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_cdk_json_runs_the_app_of_this_folder() -> None:
    assert json.loads((ROOT / "cdk.json").read_text())["app"] == ".venv/bin/python -m infra.app"


def _run(
    arguments: list[str], folder: Path, settings: dict[str, Any], before: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs Python as the CDK's command line does, with nothing of AWS in the environment."""
    context = json.loads((ROOT / "cdk.json").read_text())["context"] | {"loosweep": settings}
    variables = {
        "CDK_CONTEXT_JSON": json.dumps(context),
        "CDK_OUTDIR": str(folder / "out"),
        "PYTHONPATH": str(ROOT),
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    return subprocess.run(
        [*(before or []), sys.executable, *arguments],
        env=clean | variables,
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
    )
