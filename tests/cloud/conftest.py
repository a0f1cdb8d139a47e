"""The rig with the stack deployed, a cohort, and a sweep of it on this machine to compare with."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from job.contract import cloud
from job.contract.results import FoldResult
from job.data.phantom import make_phantom
from job.storage import Storage, open_storage
from tests.cloud import rig as rigs
from tests.cloud.rig import Rig
from tests.submit.test_whole_sweep import TWO_CHANNELS, toml

STUDY, SLOW = "quick", "slow"
"""Studies of the stack; the folds of the second last for minutes."""
FOLDS = 9
"""3 arms x 3 exams."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Marks what uses the rig. There is one for all, and each worker of xdist would make its own."""
    if "rig" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.cloud)
        if hasattr(item.config, "workerinput"):
            item.add_marker(pytest.mark.skip(reason="one rig for all tests: pytest tests/cloud, without -n"))


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A running rig, nothing deployed."""
    if reason := rigs.missing():
        pytest.skip(reason)
    with rigs.rig(tmp_path_factory.mktemp("rig")) as running:
        yield running


@pytest.fixture(scope="session")
def deployed(rig: Rig) -> dict[str, str]:
    """Outputs of the stack after `cdk deploy`."""
    return rig.deploy([STUDY, SLOW])


@pytest.fixture(scope="session")
def image(deployed: dict[str, str]) -> str:
    """Name of the image that `cdk deploy` built."""
    return deployed[cloud.IMAGE]


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 3 simulated exams."""
    folder = tmp_path_factory.mktemp("cohort")
    make_phantom(folder, patients=3, visits=1, seed=0, shape=(32, 32, 12))
    folder.chmod(0o755)  # for users of containers
    return folder


MakeStudy = Callable[..., Path]


@pytest.fixture(scope="session")
def make_study(cohort: Path) -> MakeStudy:
    """Writes a study of the cohort into a folder; keywords change keys of its tables."""

    def make(folder: Path, name: str = STUDY, **changes: dict[str, Any]) -> Path:
        # Checkpoints come so often that a machine that vanishes leaves one.
        compute = {"device": "cpu", "checkpoint_minutes": 0.01}
        tables: dict[str, Any] = TWO_CHANNELS | {"name": name, "compute": compute}
        tables["training"] = tables["training"] | {"steps": 900 if name == STUDY else 60_000}
        tables["cohort"] = tables["cohort"] | {"root": str(cohort)}
        for section, keys in changes.items():
            tables[section] = tables.get(section, {}) | keys
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "study.toml"
        file.write_text("\n".join(f"{key} = {toml(value)}" for key, value in tables.items()))
        return file

    return make


@dataclass(frozen=True)
class Swept:
    """A study whose folds are done."""

    study: Path
    run: Storage
    store: Storage


@pytest.fixture(scope="session")
def local(rig: Rig, make_study: MakeStudy, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """The study after a sweep by processes of this machine."""
    study = make_study(tmp_path_factory.mktemp("local"))
    rig.submit("sweep", study, "--array", str(FOLDS))
    (run,) = (study.parent / "runs").iterdir()
    return Swept(study, open_storage(str(run)), open_storage(str(study.parent / "store")))


def outcome(run: Storage, fold: int) -> dict[str, Any]:
    """What a fold leaves, but for what it took."""
    names = ("weights.safetensors", "prediction.nii.gz")
    result = FoldResult.model_validate_json(run.read(f"folds/{fold}/result.json"))
    history = [json.loads(line) for line in run.read(f"folds/{fold}/history.jsonl").splitlines()]
    timeless = [{key: value for key, value in line.items() if "seconds" not in key} for line in history]
    files = {name: run.read(f"folds/{fold}/{name}") for name in names}
    return files | {"result": result.model_dump(exclude={"cost"}), "history": timeless}


@pytest.fixture
def unrun(local: Swept, tmp_path: Path) -> Path:
    """A folder with `run/`, of which no fold has begun, and `store/`; anybody may write to the run."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/manifest.json").write_bytes(local.run.read("manifest.json"))
    shutil.copytree(local.study.parent / "store", tmp_path / "store")
    for path in (tmp_path, tmp_path / "run"):
        path.chmod(0o777)
    return tmp_path
