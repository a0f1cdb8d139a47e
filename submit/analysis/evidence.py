"""What the verdicts are decided by, from the patients' differences in the structures of the endpoint."""

from collections.abc import Mapping
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from pandas import concat
from scipy import stats

from job.contract.grid import REFERENCE
from submit.analysis.adjustment import adjusted
from submit.analysis.bootstrap import DRAWS, Bootstrap, draws_for
from submit.analysis.design import ALPHA, Design, trainings
from submit.analysis.differences import Differences
from submit.analysis.noise import Noise
from submit.analysis.paired_tests import Equivalence, equivalence
from submit.analysis.pairing import by_patient, exams_of_patients
from submit.analysis.sign_flips import SignFlips
from submit.analysis.verdict import Evidence, Floor, margin_level

MIN_FREEDOM = 5
"""Further trainings; fewer do not say what the noise is."""


def gather(
    found: Differences, design: Design, noise: Mapping[str, Noise | None]
) -> dict[str, tuple[Evidence, ...]]:
    """The evidence on every arm but the reference, in their order: one for each structure of the endpoint.

    Args:
        found: Tests and the patients' differences.
        design: The design.
        noise: Of retraining, by structure.
    """
    tested = _Tested(found, design)
    by_structure = {
        structure: _of_structure(structure, found, tested, design, noise.get(structure))
        for structure in design.endpoint_structures
    }
    return {
        arm: tuple(by_structure[structure][arm] for structure in design.endpoint_structures)
        for arm in design.compared
    }


class _Tested:
    """The losses of all arms in all structures of the endpoint, tested together."""

    def __init__(self, found: Differences, design: Design) -> None:
        losses = {
            structure: (found.by_patient[structure, design.metric] * design.sign).reindex(
                columns=list(design.compared)
            )
            for structure in design.endpoint_structures
        }
        self.losses = concat(losses.values(), axis=1, keys=losses.keys())
        keys = [(structure, arm) for structure in design.endpoint_structures for arm in design.compared]
        self._place = {key: number for number, key in enumerate(keys)}
        values = self.losses.to_numpy(dtype=np.float64)
        self._flips = SignFlips(values, design.seed)
        arms = len(design.compared)
        # Holm's first step multiplies p by the arms.
        self._means = Bootstrap(
            values,
            design.seed,
            lambda n: DRAWS if design.margin is None else draws_for(margin_level(n) / arms),
        )

    def p_and_interval(self, structure: str, arm: str) -> tuple[float | None, float | None, float | None]:
        """P that a loss is 0, and the ends of its interval, adjusted over all arms and structures.

        Losses have a long tail, which sign flips do not see: a gain has to be shown by the bootstrap too, and the
        interval reaches as far as either of them says: without end where so few patients differ that many draws have
        no spread.
        """
        column, family = self._place[structure, arm], range(len(self._place))
        p, interval = self._flips.p(column, family), self._flips.interval(column, family)
        if p is None or interval is None:
            return p, None, None
        low, high = interval
        upper, p_gain = self._means.simultaneous_upper(column, ALPHA / 2)
        high = high if upper is None else max(high, upper)
        if p_gain is not None and self._flips.means[column] < 0:
            p = max(p, min(2 * p_gain, 1.0))
        return p, low, high if isfinite(high) else None

    def p_at_or_above(self, structure: str, arm: str, margin: float) -> float | None:
        """Of how few draws of patients it is to see so small a loss if the true one were the margin."""
        return self._means.p_at_or_above(self._place[structure, arm], margin)


def _of_structure(
    structure: str, found: Differences, tested: _Tested, design: Design, noise: Noise | None
) -> dict[str, Evidence]:
    """The evidence of all arms on one structure."""
    losses = {
        arm: {str(patient): float(loss) for patient, loss in tested.losses[structure, arm].dropna().items()}
        for arm in design.compared
    }
    reference = {arm: found.reference((structure, design.metric), arm) for arm in design.compared}
    margins = {arm: design.margin_beside(reference[arm]) for arm in design.compared}
    sides = _sides(losses, margins)
    not_worse = _not_worse(structure, margins, sides, tested)
    can_see = _can_see(found, structure, design)
    counts = exams_of_patients(found.by_test[structure, design.metric])
    evidence = {}
    for arm, own in losses.items():
        values = np.array(list(own.values()))
        exams = tuple(int(n) for n in counts[arm] if n) if arm in counts else ()
        p, low, high = tested.p_and_interval(structure, arm)
        side = sides[arm]
        evidence[arm] = Evidence(
            arm=arm,
            structure=structure,
            loss=float(values.mean()) if len(values) else None,
            p=p,
            low=low,
            high=high,
            margin=margins[arm],
            p_not_worse=not_worse[arm],
            patients=len(values),
            floor=_floor(values, exams, design, noise),
            can_see=can_see,
            losses=own,
            exams=exams,
            sd=float(values.std(ddof=1)) if len(values) > 1 else None,
            reference=reference[arm],
            p_equivalent=side.p if side is not None else None,
        )
    return evidence


def _sides(
    losses: Mapping[str, Mapping[str, float]], margins: Mapping[str, float | None]
) -> dict[str, Equivalence | None]:
    """Two one-sided t-tests of every arm against its margin; None without one, or of too few patients."""
    return {
        arm: None if (margin := margins[arm]) is None else equivalence(np.array(list(own.values())), margin)
        for arm, own in losses.items()
    }


def _not_worse(
    structure: str,
    margins: Mapping[str, float | None],
    sides: Mapping[str, Equivalence | None],
    tested: _Tested,
) -> dict[str, float | None]:
    """P that a loss is at or above the margin: the larger of t-test and bootstrap, adjusted over the arms."""
    p: dict[str, float | None] = {}
    for arm, side in sides.items():
        margin = margins[arm]
        p[arm] = None
        if side is not None and margin is not None:
            p[arm] = max(side.p_below_upper, tested.p_at_or_above(structure, arm, margin) or 0.0)
    return adjusted(p, "holm")


def _can_see(found: Differences, structure: str, design: Design) -> bool:
    """Whether the reference segments the structure well enough that a loss could show: the bound of its mean Dice.

    Of all tests with a lesion, misses included.
    """
    dice = found.tests[structure, "dice"]
    if REFERENCE not in dice:
        return True
    values = by_patient(dice)[REFERENCE].dropna().to_numpy(dtype=np.float64)
    if len(values) < 2:
        return bool(len(values) == 0 or values[0] > design.smallest_dice)
    error = values.std(ddof=1) / np.sqrt(len(values))
    return bool(values.mean() - stats.t.ppf(1 - ALPHA / 2, len(values) - 1) * error > design.smallest_dice)


def _floor(
    values: NDArray[np.float64], exams: tuple[int, ...], design: Design, noise: Noise | None
) -> Floor | None:
    """What retraining alone changes in an arm's mean difference; None if it was not measured."""
    if noise is None or not exams or noise.degrees_of_freedom < MIN_FREEDOM:
        return None
    variance = noise.variance_of_mean(trainings(exams, design.test_unit), repeats=design.repeats)
    freedom = noise.degrees_of_freedom
    value = float(stats.norm.ppf(1 - ALPHA / 2) * np.sqrt(variance))
    low, high = (
        value * float(np.sqrt(freedom / stats.chi2.ppf(level, freedom)))
        for level in (1 - ALPHA / 2, ALPHA / 2)
    )
    scatter = float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0
    return Floor(value=value, low=low, high=high, share=variance / scatter if scatter > 0 else 1.0)
