"""Trees of files with any names, under any patterns: exams, or errors and warnings that can be shown."""

import os
import random
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from job.contract.errors import DataError, Problem, StudyError
from job.data.cohort_files import find_cohort, find_exams
from job.data.doubtful_names import doubtful_names
from job.data.patterns import folded
from job.storage.local import LocalStorage
from job.study_file import parse_study
from submit.problems import by_cause
from tests.fuzzing import fuzzed

PARTS = st.sampled_from(
    [
        *[
            "p1",
            "P1",
            "p2",
            "p10",
            "pä",
            "pa\u0308",
            "sub-01",
            "sub-01_ses-1",
            "sub-01_ses-2",
            "P01_v1",
            "P01_v2",
            "a b",
        ],
        *[
            "site1-01",
            "BraTS-GLI-00000-000",
            "BraTS-GLI-00000-001",
            "ﬁ",
            "fi",
            "straße",
            "STRASSE",
            "日本",
            "İ",
            "i̇",
        ],
        *[
            "t1",
            "t2",
            "label",
            "T1",
            "t1c",
            "x_t1",
            "t1_label",
            "mask",
            "scan1",
            "tumour",
            "gtv",
            "derivatives",
        ],
        *[
            ".hidden",
            "._t1",
            "__MACOSX",
            "x\x07",
            " p",
            "p ",
            "p\u200b",
            os.fsdecode(b"p\xe4"),
            "-",
            "[1]",
            "{patient}",
            "*",
        ],
    ]
) | st.text(st.characters(exclude_characters="/\x00", codec="utf-8"), min_size=1, max_size=4)
ENDINGS = st.sampled_from([".nii.gz", ".nii.gz", ".nii.gz", ".nii", ".NII.GZ", ".hdr", ".img", ".txt", ""])
ROLES = st.sampled_from(["t1", "t2", "label", "label", "mask", "tumour"])


@st.composite
def trees(draw: st.DrawFn) -> list[str]:
    """Keys of files: exams as the patterns below have them, and anything beside them."""
    keys = set()
    for _ in range(draw(st.integers(0, 3))):
        patient, exam = draw(PARTS), draw(st.sampled_from(["", "e1", "e2"]))
        layout = draw(
            st.sampled_from(["{p}/{r}.nii.gz", "{p}/{e}/{r}.nii.gz", "{p}_{r}.nii.gz", "{p}_{e}_{r}.nii.gz"])
        )
        roles = draw(st.just(["t1", "t2", "label"]) | st.lists(ROLES, max_size=5))
        keys |= {layout.format(p=patient, e=exam or "e", r=role) for role in roles}
    for folders, name, ending in draw(
        st.lists(st.tuples(st.lists(PARTS, max_size=2), PARTS, ENDINGS), max_size=5)
    ):
        keys.add("/".join([*folders, name + ending]))
    return sorted(keys)


TOKENS = st.sampled_from(
    [
        "{patient}",
        "{exam}",
        "{channel}",
        "{class}",
        "/",
        "_",
        "*",
        "**/",
        "?",
        "[!x]",
        "[z-a]",
        "t1",
        ".nii.gz",
        "ä",
    ]
)
PATTERNS = st.sampled_from(
    [
        *["{patient}/{channel}.nii.gz", "{patient}_{channel}.nii.gz", "{patient}/{exam}/{channel}.nii.gz"],
        *["{patient}_{exam}_{channel}.nii.gz", "{patient}/**/{channel}*.nii*", "**/{patient}/*{channel}*"],
    ]
) | st.lists(TOKENS, max_size=7).map("".join)


def shown(problems: tuple[Problem, ...]) -> None:
    """Asserts that problems can be written to any terminal, each alone and merged by cause."""
    for problem in (*problems, *by_cause(problems)):
        for text in (problem.file, problem.found, problem.expected, problem.remedy):
            assert text.encode("utf-8").decode().isprintable(), text


@fuzzed(300)
@given(
    keys=trees(),
    pattern=PATTERNS,
    labels=st.none() | PATTERNS,
    channels=st.sampled_from([["t1", "t2"], [{"name": "t1", "files": "*1"}, "t2"]]),
    extra=st.fixed_dictionaries(
        {},
        optional={
            "ignore": st.lists(PATTERNS, max_size=1),
            "exclude": st.lists(PARTS, max_size=1),
            "mask": st.just("{patient}/mask.nii.gz"),
        },
    ),
    seed=st.integers(0, 9),
)
def test_any_tree_of_files_is_a_cohort_or_problems_that_can_be_shown(
    keys: list[str], pattern: str, labels: str | None, channels: list[Any], extra: dict[str, Any], seed: int
) -> None:
    labels = labels or pattern.replace("{channel}", "label")
    classes = ["tumour"] if "{class}" in labels else {"tumour": 1}
    cohort = {
        "root": ".",
        "pattern": pattern,
        "labels": labels,
        "channels": channels,
        "classes": classes,
        **extra,
    }
    try:
        study = parse_study({"name": "s", "preset": "smoke", "cohort": cohort}, source="s")
    except StudyError:
        return
    with tempfile.TemporaryDirectory() as folder:
        for key in keys:
            path = Path(folder) / key
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            except OSError:  # a file where a folder would be, or a name that is too long
                continue
        source = LocalStorage(Path(folder))
        objects = list(source.list())
        try:
            exams = find_cohort(source, study.cohort)
        except DataError as error:
            shown(error.problems)
            exams = ()
        except StudyError:  # brackets without sense
            return
        shown(tuple(doubtful_names(source, study.cohort, exams)))
    random.Random(seed).shuffle(objects)
    if not exams:
        return
    assert find_exams(objects, study.cohort) == exams
    known = {item.key for item in objects}
    names = [folded(exam.exam) for exam in exams]
    assert len(set(names)) == len(names)
    for exam in exams:
        assert {item.key for item in exam.all} <= known
        assert len(exam.channels) == len(channels)
        assert unicodedata.is_normalized("NFC", exam.exam)
        assert exam.exam.isprintable()
    uses = [item.key for exam in exams for item in exam.all]
    assert len(set(uses)) == len(uses)
