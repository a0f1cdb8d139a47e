"""The cohort of a study: where the exams are and what they hold (tables of the study file)."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

UNION = "union"
"""Name of the structure made of all classes together, in results and tables."""
NAME = r"^[^/\\{}\s][^/\\{}\n]*$"

T = TypeVar("T")
OneOrMore = Annotated[tuple[T, ...], Field(min_length=1)]
Name = Annotated[str, Field(pattern=NAME)]


class Section(BaseModel):
    """A table of the study file: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Channel(Section):
    """One MRI contrast or parameter map."""

    name: Name
    """What the channel is called in arms, tables and figures."""
    files: str | None = None
    """Text that stands for `{channel}` in the file pattern (may hold `*`, `?`, `[..]`); default: the name."""
    normalisation: Literal["zscore", "percentile", "fixed", "none"] = "zscore"
    """`zscore`: (value - mean) / SD over the region. `percentile`: the region's `range` percentiles become
    0 and 1, values beyond are clipped. `fixed`: `range`, in the map's own unit and the same for every exam,
    becomes 0 and 1, values beyond are clipped (for parameter maps). `none`: values as they are. The region
    is the mask where the cohort has one (voxels outside become 0), else the voxels that are not 0."""
    range: tuple[float, float] | None = None
    """Low and high end for `percentile` (default 0.5, 99.5) and `fixed` (required)."""

    @model_validator(mode="after")
    def _range_fits_normalisation(self) -> Self:
        if self.normalisation == "fixed" and self.range is None:
            raise ValueError('normalisation "fixed" needs range = [low, high] in the map\'s unit')
        if self.range is not None:
            low, high = self.range
            if self.normalisation in ("zscore", "none"):
                raise ValueError(
                    f'range has no meaning for normalisation "{self.normalisation}"; leave it out'
                )
            if not low < high:
                raise ValueError(f"range must be [low, high] with low < high, got [{low}, {high}]")
            if self.normalisation == "percentile" and not 0 <= low < high <= 100:
                raise ValueError(f"percentiles lie within 0..100, got [{low}, {high}]")
        return self


class Cohort(Section):
    """Where the exams are and what they hold."""

    root: str
    """Folder of the cohort, relative to the study file."""
    pattern: str
    """Path of a channel's file below `root`, with `{patient}`, `{exam}` (optional: without it every patient
    has one exam) and `{channel}`; `*`, `?`, `[..]` and `**/` match as in a shell."""
    labels: str
    """Path of an exam's label map below `root`, with the same placeholders but `{channel}`."""
    mask: str | None = None
    """Path of an exam's mask (body, brain) below `root`; patches are centred on voxels inside it, and what
    lies outside is background, also in the truth."""
    channels: OneOrMore[Channel]
    """The channels in order; a bare name stands for `{ name = … }`."""
    acquisitions: dict[Name, OneOrMore[str]] = {}
    """Groups of channels that come from one scan, e.g. `dce = ["ktrans", "ve"]`; a channel in no group is an
    acquisition of its own."""
    classes: Annotated[dict[Name, int | OneOrMore[int]], Field(min_length=1)]
    """Classes by name with the value, or values, that they have in the label maps."""
    background: tuple[int, ...] = (0,)
    """Label values that count as background; a value in neither is an error."""
    exclude: tuple[str, ...] = ()
    """Exams left out of the study, as `patient` or `patient/exam`."""

    @model_validator(mode="before")
    @classmethod
    def _bare_names_are_channels(cls, data: object) -> object:
        if isinstance(data, dict) and isinstance(data.get("channels"), list):
            channels = [{"name": c} if isinstance(c, str) else c for c in data["channels"]]
            return data | {"channels": channels}
        return data

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        names = self.channel_names
        if doubled := _doubled(names):
            raise ValueError(f"channel {doubled!r} is listed twice")
        self._check_patterns()
        grouped = [channel for group in self.acquisitions.values() for channel in group]
        for channel in grouped:
            if channel not in names:
                raise ValueError(f"acquisitions name {channel!r}; the channels are {', '.join(names)}")
        if doubled := _doubled(grouped):
            raise ValueError(f"channel {doubled!r} is in two acquisitions")
        for name in self.acquisitions:
            if name in names and name not in self.acquisitions[name]:
                raise ValueError(f"acquisition {name!r} has the name of a channel outside it; rename it")
        values = [*self.background, *(v for values in self.class_values for v in values)]
        if (twice := _doubled(values)) is not None:
            raise ValueError(f"label value {twice} is given twice (classes and background)")
        if 0 not in self.background:
            raise ValueError("background must hold label value 0")
        for reserved, meaning in ((UNION, "all classes together"), ("background", "what is no class")):
            if reserved in self.classes:
                raise ValueError(f'"{reserved}" is the name of {meaning}; rename the class')
        if len(self.classes) > 254:
            raise ValueError(f"{len(self.classes)} classes; at most 254 fit the store's 8 bits")
        return self

    def _check_patterns(self) -> None:
        patterns = {"pattern": self.pattern, "labels": self.labels, "mask": self.mask}
        for field, pattern in patterns.items():
            if pattern is None:
                continue
            if pattern.startswith("/"):
                raise ValueError(
                    f"{field} {pattern!r} begins with a slash; patterns are relative to cohort.root"
                )
            unknown = sorted(set(re.findall(r"\{(\w*)\}", pattern)) - {"patient", "exam", "channel"})
            if unknown:
                raise ValueError(
                    f"{field} {pattern!r} has {{{unknown[0]}}}, which is not known; use {{patient}}, {{exam}} (a "
                    "visit, say) and {channel}"
                )
            if "{patient}" not in pattern:
                raise ValueError(
                    f"{field} {pattern!r} has no {{patient}}: exams of one patient must be known"
                )
            if ("{exam}" in pattern) != ("{exam}" in self.pattern):
                raise ValueError(f"{{exam}} must be in all of pattern, labels and mask, or in none ({field})")
            if ("{channel}" in pattern) != (field == "pattern"):
                raise ValueError(f"{{channel}} belongs in pattern, and only there ({field} is {pattern!r})")

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels, in order."""
        return tuple(channel.name for channel in self.channels)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; the store holds class k (from 1) as label k."""
        return tuple(self.classes)

    @property
    def class_values(self) -> tuple[tuple[int, ...], ...]:
        """For each class, the values that stand for it in the label maps."""
        return tuple((v,) if isinstance(v, int) else v for v in self.classes.values())

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """All acquisitions in the order of their first channel, those of a single channel included."""
        owner = {channel: name for name, group in self.acquisitions.items() for channel in group}
        groups: dict[str, tuple[str, ...]] = {}
        for channel in self.channel_names:
            name = owner.get(channel, channel)
            groups[name] = (*groups.get(name, ()), channel)
        return groups


def _doubled(values: Sequence[T]) -> T | None:
    """The first value that occurs twice, or None."""
    return next((v for i, v in enumerate(values) if v in values[:i]), None)
