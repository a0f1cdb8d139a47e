"""What one run has trained serves every other run that has the same fold."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from job.adoption import Trained, adopt, take_over, trained_elsewhere
from job.artifacts import finish_fold, fold_result
from job.contract.manifest import ExamEntry, Manifest
from job.contract.results import ExamResult, Score
from job.contract.study import Study
from job.request import RunsFolder
from job.run import Run
from job.storage import open_storage
from tests.conftest import tiny_study
from tests.made_up import COST

EXAMS = tuple(
    ExamEntry(exam=f"{patient}_{visit}", patient=patient, digest=f"{n:064x}")
    for n, (patient, visit) in enumerate([("a", 1), ("a", 2), ("b", 1), ("c", 1)])
)
ARMS = 5
"""Reference, and without each of four channels."""
MakeRun = Callable[..., Run]


@pytest.fixture
def runs(tmp_path: Path) -> RunsFolder:
    return RunsFolder(str(tmp_path / "runs"))


@pytest.fixture
def make_run(runs: RunsFolder) -> MakeRun:
    """Makes a run of the tiny study with changes, over these exams."""

    def make(exams: tuple[ExamEntry, ...] = EXAMS, name: str = "tiny", **changes: Any) -> Run:
        study: Study = tiny_study(**changes).model_copy(update={"name": name})
        manifest = Manifest.freeze(study, exams=exams, recipe="r", created="", code_version="0")
        run = Run(runs.run(manifest.run).files, manifest)
        run.create()
        return run

    return make


def finish(run: Run, fold: int, dice: float = 0.5) -> None:
    """Leaves a fold as a worker does."""
    own, exams = run.grid.fold(fold), run.manifest.exams
    weights = f"weights of {fold}".encode()
    predictions = {exams[exam].exam: f"prediction {fold} {exam}".encode() for exam in own.test_exams}
    score = Score(status="ok", values={"dice": dice, "hd95_mm": 5.0}, reference_ml=10.0, predicted_ml=12.0)
    tested = [
        ExamResult(
            **exams[exam].model_dump(),
            scores=dict.fromkeys(run.manifest.study.cohort.structure_labels, score),
            prediction_sha256=sha256(predictions[exams[exam].exam]).hexdigest(),
        )
        for exam in own.test_exams
    ]
    result = fold_result(run.manifest, own, "float32", weights, tested, COST)
    run.fold(fold).history.write(f'{{"step": {fold}}}\n'.encode())
    finish_fold(run, result, weights, predictions)


def test_a_second_repeat_trains_only_what_is_new(make_run: MakeRun, runs: RunsFolder) -> None:
    """With the reference trained again already: fold 20 + 3 there is 20 + 3 x 5 here, of the fourth exam."""
    once = make_run(sweep={"reference_repeats": 1})
    for fold in range(20):
        finish(once, fold)
    finish(once, 20 + 3)
    twice = make_run(sweep={"repeats": 2})
    found = trained_elsewhere(twice, range(twice.manifest.folds), runs)
    assert {fold: trained.fold for fold, trained in found.items()} == {
        **{n: n for n in range(20)},
        20 + 3 * ARMS: 23,
    }
    assert adopt(twice, found) == sorted(found)
    assert twice.folds_with_files().result == tuple(sorted(found))


def test_a_fold_that_was_taken_over_is_the_run_s_own_and_says_whose_it_was(
    make_run: MakeRun, runs: RunsFolder
) -> None:
    first, renamed = make_run(), make_run(name="again", sweep={"equivalence_margin": 0.05})
    finish(first, 6, dice=0.25)
    assert adopt(renamed, trained_elsewhere(renamed, [5, 6], runs)) == [6]
    there, here = first.fold(6), renamed.fold(6)
    old, new = there.result.read(), here.result.read()
    assert old is not None
    assert new is not None
    assert (new.run, new.manifest, new.fold) == (renamed.manifest.run, renamed.manifest.digest, 6)
    assert new.cost.adopted_from == f"{first.name}, fold 6"
    same = {"run": old.run, "manifest": old.manifest, "cost": old.cost}
    assert new.model_copy(update=same) == old
    assert here.weights.read(new.weights_sha256) == b"weights of 6"
    (prediction,) = renamed.predictions(6).values()
    assert prediction.read(new.exams[0].prediction_sha256) == b"prediction 6 1"
    assert here.history.read() == there.history.read()

    third = make_run(name="third", sweep={"smallest_dice": 0.5})
    assert adopt(third, {6: Trained(run=renamed, fold=6)}) == [6]
    again = third.fold(6).result.read()
    assert again is not None
    assert again.cost.adopted_from == f"{first.name}, fold 6"


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"steps": 25}},
        {"sweep": {"seed": 1}},
        {"network": {"dropout": [0.0, 0.25]}},
        {"exams": (*EXAMS[:3], EXAMS[3].model_copy(update={"digest": f"{9:064x}"}))},
    ],
)
def test_what_would_have_other_numbers_is_not_taken_over(
    make_run: MakeRun, runs: RunsFolder, changes: dict[str, Any]
) -> None:
    finish(make_run(), 6)
    other = make_run(**changes)
    assert trained_elsewhere(other, range(other.manifest.folds), runs) == {}


def test_a_run_gives_nothing_to_itself_and_no_more_than_it_is_asked_for(
    make_run: MakeRun, runs: RunsFolder
) -> None:
    first, other = make_run(), make_run(name="other")
    for fold in (1, 2, 3):
        finish(first, fold)
    assert trained_elsewhere(first, range(20), runs) == {}
    assert sorted(trained_elsewhere(other, [2, 7], runs)) == [2]


@pytest.mark.parametrize("damage", ["weights", "prediction", "result", "no weights"])
def test_what_is_damaged_there_is_left_to_be_trained(
    make_run: MakeRun, runs: RunsFolder, damage: str
) -> None:
    first, other = make_run(), make_run(name="other")
    finish(first, 6)
    files = first.fold(6)
    match damage:
        case "weights":
            first.files.write(files.weights.key, b"other weights")
        case "prediction":
            first.files.write(next(iter(first.predictions(6).values())).key, b"other")
        case "result":
            first.files.write(files.result.key, b"{}")
        case _:
            files.weights.delete()
    assert adopt(other, trained_elsewhere(other, range(20), runs)) == []
    assert other.folds_with_files().result == ()


def test_a_run_of_another_version_and_results_outside_its_grid_serve_nothing(
    make_run: MakeRun, runs: RunsFolder
) -> None:
    first, other = make_run(), make_run(name="other")
    finish(first, 6)
    open_storage(f"{runs.url}/{first.name}").write("folds/99/result.json", b"{}")
    open_storage(f"{runs.url}/old-12345678").write("manifest.json", b'{"version": 0}')
    assert sorted(trained_elsewhere(other, range(20), runs)) == [6]


def test_what_a_run_has_done_itself_is_left_as_it_is(make_run: MakeRun, runs: RunsFolder) -> None:
    first, other = make_run(), make_run(name="other")
    for fold in (5, 6):
        finish(first, fold, dice=0.25)
    finish(other, 6, dice=0.75)
    assert take_over(other, range(20), runs) == [5]
    own = other.fold(6).result.read()
    assert own is not None
    assert (own.cost.adopted_from, own.exams[0].scores["GTV-T"].values["dice"]) == (None, 0.75)


def test_the_checkpoint_of_a_training_that_was_stopped_here_goes(make_run: MakeRun, runs: RunsFolder) -> None:
    first, other = make_run(), make_run(name="other")
    finish(first, 6)
    other.fold(6).checkpoint_pointer.write(b"[]")
    assert take_over(other, [6], runs) == [6]
    assert not other.fold(6).checkpoint_pointer.exists()
