"""What `submit init` found in a folder, as one value that a study file is written from."""

from collections.abc import Mapping
from dataclasses import dataclass

from submit.init.identities import Unit


@dataclass(frozen=True, kw_only=True)
class FoundChannel:
    """A channel."""

    name: str
    files: str | None
    """What stands for `{channel}`; None: the name."""
    index: int | None = None
    example: str
    """Key of a file."""
    low: float = 0.0
    high: float = 0.0
    """The 5th and 95th percentile of what is not 0 there."""
    is_map: bool = False
    """Whether its name is a parameter map's."""


@dataclass(frozen=True, kw_only=True)
class FoundClass:
    """A class."""

    name: str
    value: int | str
    """In the label maps, or the text that stands for `{class}`."""
    voxels: int
    """In all exams that were counted."""
    exams: int
    """That have it."""
    patients: int
    is_named: bool = True
    """Whether the name is more than a number."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A cohort's layout."""

    pattern: str
    labels: str
    mask: str | None
    channels: tuple[FoundChannel, ...]
    classes: tuple[FoundClass, ...]
    structures: Mapping[str, tuple[str, ...]]
    background: tuple[int, ...] = (0,)
    ignore: tuple[str, ...] = ()
    resample_to: str | None = None
    """A channel that the example's files could be resampled onto, since they are on several grids."""
    units: tuple[Unit, ...]
    """All exams, as the patterns name them."""
    lacking: Mapping[Unit, tuple[str, ...]]
    """Exams that cannot be used as they are, and what is wrong with each: `no channel t1`."""
    counted_exams: int
    """Whose labels were counted."""
    example: Unit
    """An exam that is whole."""
    known_from: str = ""
    """What the names of channels and classes are from."""
    mask_example: str = ""
    unsure: tuple[str, ...] = ()

    @property
    def patients(self) -> int:
        """How many there are."""
        return len({patient for patient, _ in self.units})

    @property
    def has_visits(self) -> bool:
        """Whether patients have several exams, or may."""
        return "{exam}" in self.pattern
