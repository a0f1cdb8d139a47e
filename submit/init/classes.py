"""The classes of a cohort: values of its label maps, or files for each; and unions of them."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from job.contract.errors import DataError
from submit.init.counting import Counts, Extent
from submit.init.files import some
from submit.init.joining import ending_of, joined
from submit.init.metadata import Described
from submit.init.parts import PATIENTS_NEEDED, Parts
from submit.init.pieces import Piece, Use, name_of, names_of
from submit.init.templates import in_order, readable
from submit.init.words import unlettered, unnumbered
from submit.wording import counted

NESTED_SHARE = 0.99
"""Of a class's voxels; one that lies so far inside another is a part of it."""
RATERS_DICE = 0.7
"""Two files of names alike that overlap more are of two people who drew the same."""
CLASS = "{class}"


def classes_of(parts: Parts, counts: Counts, described: Described, patients: int) -> Piece:
    """The classes, where each has a file in an order in which none hides another.

    Args:
        parts: The roles of labels.
        counts: Voxels in them.
        described: What is known of values.
        patients: How many there are.

    Raises:
        DataError: There is none, or their files have no pattern.
    """
    if parts.per_class:
        return _of_files(parts, counts, patients)
    return _of_values(parts, counts, described, patients)


def _said(extent: Extent, patients: int, *, is_named: bool = True) -> str:
    """How much there is of a class."""
    said = f"{extent.voxels:,} voxels, in {counted(extent.exams, 'exam')}" + (
        "" if is_named else "; give it a name"
    )
    if extent.patients < PATIENTS_NEEDED <= patients:
        few = counted(extent.patients, "patient")
        said += f". In {few} only: join it to another class, or to the background"
    return said


# --- label maps


def _of_values(parts: Parts, counts: Counts, described: Described, patients: int) -> Piece:
    found = sorted(counts.total)
    negative = [value for value in found if value < 0]
    background = (0, *negative, *described.ignored)
    values = [value for value in found if value not in background]
    if not values:
        raise _no_class(parts, counts)
    own = parts.label_name if len(values) == 1 else ""
    named = names_of(described.classes.get(value, own or f"class_{value}") for value in values)
    names = dict(zip(values, named, strict=True))
    unsure = []
    if 0 not in counts.total:
        unsure.append("no voxel of the labels is 0, which counts as background; every value is a class here")
    if negative:
        unsure.append(f"labels below 0 ({', '.join(map(str, negative))}) count as background here")
    if lost := [f"{name} ({value})" for value, name in described.classes.items() if value not in names]:
        unsure.append(f"{described.source} names classes that no exam has: {', '.join(lost)}")
    pattern = f"{parts.labels[0].text}{ending_of(parts.labels)}"
    table = {
        "labels": pattern,
        "classes": {name: value for value, name in names.items()},
        "structures": _unions(described.structures, names),
        "background": list(background),
    }
    return Piece(
        table=table,
        notes={
            f"class {names[value]}": _said(
                counts.where(lambda found, value=value: found == value),  # type: ignore[misc]
                patients,
                is_named=value in described.classes or bool(own),
            )
            for value in values
        },
        uses=(Use(pattern=pattern, role=parts.labels[0]),),
        unsure=tuple(unsure),
    )


def _unions(regions: Mapping[str, tuple[int, ...]], names: Mapping[int, str]) -> dict[str, list[str]]:
    """Regions by the names of the classes that they hold, where there are several."""
    unions: dict[str, list[str]] = {}
    for region, values in regions.items():
        members = [names[value] for value in values if value in names]
        if len(members) > 1:
            unions[name_of(region, [*names.values(), *unions])] = members
    return unions


def _no_class(parts: Parts, counts: Counts) -> DataError:
    if counts.unreadable and not counts.by_exam:
        found = f"label files of which none can be read: {counts.unreadable[0]}"
    else:
        found = f"nothing but background in the labels of {len(counts.by_exam)} exams"
    return DataError.of(
        file=parts.labels[0].text,
        found=found,
        expected="label maps with values above 0",
        remedy="name the folder with the right label maps, or write the study file by hand (docs/study.md)",
    )


# --- files for each class


