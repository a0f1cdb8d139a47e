"""Unknown keys: what users of other programs meant, and keys that stand in the wrong table."""

import tomllib
from typing import Any

import pytest

from job.contract.errors import StudyError
from job.contract.suggestions import OTHER_WORDS, REMARKS, TABLES, WITHOUT_KEY, keys_of
from job.study_file import parse_study

STUDY = """
name = "small"
preset = "smoke"
[cohort]
root = "cohort"
pattern = "{patient}/{channel}.nii.gz"
labels = "{patient}/label.nii.gz"
channels = ["t2", { name = "t1" }]
classes = { tumour = 1 }
[sweep]
endpoint = { class = "tumour" }
"""
UPDATES = "it counts optimiser updates, not epochs"


def refused(place: str, key: str) -> str:
    """What is said of a key in a table of a sound study file, without the list of known keys."""
    table: dict[str, Any] = tomllib.loads(STUDY)
    own = table
    for part in place.split(".") if place else ():
        own = own.setdefault(part, {}) if part != "channels" else own[part][1]
    own[key] = 1
    with pytest.raises(StudyError) as refusal:
        parse_study(table, source="study.toml")
    where = "cohort.channels[entry 2]" if place == "cohort.channels" else place
    lines = str(refusal.value).splitlines()
    (line,) = [
        line for line in lines if line.startswith(f"study.toml: {where and f'{where}.'}{key}: unknown key")
    ]
    said, _, known = line.partition(": unknown key")[2].rpartition("; known keys: ")
    assert known == ", ".join(keys_of(TABLES[place][0]))
    return said


@pytest.mark.parametrize(
    ("place", "key", "said"),
    [
        # nnU-Net, MONAI
        ("training", "patch_size", "; did you mean 'patch_shape' (voxels along (x, y, z))?"),
        ("training", "initial_lr", "; did you mean 'learning_rate'?"),
        ("training", "lr", "; did you mean 'learning_rate'?"),
        ("training", "num_epochs", f"; did you mean 'steps' ({UPDATES})?"),
        ("training", "max_iterations", f"; did you mean 'steps' ({UPDATES})?"),
        ("training", "amp", "; did you mean 'precision' (such as \"fp16\")?"),
        ("training", "weight_decay", "; did you mean 'weight_l2' (of \"adamw\" its decoupled weight decay)?"),
        ("training", "lr_scheduler", "; did you mean 'schedule'?"),
        ("training", "loss_function", "; did you mean 'loss'?"),
        ("training", "optimizer", "; did you mean 'optimiser'?"),
        ("training", "val_patients", "; did you mean 'validation_patients'?"),
        ("training", "validation", "; did you mean 'validation_patients'?"),
        ("evaluation", "sw_roi_size", "; did you mean 'tile_shape' (voxels along (x, y, z))?"),
        ("evaluation", "patch_size", "; did you mean 'tile_shape' (voxels along (x, y, z))?"),
        ("evaluation", "patch_shape", "; did you mean 'tile_shape' (voxels along (x, y, z))?"),
        ("evaluation", "batch_size", "; did you mean 'tile_batch'?"),
        ("cohort", "modalities", "; did you mean 'channels'?"),
        (
            "cohort",
            "num_classes",
            "; did you mean 'classes' (by name, each with its value in the label maps)?",
        ),
        ("cohort", "data_dir", "; did you mean 'root'?"),
        ("cohort.channels", "normalization", "; did you mean 'normalisation'?"),
        ("network", "dropout_rate", "; did you mean 'dropout'?"),
        ("store", "chunks", "; did you mean 'block_shape'?"),
        ("compute", "output_dir", "; did you mean 'runs'?"),
        # MATLAB
        ("training", "MiniBatchSize", "; did you mean 'batch_size'?"),
        ("training", "InitialLearnRate", "; did you mean 'learning_rate'?"),
        ("training", "MaxEpochs", f"; did you mean 'steps' ({UPDATES})?"),
        (
            "training",
            "L2Regularization",
            "; did you mean 'weight_l2' (of \"adamw\" its decoupled weight decay)?",
        ),
        # Keras, PyTorch
        ("training", "batch-size", "; did you mean 'batch_size'?"),
        ("training", "Momentum", "; did you mean 'momentum'?"),
        ("training", "criterion", "; did you mean 'loss'?"),
        # another table's word
        ("", "epochs", f"; did you mean 'steps' in [training] ({UPDATES})?"),
        ("", "path", "; did you mean 'root' in [cohort]?"),
        ("training", "output", "; did you mean 'runs' in [compute]?"),
        ("training", "roi_size", "; did you mean 'tile_shape' in [evaluation] (voxels along (x, y, z))?"),
        ("network", "patch_size", "; did you mean 'patch_shape' in [training] (voxels along (x, y, z))?"),
        ("cohort", "normalization", "; did you mean 'normalisation' in an entry of cohort.channels?"),
        ("", "model", "; did you mean 'network'?"),
        ("", "random_seed", "; did you mean 'seed' in [sweep]?"),
        # a key of another table
        ("", "seed", "; it belongs in [sweep]"),
        ("training", "seed", "; it belongs in [sweep]"),
        ("network", "batch_size", "; it belongs in [training]"),
        ("", "batch_size", "; it belongs in [training]"),
        ("network", "segment_shape", "; it belongs in [training] or in [evaluation]"),
        ("training", "preset", "; it belongs at the top of the file, before the first [table]"),
        ("cohort", "range", "; it belongs in an entry of cohort.channels"),
        ("sweep", "metric", "; it belongs in sweep.endpoint"),
        ("training", "device", "; it belongs in [compute]"),
        ("training", "dropout", "; it belongs in [network]"),
        # no key at all
        (
            "training",
            "num_workers",
            "; there is no key for it: data stay on the device, and no worker loads them",
        ),
        ("compute", "workers", "; there is no key for it: data stay on the device, and no worker loads them"),
        # what is only misspelt, or nothing
        ("training", "learningrate", "; did you mean 'learning_rate'?"),
        ("training", "bach_size", "; did you mean 'batch_size'?"),
        ("training", "zzz", ""),
    ],
)
def test_an_unknown_key_is_told_what_it_may_mean(place: str, key: str, said: str) -> None:
    assert refused(place, key) == said


@pytest.mark.parametrize("target", sorted(OTHER_WORDS))
def test_every_word_of_another_program_leads_to_a_key_that_there_is(target: str) -> None:
    place, _, key = target.rpartition(".")
    for word in OTHER_WORDS[target].split():
        assert word not in keys_of(TABLES[place][0])
        assert f"did you mean {key!r}" in refused(place, word)


def test_remarks_are_of_keys_that_have_other_words() -> None:
    assert REMARKS.keys() <= OTHER_WORDS.keys()
    words = {word for words in OTHER_WORDS.values() for word in words.split()}
    assert words.isdisjoint(word for words in WITHOUT_KEY for word in words.split())
