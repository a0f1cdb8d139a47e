"""What is worse in an arm beside its endpoint: a safety screen.

It is not adjusted for multiplicity. A screen that asks for proof of harm hides it: of ten patients and fifty tests
nothing could ever be shown. What it names may be chance, in one of forty endpoints on this side, and is there to be
looked at. A large loss is named though it is not shown: few patients show little.
"""

from collections.abc import Iterable, Mapping, Sequence

from job.contract.cohort_rules import UNION
from job.contract.metrics import METRICS
from job.contract.results import Record
from submit.analysis.comparisons import Comparison
from submit.analysis.design import ALPHA, Design
from submit.analysis.detection import Detection, Discordance
from submit.analysis.wording import METRIC_STYLES, probability
from submit.wording import counted

LARGE_SHARE = 0.1
"""Of the patients in whom the reference finds a lesion, those who lose one; of those with an exam without one, those
with a false alarm."""
FEWEST_LARGE = 2
"""Patients, whatever the share."""
MISSES, FALSE_ALARMS = "misses", "false_alarms"
DETECTION_NAMES = {MISSES: "detection", FALSE_ALARMS: "false-alarm rate"}
"""As a headline has them, after "with harm to"."""


class Harm(Record):
    """Something that is worse in an arm, with its numbers."""

    arm: str
    structure: str
    what: str
    """A metric, `MISSES` or `FALSE_ALARMS`."""
    text: str
    shown: bool
    """Whether the interval excludes 0, or McNemar's test is below 5 %; if not it is large."""

    @property
    def told(self) -> str:
        """The text, which says so if it is not shown."""
        return self.text if self.shown else f"{self.text}; large, not shown"


def harms_of(
    arm: str, comparisons: Iterable[Comparison], detections: Mapping[str, Detection], design: Design
) -> tuple[Harm, ...]:
    """What is worse in an arm, shown or large: lesions and false alarms of all structures, secondary metrics.

    Nothing is said twice: not the union of all classes where a class is worse, nor a metric by its second definition.

    Args:
        arm: Its name.
        comparisons: Of all arms.
        detections: Of this arm, by structure.
        design: The design.
    """
    found = [*_of_lesions(arm, detections, design), *_of_metrics(arm, comparisons, design)]
    found.sort(key=lambda each: design.structures.index(each.structure))
    return tuple(each for each in found if not any(_says(other, each) for other in found))


def _says(other: Harm, harm: Harm) -> bool:
    """Whether another harm says all of one: of a class, of which the union is made; by another definition."""
    if other.structure == harm.structure:
        return harm.what in METRICS and METRICS[harm.what].variant_of == other.what
    return harm.structure == UNION and other.what == harm.what and other.shown >= harm.shown


def _of_metrics(arm: str, comparisons: Iterable[Comparison], design: Design) -> list[Harm]:
    """Secondary endpoints whose interval lies on the worse side, or whose loss is large; none that prints as 0."""
    return [
        Harm(
            arm=arm, structure=each.structure, what=each.metric, text=_metric_text(each), shown=is_worse(each)
        )
        for each in comparisons
        if each.arm == arm
        and each.endpoint not in design.endpoints
        and (is_worse(each) or is_large(each))
        and each.mean is not None
        and round(each.mean, METRICS[each.metric].decimals)
    ]


def is_worse(found: Comparison) -> bool:
    """Whether an interval excludes 0 to the worse side."""
    if METRICS[found.metric].higher_is_better:
        return found.high is not None and found.high < 0
    return found.low is not None and found.low > 0


def is_large(found: Comparison) -> bool:
    """Whether a mean loss is large, shown or not, in a metric that says what is."""
    metric = METRICS[found.metric]
    if found.mean is None or metric.large_loss is None:
        return False
    return metric.sign * found.mean >= metric.large_loss


def _metric_text(found: Comparison) -> str:
    style = METRIC_STYLES[found.metric]
    interval = "no interval" if found.low is None else style.interval(found.low, found.high)
    return f"{style.name} of {found.structure} {style.with_unit(found.mean, signed=True)} ({interval})"


def _of_lesions(arm: str, detections: Mapping[str, Detection], design: Design) -> list[Harm]:
    """Lesions lost, and false alarms, in more patients than the other way round."""
    repeats = f" in {design.repeats} repeats" if design.repeats > 1 else ""
    harms = []
    for structure, seen in detections.items():
        gained = f", gains {seen.gained}" if seen.gained else ""
        lost = f"loses {seen.lost} of {counted(seen.found_by_reference, 'lesion')} of {structure}{gained}"
        alarms = (
            f"false alarms in {seen.false_alarms.arm} of {counted(seen.false_alarms.tests, 'exam')} without "
            f"{structure}, of the reference in {seen.false_alarms.reference}"
        )
        for what, text, own in (
            (MISSES, lost, seen.misses),
            (FALSE_ALARMS, alarms, seen.false_alarms),
        ):
            shown = own.p is not None and own.p < ALPHA and own.more > own.fewer
            if shown or _many(own):
                said = f"{text}{repeats} (McNemar, {probability(own.p)})"
                harms.append(Harm(arm=arm, structure=structure, what=what, text=said, shown=shown))
    return harms


def _many(found: Discordance) -> bool:
    """Whether so many more patients have it with the arm that it is much, shown or not."""
    excess = found.more - found.fewer
    return excess >= FEWEST_LARGE and excess >= LARGE_SHARE * found.patients


def names_of(harms: Sequence[Harm], structures: Sequence[str]) -> tuple[str, ...]:
    """In the words of a headline: structures whose lesions or Dice are worse, else what of a structure is.

    Args:
        harms: Of one arm.
        structures: Of the endpoint; of these always the latter.
    """
    by_structure: dict[str, list[str]] = {}
    for each in harms:
        by_structure.setdefault(each.structure, []).append(each.what)
    return tuple(
        structure
        if {MISSES, "dice"} & set(own) and structure not in structures
        else f"{_listed(own)} of {structure}"
        for structure, own in by_structure.items()
    )


def _listed(whats: Sequence[str]) -> str:
    """Metrics, misses and false alarms within a headline."""
    names = [
        DETECTION_NAMES[what] if what in DETECTION_NAMES else METRIC_STYLES[what].within for what in whats
    ]
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])
