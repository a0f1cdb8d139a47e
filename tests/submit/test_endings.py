"""How commands end: the right code, a line, the details in a file, and never a traceback."""

import errno
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from job.contract import layout
from job.contract.errors import DataError, StudyError
from job.contract.manifest import Manifest
from job.storage.local import LocalStorage
from submit.endings import exit_code_of

Ended = tuple[int, str]


@pytest.fixture
def details(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def ended(capsys: pytest.CaptureFixture[str]) -> Callable[[BaseException], Ended]:
    """Ends a command by an exception: its code, and what standard error says."""

    def end(error: BaseException) -> Ended:
        def run() -> None:
            raise error

        code = exit_code_of(run)
        return code, capsys.readouterr().err

    return end


def noted(error: Exception, *notes: str) -> Exception:
    for note in notes:
        error.add_note(note)
    return error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (StudyError("no such device"), 64, "error: no such device"),
        (noted(StudyError("no"), "in p2"), 64, "error: no (in p2)"),
        (
            OSError(errno.ENOSPC, "No space left on device", "f"),
            75,
            "error: f: No space left on device; make space",
        ),
        (
            noted(OSError(errno.EIO, "Input/output error"), "in p2"),
            75,
            "error: Input/output error (in p2); check the",
        ),
        (ConnectionResetError(), 75, "error: ConnectionResetError"),
        (
            PermissionError(errno.EACCES, "Permission denied", "f"),
            64,
            "error: f: Permission denied; name a place",
        ),
        (MemoryError(), 75, "error: this machine has not enough memory; close other programs"),
        (
            noted(MemoryError("Unable to allocate 8 GiB"), "while reading p2/t1.nii.gz"),
            75,
            "error: this machine has not enough memory (Unable to allocate 8 GiB) (while reading p2/t1.nii.gz); clo",
        ),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, ""),
    ],
)
def test_what_is_foreseen_is_a_line_and_a_code(
    error: BaseException, code: int, line: str, details: Path, ended: Callable[[BaseException], Ended]
) -> None:
    found, shown = ended(error)
    assert found == code
    assert shown.startswith(line)
    assert len(shown.splitlines()) == bool(line)
    assert not list(details.iterdir())


def test_bad_data_is_a_list_of_problems(ended: Callable[[BaseException], Ended]) -> None:
    code, shown = ended(DataError.of(file="p2/t1.nii.gz", found="a", expected="b", remedy="c"))
    assert (code, shown.splitlines()[:2]) == (65, ["1 problem:", "p2/t1.nii.gz"])


