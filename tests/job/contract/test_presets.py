from collections.abc import Callable

import pytest

from job.contract.presets import PRESETS
from job.contract.study import Study
from job.networks.deepmedic.design import DeepMedicDesign
from job.study_file import parse_study

MakeStudy = Callable[..., Study]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_and_a_cohort_make_a_study(make_study: MakeStudy, preset: str) -> None:
    study = make_study(f'preset = "{preset}"')
    assert study.cohort.channel_names == ("t2", "t1", "adc")
    assert len(study.arms) == 4


def test_the_reference_study_needs_only_to_be_told_where_its_files_are() -> None:
    cohort = {
        "root": "exams",
        "pattern": "{patient}/{exam}/{channel}.nii.gz",
        "labels": "{patient}/{exam}/label.nii.gz",
    }
    study = parse_study({"name": "r", "preset": "reference-study", "cohort": cohort}, source="study.toml")
    assert study.cohort.channel_names == ("t2", "t1", "t1c", "t2star", "ktrans", "ve", "adc")
    assert study.cohort.class_names == ("GTV-T", "GTV-Ln")
    assert len(study.arms) == 8
    assert study.cohort.groups["dce"] == ("ktrans", "ve")
    fixed = {c.name: c.range for c in study.cohort.channels if c.normalisation == "fixed"}
    assert set(fixed) == {"t2star", "ktrans", "ve", "adc"}


def test_the_reference_study_cuts_patches_of_165_x_165_x_9(make_study: MakeStudy) -> None:
    study = make_study('preset = "reference-study"')
    design = DeepMedicDesign(study)
    assert study.training.patch_shape == study.evaluation.tile_shape == (165, 165, 9)
    # Ten kernels of 3 along x and y shrink by 20, one along z by 2: 21 x 21 x 3, three times that sub-sampled.
    assert design.sizes.receptive_fields() == ((21, 21, 3), (63, 63, 3))
    # The sub-sampled pathway reads 3 (k + 20) - 2 voxels for an output of 3 k: 163 of 165 for k = 35.
    assert design.training_window().output_zyx == (7, 105, 105)
    assert design.training_segment == design.evaluation_segment == (125, 125, 9)


def test_the_paper_trains_70_000_steps_and_halves_at_its_epochs(make_study: MakeStudy) -> None:
    training = make_study('preset = "deepmedic-paper"').training
    assert training.steps == 70_000 == 35 * 20 * 1000 // 10
    assert (training.batch_size, training.optimiser, training.learning_rate) == (10, "rmsprop", 1e-3)
    assert (training.momentum, training.weight_l1, training.weight_l2) == (0.6, 1e-6, 1e-4)
    assert [round(35 * fraction, 9) for fraction in training.halve_at] == [12, 16, 19, 22, 25, 28, 31, 34]


def test_the_paper_cuts_patches_of_55_voxels_for_segments_of_25(make_study: MakeStudy) -> None:
    study = make_study('preset = "deepmedic-paper"')
    design = DeepMedicDesign(study)
    assert design.training_segment == (25, 25, 25)
    assert design.training_window().output_zyx == (9, 9, 9)  # eight kernels of 3
    assert design.training_window().input_zyx == (55, 55, 55)  # 3 * (3 + 16) - 2 of the factor 3
    assert design.evaluation_segment == (45, 45, 45)


def test_the_smoke_study_is_small(make_study: MakeStudy) -> None:
    study = make_study('preset = "smoke"')
    assert study.training.steps == 150
    assert sum(study.network.architecture.feature_maps) == 12 + 12 + 16 + 16


def test_a_preset_is_made_anew_each_time() -> None:
    for preset in PRESETS.values():
        changed = preset()
        changed["training"]["steps"] = -1
        assert preset()["training"]["steps"] > 0
