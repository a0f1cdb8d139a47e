"""Which changes of a study leave a fold what it is, so that what is trained serves on."""

from collections.abc import Callable

import pytest

from job.contract.identity import fold_identities
from job.contract.manifest import ExamEntry, Manifest
from job.contract.study import Study

MakeStudy = Callable[..., Study]

EXAMS = tuple(
    ExamEntry(exam=f"{patient}_{visit}", patient=patient, digest=f"{n:064x}")
    for n, (patient, visit) in enumerate([("a", 1), ("a", 2), ("b", 1), ("c", 1)])
)


def frozen(study: Study, exams: tuple[ExamEntry, ...] = EXAMS) -> Manifest:
    return Manifest.freeze(study, exams=exams, recipe="r", created="", code_version="0")


def identities(study: Study, exams: tuple[ExamEntry, ...] = EXAMS) -> dict[int, str]:
    manifest = frozen(study, exams)
    return fold_identities(manifest, range(manifest.folds))


@pytest.mark.parametrize(
    "change",
    [
        'name = "renamed"',
        "sweep.equivalence_margin = 0.05",
        'sweep.endpoint = { class = "node", metric = "dice" }',
        "sweep.smallest_dice = 0.5",
        "training.validate_every = 3",
        'compute.runs = "elsewhere"',
        'store.folder = "elsewhere"',
        'cohort.root = "elsewhere"',
    ],
)
def test_what_no_fold_depends_on_leaves_every_fold_what_it_is(make_study: MakeStudy, change: str) -> None:
    assert identities(make_study(change)) == identities(make_study())


def test_further_repeats_leave_the_folds_that_there_are(make_study: MakeStudy) -> None:
    before, after = identities(make_study()), identities(make_study("sweep.repeats = 2"))
    assert [after[fold] for fold in before] == list(before.values())
    assert len(set(after.values())) == 2 * len(before)


def test_a_repeat_of_the_reference_becomes_part_of_a_further_repeat(make_study: MakeStudy) -> None:
    """The fourth exam's second reference training is fold 16 + 3 of one grid, and fold 16 + 3 x 4 of the other."""
    further = identities(make_study("sweep.reference_repeats = 1"))
    whole = identities(make_study("sweep.repeats = 2"))
    assert further[16 + 3] == whole[16 + 3 * 4]


@pytest.mark.parametrize(
    "change",
    [
        "training.steps = 7",
        "training.learning_rate = 0.5",
        "sweep.seed = 1",
        "network.fc_features = [16]",
        "evaluation.tile_batch = 1",
        'cohort.structures = { both = ["tumour", "node"] }',
    ],
)
def test_what_numbers_depend_on_makes_every_fold_another(make_study: MakeStudy, change: str) -> None:
    assert set(identities(make_study(change)).values()).isdisjoint(identities(make_study()).values())


def test_an_exam_that_was_prepared_anew_changes_the_folds_that_have_it(make_study: MakeStudy) -> None:
    """Exam c_1 is tested by folds 12 to 15 and trained on by all others."""
    changed = (*EXAMS[:3], EXAMS[3].model_copy(update={"digest": f"{9:064x}"}))
    assert set(identities(make_study(), changed).values()).isdisjoint(identities(make_study()).values())


def test_folds_of_one_run_are_all_different(make_study: MakeStudy) -> None:
    manifest = frozen(make_study())
    assert len(set(fold_identities(manifest, range(manifest.folds)).values())) == 16
    assert fold_identities(manifest, [3, 5]).keys() == {3, 5}


def test_patients_held_out_change_the_folds_by_their_exams(make_study: MakeStudy) -> None:
    before, after = identities(make_study()), identities(make_study("training.validation_patients = 1"))
    assert set(before.values()).isdisjoint(after.values())
