"""Several roles as one pattern of the study file, with `{channel}` or `{class}` for what tells them apart."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from submit.init.reading import Role
from submit.init.templates import EXAM, PATIENT, Template
from submit.init.words import is_telling

_PIECE = re.compile(r"(?:\{\w+\}|\[[^\]]+\]|[^_\-. ])+|[_\-. ]+")
"""A word of a pattern, placeholders and brackets included, or what is between two."""


@dataclass(frozen=True, kw_only=True)
class Joined:
    """A pattern, and the text that stands for its placeholder in each role."""

    pattern: str
    """Without ending."""
    texts: tuple[str, ...]


def joined(templates: Sequence[Template], placeholder: str) -> Joined | None:
    """The pattern of roles; None if no one pattern has them all.

    Args:
        templates: Of the roles, all different.
        placeholder: `{channel}` or `{class}`.
    """
    for found in (_by_component(templates, placeholder), _by_path(templates, placeholder)):
        if found is not None and _is_sound(found, templates, placeholder):
            return found
    return None


def largest_joined(roles: Sequence[Role], placeholder: str) -> tuple[Joined, tuple[Role, ...]] | None:
    """The pattern of as many of the roles as one can have, and these; None if no two have one."""
    by_shape: dict[tuple[tuple[str, ...], ...], list[Role]] = defaultdict(list)
    by_folders: dict[Template, list[Role]] = defaultdict(list)
    by_name: dict[str, list[Role]] = defaultdict(list)
    for role in roles:
        shape = tuple(tuple(re.findall(r"\{\w+\}", component)) for component in role.template)
        by_shape[shape].append(role)
        by_folders[role.template[:-1]].append(role)
        by_name[role.template[-1]].append(role)
    # Of roles of one name in several folders, the one that lies with most others.
    named = [max(same, key=lambda role: len(by_folders[role.template[:-1]])) for same in by_name.values()]
    subsets = sorted((named, *by_shape.values(), *by_folders.values()), key=len, reverse=True)
    for subset in (roles, *subsets):
        found = joined([role.template for role in subset], placeholder) if len(subset) > 1 else None
        if found is not None:
            return found, tuple(subset)
    return None


def ending_of(roles: Iterable[Role]) -> str:
    """The ending of roles' files as a pattern, in the case in which they are written."""
    endings = Counter(image.ending for role in roles for image in role.files.values())
    lower = {ending.lower() for ending in endings}
    if len(endings) == 1:
        return next(iter(endings))
    if lower == set(endings):
        return ".nii*"
    letters = ".nii.gz" if ".nii.gz" in lower else ".nii"
    either = "".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in letters)
    return either if len(lower) == 1 else either.removesuffix(".[gG][zZ]") + "*"


def _by_component(templates: Sequence[Template], placeholder: str) -> Joined | None:
    """What differs is in a folder's name or the file's: `t1/{patient}`, `{patient}_t1`, `t1/{patient}_t1`."""
    if len({len(template) for template in templates}) != 1:
        return None
    columns = list(zip(*templates, strict=True))
    differing = [n for n, column in enumerate(columns) if len(set(column)) > 1]
    middles = {n: _middles(columns[n]) for n in differing}
    for chosen in sorted(differing, reverse=True):  # the file's name first
        middle = middles[chosen]
        if middle is None or len(set(middle[1])) < len(templates):
            continue
        pattern = [column[0] for column in columns]
        for n in differing:
            own = middles[n]
            same = own is not None and own[1] == middle[1]
            pattern[n] = f"{own[0]}{placeholder}{own[2]}" if same and own is not None else "*"
        if not any(_has_placeholder(c) for n in differing for c in columns[n] if pattern[n] == "*"):
            return Joined(pattern="/".join(pattern), texts=middle[1])
    return None


def _by_path(templates: Sequence[Template], placeholder: str) -> Joined | None:
    """What differs is a piece of the path, folders included: `{patient}/` + `t1` or `dwi/adc`."""
    start = 0
    shortest = min(map(len, templates)) - 1
    while start < shortest and len({template[start] for template in templates}) == 1:
        start += 1
    rests = ["/".join(template[start:]) for template in templates]
    found = _middles(rests)
    if found is None:
        return None
    before, texts, after = found
    pattern = "/".join((*templates[0][:start], f"{before}{placeholder}{after}"))
    return Joined(pattern=pattern, texts=texts)


def _middles(texts: Sequence[str]) -> tuple[str, tuple[str, ...], str] | None:
    """What texts begin with, how they differ, and what they end with; words that tell something are in the middle."""
    pieces = [_PIECE.findall(text) for text in texts]
    shortest = min(map(len, pieces))
    before = 0
    while before < shortest - 1 and _same([own[before] for own in pieces]):
        before += 1
    after = 0
    while after < shortest - before - 1 and _same([own[-1 - after] for own in pieces]):
        after += 1
    middles = tuple("".join(own[before : len(own) - after]) for own in pieces)
    if not all(middles) or any(_has_placeholder(middle) for middle in middles):
        return None
    return "".join(pieces[0][:before]), middles, "".join(pieces[0][len(pieces[0]) - after :]) if after else ""


def _has_placeholder(text: str) -> bool:
    return re.search(r"\{\w+\}", text) is not None


def _same(pieces: Sequence[str]) -> bool:
    """Whether a piece is common to all and says nothing of what an image shows."""
    return len(set(pieces)) == 1 and not is_telling(pieces[0])


def _is_sound(found: Joined, templates: Sequence[Template], placeholder: str) -> bool:
    """Whether the pattern has the placeholders that the roles have, and gives each role a text of its own."""
    wanted = {name for name in (PATIENT, EXAM) if name in "/".join(templates[0])}
    whole = placeholder in found.pattern and all(name in found.pattern for name in wanted)
    return whole and len(set(found.texts)) == len(templates)
