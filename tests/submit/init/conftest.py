"""A folder, and `submit init` run on it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from submit import cli
from tests.submit.init.folders import Ended


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder that is looked at."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def init(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Runs `submit init data`."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["submit", "init", *(arguments or ("data",))])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return Ended(code=code, out=shown.out, err=shown.err, study_file=tmp_path / "study.toml")

    return run
