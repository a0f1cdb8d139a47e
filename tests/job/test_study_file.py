import re
from pathlib import Path

import pytest

from job.contract.errors import StudyError
from job.study_file import load_study, parse_study
from tests.job.toml_studies import make_study

MINIMAL = """
name = "minimal"
preset = "smoke"
[cohort]
root = "exams"
pattern = "{patient}/{channel}.nii.gz"
labels = "{patient}/label.nii.gz"
channels = ["t2", "t1 späte Phase"]
classes = { tumour = 1 }
"""


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    return tmp_path / "study.toml"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_file_is_read_as_utf8_whatever_editor_wrote_it(study_file: Path, encoding: str) -> None:
    study_file.write_bytes(MINIMAL.replace("\n", "\r\n").encode(encoding))
    assert load_study(study_file).cohort.channel_names == ("t2", "t1 späte Phase")


def test_a_missing_file_is_named(study_file: Path) -> None:
    with pytest.raises(StudyError, match=re.escape(f"{study_file}: no such file; name the study file")):
        load_study(study_file)


def test_a_folder_is_no_study_file(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=re.escape(f"{tmp_path}: is a folder; name the study file in it")):
        load_study(tmp_path)


def test_a_file_in_another_encoding_is_refused(study_file: Path) -> None:
    study_file.write_bytes('name = "ä"'.encode("latin-1"))
    with pytest.raises(StudyError, match=re.escape(f"{study_file}: not UTF-8 text (invalid")) as refusal:
        load_study(study_file)
    assert "at byte 8" in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("name = small", "(at line 1, column 8)"),
        ('name = "a"\n[cohort\n', "(at line 2, column 8)"),
        ('name = "a"\nname = "b"\n', "(at line 2, column 11)"),
    ],
)
def test_a_mistake_of_syntax_is_placed(study_file: Path, text: str, place: str) -> None:
    study_file.write_text(text)
    with pytest.raises(StudyError, match=re.escape(f"{study_file}: not valid TOML: ")) as refusal:
        load_study(study_file)
    assert place in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ("presets = 3", "presets: unknown key; did you mean 'preset'?; known keys: name, cohort, sweep, "),
        ("trainin = {}", "trainin: unknown key; did you mean 'training'?; known keys: name,"),
        ("zzz = 1", "zzz: unknown key; known keys: name, cohort, sweep, store, network, training, "),
        (
            'cohort.chanels = ["a"]',
            "cohort.chanels: unknown key; did you mean 'channels'?; known keys: root, ",
        ),
        ("training.learningrate = 1", "training.learningrate: unknown key; did you mean 'learning_rate'?"),
        (
            "compute.run = 's'",
            "compute.run: unknown key; did you mean 'runs'?; known keys: backend, runs, ",
        ),
        (
            'cohort.channels = ["t1", { name = "t2", normalization = "none" }]',
            "cohort.channels[entry 2].normalization: unknown key; did you mean 'normalisation'?; "
            "known keys: name, files, index, normalisation, range",
        ),
        (
            'sweep.endpoint = { class = "tumour", metrik = "dice" }',
            "sweep.endpoint.metrik: unknown key; did you mean 'metric'?; known keys: class, metric",
        ),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(changes: str, line: str) -> None:
    with pytest.raises(StudyError, match=re.escape(f"study.toml: {line}")):
        make_study(changes)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ("name = 3", "name: expected text in quotes, got 3"),
        (
            'name = "head neck"',
            "name: expected at most 40 letters, digits, - and _, the first a letter or a digit, got 'head neck'",
        ),
        ("cohort = 3", "cohort: expected a table with keys and values, got 3"),
        ("training = [1]", "training: expected a table with keys and values, got [1]"),
        ("cohort.channels = 3", "cohort.channels: expected a list in square brackets, got 3"),
        ('cohort.channels = "t1"', "cohort.channels: expected a list in square brackets, got 't1'"),
        ("cohort.channels = []", "cohort.channels: expected at least 1 value(s), got []"),
        ("cohort.channels = [3]", "cohort.channels[entry 1]: expected a table with keys and values, got 3"),
        (
            'cohort.channels = ["t1", "t2/a"]',
            r"cohort.channels[entry 2]: expected a name that does not begin with a space and has none of "
            r"/ \ { }, got 't2/a'",
        ),
        (
            'cohort.channels = ["t1", { name = "t2", normalisation = "z" }]',
            "cohort.channels[entry 2].normalisation: expected 'zscore', 'percentile', 'fixed' or 'none', got 'z'",
        ),
        (
            'cohort.channels = ["t1", { name = "t2", normalisation = "fixed", range = [1] }]',
            "cohort.channels[entry 2].range: expected 2 values, got [1]",
        ),
        (
            'cohort.channels = ["t1", { name = "t2", normalisation = "fixed", range = [0, inf] }]',
            "cohort.channels[entry 2].range[entry 2]: expected a finite number, got inf",
        ),
        (
            'cohort.classes = ["tumour"]',
            "cohort: classes: 'tumour' names a file; write its value in the label maps, or put {class} into labels "
            "if each class has a file of its own",
        ),
        ("cohort.classes = {}", "cohort.classes: expected at least 1 value(s), got {}"),
        ('cohort.classes = ["a", "b", "a"]', "cohort: class 'a' is listed twice"),
        (
            'cohort.classes.tumour = "x"',
            "cohort: classes: 'tumour' names a file; write its value in the label maps, or put {class} into labels "
            "if each class has a file of its own",
        ),
        (
            "cohort.classes.tumour = 1.5",
            "cohort.classes.tumour: expected a whole number or text in quotes or a list in square brackets, got 1.5",
        ),
        (
            'cohort.classes.tumour = [1, "x"]',
            "cohort: classes: 'tumour' has both values and texts; write the one or the other",
        ),
        (
            "cohort.classes.tumour = [1, 2.5]",
            "cohort.classes.tumour[entry 2]: expected a whole number or text in quotes, got 2.5",
        ),
        (
            'cohort.labels = "{patient}/{class}"\ncohort.classes = { a = ["x", "y"], b = "x" }',
            "cohort: classes: the text 'x' is given twice; a file is of one class",
        ),
        (
            'cohort.classes.tumour = ["x", "y"]',
            "cohort: classes: 'tumour' names a file; write its value in the label maps, or put {class} into labels "
            "if each class has a file of its own",
        ),
        (
            "cohort.classes.tumour = []",
            "cohort.classes.tumour: expected a whole number or text in quotes or at least 1 value(s), got []",
        ),
        (
            'cohort.classes."a/b" = 1',
            r"cohort.classes.a/b: expected a name that does not begin with a space and has none of / \ { }, "
            "got 'a/b'",
        ),
        ("cohort.acquisitions.dce = []", "cohort.acquisitions.dce: expected at least 1 value(s), got []"),
        ('cohort.exclude = "p1"', "cohort.exclude: expected a list in square brackets, got 'p1'"),
        ('training.steps = "many"', "training.steps: expected a whole number, got 'many'"),
        ("training.steps = 1.5", "training.steps: expected a whole number, got 1.5"),
        ("training.steps = 0", "training.steps: expected a number above 0, got 0"),
        ("training.momentum = 1.0", "training.momentum: expected a number below 1, got 1.0"),
        ("training.weight_l1 = -1", "training.weight_l1: expected a number of at least 0, got -1"),
        ("training.learning_rate = nan", "training.learning_rate: expected a finite number, got nan"),
        ("training.segment_shape = 25", "training.segment_shape: expected a list in square brackets, got 25"),
        ("training.segment_shape = [25]", "training.segment_shape: expected 3 values, got [25]"),
        ("training.segment_shape = [25, 25]", "training.segment_shape: expected 3 values, got [25, 25]"),
        (
            "training.segment_shape = [9, 9, 9, 9]",
            "training.segment_shape: expected at most 3 value(s), got [9, 9, 9, 9]",
        ),
        (
            'training.segment_shape = [25, 25, "x"]',
            "training.segment_shape[entry 3]: expected a whole number, got 'x'",
        ),
        (
            'training.class_proportions = "half"',
            "training.class_proportions: expected 'foreground' or 'equal' or a table with keys and values, "
            "got 'half'",
        ),
        (
            "training.class_proportions = { tumour = 2 }",
            "training.class_proportions.tumour: expected a number of at most 1, got 2",
        ),
        ('training.flip_axes = ["x", "q"]', "training.flip_axes[entry 2]: expected 'x', 'y' or 'z', got 'q'"),
        ('sweep.endpoint = "tumour"', "sweep.endpoint: expected a table with keys and values, got 'tumour'"),
        ('sweep.endpoint = { metric = "dice" }', "sweep.endpoint.class: missing; this key is required"),
        ('network.name = "unet"', "network.name: expected 'deepmedic', got 'unet'"),
        ("compute.cores_per_fold = 0", "compute.cores_per_fold: expected a number above 0, got 0"),
    ],
)
def test_a_value_of_the_wrong_kind_is_explained_in_one_line(changes: str, line: str) -> None:
    with pytest.raises(StudyError) as refusal:
        make_study(changes)
    assert str(refusal.value) == f"study.toml: {line}"


