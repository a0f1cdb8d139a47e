"""What `make demo` is to show, on a part of its folds: the study of the phantom finds the planted truth."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
EXAMS = 2


def submit(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-c", "from submit.cli import main; main()", *arguments]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_demo_finds_the_most_important_channel_of_the_phantom(tmp_path: Path) -> None:
    submit(tmp_path, "phantom", "demo", "--patients", "5", "--visits", "2", "--seed", "0")
    demo = tmp_path / "demo"
    truth = json.loads((demo / "cohort/truth.json").read_text())
    channels = list(truth["channels"])
    wanted = (truth["most_important"], truth["useless"][0])
    # Arms vary fastest, the reference first; then each leaves out one channel, in the study's order.
    arms = [0, *(1 + channels.index(channel) for channel in wanted)]
    folds = [exam * (1 + len(channels)) + arm for exam in range(EXAMS) for arm in arms]
    submit(demo, "sweep", "--array", "54", "--folds", ",".join(map(str, folds)))

    aggregate = json.loads(submit(demo, "report", "--json"))
    tested: dict[str, Any] = {arm["arm"]: arm for arm in aggregate["arms"] if arm["n"] == EXAMS}
    assert set(tested) == {"reference", *(f"without {channel}" for channel in wanted)}
    assert tested["reference"]["metrics"]["GTV-T"]["dice"]["mean"] >= 0.7
    most, useless = (tested[f"without {c}"]["difference"]["GTV-T"]["dice"]["mean"] for c in wanted)
    assert most < min(useless, 0)
