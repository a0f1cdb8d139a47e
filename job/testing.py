"""The test of a trained network on whole exams; and its validation, the same in the course of training."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from statistics import fmean

import numpy as np

from job.contract.results import ExamResult
from job.data.nifti import write_labels
from job.data.store import ExamReader
from job.evaluation.whole_exam import ExamTester
from job.training.clock import PhaseClock


def test_exam(tester: ExamTester, reader: ExamReader, clock: PhaseClock) -> tuple[ExamResult, bytes]:
    """The scores of an exam; and its prediction, in the label map's own values, on the original grid."""
    record = reader.record
    with clock.phase("inference"):
        predicted_ZYX = tester.predict(reader)
    with clock.phase("metrics"):
        scores = tester.score(reader, predicted_ZYX)
    values = np.array([0, *(values[0] for values in tester.class_values)])
    data = write_labels(values[predicted_ZYX], record.geometry)
    result = ExamResult(
        exam=record.exam,
        patient=record.patient,
        digest=record.digest,
        scores=scores,
        prediction_sha256=sha256(data).hexdigest(),
    )
    return result, data


def validation(
    tester: ExamTester, readers: Sequence[ExamReader]
) -> Callable[[], dict[str, float | None]] | None:
    """Gives the mean Dice by structure over whole exams, None where no exam has it defined; None without exams."""

    def mean_dice() -> dict[str, float | None]:
        scores = [tester.score(reader, tester.predict(reader)) for reader in readers]
        means: dict[str, float | None] = {}
        for name in scores[0]:
            defined = [dice for score in scores if (dice := score[name].values["dice"]) is not None]
            means[name] = fmean(defined) if defined else None
        return means

    return mean_dice if readers else None