def test_a_list_of_shapes_that_is_one_shape_is_explained_entry_by_entry() -> None:
    with pytest.raises(StudyError) as refusal:
        make_study("network.subsampling = [3, 1]")
    assert str(refusal.value).splitlines() == [
        "study.toml: network.subsampling[entry 1]: expected a list in square brackets, got 3",
        "study.toml: network.subsampling[entry 2]: expected a list in square brackets, got 1",
    ]


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(StudyError) as refusal:
        make_study("typo = 1\ntraining.steps = 0\nsweep.repeats = -1", without="name")
    places = [line.split(": ")[1] for line in str(refusal.value).splitlines()]
    assert sorted(places) == ["name", "sweep.repeats", "training.steps", "typo"]


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        (
            '"smok"',
            "preset 'smok' is unknown; did you mean 'smoke'?; presets: reference-study, deepmedic-paper",
        ),
        ("3", "preset 3 is unknown; presets: "),
        ('["smoke"]', "preset ['smoke'] is unknown"),
    ],
)
def test_an_unknown_preset_is_named_with_the_nearest_one(preset: str, message: str) -> None:
    with pytest.raises(StudyError, match=re.escape(f"study.toml: {message}")):
        make_study(f"preset = {preset}")


@pytest.mark.parametrize(
    ("preset", "own", "key", "replaced"),
    [
        ("smoke", "training.patch_shape = [41, 41, 21]", "training", "segment_shape"),
        ("reference-study", "training.segment_shape = [125, 125, 9]", "training", "patch_shape"),
        ("smoke", "evaluation.tile_shape = [60, 60, 20]", "evaluation", "segment_shape"),
        ("reference-study", "evaluation.segment_shape = [125, 125, 9]", "evaluation", "tile_shape"),
    ],
)
def test_a_size_given_the_other_way_replaces_that_of_the_preset(
    preset: str, own: str, key: str, replaced: str
) -> None:
    section = getattr(make_study(f'preset = "{preset}"\n{own}'), key)
    assert getattr(section, replaced) is None


def test_channels_of_the_file_come_without_the_acquisitions_of_the_preset() -> None:
    study = make_study('preset = "reference-study"\nsweep.leave_out = "acquisitions"')
    assert [arm.name for arm in study.arms] == ["reference", "without t2", "without t1", "without adc"]


def test_a_schedule_of_the_file_comes_without_the_fractions_of_the_preset() -> None:
    training = make_study('preset = "deepmedic-paper"\ntraining.schedule = "poly"').training
    assert (training.schedule, training.halve_at) == ("poly", ())


def test_classes_of_the_file_replace_all_of_the_preset() -> None:
    study = make_study('preset = "reference-study"\ncohort.classes = { liver = 7 }')
    assert study.cohort.class_names == ("liver",)


def test_a_mapping_that_was_parsed_is_not_changed() -> None:
    table = {"name": "a", "preset": "smoke", "cohort": {"root": "c", "channels": ["a", "b"]}}
    table["cohort"] |= {"pattern": "{patient}/{channel}", "labels": "{patient}/l", "classes": {"t": 1}}  # type: ignore[operator]
    before = repr(table)
    parse_study(table, source="study.toml")
    assert repr(table) == before
