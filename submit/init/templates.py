"""Paths as templates: `{patient}` and `{exam}` for the names of these, wildcards for what differs by chance."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal

from submit.init.files import Image
from submit.init.identities import Candidate, Unit
from submit.init.words import LABELS, WORD, kind_of, words_of

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
    starts = {
        name: match.start()
        for name in names & exams.keys()
        if (match := _between_separators(name).search(path))
    }
    if not starts:
        return None
    patient = min(starts, key=lambda name: (-len(name), starts[name]))
    rest = _between_separators(patient).sub("", path, count=1)
    found = [exam for exam in exams[patient] & names if _between_separators(exam).search(rest)]
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
        parts = [text] if done or name not in text else _between_separators(name).split(text, maxsplit=most)
        for n, part in enumerate(parts):
            replaced += [(placeholder, True)] if n else []
            replaced += [(part, done)] if part else []
    return replaced


@lru_cache(maxsize=2**16)
def _between_separators(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![^_\-. ]){re.escape(name)}(?![^_\-. ])")


def literal(text: str) -> str:
    """A text in a pattern: what would be a wildcard or a placeholder stands for itself."""
    return re.sub(r"[\[*?{]", lambda match: f"[{match[0]}]", text)


def readable(text: str) -> str:
    """A part of a pattern as a name: without wildcards, of two letters the first, and the rest as it is meant."""
    plain = re.sub(r"\[([\[*?{])\]", lambda match: f"\0{match[1]}", text)
    plain = re.sub(r"\[(\w)\w\]", r"\1", re.sub(r"(?<!\0)\*", "", plain)).replace("\0", "")
    return plain.strip(_SEPARATORS + "/")


def without_case(placed: Placed) -> Placed:
    """The same with both letters, `[tT]1`, where names of one role differ by case, and no exam has both of them."""
    spellings: dict[str, dict[Template, set[Unit]]] = defaultdict(lambda: defaultdict(set))
    for unit, template, _ in placed:
        spellings["/".join(template).casefold()][template].add(unit)
    either: dict[Template, Template] = {}
    for own in spellings.values():
        apart = sum(map(len, own.values())) == len(set().union(*own.values()))
        if len(own) > 1 and apart and len({tuple(map(len, template)) for template in own}) == 1:
            ordered = sorted(own, key=lambda template: (-len(own[template]), template))
            both = tuple(map(_either_case, zip(*ordered, strict=True)))
            either |= dict.fromkeys(own, both)
    return [(unit, either.get(template, template), image) for unit, template, image in placed]


def _either_case(spellings: Sequence[str]) -> str:
    letters = (dict.fromkeys(each) for each in zip(*spellings, strict=True))
    return "".join(f"[{''.join(each)}]" if len(each) > 1 else next(iter(each)) for each in letters)


def with_groups(placed: Placed) -> Placed:
    """The same with `*` for folders above the patient's that only tell parts of the cohort apart: `HGG`, `site1`.

    Parts are alike if their exams have the same labels, and no exam is in two of them.
    """
    changed = placed
    for position in range(max(len(template) for _, template, _ in placed) - 1):
        roles: dict[str, dict[Template, set[Unit]]] = defaultdict(lambda: defaultdict(set))
        for unit, template, _ in changed:
            if _is_above_patient(template, position):
                roles[template[position]][_without(template, position)].add(unit)
        alike = _alike_groups(roles)
        if len(alike) > 1:
            changed = [
                (unit, (*template[:position], "*", *template[position + 1 :]), image)
                if _is_above_patient(template, position) and template[position] in alike
                else (unit, template, image)
                for unit, template, image in changed
            ]
    return changed


def _is_above_patient(template: Template, position: int) -> bool:
    above = position < len(template) - 1 and PATIENT not in "/".join(template[: position + 1])
    return above and any(PATIENT in component for component in template[position + 1 :])


def _without(template: Template, position: int) -> Template:
    return (*template[:position], *template[position + 1 :])


def _alike_groups(roles: Mapping[str, Mapping[Template, set[Unit]]]) -> frozenset[str]:
    """The parts that have labels of one kind, as names say; all of them, where these say nothing of labels."""
    having: dict[Template, list[str]] = defaultdict(list)
    for group, by_rest in roles.items():
        for rest in by_rest:
            if kind_of(words_of("/".join(rest))) in LABELS:
                having[rest].append(group)
    alike = max(having.values(), key=len, default=list(roles))
    units = [set.union(*roles[group].values()) for group in alike]
    apart = sum(map(len, units)) == len(set().union(*units))
    return frozenset(alike) if apart else frozenset()


def without_noise(placed: Placed) -> Placed:
    """The same with `*` for words of files' names that hardly any other exam has: numbers of series, dates."""
    units = {unit for unit, _, _ in placed}
    having: dict[str, set[Unit]] = defaultdict(set)
    for unit, template, _ in placed:
        for word in WORD.findall(_spelled(template[-1])):
            having[word].add(unit)
    few = max(1, NOISE_SHARE * len(units)) if len(units) > 1 else 0
    noise = {word for word, own in having.items() if len(own) <= few and "{" not in word}
    counted = _counted(placed)

    def cleaned(template: Template) -> str:
        numbered = _numbered(template) in counted
        return _WILDCARDS.sub(
            "*",
            WORD.sub(
                lambda match: "*" if match[0] in noise or (numbered and match[0].isdecimal()) else match[0],
                _spelled(template[-1]),
            ),
        )

    return [(unit, (*template[:-1], cleaned(template)), image) for unit, template, image in placed]


def _counted(placed: Placed) -> frozenset[Template]:
    """Templates but for their numbers, where each exam has one such file and the numbers differ: of series, say."""
    files: dict[Template, dict[Unit, set[Template]]] = defaultdict(lambda: defaultdict(set))
    for unit, template, _ in placed:
        files[_numbered(template)][unit].add(template)
    return frozenset(
        numbered
        for numbered, own in files.items()
        if all(len(templates) == 1 for templates in own.values()) and len(set.union(*own.values())) > 1
    )


def _numbered(template: Template) -> Template:
    stem = WORD.sub(lambda match: "#" if match[0].isdecimal() else match[0], _spelled(template[-1]))
    return (*template[:-1], stem)


def _spelled(stem: str) -> str:
    """British and American spelling as one pattern."""
    return _SPELLED.sub("normali[sz]", stem)


def without_placeholders(template: Template) -> str:
    """What a template says beside patient and exam."""
    return "/".join(template).replace(PATIENT, "").replace(EXAM, "")


def in_order(names: Iterable[str]) -> list[str]:
    """Names as people sort them: without case, numbers by their value."""

    def key(name: str) -> list[tuple[int, int, str]]:
        pieces = [piece for piece in re.split(r"(\d+)", name.casefold()) if piece]
        return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces]

    return sorted(names, key=lambda name: (key(name), name))
