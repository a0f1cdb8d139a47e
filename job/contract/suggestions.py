"""What to say of a key that the study file does not have: near ones, other tables', other programs' words."""

import difflib
import re
from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from job.contract.cohort import Channel, Cohort
from job.contract.networks import NETWORKS
from job.contract.study import Compute, Endpoint, Evaluation, Store, Study, Sweep, Training

Models = type[BaseModel] | tuple[type[BaseModel], ...]

TABLES: dict[str, tuple[Models, str]] = {
    "": (Study, "at the top of the file, before the first [table]"),
    "cohort": (Cohort, "in [cohort]"),
    "cohort.channels": (Channel, "in an entry of cohort.channels"),
    "sweep": (Sweep, "in [sweep]"),
    "sweep.endpoint": (Endpoint, "in sweep.endpoint"),
    "store": (Store, "in [store]"),
    "network": (tuple(NETWORKS.values()), "in [network]"),
    "training": (Training, "in [training]"),
    "evaluation": (Evaluation, "in [evaluation]"),
    "compute": (Compute, "in [compute]"),
}
"""Tables by their place, without positions in lists: what they may hold, and where in the file they are."""

OTHER_WORDS: dict[str, str] = {
    ".cohort": "data dataset datasets",
    ".network": "model net architecture",
    ".training": "train trainer hyperparameters training_options",
    ".evaluation": "inference eval test testing",
    ".compute": "hardware resources",
    "cohort.root": "data_dir data_root datadir data_path root_dir dataset_dir image_dir path",
    "cohort.pattern": "file_pattern images image_pattern",
    "cohort.labels": "label_pattern segmentation segmentations ground_truth seg masks",
    "cohort.mask": "brain_mask body_mask mask_pattern",
    "cohort.channels": "modalities modality sequences contrasts channel_names in_channels num_channels",
    "cohort.classes": "num_classes n_classes labels_dict label_names out_channels",
    "cohort.exclude": "excluded exclude_patients skip",
    "cohort.channels.normalisation": "normalization normalization_scheme normalize normalise scaling",
    "sweep.seed": "random_seed random_state manual_seed",
    "sweep.repeats": "n_repeats num_repeats repetitions runs_per_fold",
    "sweep.endpoint": "primary_endpoint target_metric",
    "sweep.equivalence_margin": "margin delta",
    "store.folder": "cache_dir cache preprocessed preprocessed_dir",
    "store.block_shape": "block_size chunks chunk_size chunk_shape",
    "network.feature_maps": "filters num_filters n_filters base_num_features feature_size",
    "network.kernels": "kernel_size kernel_sizes conv_kernel_sizes",
    "network.dropout": "dropout_rate dropout_prob dropout_p",
    "training.steps": (
        "max_epochs epochs num_epochs n_epochs iterations num_iterations max_iterations max_steps num_steps "
        "steps_per_epoch num_iterations_per_epoch"
    ),
    "training.batch_size": "batch minibatch_size mini_batch_size minibatch",
    "training.patch_shape": "patch_size input_size image_size crop_size spatial_size",
    "training.class_proportions": "class_weights class_weight oversample_foreground_percent pos_neg_ratio",
    "training.loss": "loss_function loss_fn criterion",
    "training.optimiser": "optimizer solver",
    "training.learning_rate": "lr learning_rate_init initial_lr initial_learn_rate learn_rate base_lr",
    "training.weight_l2": "weight_decay l2 l2_regularization",
    "training.weight_l1": "l1 l1_regularization",
    "training.schedule": "scheduler lr_scheduler lr_schedule learn_rate_schedule",
    "training.flip_axes": "mirror mirror_axes mirroring flip random_flip",
    "training.precision": "amp mixed_precision fp16 bf16 half_precision",
    "training.validation_patients": "val_patients validation validation_split validation_data val_split",
    "training.validate_every": "val_interval val_every validation_frequency check_val_every_n_epoch",
    "evaluation.tile_shape": "roi_size sw_roi_size patch_size patch_shape input_size",
    "evaluation.tile_batch": "sw_batch_size batch_size",
    "compute.runs": "output output_dir output_folder out_dir results results_dir save_dir log_dir",
    "compute.device": "cuda accelerator execution_environment gpus num_gpus n_gpus devices",
    "compute.cores_per_fold": "threads num_threads cpus n_jobs",
}
"""Our keys by table, and what users of nnU-Net, MONAI, MATLAB, Keras and the like call them."""

