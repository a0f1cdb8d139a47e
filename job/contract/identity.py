"""What a fold is, whatever run it is part of: a digest of all that determines its numbers.

A run's own identity (`Manifest.digest`) holds its endpoint, its margin and how many repeats it has; a fold's holds
none of them. So what one run has trained serves every other run that has the same fold.
"""

import json
from collections.abc import Iterable
from hashlib import sha256

from job.contract.grid import Fold
from job.contract.manifest import Manifest

NUMBERS = 1
"""Raised where a change of the code gives folds other numbers, as other draws do: else arms would be compared whose
draws differ."""
_OF_THE_RUN = ("validation_patients", "validate_every")
"""Keys of `training` that tell which exams are held out, which the fold names itself, and when they are looked at."""


def fold_identities(manifest: Manifest, folds: Iterable[int]) -> dict[int, str]:
    """The identities of some folds of a run, by their numbers: SHA-256, in hexadecimal.

    Two folds with one identity have the same bits where the same kind of device and number of threads trains them.
    In it are the network, the training, the evaluation and what is scored; the seed, and the repeat and the unit
    that random streams are named by; the arm's channels; and its exams for training, validation and test, in their
    order, each by patient, name and digest (which covers how it was prepared). Not in it are names of studies and
    runs, places, what computes, the endpoint and its margins, and how many repeats there are.
    """
    study = manifest.study
    common = {
        "numbers": NUMBERS,
        "network": study.network.model_dump(mode="json"),
        "training": study.training.model_dump(mode="json", exclude=set(_OF_THE_RUN)),
        "evaluation": study.evaluation.model_dump(mode="json"),
        "scored": study.cohort.structure_labels,
        "channels": study.cohort.channel_names,
        "seed": study.sweep.seed,
    }
    return {index: _identity(common, manifest.grid.fold(index), manifest) for index in folds}


def _identity(common: dict[str, object], fold: Fold, manifest: Manifest) -> str:
    exams = {
        "training": fold.training_exams,
        "validation": fold.validation_exams,
        "test": fold.test_exams,
    }
    own = {
        "repeat": fold.repeat,
        "unit": fold.unit,
        "arm": [fold.arm.name, *fold.arm.channels],
        "exams": {
            use: [[manifest.exams[n].patient, manifest.exams[n].exam, manifest.exams[n].digest] for n in own]
            for use, own in exams.items()
        },
    }
    return sha256(json.dumps(common | own, sort_keys=True).encode()).hexdigest()
