"""Named starting points for a study file: what a preset gives, the file's own keys override."""

from collections.abc import Callable
from typing import Any


def reference_study() -> dict[str, Any]:
    """The study of Bielak et al., Radiat Oncol 15:181 (2020): 7 channels, patches of 165 x 165 x 9 voxels.

    What the paper says is taken over: channels, classes, patch, z-scored weighted images and parameter maps
    scaled by fixed ranges, one input that diverges into pathways. Kernels follow the receptive field of the
    group's precursor network (21 x 21 x 3). Ranges, optimiser and number of steps are ours.
    """
    return {
        "cohort": {
            "channels": [
                {"name": "t2"},
                {"name": "t1"},
                {"name": "t1c"},
                {"name": "t2star", "normalisation": "fixed", "range": [0.0, 100.0]},
                {"name": "ktrans", "normalisation": "fixed", "range": [0.0, 1.0]},
                {"name": "ve", "normalisation": "fixed", "range": [0.0, 1.0]},
                {"name": "adc", "normalisation": "fixed", "range": [0.0, 3.0]},
            ],
            "acquisitions": {"dce": ["ktrans", "ve"]},
            "classes": {"GTV-T": 1, "GTV-Ln": 2},
        },
        "network": {
            "variant": "paper",
            "feature_maps": [30, 30, 30, 40, 40, 40, 40, 40, 50, 50],
            "kernels": [[3, 3, 1]] * 9 + [[3, 3, 3]],
            "subsampling": [[3, 3, 1]],
        },
        "training": {
            "steps": 10_000,
            "batch_size": 16,
            "patch_shape": [165, 165, 9],
            "class_proportions": "equal",
            "schedule": "poly",
        },
        "evaluation": {"tile_shape": [165, 165, 9]},
    }


def deepmedic_paper() -> dict[str, Any]:
    """DeepMedic as published: Kamnitsas et al., Med Image Anal 36:61-78 (2017).

    35 epochs x 20 sub-epochs x 1000 segments in batches of 10 are 70,000 steps.
    """
    return {
        "network": {"variant": "paper"},
        "training": {
            "steps": 70_000,
            "batch_size": 10,
            "segment_shape": [25, 25, 25],
            "class_proportions": "foreground",
            "optimiser": "rmsprop",
            "learning_rate": 1e-3,
            "momentum": 0.6,
            "weight_l1": 1e-6,
            "weight_l2": 1e-4,
            "schedule": "halve",
            "halve_at": [epoch / 35 for epoch in (12, 16, 19, 22, 25, 28, 31, 34)],
        },
        "evaluation": {"segment_shape": [45, 45, 45]},
    }


def smoke() -> dict[str, Any]:
    """A small network and a short training, for a first try on a small cohort such as the phantom."""
    return {
        "network": {
            "variant": "paper",
            "feature_maps": [12, 12, 16, 16],
            "kernels": [[3, 3, 3]] * 4,
            "subsampling": [[3, 3, 1]],
            "fc_features": [32],
            "dropout": [0.0, 0.0],
        },
        "training": {
            "steps": 150,
            "batch_size": 8,
            "segment_shape": [21, 21, 13],
            "class_proportions": "equal",
            "optimiser": "adamw",
            "learning_rate": 3e-3,
            "schedule": "poly",
        },
        "evaluation": {"segment_shape": [44, 44, 20]},
    }


PRESETS: dict[str, Callable[[], dict[str, Any]]] = {
    "reference-study": reference_study,
    "deepmedic-paper": deepmedic_paper,
    "smoke": smoke,
}
