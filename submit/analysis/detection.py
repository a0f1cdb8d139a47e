"""Whether lesions are found at all: another question than how well they are drawn.

A lesion is a structure in an exam. It is *lost* where the reference finds some of it and the arm nothing, *gained*
the other way round; in an exam without the structure, whatever is predicted is a false alarm.
"""

from dataclasses import dataclass

import numpy as np
from pandas import DataFrame
from scipy import stats

from job.contract.grid import REFERENCE
from submit.analysis.pairing import CORRECT_ABSENCE, FALSE_ALARM, MISS


@dataclass(frozen=True, kw_only=True)
class Discordance:
    """How often one of two arms has something that the other has not."""

    only_arm: int
    """Tests."""
    only_reference: int
    both: int
    tests: int
    """That both arms did, and in which it could be."""
    more: int
    """Patients in whom the arm has it more often than the reference."""
    fewer: int
    """Patients in whom the reference has it more often."""
    patients: int
    """Of misses, in whom the reference finds a lesion; of false alarms, with an exam without one."""
    p: float | None
    """That arm and reference have it as often: exact McNemar test, two-sided, by patient; None without a patient in
    whom they differ."""

    @property
    def arm(self) -> int:
        """Tests in which the arm has it."""
        return self.only_arm + self.both

    @property
    def reference(self) -> int:
        """Tests in which the reference has it."""
        return self.only_reference + self.both


@dataclass(frozen=True, kw_only=True)
class Detection:
    """An arm beside the reference in one structure."""

    misses: Discordance
    """Of exams with a lesion."""
    false_alarms: Discordance
    """Of exams without one."""

    @property
    def found_by_reference(self) -> int:
        """Lesions that the reference finds, in tests that both did."""
        return self.misses.tests - self.misses.reference

    @property
    def lost(self) -> int:
        """Of these, those that the arm misses."""
        return self.misses.only_arm

    @property
    def gained(self) -> int:
        """Lesions that only the arm finds."""
        return self.misses.only_reference


def detection(statuses: DataFrame, arm: str) -> Detection:
    """Lesions missed and false alarms of an arm beside the reference, in tests that both did.

    Args:
        statuses: How tests ended, tests x arms, as `pairing.statuses` gives it.
        arm: Its name.
    """
    if arm not in statuses or REFERENCE not in statuses:
        nothing = Discordance(
            only_arm=0, only_reference=0, both=0, tests=0, more=0, fewer=0, patients=0, p=None
        )
        return Detection(misses=nothing, false_alarms=nothing)
    both = statuses[[arm, REFERENCE]].dropna()
    without = both.isin((FALSE_ALARM, CORRECT_ABSENCE)).any(axis=1)
    missed, alarmed = both[~without] == MISS, both[without] == FALSE_ALARM
    return Detection(
        misses=_discordance(missed, arm, missed[~missed[REFERENCE]]),
        false_alarms=_discordance(alarmed, arm, alarmed),
    )


def _discordance(has: DataFrame, arm: str, of: DataFrame) -> Discordance:
    """Of tests x (arm, reference): counts by test, and the test by patient, in whom the more frequent one counts.

    Args:
        has: Whether a test has it.
        arm: Its name.
        of: Tests of the patients who count as those who could have it.
    """
    of_arm, of_reference = has[arm].to_numpy(dtype=bool), has[REFERENCE].to_numpy(dtype=bool)
    balance = (has[arm].astype(int) - has[REFERENCE].astype(int)).groupby(level="patient").sum()
    more, fewer = int((balance > 0).sum()), int((balance < 0).sum())
    return Discordance(
        only_arm=int(np.count_nonzero(of_arm & ~of_reference)),
        only_reference=int(np.count_nonzero(of_reference & ~of_arm)),
        both=int(np.count_nonzero(of_arm & of_reference)),
        tests=len(has),
        more=more,
        fewer=fewer,
        patients=of.index.get_level_values("patient").nunique(),
        p=float(stats.binomtest(more, more + fewer).pvalue) if more + fewer else None,
    )
