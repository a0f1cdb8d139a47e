"""What a fold leaves behind: its result, its heartbeat, and how it failed."""

from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    create_model,
    model_serializer,
    model_validator,
)

from job.contract.metrics import IN_SCORES, METRICS

Status = Literal["ok", "both-empty", "false-alarm", "miss"]
Phase = Literal["load", "train", "test", "done", "stopped"]


def utc_now() -> str:
    """The time, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Record(BaseModel):
    """A JSON file: unknown keys are errors, NaN and infinity are not written."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_json(self) -> bytes:
        """The file's contents."""
        return self.model_dump_json(indent=1).encode() + b"\n"


_METRIC_FIELDS: dict[str, Any] = {
    name: (
        float | None,
        Field(default=None if METRICS[name].later else ..., ge=0, le=METRICS[name].highest),
    )
    for name in IN_SCORES
}
_Values = create_model("_Values", __base__=Record, **_METRIC_FIELDS)
"""The numbers of a score: every metric that a score holds, within its bounds."""


class Score(Record):
    """One structure of one exam; in a file, the metrics stand beside the other keys."""

    status: Status
    """Which of reference and prediction is empty: neither, both, only the reference, only the prediction."""
    values: dict[str, float | None]
    """By name, every metric of `IN_SCORES`; None where it is undefined, as `status` says, or in results of before it
    was thought of."""
    reference_ml: float = Field(ge=0)
    predicted_ml: float = Field(ge=0)

    @model_validator(mode="before")
    @classmethod
    def _metrics_as_values(cls, data: Any, info: ValidationInfo) -> Any:
        if not isinstance(data, dict):
            return data
        others = dict(data)
        if info.mode == "python" and "values" in others:
            values = others.pop("values")
        else:  # as in a file, where `values` is no key
            values = {key: others.pop(key) for key in (*IN_SCORES, "values") if key in others}
        return others | {"values": _Values.model_validate(values).model_dump()}

    @model_validator(mode="after")
    def _only_both_empty_is_undefined(self) -> Self:
        dice = self.values["dice"]
        if (dice is None) != (self.status == "both-empty"):
            raise ValueError(f"Dice is undefined if, and only if, both are empty; got {dice}, {self.status}")
        return self

    @model_serializer
    def _values_as_metrics(self) -> dict[str, Any]:
        volumes = {"reference_ml": self.reference_ml, "predicted_ml": self.predicted_ml}
        return {"status": self.status} | self.values | volumes


class ExamResult(Record):
    """The test of one exam."""

    exam: str
    patient: str
    digest: str
    """Of the exam in the store."""
    scores: dict[str, Score]
    """By structure: each class, and `union` if there are several."""
    prediction_sha256: str


class Cost(Record):
    """What the fold took; the only part of a result that differs between identical runs."""

    device: str
    """Kind and model."""
    machine: str | None = None
    """Kind of EC2 machine, how it was bought and its zone, as `g4dn.xlarge spot eu-central-1a`; None elsewhere."""
    threads: int
    conditions: tuple[str, ...] = ()
    """Device, threads, precision and version of torch of the attempts, each once. Bits repeat only under equal
    conditions; several mean that an attempt went on where another kind of machine had stopped."""
    adopted_from: str | None = None
    """The run whose fold this was, and its number there; None where this run trained it itself."""
    attempts: int
    lost_steps: int
    """Steps that were done again after an interruption."""
    started: str
    """First attempt, UTC, ISO 8601."""
    finished: str
    seconds: dict[str, float]
    """By phase, over all attempts; `total` is the wall time of the workers."""
    peak_memory_gib: float
    peak_device_memory_gib: float | None
    """None without a GPU."""
    versions: dict[str, str]


class FoldResult(Record):
    """`result.json`."""

    version: int = 1
    run: str
    manifest: str
    """Digest of the manifest."""
    fold: int
    arm: str
    left_out: tuple[str, ...]
    repeat: int
    unit: int
    training_exams: tuple[int, ...]
    validation_exams: tuple[int, ...]
    steps: int
    precision: str
    weights_sha256: str
    exams: tuple[ExamResult, ...]
    cost: Cost


class Heartbeat(Record):
    """`heartbeat.json`."""

    fold: int
    attempt: int
    host: str
    pid: int
    worker: str = ""
    """Drawn by each worker for itself: containers of one host may have equal process ids."""
    time: str
    """Of the last sign of life, UTC, ISO 8601."""
    worked: str
    """When the work itself last came this far; long before `time` in a long step, or one that hangs."""
    phase: Phase
    step: int
    steps: int
    loss: float | None
    seconds_left: float | None
    """Of training, from this attempt's pace."""
    started: str
    """First attempt, UTC, ISO 8601."""
    lost_steps: int
    seconds: dict[str, float]
    """By phase, over all attempts."""
    conditions: tuple[str, ...] = ()
    """As in `Cost`."""
    machine: str | None = None
    """As in `Cost`, of this attempt."""
    job: str | None = None
    """Of AWS Batch, which started this attempt."""
    began_at: int = 0
    """Step at which this attempt began."""
    begun: int = 1
    """Attempts of this job that began at this step one after the other, none of them stopped in order."""


class Failure(Record):
    """`failure.json`."""

    fold: int
    attempts: int
    exit_code: int
    message: str
    """The last line that the worker printed."""
    time: str
    job: str | None = None
    """Of AWS Batch, whose worker counted."""
    ends: dict[int, int] = {}
    """Failed attempts of this job by exit code."""
    final: bool = True
    """Whether the fold was given up; otherwise another attempt follows."""