def _of_files(parts: Parts, counts: Counts, patients: int) -> Piece:
    found = joined([role.template for role in parts.labels], CLASS)
    if found is None:
        raise DataError.of(
            file=some([role.text for role in parts.labels], 6),
            found="files of classes whose names no one pattern has",
            expected="names that differ in one place, which {class} stands for",
            remedy="rename the files, or write the study file by hand (docs/study.md)",
        )
    pattern, texts = f"{found.pattern}{ending_of(parts.labels)}", found.texts
    joint, doubts = _joint(texts, counts)
    order = in_order(map(readable, joint))
    stems = sorted(joint, key=lambda stem: order.index(readable(stem)))
    files = dict(zip(names_of(map(readable, stems)), (joint[stem] for stem in stems), strict=True))
    bits, overlaps = _unhidden({name: sum(1 << n for n in own) for name, own in files.items()}, counts)
    inner = {
        name: [o for o in bits if o != name and _is_inside(counts, bits[o], bits[name])] for name in bits
    }
    names = {name: f"rest of {name}" if inner[name] else name for name in bits}
    own_texts = {names[name]: [texts[n] for n in files[name]] for name in bits}
    extents = {names[name]: counts.where(own.__and__) for name, own in bits.items()}
    return Piece(
        table={
            "labels": pattern,
            "classes": {name: own if len(own) > 1 else own[0] for name, own in own_texts.items()},
            "structures": {
                name: [names[o] for o in bits if o == name or o in inner[name]]
                for name in bits
                if inner[name]
            },
        },
        notes={f"class {name}": _said(extent, patients) for name, extent in extents.items()},
        uses=tuple(
            Use(pattern=pattern, text=texts[n], role=parts.labels[n]) for own in files.values() for n in own
        ),
        unsure=(*doubts, *overlaps),
    )


def _unhidden(bits: Mapping[str, int], counts: Counts) -> tuple[dict[str, int], list[str]]:
    """Classes in an order in which a small one does not hide behind a large one, and which overlap."""
    shared = {pair: _shared(counts, bits[pair[0]], bits[pair[1]]) for pair in combinations(bits, 2)}
    shown = [f"{one} and {other} ({count:,} voxels)" for (one, other), count in shared.items() if count]
    if not shown:
        return dict(bits), []
    ordered = dict(sorted(bits.items(), key=lambda each: _shared(counts, each[1])))
    return ordered, [
        f"files of classes overlap: {some(shown, 5)}; the class that comes first below has the voxel"
    ]


def _joint(texts: Sequence[str], counts: Counts) -> tuple[dict[str, list[int]], list[str]]:
    """The numbers of the files of each class, by what they have in common; and what is in doubt about them.

    `GTVn1` and `GTVn2` are parts of one class, unless they are drawn one over the other; `lesion_A` and `lesion_B`
    that are, are one lesion drawn by two people.
    """
    unsure: list[str] = []
    dropped: set[int] = set()
    for n, m in combinations(range(len(texts)), 2):
        if (
            n not in dropped
            and unlettered(texts[n]) == unlettered(texts[m])
            and _dice(counts, n, m) > RATERS_DICE
        ):
            dropped.add(m)
            unsure.append(
                f"{texts[n]} and {texts[m]} overlap (Dice {_dice(counts, n, m):.2f}): taken for one structure that "
                f"two people drew, of which {texts[n]} is used"
            )
    classes: dict[str, list[int]] = {}
    for n in (n for n in range(len(texts)) if n not in dropped):
        stem = unnumbered(texts[n])
        parts = classes.get(stem, [])
        apart = not any(
            _is_inside(counts, 1 << n, 1 << m) or _is_inside(counts, 1 << m, 1 << n) for m in parts
        )
        classes[stem if apart else texts[n]] = [*parts, n] if apart else [n]
    joined_files = {stem: own for stem, own in classes.items() if len(own) > 1}
    unsure += [
        f"{', '.join(texts[n] for n in own)}: taken for parts of one class, {readable(stem)}"
        for stem, own in joined_files.items()
    ]
    return {stem if stem in joined_files else texts[own[0]]: own for stem, own in classes.items()}, unsure


def _shared(counts: Counts, *bits: int) -> int:
    """Voxels that some classes share, each given by the bits of its files."""
    return sum(count for found, count in counts.total.items() if all(found & own for own in bits))


def _dice(counts: Counts, n: int, m: int) -> float:
    sizes = _shared(counts, 1 << n) + _shared(counts, 1 << m)
    return 2 * _shared(counts, 1 << n, 1 << m) / sizes if sizes else 0.0


def _is_inside(counts: Counts, one: int, other: int) -> bool:
    """Whether a class's files lie inside another's."""
    own, outer = _shared(counts, one), _shared(counts, other)
    return 0 < own < outer and _shared(counts, one, other) >= NESTED_SHARE * own
