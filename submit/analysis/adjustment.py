"""p adjusted for a family of tests."""

from collections.abc import Hashable, Mapping
from typing import Literal, TypeVar

from statsmodels.stats.multitest import multipletests

K = TypeVar("K", bound=Hashable)


def adjusted(p: Mapping[K, float | None], method: Literal["holm", "fdr_bh"]) -> dict[K, float | None]:
    """Adjusted p of each comparison; those that could not be made (None) count as if they showed nothing."""
    if not p:
        return {}
    _, values, _, _ = multipletests([1.0 if each is None else each for each in p.values()], method=method)
    return {
        key: None if raw is None else float(value)
        for (key, raw), value in zip(p.items(), values, strict=True)
    }
