"""The metrics, each said once: whatever lists, orders, writes or compares metrics reads this table.

A new metric is a row here and a function in `job.evaluation.metrics`.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What is measured of a prediction beside the reference; no metric is below 0."""

    name: str
    """In files, tables and study files."""
    title: str
    """For people."""
    proper: bool = True
    """Whether the title keeps its capital within a sentence."""
    unit: str = ""
    decimals: int
    """With which it is printed."""
    formula: str = ""
    """Of R and P, the voxels of reference and prediction; of a metric whose title says what it is."""
    definition: str = ""
    """In words, of a metric whose title has been given to several: it stands under each of its tables too."""
    higher_is_better: bool
    highest: float | None = None
    """The most that it can be; None: it has no end."""
    one_empty: Literal["zero", "diagonal"] | None
    """What a miss and a false alarm score: 0, or the diagonal of the image; None: what is computed, as of any other
    test."""
    in_scores: bool = True
    """Whether a fold's scores hold it; otherwise it follows from what they hold (`submit.analysis.results_table`)."""
    later: bool = False
    """Whether results of before it was thought of lack it."""
    variant_of: str | None = None
    """The metric of which this is another definition."""
    may_be_endpoint: bool = False
    default_margin: float | None = None
    """Of a study that states none; None: it then has none."""
    large_loss: float | None = None
    """Mean loss that is named as harm though it is not shown; None: none is."""

    @property
    def compares_lesions(self) -> bool:
        """Whether it takes two lesions: without one of them its number is a convention, without both it has none."""
        return self.one_empty is not None

    @property
    def is_share(self) -> bool:
        """Whether it lies between 0 and 1."""
        return self.highest == 1

    @property
    def sign(self) -> int:
        """What makes a loss of a difference: -1 where higher is better."""
        return -1 if self.higher_is_better else 1


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            name="dice",
            title="Dice",
            decimals=3,
            formula="2 |R ∩ P| / (|R| + |P|)",
            higher_is_better=True,
            highest=1.0,
            one_empty="zero",
            may_be_endpoint=True,
            default_margin=0.02,
            large_loss=0.05,
        ),
        Metric(
            name="hd95_mm",
            title="HD95",
            unit="mm",
            decimals=1,
            definition="the larger of the two directed 95th percentiles of the distances between the surfaces, which "
            "run through the corners of voxels; every piece of a surface counts by its area (DeepMind's "
            "surface-distance)",
            higher_is_better=False,
            one_empty="diagonal",
            may_be_endpoint=True,
        ),
        Metric(
            name="hd95_voxels_mm",
            title="HD95 (voxels)",
            unit="mm",
            decimals=1,
            definition="as nnU-Net and MedPy have it, the 95th percentile of the distances of both directions "
            "together, between the centres of the voxels at the border; every voxel counts the same",
            higher_is_better=False,
            one_empty="diagonal",
            later=True,
            variant_of="hd95_mm",
        ),
        Metric(
            name="absolute_volume_error_ml",
            title="Absolute volume error",
            proper=False,
            unit="ml",
            decimals=1,
            higher_is_better=False,
            one_empty=None,
            in_scores=False,
        ),
    )
}
"""By name, in the order in which they are shown."""
IN_SCORES = tuple(name for name, metric in METRICS.items() if metric.in_scores)
"""The metrics that a score holds, in the order of its file."""
