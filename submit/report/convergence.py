"""Whether trainings had levelled off when they ended."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from submit.report.run_figures import Curves

WINDOW = 0.1
"""Share of the steps over which a level is averaged."""
LAST = 0.2
"""Share of the steps over which a fall is looked for."""
STILL = 0.05
"""Share of the loss; what falls by less has levelled off."""


@dataclass(frozen=True, kw_only=True)
class Convergence:
    """The end of an arm's training curves."""

    arm: str
    folds: int
    before: float
    """Mean loss over folds where the last fifth of the steps begins: of the tenth of the steps that ends there."""
    end: float
    """The same of the last tenth."""
    error: float | None
    """Standard error of the mean fall, fold by fold; None for a single fold."""

    @property
    def fall(self) -> float:
        """By how much the loss fell over the last fifth of the steps; below 0 it rose."""
        return self.before - self.end

    @property
    def falls(self) -> bool:
        """Whether it fell by more than a twentieth, and by more than two standard errors of that."""
        return self.fall > max(STILL * self.before, 2 * (self.error or 0.0))


def convergence(curves: Curves) -> list[Convergence]:
    """The end of each arm's curves; none of an arm with too few steps for a tenth of them."""
    found = (_of_arm(arm, steps, losses) for arm, (steps, losses) in curves.items())
    return [each for each in found if each is not None]


def _of_arm(arm: str, steps: NDArray[np.int64], losses: NDArray[np.float64]) -> Convergence | None:
    """Folds that ended before the others are left out: they have no last tenth."""
    before, end = _level(steps, losses, 1 - LAST), _level(steps, losses, 1.0)
    known = ~np.isnan(before) & ~np.isnan(end)
    before, end = before[known], end[known]
    if not len(end):
        return None
    return Convergence(
        arm=arm,
        folds=len(end),
        before=float(before.mean()),
        end=float(end.mean()),
        error=float((before - end).std(ddof=1) / sqrt(len(end))) if len(end) > 1 else None,
    )


def _level(steps: NDArray[np.int64], losses: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """By fold, the mean loss in the tenth of the steps that ends at a share of them; NaN without any."""
    last = steps[-1]
    inside = (steps > round((share - WINDOW) * last, 6)) & (steps <= round(share * last, 6))
    own = losses[:, inside]
    counts = np.count_nonzero(~np.isnan(own), axis=1)
    return np.where(counts > 0, np.nansum(own, axis=1) / np.maximum(counts, 1), np.nan)


def in_words(found: list[Convergence]) -> list[str]:
    """What the curves say, a sentence for each kind."""
    said = []
    for falls, text in (
        (True, "Still falling by more than a twentieth over the last fifth of the steps: {}."),
        (False, "Levelled off: {}."),
    ):
        arms = [each.arm for each in found if each.falls is falls]
        if arms:
            said.append(text.format(", ".join(arms)))
    return said
