"""A small study that a test changes by writing TOML."""

import tomllib
from typing import Any

from job.contract.study import Study
from job.study_file import parse_study

STUDY = """
name = "small"
preset = "smoke"

[cohort]
root = "cohort"
pattern = "{patient}/{channel}.nii.gz"
labels = "{patient}/label.nii.gz"
channels = ["t2", "t1", "adc"]
classes = { tumour = 1, node = [2, 3] }
"""


def make_study(changes: str = "", *, without: str = "") -> Study:
    """The small study with some keys changed, and one left out: `make_study('sweep.seed = 1')`."""
    table: dict[str, Any] = {k: v for k, v in tomllib.loads(STUDY).items() if k != without}
    for key, value in tomllib.loads(changes).items():
        both_tables = isinstance(value, dict) and isinstance(table.get(key, {}), dict)
        table[key] = {**table.get(key, {}), **value} if both_tables else value
    return parse_study(table, source="study.toml")
