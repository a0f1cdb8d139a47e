"""Tables of results made of numbers, without a run."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pandas import DataFrame

from submit.analysis.design import Design
from submit.analysis.differences import Differences
from submit.analysis.evidence import gather
from submit.analysis.noise import Noise
from submit.analysis.pairing import paired_block
from submit.analysis.results_table import SCORE_COLUMNS
from submit.analysis.verdict import Evidence

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


def measured(
    of: Design,
    dice: Mapping[str, Sequence[float | None]],
    *,
    structure: str = "tumour",
    repeat: int = 0,
    without: Iterable[int] = (),
    hd95_mm: Mapping[str, Sequence[float]] | None = None,
) -> DataFrame:
    """A test of every exam of a design by every arm that is named; None was not done.

    A Dice of 0 is a miss. In the exams `without` a lesion it is a false alarm, and a Dice of 1 a correct absence.
    """
    rows, empty = [], set(without)
    for arm, values in dice.items():
        for number, ((patient, exam), value) in enumerate(zip(of.exams, values, strict=True)):
            if value is None:
                continue
            nothing = number in empty and value == 1
            found = value > 0 and not nothing
            status = "false-alarm" if number in empty else "ok" if found else "miss"
            distance = 300.0 if not found else 10 * (1 - value) if hd95_mm is None else hd95_mm[arm][number]
            rows.append(
                {
                    "fold": 0,
                    "arm": arm,
                    "left_out": "",
                    "repeat": repeat,
                    "exam": exam,
                    "patient": patient,
                    "structure": structure,
                    "status": "both-empty" if nothing else status,
                    "dice": None if nothing else value,
                    "hd95_mm": None if nothing else distance,
                    "reference_ml": 0.0 if number in empty else 20.0,
                    "predicted_ml": 0.0 if nothing or status == "miss" else 20.0,
                    "seconds": 60.0,
                }
            )
    frame = DataFrame(rows, columns=list(SCORE_COLUMNS))
    frame["volume_error_ml"] = frame["predicted_ml"] - frame["reference_ml"]
    return frame.astype(SCORE_COLUMNS)


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


def all_evidence(rows: DataFrame, of: Design, noise: Noise | None = None) -> dict[str, tuple[Evidence, ...]]:
    found = Differences(paired_block(rows, of.repeats), of)
    return gather(found, of, dict.fromkeys(of.endpoint_structures, noise))


def gathered(rows: DataFrame, of: Design, noise: Noise | None = None) -> tuple[Evidence, ...]:
    """Of each arm, in the leading structure."""
    return tuple(every[0] for every in all_evidence(rows, of, noise).values())
