"""Names for the channels, classes and the study, of what files and tables call them."""

import re
from collections.abc import Collection, Iterable

from job.contract.cohort_rules import BACKGROUND, UNION
from job.data.patterns import printable

RESERVED = (UNION, BACKGROUND)
LONGEST_STUDY = 40
"""Letters of a study's name."""
LONGEST_NAME = 60
"""Letters of a channel's or class's name."""


def name_of(text: str, taken: Collection[str] = ()) -> str:
    """A text as the name of a channel or class: letters that may be in one, and unlike those that are taken."""
    name = re.sub(r"\s+", " ", printable(re.sub(r"[\s]", " ", text)))
    name = re.sub(r"[/\\{}]+", "_", name).strip()[:LONGEST_NAME].strip() or "unnamed"
    known = {other.casefold() for other in (*taken, *RESERVED)}
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
