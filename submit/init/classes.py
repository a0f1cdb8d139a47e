"""The classes of a cohort: values of its label maps, or a file for each; and unions of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from job.contract.errors import DataError
from submit.init.examining import Counts
from submit.init.files import some
from submit.init.joining import ending_of, joined
from submit.init.layout import FoundClass
from submit.init.metadata import Described
from submit.init.naming import name_of, names_of
from submit.init.parts import Parts
from submit.init.templates import in_order, readable

NESTED_SHARE = 0.99
"""Of a class's voxels; one that lies so far inside another is a part of it."""
CLASS = "{class}"


@dataclass(frozen=True, kw_only=True)
class Classes:
    """Classes and their files."""

    pattern: str
    texts: tuple[str, ...]
    """By role, what stands for `{class}`; empty for label maps."""
    found: tuple[FoundClass, ...]
    structures: Mapping[str, tuple[str, ...]]
    background: tuple[int, ...]
    unsure: tuple[str, ...]


def classes_of(parts: Parts, counts: Counts, described: Described) -> Classes:
    """The classes, where each has a file in an order in which none hides another.

    Raises:
        DataError: There is none, or their files have no pattern.
    """
    return _of_files(parts, counts) if parts.per_class else _of_values(parts, counts, described)


# --- label maps


def _of_values(parts: Parts, counts: Counts, described: Described) -> Classes:
    negative = [value for value in counts.voxels if value < 0]
    background = (0, *sorted(negative), *described.ignored)
    values = sorted(value for value in counts.voxels if value not in background)
    if not values:
        raise _no_class(parts, counts)
    own = parts.label_name if len(values) == 1 else ""
    names = dict(
        zip(values, names_of(described.classes.get(v, own or f"class_{v}") for v in values), strict=True)
    )
    found = tuple(
        FoundClass(
            name=names[value],
            value=value,
            voxels=counts.voxels[value],
            exams=counts.exams.get(value, 0),
            patients=counts.patients.get(value, 0),
            is_named=value in described.classes or bool(own),
        )
        for value in values
    )
    unsure = []
    if 0 not in counts.voxels:
        unsure.append("no voxel of the labels is 0, which counts as background; every value is a class here")
    if negative:
        unsure.append(f"labels below 0 ({', '.join(map(str, negative))}) count as background here")
    if lost := [f"{name} ({value})" for value, name in described.classes.items() if value not in names]:
        unsure.append(f"{described.source} names classes that no exam has: {', '.join(lost)}")
    return Classes(
        pattern=f"{parts.labels[0].text}{ending_of(parts.labels)}",
        texts=(),
        found=found,
        structures=_unions(described.structures, names),
        background=background,
        unsure=tuple(unsure),
    )


def _unions(regions: Mapping[str, tuple[int, ...]], names: Mapping[int, str]) -> dict[str, tuple[str, ...]]:
    """Regions by the names of the classes that they hold, where there are several."""
    unions: dict[str, tuple[str, ...]] = {}
    for region, values in regions.items():
        members = tuple(names[value] for value in values if value in names)
        if len(members) > 1:
            unions[name_of(region, [*names.values(), *unions])] = members
    return unions


def _no_class(parts: Parts, counts: Counts) -> DataError:
    if counts.unreadable and not counts.counted:
        found = f"label files of which none can be read: {counts.unreadable[0]}"
    else:
        found = f"nothing but background in the labels of {counts.counted} exams"
    return DataError.of(
        file=parts.labels[0].text,
        found=found,
        expected="label maps with values above 0",
        remedy="name the folder with the right label maps, or write the study file by hand (docs/study.md)",
    )


# --- a file for each class


def _of_files(parts: Parts, counts: Counts) -> Classes:
    pattern = joined([role.template for role in parts.labels], CLASS)
    if pattern is None:
        raise DataError.of(
            file=some([role.text for role in parts.labels], 6),
            found="files of classes whose names no one pattern has",
            expected="names that differ in one place, which {class} stands for",
            remedy="rename the files, or write the study file by hand (docs/study.md)",
        )
    texts = pattern.texts
    order = in_order(map(readable, texts))
    numbers = sorted(range(len(texts)), key=lambda n: order.index(readable(texts[n])))
    shared = counts.shared
    overlapping = [(n, m) for n in numbers for m in numbers if n < m and shared[n, m]]
    if overlapping:  # a small one inside a large one would be hidden behind it
        numbers.sort(key=lambda n: int(shared[n, n]))
    inner = {n: [m for m in numbers if m != n and _is_inside(counts, m, n)] for n in numbers}
    plain = dict(zip(numbers, names_of(readable(texts[n]) for n in numbers), strict=True))
    names = {n: f"rest of {plain[n]}" if inner[n] else plain[n] for n in numbers}
    return Classes(
        pattern=f"{pattern.pattern}{ending_of(parts.labels)}",
        texts=texts,
        found=tuple(_class_of_file(names[n], texts[n], n, counts) for n in numbers),
        structures={
            plain[n]: tuple(names[m] for m in numbers if m == n or m in inner[n]) for n in numbers if inner[n]
        },
        background=(0,),
        unsure=tuple(_overlaps(overlapping, plain, counts)),
    )


def _class_of_file(name: str, text: str, number: int, counts: Counts) -> FoundClass:
    return FoundClass(
        name=name,
        value=text,
        voxels=counts.voxels.get(number, 0),
        exams=counts.exams.get(number, 0),
        patients=counts.patients.get(number, 0),
    )


def _is_inside(counts: Counts, one: int, other: int) -> bool:
    """Whether a class's files lie inside another's."""
    own, outer, both = counts.shared[one, one], counts.shared[other, other], counts.shared[one, other]
    return bool(0 < own < outer and both >= NESTED_SHARE * own)


def _overlaps(pairs: Sequence[tuple[int, int]], names: Mapping[int, str], counts: Counts) -> list[str]:
    if not pairs:
        return []
    shown = [f"{names[n]} and {names[m]} ({counts.shared[n, m]:,} voxels)" for n, m in pairs]
    return [f"files of classes overlap: {some(shown, 5)}; the class that comes first below has the voxel"]
