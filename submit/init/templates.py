"""Paths as templates: `{patient}` and `{exam}` for the names of these, wildcards for what differs by chance."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from job.data.visits import VISIT
from submit.init.files import Image
from submit.init.identities import Candidate, Unit
from submit.init.words import ENTITY, LABELS, WORD, is_kind_word, kind_of, standing, words_of

Template = tuple[str, ...]
"""Folders and name of a role's files, in the words of a pattern, without ending."""
PATIENT, EXAM = "{patient}", "{exam}"
NOISE_SHARE = 0.34
"""Of the exams; a word that fewer of them have is a number or date of the file's own."""
_SEPARATORS = "_-. "
_SPELLED = re.compile(r"normali[sz](?=ation|ed)", re.IGNORECASE)
_WILDCARDS = re.compile(r"\*(?:[_\-. ]*\*)+")
Occurrences = Literal["all", "the first of each component", "the first"]
"""Which occurrences of a patient's or exam's name in a path stand for it."""
Pieces = list[tuple[str, bool]]
"""A component of a path in pieces, each a placeholder or not."""
Placed = list[tuple[Unit, Template, Image]]
"""Files with their exam and template."""


def names_in(image: Image) -> frozenset[str]:
    """All runs of words in a file's path that may be a name."""
    runs = set()
    for component in image.components:
        spans = [match.span() for match in WORD.finditer(component)]
        runs |= {component[a:d] for n, (a, _) in enumerate(spans) for (_, d) in spans[n:]}
        runs.add(component)
    return frozenset(runs)


def placed_by(
    candidate: Candidate, images: Sequence[Image], names: Mapping[str, frozenset[str]], *, where: Occurrences
) -> tuple[Placed, list[Image]]:
    """Each file's exam and template, and the files that name none.

    Args:
        candidate: Gives patients and exams of some files.
        images: All files.
        names: By key, what `names_in` gives.
        where: Which occurrences of a name become placeholders.
    """
    exams: dict[str, set[str]] = defaultdict(set)
    for patient, exam in candidate.units.values():
        exams[patient].add(exam)
    placed, unplaced = [], []
    for image in images:
        unit = candidate.units.get(image.key) or _unit_in(image, names[image.key], exams)
        template = None if unit is None else _template(image, unit, where)
        if unit is None or template is None:
            unplaced.append(image)
        else:
            placed.append((unit, template, image))
    return placed, unplaced


def _unit_in(image: Image, names: frozenset[str], exams: Mapping[str, set[str]]) -> Unit | None:
    """The patient and exam that a path names; the longest names count, then those that come first."""
    path = " ".join(image.components)
    starts = {name: match.start() for name in names & exams.keys() if (match := standing(name).search(path))}
    if not starts:
        return None
    patient = min(starts, key=lambda name: (-len(name), starts[name]))
    rest = standing(patient).sub("", path, count=1)
    found = [exam for exam in exams[patient] & names if standing(exam).search(rest)]
    return (patient, max(found, key=len, default="")) if found or "" in exams[patient] else None


def _template(image: Image, unit: Unit, where: Occurrences) -> Template | None:
    """A path with placeholders for its exam's names; None if they are not both in it."""
    components: list[Pieces] = [[(text, False)] for text in image.components]
    named = zip(unit, (PATIENT, EXAM), strict=True)
    for name, placeholder in sorted(named, key=lambda each: -len(each[0])):  # 1 of `ses-1` is no patient
        if not name:
            continue
        whole = [n for n, pieces in enumerate(components) if pieces == [(name, False)]]
        replaced = [_replaced(pieces, name, placeholder, once=where != "all") for pieces in components]
        found = [n for n, pieces in enumerate(replaced) if pieces != components[n]]
        if not found:
            return None
        for n in (whole or found)[:1] if where == "the first" else found:
            components[n] = replaced[n]
    return tuple("".join(text if done else literal(text) for text, done in pieces) for pieces in components)


def _replaced(pieces: Pieces, name: str, placeholder: str, *, once: bool) -> Pieces:
    """A component with a name, where it stands between separators, as a placeholder."""
    replaced: Pieces = []
    for text, done in pieces:
        most = 1 if once and (placeholder, True) not in replaced else 0
        parts = [text] if done or name not in text else standing(name).split(text, maxsplit=most)
        for n, part in enumerate(parts):
            replaced += [(placeholder, True)] if n else []
            replaced += [(part, done)] if part else []
    return replaced


def literal(text: str) -> str:
    """A text in a pattern: what would be a wildcard or a placeholder stands for itself."""
    return re.sub(r"[\[*?{]", lambda match: f"[{match[0]}]", text)


