"""Reads what the folds of a run left behind into tables, and names what is missing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pandas import DataFrame
from pydantic import ValidationError

from job.contract import layout
from job.contract.errors import Problem
from job.contract.grid import Fold
from job.contract.manifest import Manifest
from job.contract.metrics import IN_SCORES, METRICS
from job.contract.results import Failure, FoldResult, Record
from job.contract.study import Study
from job.run import Run
from job.storage import Storage
from job.storage.concurrency import map_files

AnyRecord = TypeVar("AnyRecord", bound=Record)

SCORE_COLUMNS: dict[str, str] = {
    "fold": "int64",
    "arm": "str",
    "left_out": "str",
    "repeat": "int64",
    "exam": "str",
    "patient": "str",
    "structure": "str",
    "status": "str",
    **{name: "Float64" for name in IN_SCORES if not METRICS[name].later},
    "reference_ml": "Float64",
    "predicted_ml": "Float64",
    "volume_error_ml": "Float64",
    "seconds": "Float64",
}
"""Columns and types. `volume_error_ml` is predicted - reference; `seconds` is the fold's
wall time, repeated in each of its rows."""

TABLE_COLUMNS = SCORE_COLUMNS | {name: "Float64" for name in IN_SCORES if METRICS[name].later}
"""Of `Results.table`, in this order: the metrics last for which results of before have no numbers."""

FOLLOWING: dict[str, Callable[[Any], Any]] = {
    "absolute_volume_error_ml": lambda rows: abs(rows.volume_error_ml),
}
"""Metrics that no score holds, from rows of the table or from one of them."""

FOLD_COLUMNS = {
    "fold": "int64",
    "arm": "str",
    "repeat": "int64",
    "precision": "str",
    "device": "str",
    "machine": "str",
    "threads": "int64",
    "conditions": "str",
    "attempts": "int64",
    "lost_steps": "int64",
    "peak_memory_gib": "Float64",
    "peak_device_memory_gib": "Float64",
    "total_seconds": "Float64",
}
"""The first columns of `Results.folds` and their types; those of the phases, `<phase>_seconds`, follow."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """What there is of a run: `done`, `missing` and `failed` are all its folds, each once."""

    table: DataFrame
    """One row per done fold, exam and structure (`TABLE_COLUMNS`), by fold; an undefined number is NA."""
    folds: DataFrame
    """One row per done fold: what it took (`FOLD_COLUMNS`, then seconds by phase)."""
    versions: dict[str, dict[str, tuple[int, ...]]]
    """By package: each version found, and the folds that ran with it."""
    done: tuple[int, ...]
    """Folds with a result, whatever an earlier attempt left."""
    missing: tuple[int, ...]
    """Folds with neither a result nor a failure that can be used."""
    failed: tuple[Failure, ...]
    """Folds without a result whose last attempt failed."""
    problems: tuple[Problem, ...]
    """Files that are damaged, or of another manifest: they are left out, so that their folds are missing."""


def structures_of(study: Study) -> tuple[str, ...]:
    """What each exam has a score of: the classes, the unions that the study names, and the union of all classes."""
    return tuple(study.cohort.structure_labels)


def collect_results(run: Run) -> Results:
    """The results of a run's folds so far."""
    storage, manifest = run.files, run.manifest
    there = run.folds_with_files()
    with_failure = sorted(set(there.failure) - set(there.result))
    problems: list[Problem] = []
    tables = _Tables()
    for result in _results(storage, manifest, there.result, problems):
        tables.add(result)
    failures = tuple(_failures(storage, manifest, with_failure, problems))
    done = tuple(row["fold"] for row in tables.folds)
    failed = {failure.fold for failure in failures}
    return Results(
        table=DataFrame(tables.scores, columns=list(TABLE_COLUMNS)).astype(TABLE_COLUMNS),
        folds=_fold_table(tables.folds),
        versions={
            package: {version: tuple(folds) for version, folds in found.items()}
            for package, found in sorted(tables.versions.items())
        },
        done=done,
        missing=tuple(sorted(set(range(manifest.folds)) - set(done) - failed)),
        failed=failures,
        problems=tuple(problems),
    )


class _Tables:
    """Rows taken from results one by one, so that no result has to be kept."""

    def __init__(self) -> None:
        self.scores: list[dict[str, Any]] = []
        self.folds: list[dict[str, Any]] = []
        self.versions: dict[str, dict[str, list[int]]] = {}

    def add(self, result: FoldResult) -> None:
        cost = result.cost
        for exam in result.exams:
            for structure, score in exam.scores.items():
                self.scores.append(
                    {
                        "fold": result.fold,
                        "arm": result.arm,
                        "left_out": ", ".join(result.left_out),
                        "repeat": result.repeat,
                        "exam": exam.exam,
                        "patient": exam.patient,
                        "structure": structure,
                        "status": score.status,
                        **score.values,
                        "reference_ml": score.reference_ml,
                        "predicted_ml": score.predicted_ml,
                        "volume_error_ml": score.predicted_ml - score.reference_ml,
                        "seconds": cost.seconds.get("total"),
                    }
                )
        seconds = {f"{phase}_seconds": value for phase, value in cost.seconds.items()}
        own = {"fold": result.fold, "arm": result.arm, "repeat": result.repeat, "precision": result.precision}
        costs = cost.model_dump(include=set(FOLD_COLUMNS)) | {"conditions": "; ".join(cost.conditions)}
        self.folds.append(own | costs | seconds)
        for package, version in cost.versions.items():
            self.versions.setdefault(package, {}).setdefault(version, []).append(result.fold)


