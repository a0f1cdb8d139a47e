"""What is compared with what: a study as far as its statistics need it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self

from job.contract.grid import REFERENCE
from job.contract.manifest import Manifest
from job.contract.metrics import METRICS
from submit.analysis.results_table import structures_of

ALPHA = 0.05
"""Of every family of tests, two-sided; intervals have 95 %."""


TestUnit = Literal["exam", "patient"]
"""What one training is tested on: an exam, or all exams of a patient."""


def trainings(exams: Iterable[int], unit: TestUnit) -> tuple[int, ...]:
    """Independent trainings behind a patient's mean of so many exams, for several patients."""
    return tuple(n if unit == "exam" else 1 for n in exams)


@dataclass(frozen=True, kw_only=True)
class Design:
    """Arms, tests and the primary endpoint, as they were fixed before anything ran."""

    arms: tuple[str, ...]
    """Names, the reference first."""
    left_out: tuple[tuple[str, ...], ...]
    """What each of them leaves out."""
    only_one_in: bool = False
    """Whether every arm but the reference has one channel only."""
    structures: tuple[str, ...]
    """What is tested: the classes, then their unions."""
    structure: str
    """Of the primary endpoint, the leading one, by which arms are ordered; so is `metric`."""
    further_structures: tuple[str, ...] = ()
    """Of the primary endpoint too: a channel is droppable if it is for all of them."""
    metric: str
    margin: float | None
    """Loss of the primary endpoint below which a channel counts as droppable; None: none was stated."""
    relative_margin: float = 0.25
    """The same as a share of what the reference has of a Dice, or lacks of a perfect one, whichever is less."""
    smallest_dice: float = 0.3
    """Mean Dice that the reference must exceed before anything is called droppable."""
    exams: tuple[tuple[str, str], ...]
    """(patient, exam), in the order of the grid."""
    test_unit: TestUnit = "exam"
    repeats: int
    """Of every arm; further ones of the reference arm alone do not count here."""
    seed: int
    """Of flips and draws."""
    classes: tuple[str, ...] = ()
    """The structures that are no unions."""
    acquisitions: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Channels that come from one scan, by its name, where arms leave out one of them at a time."""

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """The design of a run."""
        study = manifest.study
        return cls(
            arms=tuple(arm.name for arm in study.arms),
            left_out=tuple(arm.left_out for arm in study.arms),
            only_one_in=study.sweep.leave_out == "only-one-in",
            structures=structures_of(study),
            structure=study.endpoint.leading,
            further_structures=study.endpoint.structures[1:],
            metric=study.endpoint.metric,
            margin=study.margin,
            relative_margin=study.sweep.relative_margin,
            smallest_dice=study.sweep.smallest_dice,
            exams=tuple((entry.patient, entry.exam) for entry in manifest.exams),
            test_unit=study.sweep.test_unit,
            repeats=study.sweep.repeats,
            seed=study.sweep.seed,
            classes=study.cohort.class_names,
            acquisitions=tuple(
                (name, channels)
                for name, channels in study.cohort.groups.items()
                if len(channels) > 1 and study.sweep.leave_out == "channels"
            ),
        )

    @property
    def compared(self) -> tuple[str, ...]:
        """The arms that are compared with the reference."""
        return tuple(arm for arm in self.arms if arm != REFERENCE)

    @property
    def sign(self) -> int:
        """What makes a loss of a difference: -1 where higher is better."""
        return METRICS[self.metric].sign

    @property
    def shared_level(self) -> float:
        """The level of 5 % shared among the arms and structures of the endpoint: what a single one has of it."""
        return ALPHA / (len(self.compared) * len(self.endpoint_structures))

    @property
    def patients(self) -> int:
        """How many there are."""
        return len({patient for patient, _ in self.exams})

    @property
    def endpoint_structures(self) -> tuple[str, ...]:
        """All structures of the primary endpoint, the leading one first."""
        return (self.structure, *self.further_structures)

    @property
    def endpoint(self) -> tuple[str, str]:
        """Leading structure and metric."""
        return (self.structure, self.metric)

    @property
    def endpoints(self) -> tuple[tuple[str, str], ...]:
        """All structures of the endpoint with its metric."""
        return tuple((structure, self.metric) for structure in self.endpoint_structures)

    def margin_beside(self, reference: float | None) -> float | None:
        """The margin beside a reference with this mean.

        A loss of 0.02 is small where the reference has a Dice of 0.8, and four times the error where it has 0.995.
        """
        if self.margin is None or not METRICS[self.metric].is_share or reference is None:
            return self.margin
        return min(self.margin, self.relative_margin * min(reference, 1 - reference))
