"""The map of all arms in all endpoints: where something is worse, at a glance."""

from dataclasses import dataclass
from math import inf
from typing import Literal

from job.contract.metrics import METRICS
from submit.analysis.analysis import Analysis
from submit.analysis.comparisons import Comparison
from submit.analysis.harms import is_worse
from submit.analysis.headline import in_order

Mark = Literal["worse", "better"]
SHADES = (0.2, 0.5, 0.8, 1.2)
"""Standardised losses from which a cell is darker: small, medium, large (Cohen), and very large."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """An arm in one endpoint."""

    found: Comparison
    loss: float | None
    """Mean loss over patients in SDs of their losses (d_z): above 0 is worse, in every metric; None without one."""
    mark: Mark | None
    """As `mark_of` has it."""

    @property
    def shade(self) -> str:
        """Side and strength of its colour: `worse-4`, `better-1`, or `none`."""
        steps = sum(abs(self.loss) >= limit for limit in SHADES) if self.loss is not None else 0
        if self.loss is None or not steps:
            return "none"
        return f"{'worse' if self.loss > 0 else 'better'}-{steps}"


@dataclass(frozen=True, kw_only=True)
class EffectMap:
    """Arms x endpoints."""

    columns: tuple[tuple[str, tuple[str, ...]], ...]
    """Structures with their metrics; those of the primary endpoint first."""
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    """Arms with their cells, the largest loss in the primary endpoint first."""

    @property
    def cells(self) -> list[Cell]:
        """All of them."""
        return [cell for _, row in self.rows for cell in row]


def effect_map(analysis: Analysis) -> EffectMap:
    """The map of a run."""
    found = {(each.arm, each.structure, each.metric): each for each in analysis.comparisons}
    structures = dict.fromkeys((*analysis.structures, *(each.structure for each in analysis.comparisons)))
    metrics = {each.metric for each in analysis.comparisons}
    leading = analysis.endpoint["metric"]
    order = [leading, *(metric for metric in METRICS if metric in metrics and metric != leading)]
    columns = tuple((structure, tuple(order)) for structure in structures)
    rows = tuple(
        (
            each.arm,
            tuple(_cell(found[each.arm, structure, metric]) for structure, own in columns for metric in own),
        )
        for each in in_order(analysis)
    )
    return EffectMap(columns=columns, rows=rows)


def _cell(found: Comparison) -> Cell:
    loss = 0.0 if found.mean == 0 else None if found.d_z is None else METRICS[found.metric].sign * found.d_z
    return Cell(found=found, loss=loss, mark=mark_of(found))


def mark_of(found: Comparison) -> Mark | None:
    """To which side of 0 a whole 95 % interval lies; None: it holds 0, or there is none."""
    if found.low is None or found.low <= 0 <= (inf if found.high is None else found.high):
        return None
    return "worse" if is_worse(found) else "better"