def test_a_bug_is_a_line_that_names_its_kind_the_file_and_where_the_details_are(
    details: Path, ended: Callable[[BaseException], Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["submit", "check", "a study.toml"])
    try:
        raise noted(KeyError("volume"), "while reading p2/t1.nii.gz")
    except KeyError as cause:
        try:
            raise RuntimeError("no header\nand more") from cause
        except RuntimeError as error:
            code, shown = ended(error)
    assert code == 70
    (file,) = details.iterdir()
    assert re.fullmatch(r"submit-error-\d{8}T\d{6}Z\.txt", file.name)
    assert shown == (
        f"error: a bug of loosweep, RuntimeError: no header (while reading p2/t1.nii.gz); its details are in {file}: "
        "send that file to the maintainers with the study file (it holds names of files, and no voxel data)\n"
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    assert "command: submit check 'a study.toml'" in text
    for package in ("loosweep", "numpy", "nibabel"):
        assert f"{package} {version(package)}" in text
    assert f"python {sys.version.split()[0]}" in text
    assert "KeyError: 'volume'" in text
    assert "RuntimeError: no header\nand more" in text
    assert f'File "{__file__}"' in text


def test_bugs_of_the_same_second_have_a_file_each(
    details: Path, ended: Callable[[BaseException], Ended]
) -> None:
    for _ in range(2):
        assert ended(ValueError("odd"))[0] == 70
    names = sorted(file.name for file in details.iterdir())
    assert len(names) == 2


def test_the_details_hold_no_array(details: Path, ended: Callable[[BaseException], Ended]) -> None:
    ended(ValueError(f"odd: {np.arange(900).tolist()}"))
    (file,) = details.iterdir()
    assert "odd: [0, 1, 2" in file.read_text()
    assert "899" not in file.read_text()


def test_details_that_cannot_be_written_leave_the_line(
    tmp_path: Path, ended: Callable[[BaseException], Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    code, shown = ended(ValueError("odd"))
    assert code == 70
    assert shown.startswith(
        "error: a bug of loosweep, ValueError: odd; its details could not be written ([Errno 2]"
    )
    assert "Traceback" not in shown


def of_typer(cause: BaseException, code: Any) -> BaseException:
    """What Typer ends with when it meets an exception."""
    try:
        try:
            raise cause
        except BaseException:
            sys.exit(code)
    except SystemExit as end:
        return end


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (of_typer(typer.Exit(1), 1), 1),  # a command says that folds failed
        (of_typer(typer.Exit(65), 65), 65),
        (of_typer(typer.Exit(130), 130), 130),  # Ctrl-C
        (of_typer(typer.Abort(), 1), 130),
        (of_typer(typer.BadParameter("no"), 2), 64),
        (of_typer(BrokenPipeError(errno.EPIPE, "Broken pipe"), 1), 141),  # so ends a table of rich, too
        (of_typer(ValueError("odd"), 1), 70),
        (SystemExit(1), 70),
        (SystemExit("text"), 70),
        (SystemExit(0), 0),
        (SystemExit(None), 0),
        (RecursionError("too deep"), 70),
        (UnicodeEncodeError("ascii", "ü", 0, 1, "no"), 70),
        (Exception(), 70),
    ],
)
def test_only_a_command_that_says_so_ends_with_1(
    error: BaseException, code: int, details: Path, ended: Callable[[BaseException], Ended]
) -> None:
    assert ended(error)[0] == code


def submit(*arguments: str | Path | bytes, **options: Any) -> subprocess.Popen[str]:
    """A command as a user runs it."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([sys.executable, "-m", "submit", *arguments], text=True, **pipes)


def test_a_library_that_is_broken_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/tensorstore.py").write_text("raise RuntimeError('built for another machine')\n")
    (tmp_path / "study.toml").touch()
    own = {
        "PYTHONPATH": f"{tmp_path / 'modules'}:{os.environ.get('PYTHONPATH', '')}",
        "TMPDIR": str(tmp_path),
    }
    process = submit("check", tmp_path / "study.toml", env=os.environ | own)
    shown, errors = process.communicate(timeout=60)
    assert (process.returncode, shown) == (70, "")
    (file,) = tmp_path.glob("submit-error-*.txt")
    assert errors.startswith(
        f"error: a bug of loosweep, RuntimeError: built for another machine; its details are in {file}"
    )
    assert "Traceback" not in errors


@pytest.fixture
def run(storage: LocalStorage, make_manifest: Callable[..., Manifest]) -> LocalStorage:
    storage.write(layout.MANIFEST, make_manifest(3).to_json())
    return storage


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_has_read_enough_ends_a_command_quietly(run: LocalStorage, options: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = submit("status", run.url, *options, stdout=writer)
    os.close(writer)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (141, "")


def test_output_that_cannot_be_written_is_a_line(run: LocalStorage) -> None:
    with Path("/dev/full").open("w") as full:
        process = submit("status", run.url, "--json", stdout=full)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 75
    assert errors == "error: No space left on device; make space, then run the command again\n"


def test_ctrl_c_ends_with_130(tmp_path: Path) -> None:
    """While the study file is read: opening a pipe for writing waits for a reader."""
    pipe = tmp_path / "study.toml"
    os.mkfifo(pipe)
    process = submit("check", pipe)
    with pipe.open("w"):
        process.send_signal(signal.SIGINT)
        shown, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in shown + errors


@pytest.mark.parametrize("encoding", ["ascii", "ascii:strict", "latin-1:strict", "utf-8:strict"])
def test_names_that_a_terminal_cannot_show_are_shown_another_way(
    tmp_path: Path, make_manifest: Callable[..., Manifest], encoding: str
) -> None:
    """Of a folder whose name is no text at all, and one in another script."""
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff-\xce\xa9")
    storage = LocalStorage(Path(folder))
    storage.write(layout.MANIFEST, make_manifest(3).to_json())
    storage.write(layout.REPORT, b"")
    process = submit("status", folder, env=os.environ | {"PYTHONIOENCODING": encoding})
    shown, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert "\\udcff" in shown


def test_a_study_file_that_nests_without_an_end_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text("name = " + "[" * 100_000)
    process = submit("check", tmp_path / "study.toml")
    shown, errors = process.communicate(timeout=60)
    assert (process.returncode, shown) == (64, "")
    assert errors.endswith("study.toml: not valid TOML: brackets within brackets without an end\n")
