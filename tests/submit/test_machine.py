from pathlib import Path
from typing import Any

import pytest

from job.contract.errors import StudyError
from job.data.exam_record import ExamRecord
from job.study_file import parse_study
from submit.executors.local import Slot
from submit.machine import fold_memory_gib, machine_slots, within_memory
from tests.submit.conftest import STUDY

GIB = 2**30
CPU = Slot(device="cpu", threads=1)


def test_a_fold_needs_memory_for_all_exams(make_tiny_run: Any) -> None:
    tiny = make_tiny_run()
    records = [ExamRecord.model_validate_json(path.read_bytes()) for path in _records(tiny)]
    # 4 exams of 32 x 32 x 12 voxels, 4 channels of float16, label and mask
    assert len(records) == 4
    without_exams = fold_memory_gib(tiny.study, [])
    exams = (fold_memory_gib(tiny.study, [record.shape_zyx for record in records]) - without_exams) * GIB
    assert exams == pytest.approx(4 * 12288 * (4 * 2 + 2), rel=1e-4)


@pytest.mark.parametrize(
    ("preset", "batch_size", "measured_gib"),
    [
        ("reference-study", 1, 1.69),
        ("reference-study", 2, 2.67),
        ("deepmedic-paper", 10, 0.76),
        ("smoke", 8, 0.38),
    ],
)
def test_the_memory_of_patches_is_close_to_what_was_measured(
    preset: str, batch_size: int, measured_gib: float
) -> None:
    """Measured: peak of a worker's resident memory over two steps, one thread, torch 2.13.0, 7 channels."""
    channels = ["t2", "t1", "t1c", "t2star", "ktrans", "ve", "adc"]
    cohort = {**STUDY["cohort"], "channels": channels}
    table = {"name": "m", "preset": preset, "cohort": cohort, "training": {"batch_size": batch_size}}
    assert measured_gib <= fold_memory_gib(parse_study(table, source="m"), []) <= 1.2 * measured_gib + 0.3


def _records(tiny: Any) -> list[Path]:
    return list(Path(tiny.store.url, tiny.manifest.recipe, "exams").glob("*.json"))


def test_memory_limits_the_folds_on_cores_and_says_so() -> None:
    assert within_memory([CPU] * 8, 2.0, 16.0) == ([CPU] * 8, "")
    assert within_memory([CPU] * 8, 2.0, 7.9) == (
        [CPU] * 3,
        ", limited by memory: 7.9 GiB available, a fold needs about 2.0",
    )
    slots, told = within_memory([CPU], 2.0, 1.0)
    assert slots == [CPU]
    assert "may be killed; use a smaller training.batch_size" in told
    gpus = [Slot(device=f"cuda:{n}", threads=1) for n in range(4)]
    assert within_memory(gpus, 2.0, 1.0) == (gpus, "")


def test_a_precision_that_the_device_does_not_have_is_refused_before_anything_starts() -> None:
    settings = STUDY | {"compute": {"device": "cpu"}, "training": {"precision": "fp16"}}
    with pytest.raises(StudyError, match=r'training\.precision = "fp16" cannot be had on cpu'):
        machine_slots(parse_study(settings, source="study.toml"))
