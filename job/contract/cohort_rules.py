"""What must fit together in the `[cohort]` table of a study file.

Each check raises a ValueError in the words of the file, which the model turns into an error about its key.
"""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from job.contract.cohort import Cohort

T = TypeVar("T")

UNION = "union"
"""Name of the structure made of all classes together, in results and tables."""
BACKGROUND = "background"
"""Name of what is no class, in `training.class_proportions`."""
PLACEHOLDERS = ("patient", "exam", "channel", "class")
LARGEST_LABEL = 254
"""Classes that fit the store's 8 bits beside the background."""


def check_patterns(cohort: "Cohort") -> None:
    """Refuses patterns with placeholders that are unknown, missing or in the wrong place."""
    for field, pattern in {"pattern": cohort.pattern, "labels": cohort.labels, "mask": cohort.mask}.items():
        if pattern is None:
            continue
        if pattern.startswith("/"):
            raise ValueError(f"{field} {pattern!r} begins with a slash; patterns are relative to cohort.root")
        unknown = sorted(set(re.findall(r"\{(\w*)\}", pattern)) - set(PLACEHOLDERS))
        if unknown:
            raise ValueError(
                f"{field} {pattern!r} has {{{unknown[0]}}}, which is not known; use {{patient}}, {{exam}} (a "
                "visit, say), {channel} and {class}"
            )
        if "{patient}" not in pattern:
            raise ValueError(f"{field} {pattern!r} has no {{patient}}: exams of one patient must be known")
        if ("{exam}" in pattern) != ("{exam}" in cohort.pattern):
            raise ValueError(f"{{exam}} must be in all of pattern, labels and mask, or in none ({field})")
        if "{channel}" in pattern and field != "pattern":
            raise ValueError(f"{{channel}} belongs in pattern, and only there ({field} is {pattern!r})")
        if "{class}" in pattern and field != "labels":
            raise ValueError(f"{{class}} belongs in labels, and only there ({field} is {pattern!r})")
    _check_channel_files(cohort)


def _check_channel_files(cohort: "Cohort") -> None:
    if "{channel}" in cohort.pattern:
        return
    without = [channel.name for channel in cohort.channels if channel.index is None]
    if without:
        raise ValueError(
            f"pattern {cohort.pattern!r} has no {{channel}}, which tells the files of channels apart; if "
            "one 4-D file "
            f'holds them all, say which volume each is: {{ name = "{without[0]}", index = 0 }}'
        )
    if (twice := doubled([channel.index for channel in cohort.channels])) is not None:
        raise ValueError(f"two channels have index = {twice}, which is one volume of one file")


def check_names(cohort: "Cohort") -> None:
    """Refuses names of channels, acquisitions, classes and structures that clash or lead nowhere."""
    names = cohort.channel_names
    for kind, listed in (("channel", names), ("class", cohort.class_names)):
        if (twice := doubled([name.casefold() for name in listed])) is not None:
            alike = [name for name in listed if name.casefold() == twice]
            how = "is listed twice" if len(set(alike)) == 1 else f"and {alike[1]!r} differ only by case"
            raise ValueError(f"{kind} {alike[0]!r} {how}")
    if cohort.resample_to is not None and cohort.resample_to not in names:
        raise ValueError(f"resample_to is {cohort.resample_to!r}; the channels are {', '.join(names)}")
    _check_acquisitions(cohort)
    _check_classes(cohort)
    _check_structures(cohort)


def _check_acquisitions(cohort: "Cohort") -> None:
    names = cohort.channel_names
    grouped = [channel for group in cohort.acquisitions.values() for channel in group]
    for channel in grouped:
        if channel not in names:
            raise ValueError(f"acquisitions name {channel!r}; the channels are {', '.join(names)}")
    if twice := doubled(grouped):
        raise ValueError(f"channel {twice!r} is in two acquisitions")
    for name, members in cohort.acquisitions.items():
        if name in names and name not in members:
            raise ValueError(f"acquisition {name!r} has the name of a channel outside it; rename it")


def _check_classes(cohort: "Cohort") -> None:
    for reserved, meaning in ((UNION, "all classes together"), (BACKGROUND, "what is no class")):
        if reserved in (*cohort.classes, *cohort.structures):
            raise ValueError(f'"{reserved}" is the name of {meaning}; rename the class')
    if len(cohort.classes) > LARGEST_LABEL:
        raise ValueError(f"{len(cohort.classes)} classes; at most {LARGEST_LABEL} fit the store's 8 bits")
    texts = [name for name, value in cohort.classes.items() if _is_of_files(name, value)]
    if cohort.class_files is None and texts:
        raise ValueError(
            f"classes: {texts[0]!r} names a file; write its value in the label maps, or put {{class}} into labels if "
            "each class has a file of its own"
        )
    if cohort.class_files is not None:
        if len(texts) < len(cohort.classes):
            raise ValueError(
                "classes have values, but labels has {class}, which stands for a file of each class; write the text "
                'that is in the files\' names instead: classes = { tumour = "gtv*" }'
            )
        if (text := doubled(text for texts in cohort.class_files for text in texts)) is not None:
            raise ValueError(f"classes: the text {text!r} is given twice; a file is of one class")
        return
    values = [*cohort.background, *(v for values in cohort.class_values for v in values)]
    if (twice := doubled(values)) is not None:
        raise ValueError(_given_twice(cohort, twice))
    if 0 not in cohort.background:
        raise ValueError("background must hold label value 0")


def _is_of_files(name: str, value: int | str | tuple[int | str, ...]) -> bool:
    """Whether a class is given by the text of its files' names, and not by values."""
    texts = [isinstance(each, str) for each in (value if isinstance(value, tuple) else (value,))]
    if any(texts) and not all(texts):
        raise ValueError(f"classes: {name!r} has both values and texts; write the one or the other")
    return all(texts)


def _given_twice(cohort: "Cohort", value: int) -> str:
    owners = [n for n, values in zip(cohort.classes, cohort.class_values, strict=True) if value in values]
    if len(owners) < 2 or value in cohort.background:
        return f"label value {value} is given twice (classes and background)"
    return (
        f"label value {value} is in {' and '.join(map(repr, owners))}; classes must not overlap: name each "
        "value once, "
        f'and write what holds several of them as a union: structures = {{ "{owners[0]}" = [...] }}'
    )


def _check_structures(cohort: "Cohort") -> None:
    for name, members in cohort.structures.items():
        if name in cohort.classes:
            raise ValueError(f"structure {name!r} has the name of a class; rename one of them")
        if unknown := [member for member in members if member not in cohort.classes]:
            raise ValueError(
                f"structures.{name} names {unknown[0]!r}; the classes are {', '.join(cohort.class_names)}"
            )
        if twice := doubled(members):
            raise ValueError(f"structures.{name} names {twice!r} twice")


def doubled(values: Sequence[T] | Iterable[T]) -> T | None:
    """The first value that occurs twice, or None."""
    seen: set[T] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