def readable(text: str) -> str:
    """A part of a pattern as a name: without wildcards, of two letters the first, and the rest as it is meant."""
    plain = re.sub(r"\[([\[*?{])\]", lambda match: f"\0{match[1]}", text)
    plain = re.sub(r"\[(\w)\w\]", r"\1", re.sub(r"(?<!\0)\*", "", plain)).replace("\0", "")
    return plain.strip(_SEPARATORS + "/")


def with_groups(placed: Placed) -> Placed:
    """The same with `*` for folders above the patient's that only tell parts of the cohort apart: `HGG`, `site1`.

    No exam is in two of them, and all have labels, as names say, or none.
    """
    for position in range(max(len(template) for _, template, _ in placed) - 1):
        groups: dict[Template, dict[str, set[Unit]]] = defaultdict(lambda: defaultdict(set))
        for unit, template, _ in placed:
            if is_above_patient(template, position):
                groups[with_star(template, position)][template[position]].add(unit)
        several = [own for own in groups.values() if len(own) > 1]
        apart = [own for own in several if sum(map(len, own.values())) == len(set().union(*own.values()))]
        alike = {name for own in apart for name in own}
        labelled = {
            name
            for rest, own in groups.items()
            if kind_of(words_of("/".join(rest))) in LABELS
            for name in own
        }
        alike &= labelled or alike
        placed = [
            (unit, with_star(template, position), image)
            if is_above_patient(template, position) and template[position] in alike
            else (unit, template, image)
            for unit, template, image in placed
        ]
    return placed


def is_above_patient(template: Template, position: int) -> bool:
    """Whether a component is a folder above the one, or the name, that is the patient's."""
    return PATIENT not in "/".join(template[: position + 1]) and PATIENT in "/".join(template[position + 1 :])


def with_star(template: Template, position: int) -> Template:
    """The template with any folder for one of its own."""
    return (*template[:position], "*", *template[position + 1 :])


def without_noise(placed: Placed) -> Placed:
    """The same with one template for files' names that differ by what says nothing of the file, and by case.

    That is a number, or a word that hardly any other exam has (`*`); most exams have one file of such names.
    """
    units = {unit for unit, _, _ in placed}
    having: dict[str, set[Unit]] = defaultdict(set)
    for unit, template, _ in placed:
        for word in WORD.findall(template[-1].casefold()):
            having[word].add(unit)
    few = max(1, NOISE_SHARE * len(units)) if len(units) > 1 else 0
    rare = {word for word, own in having.items() if len(own) <= few and "{" not in word}
    noise = {word for word in rare if not is_kind_word(word) and VISIT.fullmatch(word) is None}
    noise |= {word for word in having if word.isdecimal()}
    cleaned = {template: _cleaned(template, noise) for _, template, _ in placed}
    alike: dict[Template, dict[Template, set[Unit]]] = defaultdict(lambda: defaultdict(set))
    for unit, template, _ in placed:
        alike[tuple(map(str.casefold, cleaned[template]))][template].add(unit)
    one: dict[Template, Template] = {}
    for own in alike.values():
        names = Counter(cleaned[template] for template, units in own.items() for _ in units).most_common()
        twice = sum(map(len, own.values())) - len(set().union(*own.values()))
        if len(own) > 1 and 2 * twice < len(set().union(*own.values())) and names[0][0][-1] != "*":
            one |= dict.fromkeys(
                own, tuple(map(_either_case, zip(*(name for name, _ in names), strict=True)))
            )
    return [(unit, one.get(template, template), image) for unit, template, image in placed]


def _cleaned(template: Template, noise: Collection[str]) -> Template:
    """A template with `*` for some words of its name, and British and American spelling as one pattern."""
    pieces = re.split(rf"({ENTITY.pattern})", _SPELLED.sub("normali[sz]", template[-1]))
    pieces[::2] = (
        WORD.sub(lambda match: "*" if match[0].casefold() in noise else match[0], piece)
        for piece in pieces[::2]
    )
    return (*template[:-1], _WILDCARDS.sub("*", "".join(pieces)))


def _either_case(spellings: Sequence[str]) -> str:
    letters = (dict.fromkeys(each) for each in zip(*spellings, strict=True))
    return "".join(f"[{''.join(each)}]" if len(each) > 1 else next(iter(each)) for each in letters)


def without_placeholders(template: Template) -> str:
    """What a template says beside patient and exam, of two letters the first."""
    plain = "/".join(template).replace(PATIENT, "").replace(EXAM, "")
    return re.sub(r"\[(\w)\w\]", r"\1", plain)


def in_order(names: Iterable[str]) -> list[str]:
    """Names as people sort them: without case, numbers by their value."""

    def key(name: str) -> list[tuple[int, int, str]]:
        pieces = [piece for piece in re.split(r"(\d+)", name.casefold()) if piece]
        return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces]

    return sorted(names, key=lambda name: (key(name), name))
