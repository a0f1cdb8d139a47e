"""What a fold of a tiny run left."""

import json

from job.contract import layout
from job.contract.results import FoldResult
from tests.conftest import TinyRun


def result(tiny: TinyRun, fold: int) -> FoldResult:
    found = tiny.run.fold(fold).result.read()
    assert found is not None
    return found


def same_but_cost(one: TinyRun, other: TinyRun, fold: int) -> None:
    """Asserts that a fold's files are identical byte for byte, and its result but for what it took."""
    for key in (layout.weights(fold), *layout.predictions(fold, len(result(one, fold).exams))):
        assert one.run.files.read(key) == other.run.files.read(key)
    assert result(one, fold).model_dump(exclude={"cost"}) == result(other, fold).model_dump(exclude={"cost"})
    timeless = [
        [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]
        for lines in (
            tiny.run.files.read(layout.history(fold)).decode().splitlines() for tiny in (one, other)
        )
    ]
    assert timeless[0] == timeless[1]
