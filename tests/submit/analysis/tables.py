"""Tables of results made of numbers, without a run."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pandas import DataFrame

from submit.analysis.design import Design
from submit.analysis.results_table import SCORE_COLUMNS

REFERENCE = "reference"
ARMS = (REFERENCE, "without a", "without b")
Test = tuple[str, str, int, str, float | None]
"""Patient, exam, repeat, arm, Dice (None: nothing there, nothing predicted)."""


def table(tests: Iterable[Test], *, structure: str = "tumour", **columns: Any) -> DataFrame:
    """Rows as `Results.table` has them; HD95 is 10 mm less 10 mm for each Dice, volumes are 10 and 12 ml."""
    rows = [
        {
            "fold": number,
            "arm": arm,
            "left_out": "",
            "repeat": repeat,
            "exam": exam,
            "patient": patient,
            "structure": structure,
            "status": "both-empty" if dice is None else "ok",
            "dice": dice,
            "hd95_mm": None if dice is None else 10 * (1 - dice),
            "reference_ml": 10.0,
            "predicted_ml": 12.0,
            "volume_error_ml": 2.0,
            "seconds": 60.0,
        }
        | columns
        for number, (patient, exam, repeat, arm, dice) in enumerate(tests)
    ]
    return DataFrame(rows, columns=list(SCORE_COLUMNS)).astype(SCORE_COLUMNS)


def paired(reference: Sequence[float], **arms: Sequence[float | None]) -> list[Test]:
    """One exam for each patient: Dice of the reference, differences by arm (`a` is `without a`); None is missing."""
    tests: list[Test] = [(f"p{n:02}", f"e{n:02}", 0, REFERENCE, dice) for n, dice in enumerate(reference)]
    for arm, differences in arms.items():
        tests += [
            (f"p{n:02}", f"e{n:02}", 0, f"without {arm}", reference[n] + difference)
            for n, difference in enumerate(differences)
            if difference is not None
        ]
    return tests


def design(
    exams: Sequence[tuple[str, str]] | int,
    *,
    arms: Sequence[str] = ARMS,
    structures: Sequence[str] = ("tumour",),
    **changes: Any,
) -> Design:
    """The design of a table: (patient, exam), or a number of patients as `paired` calls them."""
    if isinstance(exams, int):
        exams = [(f"p{n:02}", f"e{n:02}") for n in range(exams)]
    values: Mapping[str, Any] = {
        "arms": tuple(arms),
        "left_out": tuple(() if arm == REFERENCE else (arm.removeprefix("without "),) for arm in arms),
        "structures": tuple(structures),
        "classes": tuple(structure for structure in structures if structure != "union"),
        "structure": structures[0],
        "metric": "dice",
        "margin": 0.02,
        "exams": tuple(exams),
        "repeats": 1,
        "seed": 0,
    }
    return Design(**{**values, **changes})
