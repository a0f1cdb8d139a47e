import re
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from job.contract.errors import StudyError
from job.contract.study import Study

MakeStudy = Callable[..., Study]

IMPOSSIBLE = [
    # channels
    (
        'cohort.channels = ["t2", { name = "adc", normalisation = "fixed" }]',
        'cohort.channels[entry 2]: normalisation "fixed" needs range = [low, high] in the map\'s unit',
    ),
    (
        'cohort.channels = ["t1", { name = "t2", range = [0, 1] }]',
        'cohort.channels[entry 2]: range has no meaning for normalisation "zscore"; leave it out',
    ),
    (
        'cohort.channels = ["t1", { name = "t2", normalisation = "none", range = [0, 1] }]',
        'cohort.channels[entry 2]: range has no meaning for normalisation "none"; leave it out',
    ),
    (
        'cohort.channels = ["t1", { name = "t2", normalisation = "fixed", range = [3, 3] }]',
        "cohort.channels[entry 2]: range must be [low, high] with low < high, got [3.0, 3.0]",
    ),
    (
        'cohort.channels = ["t1", { name = "t2", normalisation = "percentile", range = [1, 101] }]',
        "cohort.channels[entry 2]: percentiles lie within 0..100, got [1.0, 101.0]",
    ),
    ('cohort.channels = ["t2", "t1", "t2"]', "cohort: channel 't2' is listed twice"),
    # acquisitions
    (
        'cohort.acquisitions = { dce = ["ve", "t1"] }',
        "cohort: acquisitions name 've'; the channels are t2, t1, adc",
    ),
    (
        'cohort.acquisitions = { a = ["t1", "t2"], b = ["adc", "t1"] }',
        "cohort: channel 't1' is in two acquisitions",
    ),
    (
        'cohort.acquisitions = { t1 = ["t2", "adc"] }',
        "cohort: acquisition 't1' has the name of a channel outside it; rename it",
    ),
    # classes
    (
        "cohort.classes = { a = 1, b = [2, 1] }",
        "cohort: label value 1 is in 'a' and 'b'; classes must not overlap: name each value once, and write what "
        'holds several of them as a union: structures = { "a" = [...] }',
    ),
    ("cohort.classes = { a = [4, 4] }", "cohort: label value 4 is given twice (classes and background)"),
    ("cohort.classes = { a = 0 }", "cohort: label value 0 is given twice (classes and background)"),
    ("cohort.background = [0, 3]", "cohort: label value 3 is given twice (classes and background)"),
    ("cohort.background = [9]", "cohort: background must hold label value 0"),
    (
        "cohort.classes = { union = 1 }",
        'cohort: "union" is the name of all classes together; rename the class',
    ),
    (
        "cohort.classes = { background = 1 }",
        'cohort: "background" is the name of what is no class; rename the class',
    ),
    (
        f"cohort.classes = {{ {', '.join(f'c{n} = {n}' for n in range(1, 256))} }}",
        "cohort: 255 classes; at most 254 fit the store's 8 bits",
    ),
    # patterns
    (
        'cohort.pattern = "{channel}.nii.gz"',
        "cohort: pattern '{channel}.nii.gz' has no {patient}: exams of one patient must be known",
    ),
    (
        'cohort.labels = "label.nii.gz"',
        "cohort: labels 'label.nii.gz' has no {patient}: exams of one patient must be known",
    ),
    (
        'cohort.mask = "mask.nii.gz"',
        "cohort: mask 'mask.nii.gz' has no {patient}: exams of one patient must be known",
    ),
    (
        'cohort.labels = "{patient}/{exam}.nii.gz"',
        "cohort: {exam} must be in all of pattern, labels and mask, or in none (labels)",
    ),
    (
        'cohort.mask = "{patient}/{exam}.nii.gz"',
        "cohort: {exam} must be in all of pattern, labels and mask, or in none (mask)",
    ),
    (
        'cohort.pattern = "{patient}/t1.nii.gz"',
        "cohort: pattern '{patient}/t1.nii.gz' has no {channel}, which tells the files of channels apart; if one "
        '4-D file holds them all, say which volume each is: { name = "t2", index = 0 }',
    ),
    (
        'cohort.labels = "{patient}/{channel}-label.nii.gz"',
        "cohort: {channel} belongs in pattern, and only there (labels is '{patient}/{channel}-label.nii.gz')",
    ),
    # sweep
    (
        'sweep.endpoint = { class = "liver" }',
        "sweep.endpoint.class is 'liver'; expected one of tumour, node, union",
    ),
    (
        'sweep.endpoint = { class = "union" }\ncohort.classes = { tumour = 1 }',
        "sweep.endpoint.class is 'union'; expected one of tumour",
    ),
    (
        'sweep.endpoint = { class = ["tumour", "liver"] }',
        "sweep.endpoint.class is 'liver'; expected one of tumour, node, union",
    ),
    (
        'sweep.endpoint = { class = ["tumour", "node", "tumour"] }',
        "sweep.endpoint: class has 'tumour' twice; name each structure once",
    ),
    ("sweep.endpoint = { class = [] }", "sweep.endpoint.class"),
    ("sweep.equivalence_margin = 0", "sweep.equivalence_margin: expected a number above 0, got 0"),
    ("sweep.equivalence_margin = 2", "sweep: equivalence_margin: a Dice has no loss of 2; 2 % is 0.02"),
    ("sweep.equivalence_margin = 1.0", "sweep: equivalence_margin: a Dice has no loss of 1; 1 % is 0.01"),
    (
        'sweep.equivalence_margin = -1\nsweep.endpoint = { class = "tumour", metric = "hd95_mm" }',
        "sweep.equivalence_margin: expected a number above 0, got -1",
    ),
    (
        "sweep.relative_margin = 25",
        "sweep.relative_margin: expected a number of at most 1, got 25; 25 % is 0.25",
    ),
    ("sweep.relative_margin = 0", "sweep.relative_margin: expected a number above 0, got 0"),
    ("sweep.smallest_dice = -0.1", "sweep.smallest_dice: expected a number of at least 0, got -0.1"),
    ("sweep.smallest_dice = 30", "sweep.smallest_dice: expected a number below 1, got 30; 30 % is 0.3"),
    ("sweep.smallest_dice = 1.0", "sweep.smallest_dice: expected a number below 1, got 1.0"),
    ('cohort.channels = ["t1"]', 'arm "without t1" would have no channel (leave_out = "channels"'),
    (
        'cohort.channels = ["t1", "t2"]\nsweep.leave_out = "pairs"',
        'arm "without t1 and t2" would have no channel (leave_out = "pairs"',
    ),
    (
        'sweep.leave_out = "acquisitions"\ncohort.acquisitions = { all = ["t2", "t1", "adc"] }',
        'arm "without all" would have no channel (leave_out = "acquisitions"',
    ),
    # network
    (
        "network.kernels = [[3, 3, 3]]",
        "network: kernels has 1 entries, needs 4 (one per stage of feature_maps)",
    ),
    ("network.subsampling = [[3, 2, 1]]", "network: subsampling has (3, 2, 1); it takes three odd numbers"),
    ("network.dropout = [0.5]", "network: dropout has 1 entries, needs 2 (fc_features plus the classifier)"),
    ("network.residual_stages = [5]", "network: residual_stages has stage 5; it takes stages from 2"),
    # training and evaluation
    (
        "training.patch_shape = [25, 25, 25]\ntraining.segment_shape = [25, 25, 25]",
        "training: give either patch_shape or segment_shape",
    ),
    ('training.schedule = "halve"', 'training: halve_at belongs to schedule = "halve", which needs it'),
    ("training.halve_at = [0.5]", 'training: halve_at belongs to schedule = "halve", which needs it'),
    (
        "training.class_proportions = { background = 0, tumour = 0 }",
        "training: class_proportions must not all be 0",
    ),
    (
        "training.class_proportions = { liver = 1 }",
        "training.class_proportions: no class 'liver'; expected some of background, tumour, node",
    ),
    (
        "evaluation.tile_shape = [45, 45, 45]\nevaluation.segment_shape = [45, 45, 45]",
        "evaluation: give either tile_shape or segment_shape",
    ),
    (
        # 4 kernels of 3, and a factor of 3 along x: 3 * (8 + 1) = 27
        "training.patch_shape = [24, 25, 9]",
        "[training] a patch of 24 voxels along x is too small: to predict 1 of them, the network "
        "must see at least 25",
    ),
    (
        "training.segment_shape = [21, 21, 8]",
        "[training] a segment of 8 voxels along z gives no output; the smallest is 9",
    ),
    ("evaluation.tile_shape = [25, 24, 9]", "[evaluation] a patch of 24 voxels along y is too small"),
    ("evaluation.segment_shape = [8, 9, 9]", "[evaluation] a segment of 8 voxels along x gives no output"),
]


