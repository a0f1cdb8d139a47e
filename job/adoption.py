"""What other runs have trained already: a fold of the same identity is adopted, and not trained again."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from job.artifacts import finish_fold
from job.contract.errors import Damaged, DataError
from job.contract.identity import fold_identities
from job.request import RunsFolder
from job.run import Run
from job.storage.concurrency import map_files


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A fold that another run has done."""

    run: Run
    fold: int
    """Its number there."""


def trained_elsewhere(run: Run, folds: Iterable[int], runs: RunsFolder) -> dict[int, Trained]:
    """Which of a run's folds other runs have done, by their numbers in this run; of several, the first by name.

    Args:
        run: Whose folds; it need not be written yet.
        folds: Those that are asked for.
        runs: Where the others are; one of another version of the code serves nothing.
    """
    wanted = {identity: fold for fold, identity in fold_identities(run.manifest, folds).items()}
    found: dict[int, Trained] = {}
    for other in runs.runs() if wanted else ():
        if other.name == run.name:
            continue
        try:
            manifest = other.manifest
        except Damaged:
            continue
        done = [fold for fold in other.folds_with_files().result if fold < manifest.folds]
        for fold, identity in fold_identities(manifest, done).items():
            if identity in wanted:
                found[wanted.pop(identity)] = Trained(run=other, fold=fold)
    return dict(sorted(found.items()))


def take_over(run: Run, folds: Iterable[int], runs: RunsFolder) -> list[int]:
    """Has a run take over those of the folds that it has not done and other runs have; which they are."""
    done = set(run.folds_with_files().result)
    return adopt(run, trained_elsewhere(run, [fold for fold in folds if fold not in done], runs))


def adopt(run: Run, found: Mapping[int, Trained]) -> list[int]:
    """Copies what others have done into a run, which then has these folds as if it had trained them; which they are.

    What is damaged there is left out, and trained anew. The results say whose they were (`Cost.adopted_from`).
    """

    def copied(item: tuple[int, Trained]) -> bool:
        return _adopt(run, *item)

    taken = map_files(copied, found.items())
    return [fold for fold, done in zip(found, taken, strict=True) if done]


def _adopt(run: Run, fold: int, trained: Trained) -> bool:
    """Copies one fold, its result last; whether it was whole."""
    source, own = trained.run.fold(trained.fold), run.grid.fold(fold)
    try:
        result = source.result.read()
        if result is None or result.manifest != trained.run.manifest.digest:
            return False
        digests = {exam.exam: exam.prediction_sha256 for exam in result.exams}
        weights = source.weights.read(result.weights_sha256)
        predictions = {
            exam: file.read(digests[exam]) for exam, file in trained.run.predictions(trained.fold).items()
        }
    except (Damaged, DataError, FileNotFoundError, KeyError):
        return False
    with suppress(FileNotFoundError):
        run.fold(fold).history.write(source.history.read())
    origin = f"{trained.run.name}, fold {trained.fold}"
    here = result.model_copy(
        update={
            "run": run.manifest.run,
            "manifest": run.manifest.digest,
            "fold": fold,
            # Positions among the run's exams, which another cohort may have more of.
            "training_exams": own.training_exams,
            "validation_exams": own.validation_exams,
            "cost": result.cost.model_copy(update={"adopted_from": result.cost.adopted_from or origin}),
        }
    )
    finish_fold(run, here, weights, predictions)
    run.fold(fold).delete_checkpoints()  # of a training that was stopped here
    return True