REMARKS: dict[str, str] = {
    "cohort.classes": "by name, each with its value in the label maps",
    "training.patch_shape": "voxels along (x, y, z)",
    "training.precision": 'such as "fp16"',
    "training.steps": "it counts optimiser updates, not epochs",
    "training.weight_l2": 'of "adamw" its decoupled weight decay',
    "evaluation.tile_shape": "voxels along (x, y, z)",
}
"""What a word of another program does not say."""

WITHOUT_KEY: dict[str, str] = {
    "workers num_workers n_workers pin_memory prefetch_factor cache_rate": (
        "there is no key for it: data stay on the device, and no worker loads them"
    ),
}
"""Words for what needs no setting here."""


def suggestion(place: Sequence[str | int], known: Sequence[str]) -> str:
    """What may have been meant by a key, to be put behind `unknown key`; empty if there is nothing to say.

    Args:
        place: Of the key in the file.
        known: The keys of its table.
    """
    table, key = ".".join(part for part in place[:-1] if isinstance(part, str)), str(place[-1])
    if (same := _alike(key, known)) is not None:
        return f"; did you mean {same!r}?"
    meant = _MEANT.get(_plain(key), {})
    if table in meant:
        return f"; did you mean {meant[table]!r}{_remark(table, meant[table])}?"
    if homes := [where for own, where in _homes(key) if own != table]:
        return f"; it belongs {' or '.join(homes)}"
    if meant:
        other = next(iter(meant))
        return f"; did you mean {meant[other]!r} {TABLES[other][1]}{_remark(other, meant[other])}?"
    if (reason := _NEEDLESS.get(_plain(key))) is not None:
        return f"; {reason}"
    return nearest(key, known)


def nearest(word: str, known: Mapping[str, object] | Sequence[str]) -> str:
    """The known word that looks most like one that is not; empty if none does."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else ""


def keys_of(models: Models) -> tuple[str, ...]:
    """The keys that a table may have in the file; of a table of several kinds, those of all."""
    kinds = models if isinstance(models, tuple) else (models,)
    keys = [field.alias or name for model in kinds for name, field in model.model_fields.items()]
    return tuple(dict.fromkeys([*keys, "preset"] if models is Study else keys))


def _plain(word: str) -> str:
    """A word without what programs write differently: `MiniBatchSize`, `mini-batch-size`, `mini_batch_size`."""
    return re.sub(r"[\W_]", "", word).lower()


def _alike(key: str, known: Sequence[str]) -> str | None:
    return next((each for each in known if _plain(each) == _plain(key)), None)


def _homes(key: str) -> list[tuple[str, str]]:
    """The tables that have a key of this name: place, and where that is in words."""
    return [
        (table, where) for table, (model, where) in TABLES.items() if _alike(key, keys_of(model)) is not None
    ]


def _remark(table: str, key: str) -> str:
    remark = REMARKS.get(f"{table}.{key}")
    return f" ({remark})" if remark else ""


def _by_word() -> dict[str, dict[str, str]]:
    meant: dict[str, dict[str, str]] = {}
    for target, words in OTHER_WORDS.items():
        table, _, key = target.rpartition(".")
        for word in words.split():
            meant.setdefault(_plain(word), {}).setdefault(table, key)
    return meant


_MEANT = _by_word()
"""By word of another program and table: our key."""
_NEEDLESS = {_plain(word): reason for words, reason in WITHOUT_KEY.items() for word in words.split()}
