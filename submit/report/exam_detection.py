"""Which arm found which lesion: exams in which anything but a lesion that is found happened."""

from collections.abc import Sequence
from dataclasses import dataclass

from pandas import DataFrame

from submit.analysis.pairing import CORRECT_ABSENCE, EXAM, FALSE_ALARM, MISS, statuses

WORDS = {"ok": "found", MISS: "missed", FALSE_ALARM: "false alarm", CORRECT_ABSENCE: "correct absence"}
"""How statuses are written for people."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How the tests of an exam ended in one arm."""

    counts: tuple[tuple[str, int], ...]
    """Statuses with the number of repeats that ended so, the most frequent first; empty: not tested."""

    @property
    def kind(self) -> str:
        """The status of all repeats, `mixed`, or `missing`."""
        return "missing" if not self.counts else self.counts[0][0] if len(self.counts) == 1 else "mixed"

    @property
    def text(self) -> str:
        """In words; with numbers where repeats differ."""
        if len(self.counts) == 1:
            return WORDS[self.counts[0][0]]
        return ", ".join(f"{count} {WORDS[status]}" for status, count in self.counts) or "–"


@dataclass(frozen=True, kw_only=True)
class ExamRow:
    """An exam in one structure."""

    patient: str
    exam: str
    outcomes: dict[str, Outcome]
    """By arm."""


@dataclass(frozen=True, kw_only=True)
class StructureTable:
    """The exams of one structure in which not every arm found a lesion."""

    structure: str
    rows: tuple[ExamRow, ...]
    further: int
    """Exams beyond these rows."""
    tested: int
    """Exams of which there is a test."""


def exam_detection(
    table: DataFrame, structures: Sequence[str], arms: Sequence[str], most: int
) -> list[StructureTable]:
    """For each structure, the exams in which anything but *found* happened, in any arm and repeat.

    Args:
        table: Rows of the repeats that every arm has.
        structures: Names.
        arms: Names, in the order of the columns.
        most: Rows of a structure.
    """
    return [_of_structure(table, structure, arms, most) for structure in structures]


def _of_structure(table: DataFrame, structure: str, arms: Sequence[str], most: int) -> StructureTable:
    tests = statuses(table, structure).reindex(columns=list(arms))
    odd = (tests.notna() & (tests != "ok")).any(axis=1).groupby(level=EXAM).any()
    exams = odd.index[odd.to_numpy(dtype=bool)]
    rows = []
    for patient, exam in exams[:most]:
        own = tests.xs((patient, exam), level=EXAM)
        outcomes = {arm: _outcome(own[arm].dropna().tolist()) for arm in arms}
        rows.append(ExamRow(patient=str(patient), exam=str(exam), outcomes=outcomes))
    return StructureTable(
        structure=structure,
        rows=tuple(rows),
        further=max(len(exams) - most, 0),
        tested=len(odd),
    )


def _outcome(found: Sequence[str]) -> Outcome:
    counts = {status: found.count(status) for status in WORDS if status in found}
    return Outcome(counts=tuple(sorted(counts.items(), key=lambda each: -each[1])))