@pytest.mark.parametrize(("changes", "message"), IMPOSSIBLE)
def test_an_impossible_study_is_refused(make_study: MakeStudy, changes: str, message: str) -> None:
    with pytest.raises(StudyError, match=re.escape(f"study.toml: {message}")) as refusal:
        make_study(changes)
    assert "\n" not in str(refusal.value)


def test_a_training_without_a_size_is_refused(make_study: MakeStudy) -> None:
    with pytest.raises(StudyError, match="training: give either patch_shape or segment_shape"):
        make_study("training.steps = 10", without="preset")


def test_a_value_never_changes(make_study: MakeStudy) -> None:
    study = make_study()
    with pytest.raises(ValidationError, match="frozen"):
        study.training.steps = 3  # type: ignore[misc]


def test_a_bare_name_is_a_channel_and_so_is_a_table(make_study: MakeStudy) -> None:
    study = make_study('cohort.channels = ["t2", { name = "t1", files = "T1*" }]')
    assert study.cohort.channel_names == ("t2", "t1")
    assert [(c.files, c.normalisation, c.range) for c in study.cohort.channels] == [
        (None, "zscore", None),
        ("T1*", "zscore", None),
    ]


def test_channels_in_no_acquisition_are_acquisitions_of_their_own(make_study: MakeStudy) -> None:
    study = make_study(
        'cohort.channels = ["t2", "ktrans", "t1", "ve"]\n'
        'cohort.acquisitions = { dce = ["ve", "ktrans"] }\n'
        'sweep.leave_out = "acquisitions"'
    )
    assert study.cohort.groups == {"t2": ("t2",), "dce": ("ktrans", "ve"), "t1": ("t1",)}
    assert [arm.name for arm in study.arms] == ["reference", "without t2", "without dce", "without t1"]


