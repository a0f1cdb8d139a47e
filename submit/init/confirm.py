"""Whether the patterns of a layout find the files that they are meant to, and no others."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from job.data.patterns import composed, expression_of, folded
from job.storage import StoredObject
from submit.init.files import Listing
from submit.init.identities import Unit
from submit.init.reading import Reading, Role
from submit.init.templates import EXAM, PATIENT, literal


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a pattern is to find."""

    pattern: str
    """With its ending."""
    text: str = ""
    """For `{channel}` or `{class}`."""
    role: Role


def objects_by_unit(
    objects: Iterable[StoredObject], patterns: Iterable[tuple[str, str]]
) -> dict[Unit, list[StoredObject]]:
    """The files of each exam, of names in one case and form, by patterns with the texts for their placeholders."""
    found: dict[Unit, list[StoredObject]] = {}
    expressions = [expression_of(pattern, text) for pattern, text in patterns]
    for item in objects:
        matches = [match for each in expressions if (match := each.fullmatch(composed(item.key)))]
        units = {(folded(m["patient"]), folded(m.groupdict().get("exam", ""))) for m in matches}
        for unit in units:
            found.setdefault(unit, []).append(item)
    return found


@dataclass(frozen=True, kw_only=True)
class Strays:
    """Files that patterns find beside those that they are meant to."""

    ignore: tuple[str, ...]
    """Patterns of files that need not be looked at."""
    clashes: tuple[str, ...]
    """Files that are meant by another pattern, so that they cannot be ignored."""


def strays_of(uses: Sequence[Use], listing: Listing, reading: Reading) -> Strays:
    """What patterns find too much, and how `cohort.ignore` names it."""
    keys = [*(image.key for image in listing.images), *listing.others, *listing.twice]
    meant = [{image.key for image in use.role.files.values()} for use in uses]
    used = set().union(*meant)
    stray: set[str] = set()
    for use, own in zip(uses, meant, strict=True):
        expression = expression_of(use.pattern, use.text)
        stray |= {key for key in keys if key not in own and expression.fullmatch(composed(key))}
    clashes = sorted(key for key in stray if key in used)
    return Strays(ignore=_ignoring(sorted(stray - used), used, reading), clashes=tuple(clashes))


def _ignoring(stray: Sequence[str], used: Iterable[str], reading: Reading) -> tuple[str, ...]:
    """Patterns for files that are found and not meant: by role, by folder, or one by one."""
    used = [composed(key) for key in used]
    kinds = {
        image.key: f"{role.text.replace(PATIENT, '*').replace(EXAM, '*')}{image.ending}"
        for role in reading.roles
        for image in role.files.values()
    }
    patterns: list[str] = []
    for key in stray:
        if any(expression_of(pattern).fullmatch(composed(key)) for pattern in patterns):
            continue
        options = [kinds[key]] if key in kinds else []
        folders = composed(key).split("/")[:-1]
        options += [f"{literal('/'.join(folders[: n + 1]))}/**" for n in range(len(folders))]
        options.append(literal(composed(key)))
        free = [option for option in options if not any(map(expression_of(option).fullmatch, used))]
        patterns += free[:1]
    return tuple(patterns)
