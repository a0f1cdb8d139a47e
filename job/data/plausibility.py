"""Whether a channel says anything: in one exam by itself, and beside the other exams.

What cannot be right is an error; what is odd and may be right is a warning. Thresholds are wide, since scanners
differ: they find maps in other units, failed fits and wrong regions, not unusual patients.
"""

from collections.abc import Mapping, Sequence
from statistics import median

from job.contract.cohort import Channel
from job.contract.errors import Problem
from job.data.channel_statistics import ChannelStatistics

LEAST_INSIDE = 0.01
"""Of the informative voxels; where fewer are inside a fixed range, it is that of another unit. Air around the body is
far outside of a window of CT, and may be nearly all."""
CLIPPED_SHARE = 0.5
"""The same; where more are at the upper end of a fixed range, where no air is, it is worth a look."""
USED_RANGE = 0.01
"""Of a fixed range; where the voxels' spread is less of it, the unit is wrong."""
NEARLY_ALL = 0.9
"""Of the region's voxels that are not 0."""
LEAST_INFORMATIVE = 0.01
"""Of the mask's voxels, or of the volume's; where fewer tell something, the map is of a part only."""
FACTORS = (1e-3, 1e3, 1e-6, 1e6, 60.0, 1 / 60, 1e-2, 1e2, 1e-1, 1e1)
"""What units of parameter maps differ by (60: per minute and per second), the likeliest first."""
SIGNED_FACTORS = FACTORS[:4]
"""The same of values below 0, as Hounsfield units are."""
FAR = 30.0
"""Times by which a value in a given unit may differ from the other exams' typical one: more is another unit."""
ODD = 4.0
"""Times from which it is worth a look."""
REGION_ODD = 2.0
"""Times by which the region's share of the volume may differ from the other exams'."""

EVERYWHERE = 0.99
"""Of the volume; masks that hold more of each exam's say nothing."""

_WRITE_RANGE = "correct the file, or write the range that the values have"


def implausible(found: ChannelStatistics, channel: Channel, file: str) -> list[Problem]:
    """What is wrong with a channel of an exam by itself."""
    if channel.normalisation == "fixed":
        return _outside_range(found, channel, file)
    if found.minimum == found.maximum:
        return [constant(found.minimum, channel, file, "everywhere in the region")]
    if found.spread == 0 and found.informative_share > NEARLY_ALL:
        return [constant(found.percentiles[2], channel, file, "in more than 80 % of the region")]
    return []


def constant(value: float, channel: Channel, file: str, where: str = "everywhere") -> Problem:
    """The problem of a channel that has one value only."""
    return Problem(
        file=file,
        found=f"one value {where}, {value:g} (channel {channel.name})",
        expected="values that vary",
        remedy="correct the file (a fit may have failed), or leave the exam out with cohort.exclude",
        cause=f"constant: {channel.name}",
    )


def odd(found: ChannelStatistics, channel: Channel, file: str) -> list[Problem]:
    """What is odd about a channel of an exam by itself, and may be right."""
    warnings = []
    if found.background is not None and found.background != 0:
        warnings.append(
            Problem(
                file=file,
                found=f"a background of {found.background:.4g} instead of 0 (channel {channel.name})",
                expected="0 outside the body, or cohort.mask",
                remedy="nothing needs to be done: it is left out of the region all the same",
                cause=f"background that is not 0: {channel.name}",
            )
        )
    if found.no_background:
        warnings.append(
            Problem(
                file=file,
                found="no value that most of the border has and hardly any voxel nearly has "
                f"(channel {channel.name})",
                expected="a background of 0, or cohort.mask",
                remedy="it is scaled over all that is not 0, air included; give a mask (body, brain) if there is one",
                cause=f"no background: {channel.name}",
            )
        )
    if found.filled:
        warnings.append(
            Problem(
                file=file,
                found=f"{found.filled} voxels outside the mask that are NaN or infinite (channel {channel.name})",
                expected="numbers",
                remedy="nothing needs to be done: outside the mask they count as 0",
                cause=f"NaN outside the mask: {channel.name}",
            )
        )
    if channel.normalisation == "fixed":
        warnings += _clipped(found, channel, file)
    return [*warnings, *_saturated(found, channel, file), *_mostly_nothing(found, channel, file)]