def test_a_class_may_have_several_label_values(make_study: MakeStudy) -> None:
    cohort = make_study().cohort
    assert cohort.class_names == ("tumour", "node")
    assert cohort.class_values == ((1,), (2, 3))


def test_the_endpoint_is_dice_of_the_first_class_unless_given(make_study: MakeStudy) -> None:
    default = make_study().endpoint
    assert (default.structure, default.metric) == ("tumour", "dice")
    given = make_study('sweep.endpoint = { class = "union", metric = "hd95_mm" }').endpoint
    assert (given.structure, given.metric) == ("union", "hd95_mm")


def test_an_endpoint_may_have_several_structures_the_leading_one_first(make_study: MakeStudy) -> None:
    several = make_study('sweep.endpoint = { class = ["node", "tumour"] }').endpoint
    assert (several.structures, several.leading) == (("node", "tumour"), "node")
    one = make_study('sweep.endpoint = { class = "node" }').endpoint
    assert (one.structures, one.leading) == (("node",), "node")
    assert make_study().endpoint.structures == ("tumour",)
    assert Study.model_validate_json(
        make_study('sweep.endpoint = { class = ["node"] }').model_dump_json(by_alias=True)
    )


def test_a_margin_is_stated_with_its_reason_or_a_default_of_dice_alone(make_study: MakeStudy) -> None:
    assert make_study().margin == 0.02
    assert make_study('sweep.endpoint = { class = "tumour", metric = "hd95_mm" }').margin is None
    stated = make_study('sweep.equivalence_margin = 0.05\nsweep.margin_justification = "two readers"')
    assert (stated.margin, stated.sweep.margin_justification) == (0.05, "two readers")
    in_mm = 'sweep.endpoint = { class = "tumour", metric = "hd95_mm" }\nsweep.equivalence_margin = 2'
    assert make_study(in_mm).margin == 2
    assert make_study("sweep.equivalence_margin = 0.99").margin == 0.99
    assert (stated.sweep.relative_margin, stated.sweep.smallest_dice) == (0.25, 0.3)
