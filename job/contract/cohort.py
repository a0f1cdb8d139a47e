"""The cohort of a study: where the exams are and what they hold (tables of the study file)."""

from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from job.contract.cohort_rules import UNION, check_names, check_patterns, doubled

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
    index: Annotated[int, Field(ge=0)] | None = None
    """Volume of a 4-D file, counted from 0, for exams whose channels lie in one file; the pattern then needs no
    `{channel}`."""
    normalisation: Literal["zscore", "percentile", "fixed", "none"] = "zscore"
    """`zscore`: (value - mean) / SD over the region. `percentile`: the region's `range` percentiles become
    0 and 1, values beyond are clipped. `fixed`: `range`, in the map's own unit and the same for every exam,
    becomes 0 and 1, values beyond are clipped (for parameter maps). `none`: values as they are. The region
    is the mask where the cohort has one (voxels outside become 0); without a mask, it is all voxels for `fixed` and
    `none`, else those that have not the value of most of the border (0 where there is no such value)."""
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
    """Path of an exam's label map below `root`, with the same placeholders but `{channel}`; with `{class}` where
    each class has binary files of its own. A class without a file is absent in that exam, several files of one
    class are its parts (their union); where files of classes overlap, the class that is named first in `classes` has
    the voxel."""
    mask: str | None = None
    """Path of an exam's mask (body, brain) below `root`; patches are centred on voxels inside it, and what
    lies outside is background, also in the truth."""
    channels: OneOrMore[Channel]
    """The channels in order; a bare name stands for `{ name = … }`."""
    acquisitions: dict[Name, OneOrMore[str]] = {}
    """Groups of channels that come from one scan, e.g. `dce = ["ktrans", "ve"]`; a channel in no group is an
    acquisition of its own."""
    classes: Annotated[dict[Name, int | str | OneOrMore[int | str]], Field(min_length=1)]
    """Classes by name with the value, or values, that they have in the label maps; where each has files of its
    own, with the text, or texts, that stand for `{class}` (may hold `*`, `?`, `[..]`), or a list of names that are
    that text themselves."""
    structures: dict[Name, OneOrMore[str]] = {}
    """Unions of classes that are tested beside the classes, e.g. `"whole tumour" = ["core", "oedema"]`."""
    background: tuple[int, ...] = (0,)
    """Label values that count as background; a value in neither is an error."""
    exclude: tuple[str, ...] = ()
    """Exams left out of the study, as `patient` or `patient/exam`."""
    ignore: tuple[str, ...] = ()
    """Files that are not looked at, as patterns of their path below `root`: `"**/*_old*"`, `"derivatives/**"`."""
    geometry: Literal["sform", "qform", "voxels"] | None = None
    """Which header counts where a file's two disagree (an error unless it is said here). `voxels`: files without
    any orientation are taken as they are stored, their axes as R, A, S."""
    resample_to: str | None = None
    """Channel onto whose grid the other files of an exam are resampled (linear; labels by nearest neighbour), for
    exams whose files have grids of their own. Default: all files of an exam are on one grid, and nothing is
    resampled."""

    @model_validator(mode="before")
    @classmethod
    def _bare_names_are_tables(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        tables: dict[str, object] = {}
        if isinstance(data.get("channels"), list):
            tables["channels"] = [{"name": c} if isinstance(c, str) else c for c in data["channels"]]
        classes = data.get("classes")
        if isinstance(classes, list) and all(isinstance(name, str) for name in classes):
            if (twice := doubled(classes)) is not None:
                raise ValueError(f"class {twice!r} is listed twice")
            tables["classes"] = {name: name for name in classes}
        return data | tables

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        check_patterns(self)
        check_names(self)
        return self

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
        """For each class, the values that stand for it in the label maps.

        The classes that have files each are 1, 2, … in their order, also where predictions are written.
        """
        listed = [_listed(value) for value in self.classes.values()]
        return tuple(
            tuple(value for value in values if isinstance(value, int)) or (number,)
            for number, values in enumerate(listed, start=1)
        )

    @property
    def class_files(self) -> tuple[tuple[str, ...], ...] | None:
        """For each class, the texts that stand for `{class}` in the pattern of the labels; None: one label map."""
        if "{class}" not in self.labels:
            return None
        return tuple(tuple(map(str, _listed(value))) for value in self.classes.values())

    @property
    def structure_labels(self) -> dict[str, tuple[int, ...]]:
        """What is tested, by name: labels of the store that belong to it; `union` where there are several classes."""
        numbers = {name: number for number, name in enumerate(self.class_names, start=1)}
        labels: dict[str, tuple[int, ...]] = {name: (number,) for name, number in numbers.items()}
        labels |= {name: tuple(numbers[c] for c in members) for name, members in self.structures.items()}
        return labels | ({UNION: tuple(numbers.values())} if len(numbers) > 1 else {})

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """All acquisitions in the order of their first channel, those of a single channel included."""
        owner = {channel: name for name, group in self.acquisitions.items() for channel in group}
        groups: dict[str, tuple[str, ...]] = {}
        for channel in self.channel_names:
            name = owner.get(channel, channel)
            groups[name] = (*groups.get(name, ()), channel)
        return groups


def _listed(value: int | str | tuple[int | str, ...]) -> tuple[int | str, ...]:
    """One or several values or texts of a class, as several."""
    return value if isinstance(value, tuple) else (value,)
