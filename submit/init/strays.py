"""Files that patterns find beside those that they are meant to: narrower patterns, and what is to be ignored."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, product
from typing import Any

from job.contract.errors import DataError
from job.data.patterns import composed, expression_of
from submit.init.channels import CHANNEL
from submit.init.classes import CLASS
from submit.init.files import Listing, some
from submit.init.identities import Unit
from submit.init.pieces import Piece, Use
from submit.init.reading import Reading
from submit.init.templates import EXAM, PATIENT, literal

_STAR = re.compile(r"(?<!\[)\*")
NARROWER = ("*", "[0-9]*", "*[0-9]")
"""What a wildcard may be instead: a series' number begins, or a date ends, with a digit."""
MOST_STARS = 4
"""Of a pattern that is tried with all of these."""


def narrowed(pieces: Sequence[Piece]) -> list[Piece]:
    """The same where no pattern finds what another one, or another text, is meant to find, as far as numbers tell.

    `t1_*` finds `t1_post_5` too, and `t1_[0-9]*` does not.
    """
    used = {image.key for piece in pieces for use in piece.uses for image in use.role.files.values()}
    return [_narrowed(piece, used) for piece in pieces]


def _narrowed(piece: Piece, used: Iterable[str]) -> Piece:
    for pattern in dict.fromkeys(use.pattern for use in piece.uses):
        uses = [use for use in piece.uses if use.pattern == pattern]
        for narrower in _narrower(pattern):
            texts = [_narrowest(narrower, use, used) for use in uses]
            if None not in texts:
                new = {use.text: text for use, text in zip(uses, texts, strict=True) if text is not None}
                new = {old: text for old, text in new.items() if old != text} | {pattern: narrower}
                changed = (replace(use, pattern=narrower, text=new.get(use.text, use.text)) for use in uses)
                others = (use for use in piece.uses if use not in uses)
                piece = replace(piece, table=_with(piece.table, new), uses=(*others, *changed))
                break
    return piece


def _narrower(text: str) -> Iterator[str]:
    """A pattern with other wildcards, the least changed first; it itself is the first."""
    parts = _STAR.split(text)
    stars = len(parts) - 1
    if stars > MOST_STARS:
        yield text
        return
    choices = product(NARROWER, repeat=stars)
    for chosen in sorted(choices, key=lambda each: stars - each.count("*")):
        yield "".join(chain(*zip(parts, (*chosen, ""), strict=True)))


def _narrowest(pattern: str, use: Use, used: Iterable[str]) -> str | None:
    """The text with which a pattern finds all files of a use and no other's; None if there is none."""
    own = _own_keys(use)
    for text in _narrower(use.text):
        match = expression_of(pattern, text).fullmatch
        others = (key for key in used if key not in own)
        if all(match(composed(key)) for key in own) and not any(match(composed(key)) for key in others):
            return text
    return None


def _own_keys(use: Use) -> set[str]:
    return {image.key for image in chain(use.role.files.values(), *use.role.doubled.values())}


def _with(value: Any, new: Mapping[str, str]) -> Any:
    """A table with some texts replaced."""
    if isinstance(value, Mapping):
        return {key: _with(own, new) for key, own in value.items()}
    if isinstance(value, list):
        return [_with(own, new) for own in value]
    return new.get(value, value) if isinstance(value, str) else value


def ignored(uses: Sequence[Use], listing: Listing, reading: Reading) -> tuple[Piece, dict[str, Unit]]:
    """Patterns of files that the others find, and that are not meant; and exams of files that were read as no exam's.

    A pattern finds these too, so that they are of exams that lack the others' files.

    Raises:
        DataError: Another pattern means them, so that they cannot be ignored.
    """
    keys = [*(image.key for image in listing.images), *listing.others, *listing.twice]
    used = {image.key for use in uses for image in use.role.files.values()}
    unplaced = {image.key for image in reading.unplaced}
    stray: set[str] = set()
    exams: dict[str, Unit] = {}
    for use in uses:
        own, expression = _own_keys(use), expression_of(use.pattern, use.text)
        for key in keys:
            match = expression.fullmatch(composed(key)) if key not in own else None
            if match is not None and key in unplaced:
                exams[key] = (match["patient"], match.groupdict().get("exam", ""))
            elif match is not None:
                stray.add(key)
    if clashes := sorted(stray & used):
        raise _clash(clashes, uses)
    ignore = _patterns_of(sorted(stray), used | exams.keys(), reading)
    return Piece(table={"ignore": ignore} if ignore else {}), exams


def _clash(clashes: Sequence[str], uses: Sequence[Use]) -> DataError:
    """Files that two patterns find, or one pattern with two texts."""
    key = composed(clashes[0])
    finding = [use for use in uses if expression_of(use.pattern, use.text).fullmatch(key)]
    shown = dict.fromkeys(
        use.pattern.replace(CHANNEL, use.text).replace(CLASS, use.text) for use in finding[:2]
    )
    of_channels = all(CHANNEL in use.pattern for use in finding)
    return DataError.of(
        file=some(clashes),
        found=f"files that {' and '.join(shown)} find",
        expected=f"names that tell {'channels' if of_channels else 'channels and labels'} apart",
        remedy="rename the files of one of them, so that none of these names is the beginning or end of another's"
        if of_channels
        else "give the label files a word of their own (`_seg`), or a folder",
    )


def _patterns_of(stray: Sequence[str], used: Iterable[str], reading: Reading) -> list[str]:
    """Files as patterns: by role, by folder, or one by one."""
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
    return patterns
