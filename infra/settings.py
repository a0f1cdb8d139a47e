"""What a research group chooses about its cloud, in one place: the key `loosweep` of cdk.json's context.

The docstring under a field is its documentation; docs/cloud.md lists them.
"""

import difflib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)

from infra.machines import FAMILIES
from job.contract import cloud
from job.contract.study import STUDY_NAME

CONTEXT_KEY = "loosweep"
"""Key of the settings in cdk.json's context; `cdk deploy -c loosweep='{"gpu_families": ["g6"]}'` works too."""

LogRetention = Literal[7, 14, 30, 90, 180, 365, 1096, 2192]
"""Days; of the retention times that CloudWatch Logs has. 2192 are the six years of HIPAA's documents."""


class SettingsError(Exception):
    """Settings that no stack can be made of."""


def _known_family(family: str) -> str:
    if family not in FAMILIES:
        raise ValueError(
            f"family {family!r} is not among {', '.join(FAMILIES)}; name the types of other families in "
            "instance_types"
        )
    return family


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ValueError(f"{', '.join(doubled)} is there twice; name each once")
    return names


MAX_STUDIES = 8
"""Whose names the researchers' policy has room for, however long they are."""
StudyName = Annotated[str, Field(pattern=STUDY_NAME)]
Family = Annotated[str, AfterValidator(_known_family)]
InstanceType = Annotated[str, Field(pattern=r"^[a-z0-9-]+\.[a-z0-9-]+$")]


class Settings(BaseModel):
    """Settings of the stack; the defaults suit a research group."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    stack: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,39}$")] = cloud.STACK
    """Name of the stack; `submit` finds everything by it. Two groups in one account take two names."""
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] | None = None
    """Region, as `eu-central-1`; default: the region of the credentials that deploy."""
    studies: Annotated[
        tuple[StudyName, ...], Field(min_length=1, max_length=MAX_STUDIES), AfterValidator(_unique)
    ] = ("phantom",)
    """Studies that get roles and job definitions: the `name` of each study file. More go into a second stack."""

    gpu_families: Annotated[tuple[Family, ...], Field(min_length=1), AfterValidator(_unique)] = (
        "g4dn",
        "g5",
        "g6",
    )
    """Families of GPU machines. Several give more spot capacity; one gives all folds the same kind of GPU."""
    instance_types: Annotated[tuple[InstanceType, ...], Field(min_length=1)] | None = None
    """Exact types for folds, instead of those of the families; a fold uses one GPU of its machine."""
    cpu_instance_types: Annotated[tuple[InstanceType, ...], Field(min_length=1)] = (
        "m6i.2xlarge",
        "m6a.2xlarge",
        "m7i.2xlarge",
        "m5.2xlarge",
    )
    """Machines for preparing and reporting; at least 8 vCPUs and 32 GiB."""
    purchase: Literal["spot", "on-demand"] = "spot"
    """`spot` machines (with on-demand ones behind them), or `on-demand` only."""
    max_vcpus: Annotated[int, Field(ge=4, le=100_000)] = 192
    """vCPUs at a time of machines with GPUs; a fold takes 4."""
    max_vcpus_on_demand: Annotated[int, Field(ge=0, le=100_000)] = 16
    """vCPUs at a time of the on-demand machines behind spot; 0: none. AWS Batch uses them when there is no spot
    capacity, and also when `max_vcpus` is reached."""

    subnets: Literal["public", "private"] = "public"
    """`public`: addresses of their own and no way in, free; `private`: no way in or out but AWS's endpoints, which
    cost about 0.01 USD an hour each, per zone."""
    zones: Annotated[int, Field(ge=1, le=6)] = 3
    """Availability zones; more of them have more spot capacity. us-west-1 and a few others have 2 only."""
    restrict_default_security_group: bool = True
    """Empty the network's default security group, by a function that runs while deploying; off for emulators."""

    job_hours: Annotated[float, Field(ge=0.1, le=8760)] = 24
    """An attempt of a job that takes longer is ended, and not tried again."""
    disk_gib: Annotated[int, Field(ge=30, le=16_384)] = 60
    """Disk of a machine; the image must fit several times."""

    monthly_budget_usd: PositiveFloat = 500
    """The budget alarm goes off at 80 % of it, and when the forecast is above it."""
    budget_scope: Literal["account", "tag"] = "account"
    """What counts: the whole account, or what bears the tag `project`, which must first be activated as a cost
    allocation tag (else the budget sees nothing)."""
    notification_email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")] | None = None
    """Who is told of failed jobs and of the budget. Notices need a key of 1 USD a month; default: nobody."""

    log_retention_days: LogRetention = 90
    """How long logs of jobs and of access are kept."""
    noncurrent_days: PositiveInt = 30
    """How long an overwritten or deleted file can be brought back."""
    checkpoint_days: PositiveInt = 30
    """How long the checkpoints of folds that never ended are kept."""
    run_days: PositiveInt | None = None
    """How long runs, with their results, are kept; default: for ever."""

    image: Annotated[str, Field(min_length=1)] | None = None
    """Name of an image to use, with tag or digest; default: it is built from the Dockerfile."""
    build_args: Mapping[str, str] = {}
    """Build arguments of the Dockerfile, as `BASE_IMAGE`."""

    def fold_types(self, *, spot: bool) -> tuple[str, ...]:
        """The instance types that run folds, in the order of the settings."""
        if self.instance_types is not None:
            return self.instance_types
        return tuple(
            f"{family}.{size}"
            for family in self.gpu_families
            for size in FAMILIES[family][: None if spot else 1]
        )


def merged(table: object, text: str) -> object:
    """A table of settings with those of a JSON text (from `-c`) in the place of its own.

    Raises:
        SettingsError: The text is no JSON.
    """
    try:
        changes = json.loads(text)
    except json.JSONDecodeError as error:
        raise SettingsError(f"{CONTEXT_KEY} is neither a table nor JSON ({error}): {text!r}") from None
    if isinstance(table, Mapping) and isinstance(changes, Mapping):
        return {**table, **changes}
    return changes


def read_settings(context: object) -> Settings:
    """The settings of a table in the CDK's context.

    Raises:
        SettingsError: Names every setting that is wrong, and what it may be.
    """
    if context is None:
        context = {}
    if not isinstance(context, Mapping):
        raise SettingsError(f"{CONTEXT_KEY} must be a table of settings, got {context!r}")
    try:
        return Settings.model_validate(dict(context))
    except ValidationError as error:
        problems = error.errors()
        # A tuple without its wrong values is too short as well, which nobody asked.
        places = [problem["loc"] for problem in problems if problem["type"] != "too_short"]
        lines = [
            _in_words(problem)
            for problem in problems
            if problem["type"] != "too_short" or not any(place[:1] == problem["loc"] for place in places)
        ]
        raise SettingsError("\n".join(["settings of the stack (cdk.json, or -c):", *lines])) from None


def _in_words(problem: Mapping[str, Any]) -> str:
    place = ".".join([CONTEXT_KEY, *map(str, problem["loc"])])
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(problem["loc"][-1]), Settings.model_fields, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else f"; settings: {', '.join(Settings.model_fields)}"
        return f"{place}: unknown setting{hint}"
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}; got {problem['input']!r}"
