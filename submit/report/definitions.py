"""The two definitions of HD95, and where they lead to different conclusions."""

from submit.analysis.analysis import Analysis
from submit.report.effect_map import mark_of

DEFINITIONS = {
    "hd95_mm": "the larger of the two directed 95th percentiles of the distances between the surfaces, which run "
    "through the corners of voxels; every piece of a surface counts by its area (DeepMind's surface-distance)",
    "hd95_voxels_mm": "as nnU-Net and MedPy have it, the 95th percentile of the distances of both directions "
    "together, between the centres of the voxels at the border; every voxel counts the same",
}
"""By metric, what stands under each table of it, in the methods and in the README."""
ONE, OTHER = DEFINITIONS


def flips(analysis: Analysis) -> list[str]:
    """The arms and structures in which one definition shows a change and the other does not, or the opposite."""
    found = {(each.arm, *each.endpoint): mark_of(each) for each in analysis.comparisons}
    said = []
    for (arm, structure, metric), mark in found.items():
        other = (arm, structure, OTHER)
        if metric == ONE and other in found and found[other] != mark:
            words = [each or "not shown" for each in (mark, found[other])]
            said.append(f"{arm} in {structure} (HD95 {words[0]}, HD95 (voxels) {words[1]})")
    return said