def _saturated(found: ChannelStatistics, channel: Channel, file: str) -> list[Problem]:
    """An image whose brightest voxels, a twentieth or more, are all equal: a label map, or cut off."""
    if found.percentiles[-1] < found.maximum:
        return []
    return [
        Problem(
            file=file,
            found=f"one value, {found.maximum:.4g}, in the highest 5 % or more of the voxels that are not background "
            f"(channel {channel.name})",
            expected="a largest value that few voxels have",
            remedy="look whether an export cut the image off (8 bits, a window), or it is a label map; nothing needs "
            "to be done if the map has such a limit",
            cause=f"saturated: {channel.name}",
        )
    ]


def _mostly_nothing(found: ChannelStatistics, channel: Channel, file: str) -> list[Problem]:
    """A map that has values in a small part only."""
    unmasked = found.background is not None or found.no_background or found.region_share == 1
    told = found.informative_share * (found.region_share if unmasked else 1)
    if told >= LEAST_INFORMATIVE:
        return []
    return [
        Problem(
            file=file,
            found=f"nothing but {found.empty:.4g} in {1 - told:.1%} of the "
            f"{'volume' if unmasked else 'mask'} (channel {channel.name})",
            expected="values in most of it",
            remedy="look at the map: a fit may have failed, or it was made inside a small region only, which would "
            "tell the network where the tumour is",
            cause=f"mostly nothing: {channel.name}",
        )
    ]


def _outside_range(found: ChannelStatistics, channel: Channel, file: str) -> list[Problem]:
    """A map of which the fixed range leaves nothing: constant, clipped to one value, or squeezed into a corner."""
    assert channel.range is not None
    low, high = channel.range
    if found.minimum == found.maximum:
        return [constant(found.minimum, channel, file, "everywhere in the region")]
    inside, used = 1 - found.at_low_end - found.at_high_end, found.spread / (high - low)
    if inside < LEAST_INSIDE:
        ends = ((found.at_low_end, "at or below", low), (found.at_high_end, "at or above", high))
        shares = [f"{share:.0%} {where} {end:g}" for share, where, end in ends if share > LEAST_INSIDE]
        what = f"of the voxels that are not background {' and '.join(shares)}"
    elif used < USED_RANGE and found.normalised_sd < USED_RANGE:
        what = f"values that use {used:.2g} of the range"
    else:
        return []
    return [_unlike_range(what, found, channel, file, _in_other_units(found, low, high))]


def _clipped(found: ChannelStatistics, channel: Channel, file: str) -> list[Problem]:
    """A map of which the fixed range takes much away."""
    assert channel.range is not None
    if found.at_high_end <= CLIPPED_SHARE:
        return []
    what = f"of the voxels that are not background {found.at_high_end:.0%} at or above {channel.range[1]:g}"
    return [_unlike_range(what, found, channel, file, _WRITE_RANGE)]


def _unlike_range(what: str, found: ChannelStatistics, channel: Channel, file: str, remedy: str) -> Problem:
    assert channel.range is not None
    low, _, middle, _, high = found.percentiles
    return Problem(
        file=file,
        found=f"{what}: from {low:.4g} to {high:.4g}, median {middle:.4g}",
        expected=f"values that fill the range [{channel.range[0]:g}, {channel.range[1]:g}] (channel {channel.name})",
        remedy=remedy,
        cause=f"outside the fixed range: {channel.name}",
    )


def _in_other_units(found: ChannelStatistics, low: float, high: float) -> str:
    """What to do about a map in another unit: the likeliest factor that fits, if one does."""
    range_, signed = high - low, min(low, found.percentiles[0]) < 0
    for least in (0.2, 0.05):  # of the range that the values then fill
        for factor in SIGNED_FACTORS if signed else FACTORS:
            first, middle, last = (factor * found.percentiles[n] for n in (0, 2, 4))
            inside = low - 0.1 * range_ <= first and low < middle < high and last <= high + 0.1 * range_
            if inside and last - first > least * range_:
                return (
                    f"the values times {factor:.4g} would fit: multiply the file by it, or if all exams are in this "
                    f"unit, write range = [{low / factor:g}, {high / factor:g}]"
                )
    return _WRITE_RANGE


def beside_others(
    channel: Channel, exams: Mapping[str, tuple[str, ChannelStatistics]]
) -> tuple[list[Problem], list[Problem]]:
    """Errors and warnings about exams that are unlike the others in one channel.

    Args:
        channel: The channel.
        exams: By exam, the file and its statistics.
    """
    errors: list[Problem] = []
    warnings: list[Problem] = []
    if len(exams) < 3:
        return errors, warnings  # of two, either may be the odd one
    sizes = {exam: _size(found) for exam, (_, found) in exams.items()}
    for exam, (file, found) in exams.items():
        if channel.normalisation in ("fixed", "none"):
            others = [size for other, size in sizes.items() if other != exam and size > 0]
            for problem, refused in _unlike(found, others, channel, file):
                (errors if refused else warnings).append(problem)
        else:
            rest = [of_other for other, (_, of_other) in exams.items() if other != exam]
            typical = median(other.region_share for other in rest)
            warnings += _other_region(found, typical, channel, file)
            warnings += _other_shape(found, rest, channel, file)
    return errors, warnings


