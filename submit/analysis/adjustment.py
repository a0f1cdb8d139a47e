"""p adjusted for a family of tests."""

from collections.abc import Hashable, Mapping
from typing import Literal, TypeVar

import numpy as np

K = TypeVar("K", bound=Hashable)


def adjusted(p: Mapping[K, float | None], method: Literal["holm", "fdr_bh"]) -> dict[K, float | None]:
    """Adjusted p of each comparison; those that could not be made (None) count as if they showed nothing.

    Holm, Scand. J. Stat. 6 (1979) 65-70; Benjamini & Hochberg, J. R. Stat. Soc. B 57 (1995) 289-300. Statsmodels has
    both, and collects the process's garbage at every call, which takes longer than all other statistics.

    Args:
        p: By comparison.
        method: Holm's, or that of Benjamini and Hochberg.
    """
    raw = np.array([1.0 if each is None else each for each in p.values()], dtype=np.float64)
    order, count = np.argsort(raw), len(raw)
    ranks = np.arange(count)
    if method == "holm":
        values = np.maximum.accumulate((count - ranks) * raw[order])
    else:
        values = np.minimum.accumulate((count / (ranks + 1) * raw[order])[::-1])[::-1]
    found = np.empty(count)
    found[order] = np.minimum(values, 1.0)
    return {
        key: None if each is None else float(value)
        for (key, each), value in zip(p.items(), found, strict=True)
    }
