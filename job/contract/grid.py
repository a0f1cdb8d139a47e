"""The grid of folds: which arm, test exams and training exams an index stands for, for ever.

    index = ((repeat * units) + unit) * arms + arm          arms vary fastest

A unit is what one fold tests: one exam, or all exams of a patient. Every `arms` consecutive folds make one
complete paired comparison. Further repeats of the reference arm (for the noise floor) follow after the
last index of that block, unit by unit.

What pairs the arms (validation subset, and through `fold.unit` and `fold.repeat` every random draw) never
depends on the arm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations
from typing import Literal

from job.contract.errors import StudyError
from job.contract.randomness import Stream

REFERENCE = "reference"
"""Name of the arm that has all channels."""

LeaveOut = Literal["channels", "acquisitions", "pairs", "only-one-in"]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A set of input channels."""

    name: str
    channels: tuple[int, ...]
    """Positions in the study's channels, ascending."""
    left_out: tuple[str, ...]
    """Names of the channels that are missing."""


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One training and one test."""

    index: int
    repeat: int
    unit: int
    arm: Arm
    test_exams: tuple[int, ...]
    training_exams: tuple[int, ...]
    validation_exams: tuple[int, ...]


def leave_out_arms(
    channels: Sequence[str], acquisitions: Mapping[str, Sequence[str]], leave_out: LeaveOut
) -> tuple[Arm, ...]:
    """The arms of a sweep, the reference first, the others in the order of the channels.

    Args:
        channels: All channels in order.
        acquisitions: Every channel's group: a partition of the channels.
        leave_out: What an arm leaves out.

    Raises:
        ValueError: An arm would have no channel, none would be left out, or two would have the same name.
    """
    if leave_out == "channels":
        missing: list[tuple[str, tuple[str, ...]]] = [(f"without {c}", (c,)) for c in channels]
    elif leave_out == "acquisitions":
        missing = [(f"without {name}", tuple(group)) for name, group in acquisitions.items()]
    elif leave_out == "pairs":
        missing = [(f"without {a} and {b}", (a, b)) for a, b in combinations(channels, 2)]
    else:
        missing = [(f"only {c}", tuple(o for o in channels if o != c)) for c in channels]
    arms = [Arm(name=REFERENCE, channels=tuple(range(len(channels))), left_out=())]
    for name, left_out in missing:
        if any(name == arm.name for arm in arms):
            raise ValueError(f'two arms would be called "{name}"; rename a channel')
        kept = tuple(i for i, channel in enumerate(channels) if channel not in left_out)
        if not kept:
            raise ValueError(
                f'arm "{name}" would have no channel (leave_out = "{leave_out}", channels: '
                f"{', '.join(channels)}); add channels or leave out something smaller"
            )
        if left_out:
            arms.append(Arm(name=name, channels=kept, left_out=left_out))
    if len(arms) == 1:
        raise ValueError(
            f'leave_out = "{leave_out}" gives no arm beside the reference (channels: {", ".join(channels)}); '
            "a comparison needs at least two channels"
        )
    return tuple(arms)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """All folds of a run, numbered."""

    arms: tuple[Arm, ...]
    patients: tuple[str, ...]
    """The patient of each exam; exams of one patient are neighbours."""
    test_unit: Literal["exam", "patient"]
    repeats: int
    reference_repeats: int
    seed: int
    validation_patients: int

    def __post_init__(self) -> None:
        n_patients = len(set(self.patients))
        if n_patients < 2 + self.validation_patients:
            raise ValueError(
                f"the cohort has {n_patients} patients; {2 + self.validation_patients} are needed: one to test, "
                f"one to train on and {self.validation_patients} for validation"
            )

    @cached_property
    def units(self) -> tuple[tuple[int, ...], ...]:
        """The exams that a fold tests, for each unit."""
        if self.test_unit == "exam":
            return tuple((exam,) for exam in range(len(self.patients)))
        exams: dict[str, list[int]] = {}
        for exam, patient in enumerate(self.patients):
            exams.setdefault(patient, []).append(exam)
        return tuple(map(tuple, exams.values()))

    @property
    def paired_folds(self) -> int:
        """Number of folds of the block in which every arm occurs: repeats x units x arms."""
        return self.repeats * len(self.units) * len(self.arms)

    def __len__(self) -> int:
        return self.paired_folds + self.reference_repeats * len(self.units)

    @property
    def extent(self) -> str:
        """How the number of folds comes about, in words."""
        text = f"{len(self.arms)} arms x {len(self.units)} {self.test_unit}s x {_counted(self.repeats, 'repeat')}"
        if self.reference_repeats:
            text += f" + {_counted(self.reference_repeats, 'reference repeat')} x {len(self.units)} {self.test_unit}s"
        return text

    def fold(self, index: int) -> Fold:
        """The fold of an index.

        Raises:
            StudyError: There is no such index.
        """
        if not 0 <= index < len(self):
            raise StudyError(
                f"fold {index} is outside 0..{len(self) - 1} ({self.extent}); use an index within 0..{len(self) - 1}"
            )
        units = self.units
        if index < self.paired_folds:
            rest, arm = divmod(index, len(self.arms))
            repeat, unit = divmod(rest, len(units))
        else:
            arm = 0
            further, unit = divmod(index - self.paired_folds, len(units))
            repeat = self.repeats + further
        training, validation = _split(
            self.patients, units[unit][0], self.validation_patients, Stream(self.seed, repeat, unit)
        )
        return Fold(
            index=index,
            repeat=repeat,
            unit=unit,
            arm=self.arms[arm],
            test_exams=units[unit],
            training_exams=training,
            validation_exams=validation,
        )


@lru_cache(maxsize=1)  # for the other arms of the same comparison
def _split(
    patients: tuple[str, ...], tested: int, count: int, stream: Stream
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Training and validation exams.

    Args:
        patients: The patient of each exam.
        tested: A test exam; none of its patient's is trained on.
        count: Patients for validation: a draw without replacement, those whose keys come first.
        stream: Of the draw.
    """
    others = [patient for patient in dict.fromkeys(patients) if patient != patients[tested]]
    if count:
        others.sort(key=lambda patient: stream.key("validation", patient))
    validation = frozenset(others[:count])
    training = frozenset(others[count:])
    return (
        tuple(exam for exam, patient in enumerate(patients) if patient in training),
        tuple(exam for exam, patient in enumerate(patients) if patient in validation),
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
