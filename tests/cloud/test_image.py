"""The image by itself, as on a GPU of one's own: folds from a mounted folder and from a bucket, on the CPU."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from job.contract import layout
from job.contract.exit_codes import ExitCode
from job.contract.results import Heartbeat
from job.storage import open_storage
from tests.cloud import containers
from tests.cloud.conftest import MakeStudy, Swept, outcome
from tests.cloud.rig import Rig, wait_for
from tests.s3_server import ACCESS

FOLD = 2
MOUNTED = ("--run", "/data/run", "--store", "/data/store", "--device", "cpu", "--threads", "1")

Start = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_image(image: str) -> Start:
    """Runs the image to its end; options are podman's."""

    def run(*arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        command = containers.podman("run", "--rm", "--pull", "never", *options, image, *arguments)
        return subprocess.run(
            command, env=containers.environment(), capture_output=True, text=True, timeout=300, check=False
        )

    return run


@pytest.mark.parametrize("user", [None, "4321:4321"])
def test_a_fold_from_a_mounted_folder_leaves_the_bytes_of_one_without_container(
    run_image: Start, unrun: Path, local: Swept, user: str | None
) -> None:
    options = ("--volume", f"{unrun}:/data", *(("--user", user) if user else ()))
    done = run_image("fold", "--index", str(FOLD), *MOUNTED, options=options)
    assert done.returncode == ExitCode.DONE, done.stderr
    assert outcome(open_storage(str(unrun / "run")), FOLD) == outcome(local.run, FOLD)
    owner = (unrun / "run" / layout.result(FOLD)).stat().st_uid
    assert owner == int(user.partition(":")[0] if user else 1000)


def test_a_fold_from_a_bucket_leaves_the_bytes_of_one_without_container(
    run_image: Start, rig: Rig, unrun: Path, local: Swept, deployed: dict[str, str]
) -> None:
    place = f"s3://{deployed['ResultsBucket']}/by-hand"
    for path in unrun.rglob("*"):
        if path.is_file():
            rig.storage(place).write(path.relative_to(unrun).as_posix(), path.read_bytes())
    variables = ACCESS | {"AWS_ENDPOINT_URL": rig.s3_url}
    options = tuple(part for name, value in variables.items() for part in ("--env", f"{name}={value}"))
    arguments = ("--run", f"{place}/run", "--store", f"{place}/store", "--device", "cpu", "--threads", "1")
    done = run_image("fold", "--index", str(FOLD), *arguments, options=options)
    assert done.returncode == ExitCode.DONE, done.stderr
    assert outcome(rig.storage(f"{place}/run"), FOLD) == outcome(local.run, FOLD)


def test_a_whole_sweep_in_one_container_leaves_the_bytes_of_one_without(
    run_image: Start, cohort: Path, make_study: MakeStudy, local: Swept, tmp_path: Path
) -> None:
    make_study(tmp_path, cohort={"root": "/cohort"}, compute={"cores_per_fold": 1})
    tmp_path.chmod(0o777)
    options = ("--volume", f"{tmp_path}:/data", "--volume", f"{cohort}:/cohort:ro", "--entrypoint", "submit")
    done = run_image("sweep", "/data/study.toml", "--folds", str(FOLD), options=options)
    assert done.returncode == ExitCode.DONE, done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    assert outcome(open_storage(str(run)), FOLD) == outcome(local.run, FOLD)


def test_a_container_that_is_stopped_leaves_a_checkpoint_and_ends_with_143(image: str, unrun: Path) -> None:
    name, folder = f"stopped-{uuid4().hex}", unrun / "run/folds/0"
    options = ("--name", name, "--volume", f"{unrun}:/data")
    command = containers.podman(
        "run", "--rm", "--pull", "never", *options, image, "fold", "--index", "0", *MOUNTED
    )
    with subprocess.Popen([*command, "--checkpoint-minutes", "60"], env=containers.environment()) as process:
        wait_for(lambda: "train" in _phases(folder), "the training")
        containers.output("stop", "--time", "60", name)
        assert process.wait() == ExitCode.STOPPED
    assert (folder / "checkpoint/latest.json").is_file()
    assert Heartbeat.model_validate_json((folder / "heartbeat.json").read_bytes()).phase == "stopped"


def _phases(folder: Path) -> list[str]:
    try:
        return [json.loads((folder / "heartbeat.json").read_bytes())["phase"]]
    except (OSError, ValueError):
        return []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("folt",), ExitCode.USAGE, "No such command 'folt'"),
        (("fold", "--index", "9", *MOUNTED), ExitCode.USAGE, "fold 9 is outside 0..8"),
        (("fold", *MOUNTED), ExitCode.USAGE, "name a fold: --index N"),
        (
            ("fold", "--index", "0", *MOUNTED, "--device", "cuda"),
            ExitCode.USAGE,
            "use device cpu (in a study file",
        ),
    ],
)
def test_a_wrong_command_ends_with_64_and_says_what_is_right(
    run_image: Start, unrun: Path, arguments: tuple[str, ...], code: ExitCode, message: str
) -> None:
    done = run_image(*arguments, options=("--volume", f"{unrun}:/data"))
    assert (done.returncode, message in done.stdout + done.stderr) == (code, True), done.stderr


def test_damaged_data_end_with_65(run_image: Start, unrun: Path) -> None:
    shard = next(path for path in sorted(unrun.glob("store/*/exams/*.zarr/image/c/**/*")) if path.is_file())
    shard.write_bytes(bytes(shard.stat().st_size))
    # Of 3 exams a fold reads all, for training or for the test.
    done = run_image("fold", "--index", "0", *MOUNTED, options=("--volume", f"{unrun}:/data"))
    assert done.returncode == ExitCode.DATA, done.stderr
    assert "damaged data" in done.stderr


def test_it_runs_as_nobody_in_particular_and_holds_the_code_and_no_data(run_image: Start) -> None:
    what = "import os, job, submit; print(os.getuid(), os.access('/opt/loosweep', os.W_OK), os.listdir())"
    done = run_image("-c", what, options=("--entrypoint", "python"))
    assert done.stdout.split() == ["1000", "False", *done.stdout.split()[2:]]
    assert ".nii" not in done.stdout


def test_the_help_of_the_image_names_its_commands(run_image: Start) -> None:
    done = run_image()
    assert done.returncode == 0
    assert {"fold", "prepare"} <= set(done.stdout.replace("│", " ").split())
