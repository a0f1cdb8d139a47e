import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from job.contract.manifest import ExamEntry, Manifest
from job.contract.study import Study

MakeStudy = Callable[..., Study]

EXAMS = tuple(
    ExamEntry(exam=f"{patient}_{visit}", patient=patient, digest=f"{n:064x}")
    for n, (patient, visit) in enumerate([("a", 1), ("a", 2), ("b", 1), ("c", 1)])
)


def freeze(study: Study, exams: tuple[ExamEntry, ...] = EXAMS, **changes: str) -> Manifest:
    settings = {"recipe": "r", "created": "2026-01-01T00:00:00+00:00", "code_version": "0.1.0"}
    return Manifest.freeze(study, exams=exams, **settings | changes)


def test_a_manifest_says_what_a_run_is(make_study: MakeStudy) -> None:
    manifest = freeze(make_study())
    assert manifest.run == f"small-{manifest.digest[:8]}"
    assert manifest.arms == ("reference", "without t2", "without t1", "without adc")
    assert manifest.folds == len(manifest.grid) == 4 * 4
    assert manifest.grid.patients == ("a", "a", "b", "c")


def test_a_manifest_is_read_back_as_it_was_written(make_study: MakeStudy) -> None:
    study = make_study(
        'sweep.endpoint = { class = "node", metric = "hd95_mm" }\n'
        "training.class_proportions = { background = 0.5, tumour = 0.25, node = 0.25 }\n"
        'cohort.channels = ["t1", { name = "adc", normalisation = "fixed", range = [0, 3] }]\n'
        'cohort.acquisitions = { diffusion = ["adc"] }'
    )
    manifest = freeze(study)
    written = manifest.to_json()
    assert Manifest.model_validate_json(written) == manifest
    assert Manifest.model_validate_json(written).to_json() == written
    # The file has the study file's own words.
    assert json.loads(written)["study"]["sweep"]["endpoint"] == {"class": "node", "metric": "hd95_mm"}


def test_the_same_study_over_the_same_exams_is_the_same_run(make_study: MakeStudy) -> None:
    later = freeze(make_study(), created="2027-01-01T00:00:00+00:00", code_version="9", recipe="other")
    assert later.run == freeze(make_study()).run
    assert later.digest == freeze(make_study()).digest


@pytest.mark.parametrize(
    "changes",
    [
        'cohort.root = "elsewhere"',
        'store.folder = "elsewhere"',
        'compute.runs = "elsewhere"',
        'compute.device = "cpu"',
        "compute.cores_per_fold = 2",
        "compute.checkpoint_minutes = 1",
        'cohort.pattern = "x/{patient}/{channel}.nii.gz"',
        'cohort.exclude = ["d"]',
        "sweep.reference_repeats = 1",
        "training.validate_every = 7",
    ],
)
def test_what_changes_no_fold_is_no_part_of_the_identity(make_study: MakeStudy, changes: str) -> None:
    assert freeze(make_study(changes)).digest == freeze(make_study()).digest


def test_the_names_of_the_files_of_classes_are_no_part_of_the_identity(make_study: MakeStudy) -> None:
    """Which voxels they hold is in the exams' digests."""
    digests = {
        freeze(
            make_study(f'cohort.labels = "{{patient}}/{{class}}.nii.gz"\ncohort.classes = {classes}')
        ).digest
        for classes in (
            '{ tumour = "gtv*", node = ["n1", "n2"] }',
            '{ tumour = ["p1", "p2"], node = "ln" }',
        )
    }
    assert digests == {freeze(make_study("cohort.classes = { tumour = 1, node = 2 }")).digest}


@pytest.mark.parametrize(
    "changes",
    [
        'name = "other"',
        'cohort.channels = ["t1", "t2", "adc"]',
        'cohort.channels = ["t2", "t1", { name = "adc", normalisation = "none" }]',
        'cohort.acquisitions = { mr = ["t2", "t1"] }',
        "cohort.classes = { node = [2, 3], tumour = 1 }",
        "cohort.classes = { tumour = 1, node = 2 }",
        "cohort.background = [0, 9]",
        'sweep.leave_out = "only-one-in"',
        'sweep.test_unit = "patient"',
        "sweep.repeats = 2",
        "sweep.seed = 1",
        'sweep.endpoint = { class = "node" }',
        "sweep.equivalence_margin = 0.05",
        "network.fc_features = [33]",
        "training.steps = 151",
        "training.learning_rate = 0.0031",
        "training.validation_patients = 1",
        "evaluation.tile_batch = 5",
        "store.block_shape = [8, 8, 8]",
    ],
)
def test_everything_else_in_the_study_is_part_of_the_identity(make_study: MakeStudy, changes: str) -> None:
    assert freeze(make_study(changes)).digest != freeze(make_study()).digest


