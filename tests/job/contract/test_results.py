import math
from typing import Any

import pytest
from pydantic import ValidationError

from job.contract.metrics import IN_SCORES
from job.contract.results import Cost, ExamResult, Failure, FoldResult, Heartbeat, Record, Score

OK = Score(status="ok", dice=0.75, hd95_mm=2.5, reference_ml=10.0, predicted_ml=11.0)
BOTH_EMPTY = Score(status="both-empty", dice=None, hd95_mm=None, reference_ml=0.0, predicted_ml=0.0)
COST = Cost(
    device="cpu x86_64",
    threads=1,
    attempts=2,
    lost_steps=3,
    started="2026-01-01T00:00:00+00:00",
    finished="2026-01-01T00:01:00+00:00",
    seconds={"train": 50.0, "total": 60.0},
    peak_memory_gib=1.5,
    peak_device_memory_gib=None,
    versions={"torch": "2.10.0"},
)
RESULT = FoldResult(
    run="small-01234567",
    manifest="0" * 64,
    fold=5,
    arm="without t1",
    left_out=("t1",),
    repeat=0,
    unit=1,
    training_exams=(0, 2),
    validation_exams=(),
    steps=150,
    precision="float32",
    weights_sha256="1" * 64,
    exams=(
        ExamResult(
            exam="b_1",
            patient="b",
            digest="2" * 64,
            scores={"tumour": OK, "node": BOTH_EMPTY},
            prediction_sha256="3" * 64,
        ),
    ),
    cost=COST,
)
HEARTBEAT = Heartbeat(
    fold=5,
    attempt=2,
    host="node",
    pid=42,
    time="2026-01-01T00:00:30+00:00",
    worked="2026-01-01T00:00:10+00:00",
    phase="train",
    step=75,
    steps=150,
    loss=None,
    seconds_left=None,
    started="2026-01-01T00:00:00+00:00",
    lost_steps=3,
    seconds={"train": 25.0},
)
FAILURE = Failure(fold=5, attempts=3, exit_code=-9, message="killed", time="2026-01-01T00:00:30+00:00")


@pytest.mark.parametrize("record", [RESULT, HEARTBEAT, FAILURE], ids=lambda record: type(record).__name__)
def test_a_record_is_read_back_as_it_was_written(record: Record) -> None:
    assert type(record).model_validate_json(record.to_json()) == record


def test_an_undefined_number_is_null_in_the_file() -> None:
    assert b'"dice": null' in BOTH_EMPTY.to_json()
    assert Score.model_validate_json(BOTH_EMPTY.to_json()).values["dice"] is None


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("record", "field"),
    [(OK, "dice"), (OK, "hd95_mm"), (OK, "predicted_ml"), (COST, "peak_memory_gib"), (HEARTBEAT, "loss")],
)
def test_a_number_that_is_none_is_refused(record: Record, field: str, number: float) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        type(record)(**record.model_dump() | {field: number})


def test_nan_in_a_table_or_in_a_file_is_refused() -> None:
    with pytest.raises(ValidationError, match="finite number"):
        Cost(**COST.model_dump() | {"seconds": {"train": math.nan}})
    with pytest.raises(ValidationError, match="finite number"):
        Score.model_validate_json(OK.to_json().replace(b"2.5", b"NaN"))


@pytest.mark.parametrize(
    ("status", "dice", "hd95_mm"),
    [("ok", None, None), ("miss", None, 13.0), ("false-alarm", None, 13.0), ("both-empty", 1.0, None)],
)
def test_dice_is_undefined_only_where_both_are_empty(
    status: str, dice: float | None, hd95_mm: float | None
) -> None:
    values: dict[str, Any] = OK.model_dump() | {"status": status, "dice": dice, "hd95_mm": hd95_mm}
    with pytest.raises(ValidationError, match="Dice is undefined if, and only if, both are empty; got"):
        Score(**values)


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Failure.model_validate_json(FAILURE.to_json().replace(b'"time"', b'"when"'))


def test_a_score_of_before_hd95_by_voxels_was_computed_is_read() -> None:
    assert b'"hd95_voxels_mm": null' in OK.to_json()
    before = OK.to_json().replace(b' "hd95_voxels_mm": null,\n', b"")
    assert b"hd95_voxels_mm" not in before
    assert Score.model_validate_json(before) == OK
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        Score(**OK.model_dump() | {"hd95_voxels_mm": -1.0})


def test_a_file_has_the_metrics_beside_the_other_keys() -> None:
    score = Score(
        status="ok",
        values={"dice": 0.75, "hd95_mm": 2.5, "hd95_voxels_mm": 1e-7},
        reference_ml=10,
        predicted_ml=11.25,
    )
    data = b"""{
 "status": "ok",
 "dice": 0.75,
 "hd95_mm": 2.5,
 "hd95_voxels_mm": 1e-7,
 "reference_ml": 10.0,
 "predicted_ml": 11.25
}
"""
    assert score.to_json() == data
    assert Score.model_validate_json(data) == score
    exam = ExamResult(exam="e", patient="p", digest="d", scores={"t": score}, prediction_sha256="s")
    assert b'"t": {\n   "status": "ok",\n   "dice": 0.75,\n   "hd95_mm": 2.5,' in exam.to_json()


def test_a_file_of_before_is_read_as_it_was() -> None:
    old = """{"status": "miss", "dice": 0.0, "hd95_mm": 281.5, "reference_ml": 3.5, "predicted_ml": 0.0}"""
    score = Score.model_validate_json(old)
    assert score.values == dict.fromkeys(IN_SCORES) | {"dice": 0.0, "hd95_mm": 281.5}
    assert (score.status, score.reference_ml, score.predicted_ml) == ("miss", 3.5, 0.0)


@pytest.mark.parametrize(
    ("found", "put", "where", "words"),
    [
        ('"dice": 0.75', '"dice": 1.5', "dice", "less than or equal to 1"),
        ('"dice": 0.75,', "", "dice", "Field required"),
        ('"hd95_mm": 2.5', '"hd95_mm": -2.5', "hd95_mm", "greater than or equal to 0"),
        ('"dice": 0.75', '"dice": 0.75, "dicee": 0.5', "dicee", "Extra inputs are not permitted"),
        ('"dice": 0.75', '"dice": 0.75, "values": {}', "values", "Extra inputs are not permitted"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_by_its_key(found: str, put: str, where: str, words: str) -> None:
    data = RESULT.to_json().decode()
    assert found in data
    with pytest.raises(ValidationError, match=words) as refusal:
        FoldResult.model_validate_json(data.replace(found, put))
    assert refusal.value.errors()[0]["loc"] == ("exams", 0, "scores", "tumour", where)


def test_a_metric_that_is_no_row_of_the_table_is_refused() -> None:
    values = {"dice": 0.5, "hd95_mm": 1.0, "jaccardd": 0.3}
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Score(status="ok", values=values, reference_ml=1.0, predicted_ml=1.0)


def test_a_record_never_changes() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        RESULT.steps = 1  # type: ignore[misc]
