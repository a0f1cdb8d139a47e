"""Pieces of the `[cohort]` table of a study file, with what is to be said of them; and names that may be in it."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from job.contract.cohort_rules import BACKGROUND, UNION
from job.data.patterns import printable
from submit.init.reading import Role

LONGEST_STUDY = 40
"""Letters of a study's name."""
LONGEST_NAME = 60
"""Letters of a channel's or class's name."""


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a pattern is to find."""

    pattern: str
    """With its ending."""
    text: str = ""
    """For `{channel}` or `{class}`."""
    role: Role


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Keys of the table."""

    table: Mapping[str, Any]
    """As the file has them."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Comments, by what they are about: a key, `channel t1`, `class tumour`."""
    uses: tuple[Use, ...] = ()
    unsure: tuple[str, ...] = ()


def name_of(text: str, taken: Collection[str] = ()) -> str:
    """A text as the name of a channel or class: letters that may be in one, and unlike those that are taken."""
    name = re.sub(r"\s+", " ", printable(re.sub(r"[\s]", " ", text)))
    name = re.sub(r"[/\\{}]+", "_", name).strip()[:LONGEST_NAME].strip() or "unnamed"
    known = {other.casefold() for other in (*taken, UNION, BACKGROUND)}
    if name.casefold() not in known:
        return name
    return next(new for n in range(2, len(known) + 3) if (new := f"{name} {n}").casefold() not in known)


def names_of(texts: Iterable[str]) -> list[str]:
    """Names for several texts, all different."""
    names: list[str] = []
    for text in texts:
        names.append(name_of(text, names))
    return names


def study_name(folder: str) -> str:
    """A name for runs, of the folder's name."""
    ascii_only = folder.encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", ascii_only).strip("-_")[:LONGEST_STUDY].strip("-_")
    return name or "study"