def test_the_exams_their_contents_and_their_order_are_part_of_the_identity(make_study: MakeStudy) -> None:
    first, *others = EXAMS
    cohorts = [
        EXAMS,
        tuple(others),
        (*others, first),
        (first.model_copy(update={"digest": "f" * 64}), *others),
        (first.model_copy(update={"exam": "a_9"}), *others),
        (first.model_copy(update={"patient": "d"}), *others),
    ]
    assert len({freeze(make_study(), exams).digest for exams in cohorts}) == len(cohorts)


def leaves(content: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """Where the plain values of a JSON document are."""
    if isinstance(content, dict | list):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from leaves(value, *path, key)
    else:
        yield path


def test_a_manifest_that_was_changed_by_hand_is_refused(make_study: MakeStudy) -> None:
    manifest = freeze(make_study())
    free = {
        ("created",),
        ("code_version",),
        ("image",),
        ("recipe",),
        ("version",),
        ("study", "store", "folder"),
    }
    free |= {("study", "cohort", key) for key in ("root", "pattern", "labels", "mask")}
    for path in leaves(json.loads(manifest.to_json())):
        neutral = path[:2] == ("study", "compute") or path[-1] in ("files", "validate_every")
        if path in free or neutral:
            continue
        content = json.loads(manifest.to_json())
        parent = content
        for key in path[:-1]:
            parent = parent[key]
        value = parent[path[-1]]
        parent[path[-1]] = value + 1 if isinstance(value, int | float) else f"{value or ''}x"
        with pytest.raises(ValidationError):
            Manifest.model_validate_json(json.dumps(content))


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["study"]["training"].update(steps=151),
        lambda m: m["exams"].pop(),
        lambda m: m["exams"].reverse(),
        lambda m: m["exams"][0].update(patient="d"),
        lambda m: m.update(digest="0" * 64),
        lambda m: m.update(run="other"),
        lambda m: m.update(folds=3),
        lambda m: m["arms"].reverse(),
    ],
)
def test_the_refusal_says_what_happened_and_what_to_do(
    make_study: MakeStudy, change: Callable[[dict[str, Any]], None]
) -> None:
    content = json.loads(freeze(make_study()).to_json())
    change(content)
    message = "the manifest was changed after it was written; delete it and run the sweep again"
    with pytest.raises(ValidationError, match=message):
        Manifest.model_validate_json(json.dumps(content))


def test_where_the_cohort_lies_may_be_corrected_by_hand(make_study: MakeStudy) -> None:
    content = json.loads(freeze(make_study()).to_json())
    content["study"]["cohort"]["root"] = "/new/disk"
    content["study"]["store"]["folder"] = "/new/disk/store"
    assert Manifest.model_validate_json(json.dumps(content)).study.cohort.root == "/new/disk"


def test_a_cohort_that_is_too_small_is_refused(make_study: MakeStudy) -> None:
    with pytest.raises(ValueError, match="the cohort has 3 patients; 4 are needed"):
        freeze(make_study("training.validation_patients = 2"))


def test_the_grid_follows_from_the_study(make_study: MakeStudy) -> None:
    study = make_study(
        'sweep = { test_unit = "patient", repeats = 2, reference_repeats = 3, seed = 7 }\n'
        "training.validation_patients = 1"
    )
    grid = freeze(study).grid
    assert (grid.test_unit, grid.repeats, grid.reference_repeats, grid.seed) == ("patient", 2, 3, 7)
    assert grid.validation_patients == 1
    assert grid.arms == study.arms
    assert len(grid) == 4 * 3 * 2 + 3 * 3


def test_what_another_version_said_of_computing_is_no_part_of_a_run(make_study: MakeStudy) -> None:
    words = json.loads(freeze(make_study()).to_json())
    words["study"]["compute"]["gpus_per_fold"] = 1
    assert Manifest.model_validate(words) == freeze(make_study())