def says_nothing(shares: Sequence[float | None], masks: str) -> list[Problem]:
    """A word about masks that are all of every exam's volume.

    Args:
        shares: By exam, the mask's share of the volume; None without one.
        masks: The pattern of the masks.
    """
    known = [share for share in shares if share is not None]
    if not known or min(known) < EVERYWHERE:
        return []
    return [
        Problem(
            file=masks,
            found=f"masks that are {min(known):.1%} of the volume, or more, in all {len(known)} exams",
            expected="masks of a part of it (body, brain)",
            remedy="the channels are scaled over the air too, and patches lie in it; correct the masks, or leave "
            "cohort.mask out, and the region is what is not background",
            cause="masks of everything",
        )
    ]


def _size(found: ChannelStatistics) -> float:
    """How large the values of a map are."""
    return max(abs(found.percentiles[0]), abs(found.percentiles[-1])) if found.percentiles else 0.0


def _unlike(
    found: ChannelStatistics, others: Sequence[float], channel: Channel, file: str
) -> list[tuple[Problem, bool]]:
    """Values in a given unit that are far larger or smaller than in the other exams, and whether they are refused."""
    if not others or _size(found) == 0:
        return []
    typical = median(others)
    ratio = _size(found) / typical
    far = max(ratio, 1 / ratio)
    if far < ODD:
        return []
    nearest = min(FACTORS, key=lambda factor: abs(ratio * factor - 1))
    problem = Problem(
        file=file,
        found=f"values {ratio:.3g} times those of the other exams (median {found.percentiles[2]:.4g}, 5 to 95 %: "
        f"{found.percentiles[0]:.4g} to {found.percentiles[-1]:.4g})",
        expected=f"about {typical:.4g} as the largest (channel {channel.name}, normalisation "
        f"{channel.normalisation})",
        remedy=f"times {nearest:.4g} it would be like the others: correct the file's unit"
        if far >= FAR
        else "look at the map and its unit",
        cause=f"unlike the other exams: {channel.name}",
    )
    return [(problem, far >= FAR)]


def _other_region(found: ChannelStatistics, typical: float, channel: Channel, file: str) -> list[Problem]:
    ratio = found.region_share / typical
    if max(ratio, 1 / ratio) < REGION_ODD:
        return []
    return [
        Problem(
            file=file,
            found=f"a region of {found.region_share:.0%} of the volume (channel {channel.name})",
            expected=f"about {typical:.0%}, as in the other exams",
            remedy="look at the exam's field of view, mask and background: the channel is scaled over this region",
            cause=f"a region unlike the other exams': {channel.name}",
        )
    ]


def _other_shape(
    found: ChannelStatistics, others: Sequence[ChannelStatistics], channel: Channel, file: str
) -> list[Problem]:
    """Normalised values that lie elsewhere, or are spread much more or less, than in the other exams."""
    low, _, middle, _, high = found.normalised_percentiles
    typical_spread = median([o.normalised_percentiles[-1] - o.normalised_percentiles[0] for o in others])
    typical_middle = median([o.normalised_percentiles[2] for o in others])
    if typical_spread <= 0:
        return []
    spread, shift = (high - low) / typical_spread, abs(middle - typical_middle) / typical_spread
    if 1 / ODD < spread < ODD and shift < 0.5:
        return []
    return [
        Problem(
            file=file,
            found=f"normalised values from {low:.2g} to {high:.2g}, median {middle:.2g} (channel {channel.name})",
            expected=f"about {typical_spread:.2g} wide around {typical_middle:.2g}, as in the other exams",
            remedy="look at the exam: another contrast, a wrong region, or extreme voxels (try percentile)",
            cause=f"unlike the other exams: {channel.name}",
        )
    ]


def few_values(values: Sequence[int], channel: Channel, file: str) -> Problem:
    """The warning about a channel that has only these values in its region."""
    return Problem(
        file=file,
        found=f"{len(values)} values in the whole region: {', '.join(map(str, values))} (channel {channel.name})",
        expected="intensities, of which there are many",
        remedy="look whether the file is an image: a segmentation would tell the network what it is to find",
        cause=f"like a segmentation: {channel.name}",
    )
