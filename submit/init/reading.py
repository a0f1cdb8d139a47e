"""The files of a folder as a table: exams by roles, for one way to read patients and exams off their names.

A role is what a file is in its exam, as far as names tell: its path with `{patient}` and `{exam}` for the names of
these, `t1` in `anna/t1.nii.gz`. A good reading has few roles, and each exam has nearly all of them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import get_args

from job.data.patterns import composed, expression_of
from submit.init.files import Image
from submit.init.identities import Candidate, Unit, candidates, kinds_by_name
from submit.init.templates import (
    Occurrences,
    Placed,
    Template,
    literal,
    names_in,
    placed_by,
    with_groups,
    without_noise,
    without_placeholders,
)
from submit.init.words import LABELS, Kind, kind_of, words_of

USUAL_SHARE = 0.5
"""Of the exams; a role that more of them have belongs to an exam."""
TRIED = 40
"""Files of a role that show whether its pattern finds its exams."""


@dataclass(frozen=True, kw_only=True)
class Role:
    """What a file is in its exam."""

    template: Template
    files: Mapping[Unit, Image]
    """By exam, where it has one such file or several: the first."""
    doubled: Mapping[Unit, Sequence[Image]] = field(default_factory=dict)
    """The further files of exams that have several."""

    @property
    def text(self) -> str:
        """The template as a path."""
        return "/".join(self.template)

    def share(self, units: Collection[Unit]) -> float:
        """Of the exams, how many have it."""
        return len(self.files) / len(units)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """All files, read one way."""

    roles: tuple[Role, ...]
    """By template."""
    units: tuple[Unit, ...]
    unplaced: tuple[Image, ...]
    """Files that belong to no exam."""
    says_visits: bool = False
    """Whether the names themselves say which exam of a patient they are."""

    @property
    def usual(self) -> tuple[Role, ...]:
        """Roles that most exams have."""
        return tuple(role for role in self.roles if role.share(self.units) >= USUAL_SHARE)

    @property
    def patients(self) -> frozenset[str]:
        """Their names."""
        return frozenset(patient for patient, _ in self.units)

    @property
    def exams(self) -> frozenset[str]:
        """Names of exams; none where every patient has one."""
        return frozenset(exam for _, exam in self.units if exam)

    @cached_property
    def kinds(self) -> dict[Template, Kind | None]:
        """What the names of the roles say, by the words in which they differ."""
        words = {role.template: words_of(without_placeholders(role.template)) for role in self.roles}
        common = frozenset.intersection(*words.values()) if len(words) > 1 else frozenset()
        return {template: kind_of(own - common) for template, own in words.items()}


def best_reading(images: Sequence[Image]) -> Reading | None:
    """The reading that explains most of the files, of equals the first; None if there is none at all."""
    names = {image.key: names_in(image) for image in images}
    labelled = any(kind in LABELS for kind in kinds_by_name(images).values())
    best: tuple[float, Reading] | None = None
    for candidate in candidates(images):
        for reading in _readings(images, names, candidate):
            score = score_of(reading, files=len(images), labelled=labelled)
            if (best is None or score > best[0]) and _finds_its_exams(reading):
                best = score, reading
            if best is not None and best[0] == 1:  # no file is left over, and no exam lacks one
                return best[1]
    return best[1] if best is not None else None


def score_of(reading: Reading, *, files: int, labelled: bool) -> float:
    """How much a reading explains: its share of the files, of those that its exams should have, and of labels.

    Args:
        reading: Of all files.
        files: How many there are.
        labelled: Whether there are labels among them, as names say.
    """
    usual = reading.usual
    if not usual:
        return 0.0
    explained = sum(len(role.files) - len(role.doubled) for role in usual) / files
    filled = sum(len(role.files) for role in usual) / (len(usual) * len(reading.units))
    kinds = reading.kinds
    having = {unit for role in reading.roles if kinds[role.template] in LABELS for unit in role.files}
    share = len(having) / len(reading.units)
    if not labelled or share >= USUAL_SHARE:  # cases to be tested, of a challenge, have no labels
        share = 1.0
    alone = 0.5 if len(reading.patients) == 1 else 1.0  # one exam lacks nothing
    return explained * filled * share * alone


def _finds_its_exams(reading: Reading) -> bool:
    """Whether each role, as a pattern, gives its files the exams that they were given.

    `{patient}_{exam}_t1` does not where exams have underscores of their own.
    """
    for role in reading.roles:
        for unit, image in list(role.files.items())[:TRIED]:
            match = expression_of(f"{role.text}{literal(image.ending)}").fullmatch(composed(image.key))
            if match is None or (match["patient"], match.groupdict().get("exam", "")) != unit:
                return False
    return True


def _readings(
    images: Sequence[Image], names: Mapping[str, frozenset[str]], candidate: Candidate
) -> Iterator[Reading]:
    """A candidate's readings: for all occurrences of its names in a path, or the first."""
    for where in get_args(Occurrences):
        placed, unplaced = placed_by(candidate, images, names, where=where)
        if placed:
            yield _reading(with_groups(without_noise(placed)), unplaced, candidate)


def _reading(placed: Placed, unplaced: Sequence[Image], candidate: Candidate) -> Reading:
    files: dict[Template, dict[Unit, list[Image]]] = defaultdict(lambda: defaultdict(list))
    for unit, template, image in placed:
        files[template][unit].append(image)
    roles = tuple(
        Role(
            template=template,
            files={unit: own[0] for unit, own in sorted(by_unit.items())},
            doubled={unit: own[1:] for unit, own in by_unit.items() if len(own) > 1},
        )
        for template, by_unit in sorted(files.items())
    )
    units = tuple(sorted({unit for unit, _, _ in placed}))
    return Reading(roles=roles, units=units, unplaced=tuple(unplaced), says_visits=candidate.says_visits)