def _fold_table(rows: list[dict[str, Any]]) -> DataFrame:
    phases = dict.fromkeys(name for row in rows for name in row if name not in FOLD_COLUMNS)
    columns = FOLD_COLUMNS | dict.fromkeys(phases, "Float64")
    return DataFrame(rows, columns=list(columns)).astype(columns)


def _results(
    storage: Storage, manifest: Manifest, done: Sequence[int], problems: list[Problem]
) -> Iterator[FoldResult]:
    """The results that fit the manifest; the others become problems."""
    grid, structures = manifest.grid, structures_of(manifest.study)
    inside = [index for index in done if index < len(grid)]
    problems += [_outside(layout.result(index), index, manifest) for index in done if index >= len(grid)]
    for index, data in zip(inside, map_files(storage.read, map(layout.result, inside)), strict=True):
        key = layout.result(index)
        result = _parse(FoldResult, data, key, problems)
        if result is None:
            continue
        problem = _disagreement(result, manifest, grid.fold(index), structures)
        if problem is None:
            yield result
        else:
            problems.append(problem)


def _failures(
    storage: Storage, manifest: Manifest, failed: list[int], problems: list[Problem]
) -> Iterator[Failure]:
    for index in failed:
        key = layout.failure(index)
        if index >= manifest.folds:
            problems.append(_outside(key, index, manifest))
            continue
        failure = _parse(Failure, storage.read(key), key, problems)
        if failure is None:
            continue
        if failure.fold == index:
            yield failure
        else:
            problems.append(_foreign(key, "fold", failure.fold, index))


def _parse(model: type[AnyRecord], data: bytes, key: str, problems: list[Problem]) -> AnyRecord | None:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"{part}: " for part in first["loc"])
        problems.append(
            Problem(
                file=key,
                found=f"{len(data)} bytes that cannot be read ({where}{first['msg']})",
                expected=f"the JSON of a {model.__name__}, version 1",
                remedy="delete the file and run the sweep again",
            )
        )
        return None


def _disagreement(
    result: FoldResult, manifest: Manifest, fold: Fold, structures: tuple[str, ...]
) -> Problem | None:
    """The first thing in which a result differs from what the manifest says of its fold.

    Exams are found by their names: their order in the file says nothing.
    """
    key = layout.result(fold.index)
    found_of = {own.exam: own for own in result.exams}
    frozen_of = {entry.exam: entry for entry in (manifest.exams[exam] for exam in fold.test_exams)}
    facts: list[tuple[str, Any, Any]] = [
        ("manifest", result.manifest, manifest.digest),
        ("run", result.run, manifest.run),
        ("fold", result.fold, fold.index),
        ("arm", (result.arm, *result.left_out), (fold.arm.name, *fold.arm.left_out)),
        ("repeat", result.repeat, fold.repeat),
        ("unit", result.unit, fold.unit),
        ("training exams", result.training_exams, fold.training_exams),
        ("validation exams", result.validation_exams, fold.validation_exams),
        ("test exams", sorted(own.exam for own in result.exams), sorted(frozen_of)),
    ]
    for name in (name for name in frozen_of if name in found_of):
        own, frozen = found_of[name], frozen_of[name]
        facts += [
            (f"patient of exam {name}", own.patient, frozen.patient),
            (f"digest of exam {name}", own.digest, frozen.digest),
            (f"structures of exam {name}", set(own.scores), set(structures)),
        ]
    for what, found, expected in facts:
        if found != expected:
            return _foreign(key, what, found, expected)
    return None


def _foreign(key: str, what: str, found: object, expected: object) -> Problem:
    return Problem(
        file=key,
        found=f"{what} {_words(found)}",
        expected=f"{what} {_words(expected)}, as in {layout.MANIFEST}",
        remedy="it is not of this run: move it away and run the sweep again",
    )


def _outside(key: str, index: int, manifest: Manifest) -> Problem:
    return Problem(
        file=key,
        found=f"fold {index}",
        expected=f"a fold within 0..{manifest.folds - 1}, as in {layout.MANIFEST}",
        remedy="it is not of this run: move it away",
    )


def _words(value: object) -> str:
    if isinstance(value, set):
        value = sorted(value)
    if isinstance(value, tuple | list):
        return ", ".join(str(part) for part in value) or "none"
    return str(value)
