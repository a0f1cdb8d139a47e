"""What is measured of each exam of a cohort, and which exams it makes worth a look."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from job.contract.cohort import Cohort
from job.data.channel_statistics import PERCENTILES
from job.data.cohort_summary import ExamSummary
from submit.check.outliers import MARK, rare, stands_out

MEDIAN = PERCENTILES.index(50)


@dataclass(frozen=True, kw_only=True)
class Amount:
    """A number of each exam."""

    name: str
    unit: str
    values: tuple[float | None, ...]
    """By exam; None where there is none."""
    marks: tuple[bool, ...]

    @property
    def typical(self) -> float | None:
        """The median exam's."""
        return middle(self.values)

    def text(self, exam: int) -> str:
        """An exam's value without its unit, with the mark if it has one."""
        return amount_text(self.values[exam]) + (MARK if self.marks[exam] else "")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All amounts of a cohort's exams."""

    exams: tuple[ExamSummary, ...]
    axes: tuple[str, ...]
    """Directions of each exam's file's own axes."""
    odd_axes: tuple[bool, ...]
    spacing_xyz: tuple[Amount, Amount, Amount]
    volumes: Mapping[str, Amount]
    """By class."""
    mask: Amount | None
    locations: Mapping[str, Amount]
    """By channel."""
    spreads: Mapping[str, Amount]
    regions: Mapping[str, Amount]
    """Shares of the volume that channels are scaled over, where no mask decides."""

    @property
    def amounts(self) -> tuple[Amount, ...]:
        """All of them, in the order in which they are shown."""
        channels = [each for name in self.locations for each in (self.locations[name], self.spreads[name])]
        masks = [] if self.mask is None else [self.mask]
        return (*self.spacing_xyz, *self.volumes.values(), *masks, *channels, *self.regions.values())

    @cached_property
    def unusual(self) -> Mapping[int, tuple[str, ...]]:
        """What is marked about an exam, in words, by the exam's number; exams without a mark are left out."""
        words: dict[int, list[str]] = {}
        for exam in range(len(self.exams)):
            if self.odd_axes[exam]:
                words.setdefault(exam, []).append(f"axes {self.axes[exam]}")
            for amount in self.amounts:
                if amount.marks[exam]:
                    own, typical = (
                        amount_text(each, amount.unit) for each in (amount.values[exam], amount.typical)
                    )
                    words.setdefault(exam, []).append(f"{amount.name} {own} (cohort: {typical})")
        return {exam: tuple(own) for exam, own in words.items()}


def measured(exams: Sequence[ExamSummary], cohort: Cohort) -> Measured:
    """The amounts of exams that could be read."""
    found = {name: [exam.channels[name] for exam in exams] for name in cohort.channel_names}
    spreads = {
        name: _amount(f"spread of {name}", "", [each.spread for each in own]) for name, own in found.items()
    }
    axes = tuple(exam.geometry.orientation for exam in exams)
    x, y, z = (
        _amount(f"spacing along {axis}", "mm", [exam.geometry.spacing_zyx_mm[2 - place] for exam in exams])
        for place, axis in enumerate("xyz")
    )
    shares = [exam.mask_share for exam in exams if exam.mask_share is not None]
    return Measured(
        exams=tuple(exams),
        axes=axes,
        odd_axes=rare(axes),
        spacing_xyz=(x, y, z),
        volumes={
            name: _volume(name, [exam.volume_ml(label) for exam in exams])
            for label, name in enumerate(cohort.class_names, start=1)
        },
        mask=_amount("mask", "%", [100 * share for share in shares]) if cohort.mask else None,
        locations={
            name: _location(name, [each.percentiles[MEDIAN] for each in own], spreads[name].typical)
            for name, own in found.items()
        },
        spreads=spreads,
        regions={
            channel.name: _amount(
                f"region of {channel.name}", "%", [100 * each.region_share for each in found[channel.name]]
            )
            for channel in cohort.channels
            if cohort.mask is None and channel.normalisation in ("zscore", "percentile")
        },
    )


def middle(values: Iterable[float | None]) -> float | None:
    """The median of the values that there are."""
    some = [value for value in values if value is not None]
    return median(some) if some else None


def range_text(values: Iterable[float | None]) -> str:
    """The median, and in brackets the smallest and the largest where they differ."""
    some = [value for value in values if value is not None]
    if not some:
        return "–"
    low, high = significant(min(some)), significant(max(some))
    return amount_text(middle(some)) + (f" ({low} to {high})" if low != high else "")


def amount_text(value: float | None, unit: str = "") -> str:
    """A number with its unit, to three digits; a dash for an undefined one."""
    return f"{significant(value)} {unit}".rstrip() if value is not None else "–"


def significant(value: float) -> str:
    """Three significant digits, more for whole numbers above 1,000."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return text.replace("-", "−")


def _amount(name: str, unit: str, values: Sequence[float]) -> Amount:
    return Amount(name=name, unit=unit, values=tuple(values), marks=stands_out(values))


def _volume(name: str, values: Sequence[float]) -> Amount:
    """Volumes of a class: that it is absent is marked only where that is rare."""
    far = stands_out([value or None for value in values])
    absent = rare([value == 0 for value in values])
    marks = [large if value else odd for value, large, odd in zip(values, far, absent, strict=True)]
    return Amount(name=name, unit="ml", values=tuple(values), marks=tuple(marks))


def _location(name: str, values: Sequence[float], spread: float | None) -> Amount:
    """Medians of a channel: amounts where all are positive, else measured by the channel's usual spread."""
    signed = any(value <= 0 for value in values)
    marks = stands_out(values, unit=spread or max(map(abs, values))) if signed else stands_out(values)
    return Amount(name=f"median of {name}", unit="", values=tuple(values), marks=marks)
