"""The files of a folder as a table: exams by roles, for one way to read patients and exams off their names.

A role is what a file is in its exam, as far as names tell: its path with `{patient}` and `{exam}` for the names of
these, `t1` in `anna/t1.nii.gz`. A good reading has few roles, and each exam has nearly all of them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from job.data.patterns import composed, expression_of
from job.data.visits import GROUP, VISIT
from submit.init.files import Image
from submit.init.identities import Candidate, Unit, candidates
from submit.init.templates import (
    EXAM,
    Placed,
    Template,
    literal,
    names_in,
    placed_by,
    with_groups,
    without_case,
    without_noise,
    without_placeholders,
)
from submit.init.words import WORD, Kind, kind_of, words_of

USUAL_SHARE = 0.5
"""Of the exams; a role that more of them have belongs to an exam."""
MANY_EXAMS = 6
"""Of a patient; folders with more on average are parts of a cohort rather than patients."""
GOOD_ENOUGH = 0.9
"""Of the files, and of those that all exams would have; where there are fewer, wildcards are tried."""
FEW_FILES = 1000
"""More are not all looked at for each candidate, but those of some patients."""
SAMPLED = 40
"""Of the patients, where there are many files; and of a role's files, to see whether its pattern finds its exams."""
FINALISTS = 4
"""Candidates that are read with all files."""


@dataclass(frozen=True, kw_only=True)
class Role:
    """What a file is in its exam."""

    template: Template
    files: Mapping[Unit, Image]
    """By exam, where it has one such file or several: the first."""
    doubled: frozenset[Unit] = frozenset()
    """Exams with several such files."""

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

    def kinds(self) -> dict[Template, Kind | None]:
        """What the names of the roles say, by the words in which they differ."""
        words = {role.template: words_of(without_placeholders(role.template)) for role in self.roles}
        common = frozenset.intersection(*words.values()) if len(words) > 1 else frozenset()
        return {template: kind_of(own - common) for template, own in words.items()}


def best_reading(images: Sequence[Image]) -> Reading | None:
    """The reading that explains most of the files in the plainest way; None if there is none at all."""
    names = {image.key: names_in(image) for image in images}
    ranked: list[tuple[float, Candidate]] = []
    for candidate in candidates(images):
        own, some, scale = _sampled(images, names, candidate)
        readings = list(_readings(own, names, some))
        scores = [score_of(reading, files=len(images), scale=scale) for reading in readings]
        ranked += [(max(scores), candidate)] if scores else []
        if any(_is_perfect(reading) for reading in readings):
            best = _best([candidate], images, names)
            if best is not None and _is_perfect(best):
                return best
    ranked.sort(key=lambda each: -each[0])  # stable: of equals the one that was found first
    best = _best([candidate for _, candidate in ranked[:FINALISTS]], images, names)
    return best or _best([candidate for _, candidate in ranked[FINALISTS:]], images, names)


def _best(
    finalists: Sequence[Candidate], images: Sequence[Image], names: Mapping[str, frozenset[str]]
) -> Reading | None:
    """The best of some candidates' readings whose patterns find the very exams."""
    best: tuple[float, Reading] | None = None
    for candidate in finalists:
        for reading in _readings(images, names, candidate):
            score = score_of(reading, files=len(images))
            if (best is None or score > best[0] + 1e-9) and _finds_its_exams(reading):
                best = score, reading
    return best[1] if best is not None else None


def score_of(reading: Reading, *, files: int, scale: float = 1.0) -> float:
    """How good a reading is; only the order of two readings of the same files means something.

    Args:
        reading: Of all files, or of some patients'.
        files: How many there are in all.
        scale: All patients by those that were read.
    """
    usual = reading.usual
    if not usual:
        return -1.0
    explained = scale * sum(len(role.files) - len(role.doubled) for role in usual) / files
    filled = sum(len(role.files) for role in usual) / (len(usual) * len(reading.units))
    kinds = reading.kinds()
    known = sum(kinds[role.template] is not None for role in usual) / len(usual)
    score = explained * filled + 0.2 * known
    labels = [role for role in reading.roles if kinds[role.template] in ("labels", "mask or labels")]
    score += 0.8 * len({unit for role in labels for unit in role.files}) / len(reading.units)
    score -= 0.3 * _labelled_twice(usual, kinds)
    score -= _looks_wrong(reading) + 0.6 * (len(reading.patients) == 1)  # one exam lacks nothing
    texts = len(usual) + scale * len(reading.patients) + len(reading.exams)
    return score + 0.05 * reading.says_visits - 0.05 * texts / files + 0.03 * _numbered(reading)


def _is_perfect(reading: Reading) -> bool:
    """Whether no other reading need be looked at."""
    complete = all(len(role.files) == len(reading.units) and not role.doubled for role in reading.roles)
    plain = not any("*" in role.text for role in reading.roles)
    if not complete or not plain or reading.unplaced or len(reading.patients) < 2:
        return False
    kinds = list(reading.kinds().values())
    return kinds.count("labels") == 1 and None not in kinds and _looks_wrong(reading) == 0


