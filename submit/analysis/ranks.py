"""How sure the order of the arms is."""

import numpy as np
from pandas import DataFrame

from job.contract.results import Record
from submit.analysis.bootstrap import rank_shares
from submit.analysis.design import Design


class Ranks(Record):
    """How sure the order of the arms is."""

    arms: tuple[str, ...]
    patients: int
    """With all arms."""
    shares: tuple[tuple[float, ...], ...]
    """Arms x ranks: in what share of draws of patients each arm has each rank, 1 being the largest loss."""


def ranks_of(losses: DataFrame, design: Design) -> Ranks | None:
    """Of the patients who have all arms."""
    if not set(design.compared) <= set(losses.columns):
        return None
    whole = losses[list(design.compared)].dropna()
    if len(whole) < 2:
        return None
    shares = rank_shares(whole.to_numpy(dtype=np.float64), design.seed)
    return Ranks(
        arms=design.compared, patients=len(whole), shares=tuple(tuple(map(float, row)) for row in shares)
    )
