"""What a worker leaves of a fold that is done: weights, predictions, and last the result."""

from collections.abc import Mapping, Sequence
from hashlib import sha256

from job.contract.grid import Fold
from job.contract.manifest import Manifest
from job.contract.results import Cost, ExamResult, FoldResult
from job.run import Run


def fold_result(
    manifest: Manifest,
    fold: Fold,
    precision: str,
    weights: bytes,
    tested: Sequence[ExamResult],
    cost: Cost,
) -> FoldResult:
    """What `result.json` says; its exams are in the order of the grid."""
    by_exam = {own.exam: own for own in tested}
    return FoldResult(
        run=manifest.run,
        manifest=manifest.digest,
        fold=fold.index,
        arm=fold.arm.name,
        left_out=fold.arm.left_out,
        repeat=fold.repeat,
        unit=fold.unit,
        training_exams=fold.training_exams,
        validation_exams=fold.validation_exams,
        steps=manifest.study.training.steps,
        precision=precision,
        weights_sha256=sha256(weights).hexdigest(),
        exams=tuple(by_exam[manifest.exams[exam].exam] for exam in fold.test_exams),
        cost=cost,
    )


def finish_fold(run: Run, result: FoldResult, weights: bytes, predictions: Mapping[str, bytes]) -> None:
    """Writes weights and predictions, then the result, which says that the fold is done.

    Args:
        run: The run.
        result: Of the fold.
        weights: What `weights_file` gives.
        predictions: By exam: exactly those of the result.
    """
    fold, files = run.fold(result.fold), run.predictions(result.fold)
    assert files.keys() == predictions.keys() == {own.exam for own in result.exams}
    fold.weights.write(weights)
    for exam, file in files.items():
        file.write(predictions[exam])
    fold.result.create(result)
