"""Studies with anything in place of anything: each is a study, or wrong in words."""

import math
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from job.contract.errors import StudyError
from job.contract.study import Study
from job.study_file import parse_study
from tests.fuzzing import fuzzed

STUDY: dict[str, Any] = {
    "name": "small",
    "preset": "smoke",
    "cohort": {
        "root": "cohort",
        "pattern": "{patient}/{channel}.nii.gz",
        "labels": "{patient}/label.nii.gz",
        "channels": ["t2", "t1", {"name": "adc", "normalisation": "fixed", "range": [0, 3]}],
        "classes": {"tumour": 1, "node": [2, 3]},
    },
}
WORDS = st.sampled_from(
    [
        *[
            "",
            " ",
            "t1",
            "t2",
            "tumour",
            "union",
            "background",
            "zscore",
            "fixed",
            "dice",
            "unet",
            "deepmedic",
            "auto",
        ],
        *[
            "{patient}",
            "{exam}",
            "{class}",
            "{channel}",
            "{patient}/{class}.nii",
            "{patient}/{exam}/x",
            "{",
            "}",
            "[z-a]",
        ],
        *[
            "**/",
            "*",
            "/abs",
            "../up",
            "s3://bucket/x",
            "torch.nn:Linear",
            "a:b",
            "ä",
            "a\u0308",
            "\x00",
            "\u202e",
            "x" * 300,
        ],
    ]
)
NUMBERS = st.sampled_from(
    [0, 1, -1, 2, 3, 255, 256, 2**31, 2**63, -(2**63), 10**30, 0.0, 0.5, -0.5, 1e308, math.nan, math.inf]
)
LEAVES = WORDS | NUMBERS | st.booleans() | st.text(max_size=5)
KEYS = st.sampled_from(
    ["name", "files", "index", "range", "normalisation", "tumour", "t1", "class", "metric"]
) | st.text(max_size=4)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)


def keys_of(section: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The keys of a table of the study file and of the tables in it."""
    keys = []
    for name, field in section.model_fields.items():
        own = (*path, field.alias or name)
        keys.append(own)
        if hasattr(field.annotation, "model_fields"):
            keys += keys_of(field.annotation, own)
    return keys


def changed(table: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A copy of a table with another value at a key, whatever tables have to be made for it."""
    first, *rest = path
    inner = table.get(first)
    new = changed(inner if isinstance(inner, dict) else {}, tuple(rest), value) if rest else value
    return {**table, first: new}


@fuzzed(300)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from([("preset",), *keys_of(Study)]), VALUES), min_size=1, max_size=3
    )
)
def test_whatever_a_study_file_says_it_is_a_study_or_an_error_in_words(
    changes: list[tuple[tuple[str, ...], Any]],
) -> None:
    table = STUDY
    for path, value in changes:
        table = changed(table, path, value)
    try:
        study = parse_study(table, source="study.toml")
    except StudyError as error:
        message = str(error)
    else:
        message = "study.toml: "
        assert Study.model_validate_json(study.model_dump_json(by_alias=True)) == study
        assert set(study.cohort.structure_labels) >= set(study.cohort.class_names)
    assert message.startswith("study.toml: ")