def _looks_wrong(reading: Reading) -> float:
    """What speaks against the names of patients and exams."""
    names = reading.patients | reading.exams
    wrong = sum(kind_of(frozenset({name.lower()})) is not None for name in names) / len(names)
    groups = sum(GROUP.fullmatch(name) is not None for name in reading.patients) / len(reading.patients)
    if reading.exams and (len(reading.units) > MANY_EXAMS * len(reading.patients) or groups > 0.5):
        wrong += 0.3
    wrong += 0.15 * any("*" in folder for role in reading.roles for folder in role.template[:-1])
    wrong += 0.1 * any("*" in role.template[-1] for role in reading.roles)
    in_names = any(EXAM in role.text and EXAM not in "/".join(role.template[:-1]) for role in reading.roles)
    return wrong + 0.1 * (in_names and not reading.says_visits)


def _labelled_twice(usual: Sequence[Role], kinds: Mapping[Template, Kind | None]) -> bool:
    """Whether roles of labels differ by a folder or a visit only: exams that are read as one."""
    stems = [role.template[-1] for role in usual if kinds[role.template] == "labels"]
    plain = {" ".join(word for word in WORD.findall(stem) if not VISIT.fullmatch(word)) for stem in stems}
    return len(plain) < len(stems)


def _numbered(reading: Reading) -> float:
    """How much more often the names of patients have numbers than those of roles."""

    def share(texts: Collection[str]) -> float:
        return sum(any(letter.isdecimal() for letter in text) for text in texts) / len(texts)

    return share(reading.patients) - share([without_placeholders(r.template) for r in reading.usual])


def _finds_its_exams(reading: Reading) -> bool:
    """Whether each role, as a pattern, gives its files the exams that they were given.

    `{patient}_{exam}_t1` does not where exams have underscores of their own.
    """
    for role in reading.roles:
        for unit, image in list(role.files.items())[:SAMPLED]:
            match = expression_of(f"{role.text}{literal(image.ending)}").fullmatch(composed(image.key))
            if match is None or (match["patient"], match.groupdict().get("exam", "")) != unit:
                return False
    return True


def _readings(
    images: Sequence[Image], names: Mapping[str, frozenset[str]], candidate: Candidate
) -> Iterator[Reading]:
    """A candidate's readings: names replaced wherever they are, or where they come first; with wildcards."""
    everywhere = [True]
    if any(len(name) < 3 for unit in candidate.units.values() for name in unit if name):
        everywhere.append(False)  # "1" may stand for other things than patient 1
    for each in everywhere:
        placed, unplaced = placed_by(candidate, images, names, everywhere=each)
        placed = without_case(placed)
        plain = _reading(placed, unplaced, candidate)
        if plain is None:
            continue
        yield plain
        usual = sum(len(role.files) for role in plain.usual)
        if usual < GOOD_ENOUGH * max(len(images), len(plain.usual) * len(plain.units)):
            for changed in (with_groups(placed), without_noise(placed)):
                if (reading := _reading(changed, unplaced, candidate)) is not None:
                    yield reading


def _reading(placed: Placed, unplaced: Sequence[Image], candidate: Candidate) -> Reading | None:
    files: dict[Template, dict[Unit, list[Image]]] = defaultdict(lambda: defaultdict(list))
    for unit, template, image in placed:
        files[template][unit].append(image)
    roles = tuple(
        Role(
            template=template,
            files={unit: own[0] for unit, own in sorted(by_unit.items())},
            doubled=frozenset(unit for unit, own in by_unit.items() if len(own) > 1),
        )
        for template, by_unit in sorted(files.items())
    )
    if not roles:
        return None
    units = tuple(sorted({unit for unit, _, _ in placed}))
    return Reading(roles=roles, units=units, unplaced=tuple(unplaced), says_visits=candidate.says_visits)


def _sampled(
    images: Sequence[Image], names: Mapping[str, frozenset[str]], candidate: Candidate
) -> tuple[Sequence[Image], Candidate, float]:
    """Some patients of a candidate with all files that name them, and how many times more there are in all."""
    patients = sorted({patient for patient, _ in candidate.units.values()})
    if len(images) <= FEW_FILES or len(patients) <= SAMPLED:
        return images, candidate, 1.0
    step = len(patients) / SAMPLED
    chosen = frozenset(patients[int(n * step)] for n in range(SAMPLED))
    units = {key: unit for key, unit in candidate.units.items() if unit[0] in chosen}
    own = [
        image
        for image in images
        if image.key in units or (image.key not in candidate.units and chosen & names[image.key])
    ]
    return own, Candidate(units=units, says_visits=candidate.says_visits), step
