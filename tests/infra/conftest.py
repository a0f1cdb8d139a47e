"""Synthesized stacks, and what AWS would make of them."""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CDK_JSON = json.loads((ROOT / "cdk.json").read_text())


@dataclass(frozen=True)
class Synthesized:
    """What `cdk synth` writes, and cdk-nag's findings as (rule, path of the resource)."""

    folder: Path
    template: dict[str, Any]
    assets: dict[str, Any]
    manifest: dict[str, Any]
    findings: frozenset[tuple[str, str]]
    acknowledged: tuple[tuple[str, str, str], ...] = ()
    """(rule, path, reason); only where they were recorded instead of obeyed."""

    def resources(self, kind: str) -> dict[str, dict[str, Any]]:
        """Properties of all resources of a type, by logical id."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.template["Resources"].items()
            if resource["Type"] == kind
        }

    def one(self, kind: str, part_of_name: str = "") -> dict[str, Any]:
        """Properties of the only resource of a type whose logical id has this part."""
        (found,) = [properties for name, properties in self.resources(kind).items() if part_of_name in name]
        return found

    def job_definitions(self) -> dict[str, dict[str, Any]]:
        """Properties of the job definitions, by their names."""
        return {
            properties["JobDefinitionName"]: properties
            for properties in self.resources("AWS::Batch::JobDefinition").values()
        }


Synthesize = Callable[..., Synthesized]


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to build an image from."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "Dockerfile").write_text("ARG BASE_IMAGE=scratch\nFROM ${BASE_IMAGE}\nCOPY job /job\n")
    (folder / ".dockerignore").write_text("*\n!job\n!Dockerfile\n")
    (folder / "job").mkdir()
    (folder / "job" / "__init__.py").touch()
    (folder / "cohort").mkdir()
    (folder / "cohort" / "patient.nii.gz").write_bytes(b"not for the image")
    return folder


@pytest.fixture(scope="session")
def needs_node() -> None:
    """The CDK runs in node."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed; the CDK's Python library needs it")


@pytest.fixture(scope="session")
def synthesize(needs_node: None, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Synthesize:
    """Synthesizes with settings, once for the same ones."""

    @cache
    def of(settings: str) -> Synthesized:
        return _synthesize(json.loads(settings), source, tmp_path_factory.mktemp("cdk"))

    return lambda **settings: of(json.dumps(settings, sort_keys=True))


@pytest.fixture(scope="session")
def default(synthesize: Synthesize) -> Synthesized:
    """The stack of a bare `cdk deploy`."""
    return synthesize()


@pytest.fixture(scope="session")
def private(synthesize: Synthesize) -> Synthesized:
    """A stack of a careful group with an address and on-demand machines."""
    return synthesize(
        subnets="private", purchase="on-demand", notification_email="group@example.org", budget_scope="tag"
    )


def _synthesize(
    settings: Mapping[str, Any], source: Path, output: Path, change: Callable[[Any], object] | None = None
) -> Synthesized:
    from aws_cdk import App

    from infra.checks import rule_packs
    from infra.settings import read_settings
    from infra.stack import LoosweepStack

    app = App(context=CDK_JSON["context"], outdir=str(output))
    stack = LoosweepStack(app, read_settings(settings), source)
    if change is not None:
        change(stack)
    app.synth()
    name = stack.stack_name
    findings = {
        (violation.rule_name, resource.construct_path)
        for pack in rule_packs(app)
        for violation in pack.validate_scope(app).violations
        for resource in violation.violating_resources
    }
    template, assets, manifest = (
        json.loads((output / file).read_text())
        for file in (f"{name}.template.json", f"{name}.assets.json", "manifest.json")
    )
    return Synthesized(output, template, assets, manifest, frozenset(findings))


@pytest.fixture(scope="session")
def synthesize_changed(
    needs_node: None, source: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Synthesized]:
    """Synthesizes after a function has changed the stack."""

    def make(change: Callable[[Any], object], **settings: Any) -> Synthesized:
        return _synthesize(settings, source, tmp_path_factory.mktemp("cdk"), change)

    return make


@pytest.fixture
def synthesize_unacknowledged(
    needs_node: None, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Synthesize:
    """Synthesizes with all acknowledgements recorded, and none obeyed."""
    import infra.checks

    recorded: list[tuple[str, str, str]] = []

    class Recorder:
        def __init__(self, construct: Any) -> None:
            self.path = construct.node.path

        of = classmethod(lambda cls, construct: cls(construct))

        def acknowledge(self, *rules: Any) -> None:
            recorded.extend((rule.id, self.path, rule.reason) for rule in rules)

    monkeypatch.setattr(infra.checks, "Validations", Recorder)

    def make(**settings: Any) -> Synthesized:
        recorded.clear()
        made = _synthesize(settings, source, tmp_path / str(len(list(tmp_path.iterdir()))))
        return replace(made, acknowledged=tuple(recorded))

    return make


@pytest.fixture(scope="session")
def allowed() -> Callable[..., bool]:
    """Whether a role may do something, as IAM decides by the policies of a template.

    Buckets have the ARN `arn:aws:s3:::<logical id>`.
    """

    def decide(stack: Synthesized, role: str, action: str, resource: str, **context: str) -> bool:
        properties = stack.one("AWS::IAM::Role", role)
        assert not properties.get("Policies"), "inline policies are not looked at"
        assert not stack.resources("AWS::IAM::Policy"), "inline policies are not looked at"
        documents = [
            stack.resources("AWS::IAM::ManagedPolicy")[arn["Ref"]]["PolicyDocument"]
            for arn in properties["ManagedPolicyArns"]
        ]
        return evaluate(documents, action, resource, context) == "Allow"

    return decide


@pytest.fixture(scope="session")
def text() -> Callable[[Any], str]:
    """A value of a template, its references as <names>."""
    return _text


@pytest.fixture(scope="session")
def effect() -> Callable[..., str | None]:
    """What a policy document says to a request: Allow, Deny or None."""
    return evaluate


def evaluate(
    documents: list[dict[str, Any]], action: str, resource: str, context: Mapping[str, str]
) -> str | None:
    """A Deny wins, else an Allow."""
    effects = {
        statement["Effect"]
        for document in documents
        for statement in document["Statement"]
        if any(_like(pattern.lower(), action.lower()) for pattern in _listed(statement["Action"]))
        and any(_like(_text(pattern), resource) for pattern in _listed(statement["Resource"]))
        and all(_holds(*condition, context) for condition in statement.get("Condition", {}).items())
    }
    return "Deny" if "Deny" in effects else "Allow" if "Allow" in effects else None


def _holds(operator: str, keys: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    """As IAM does, a condition on a key that the request lacks does not hold."""
    compare: Callable[[str, str], bool] = {
        "StringLike": _like,
        "ArnLike": _like,
        "StringEquals": lambda wanted, value: wanted == value,
        "Bool": lambda wanted, value: wanted == value,
        "NumericLessThan": lambda limit, value: float(value) < float(limit),
    }[operator]
    return all(
        key in context and any(compare(_text(wanted), context[key]) for wanted in _listed(values))
        for key, values in keys.items()
    )


def _like(pattern: str, text: str) -> bool:
    parts = (".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    match value:
        case {"Fn::Join": [separator, parts]}:
            return separator.join(map(_text, parts))
        case {"Fn::GetAtt": [name, "Arn"]} if name.startswith("Buckets"):
            return f"arn:aws:s3:::{name}"
        case {"Ref": name} | {"Fn::Sub": name} | {"Fn::GetAtt": [name, *_]}:
            return f"<{name}>"
    return str(value)
