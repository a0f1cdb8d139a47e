"""p adjusted for a family of tests."""

from collections.abc import Sequence
from typing import Literal

from statsmodels.stats.multitest import multipletests


def adjusted(p: Sequence[float | None], method: Literal["holm", "fdr_bh"]) -> list[float | None]:
    """Adjusted p; comparisons that could not be made (None) count as if they showed nothing."""
    if not p:
        return []
    _, values, _, _ = multipletests([1.0 if each is None else each for each in p], method=method)
    return [None if raw is None else float(value) for raw, value in zip(p, values, strict=True)]
