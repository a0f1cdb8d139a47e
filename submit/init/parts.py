"""Which roles of a reading are the channels, the labels and the mask: by their names, then by what is in them."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from job.contract.errors import DataError
from submit.init.examples import Example
from submit.init.files import Listing, conversion, some
from submit.init.reading import Reading, Role
from submit.init.templates import Template, readable, without_placeholders
from submit.init.words import (
    WORD,
    is_channel_word,
    is_copy,
    is_generic_label,
    is_rater,
    is_region,
    unnumbered,
    version_rank,
    words_of,
)
from submit.wording import counted

MOST_VOLUMES = 16
"""Of a 4-D file whose volumes may be channels; more are directions or time points."""
PATIENTS_NEEDED = 2
"""That have a class, or no fold can both learn and test it."""
_RUN = re.compile(r"_run-\d+")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the roles of a cohort are."""

    channels: tuple[Role, ...] = ()
    series: Role | None = None
    """The 4-D file whose volumes are the channels."""
    labels: tuple[Role, ...] = ()
    """The label map, or the files of classes."""
    label_name: str = ""
    """What the label map's name says of its classes: `lesion`; empty if it says only that it has labels."""
    per_class: bool = False
    masks: tuple[Role, ...] = ()
    """What may be the mask, the likeliest first."""
    examples: Mapping[Template, Example] = field(default_factory=dict)
    """By role, a file that was read."""
    unsure: tuple[str, ...] = ()


@dataclass
class Clues:
    """What is known of a cohort's roles, and what was said of them."""

    reading: Reading
    examples: Mapping[Template, Example]
    unsure: list[str] = field(default_factory=list)
    told: set[Template] = field(default_factory=set)
    """Roles that a doubt is about."""

    def kind(self, role: Role) -> str | None:
        """What the role's name says; the outline of a body in a folder of labels is a mask beside them."""
        kinds = self.reading.kinds
        if kinds[role.template] == "labels" and self._is_outline(role):
            others = [other for other in self.reading.roles if kinds[other.template] == "labels"]
            return "labels" if all(map(self._is_outline, others)) else "mask"
        return kinds[role.template]

    def _is_outline(self, role: Role) -> bool:
        return is_region(without_placeholders(role.template[-1:])) and self.example(role).is_binary

    def example(self, role: Role) -> Example:
        """What is in a file of the role."""
        return self.examples.get(role.template, Example())

    def own_text(self, role: Role) -> str:
        """A role's name without the words that all roles have."""
        words = [frozenset(WORD.findall(other.text)) for other in self.reading.roles]
        common = frozenset.intersection(*words) if len(words) > 1 else frozenset()
        name = without_placeholders(role.template[-1:])
        own = " ".join(word for word in WORD.findall(name) if word not in common)
        return own or " ".join(word for word in WORD.findall("/".join(role.template[:-1])) if "{" not in word)

    def tell(self, words: str, roles: Sequence[Role] = ()) -> None:
        """Remembers a doubt."""
        self.unsure.append(words)
        self.told.update(role.template for role in roles)


def parts_of(reading: Reading, examples: Mapping[Template, Example], listing: Listing) -> Parts:
    """The parts of a cohort.

    Args:
        reading: Its roles.
        examples: By role, a file that was read.
        listing: All files, for what is said where a part is missing.

    Raises:
        DataError: There are no labels, or fewer than two channels.
    """
    copies = [role for role in reading.roles if is_copy(role.template[-1])]
    originals = [role for role in reading.roles if role not in copies]
    clues = Clues(replace(reading, roles=tuple(originals)), examples)
    if copies:
        clues.tell(f"{_names(copies)}: copies by their names, not used")
    labels, per_class = _labels(clues)
    masks = _masks(clues, labels)
    channels, series = _channels(clues, (*labels, *masks))
    _tell_unused(clues, (*labels, *masks, *channels, *([series] if series else [])))
    name = readable(clues.own_text(labels[0])) if labels and not per_class else ""
    parts = Parts(
        channels=channels,
        series=series,
        labels=labels,
        label_name=" ".join(word for word in name.split(" ") if not is_generic_label(word)),
        per_class=per_class,
        masks=masks,
        examples=examples,
        unsure=tuple(clues.unsure),
    )
    _require_parts(parts, clues, listing)
    return parts


# --- labels


def _labels(clues: Clues) -> tuple[tuple[Role, ...], bool]:
    """The label map, or the files of classes; and which it is."""
    roles, usual = clues.reading.roles, clues.reading.usual
    named = [role for role in roles if _is_labels_by_name(clues, role)]
    likely = [role for role in roles if _may_be_a_class(clues, role)]
    bare = [role for role in roles if clues.kind(role) == "mask or labels" and _like_labels(clues, role)]
    chosen = named or likely or bare
    if not chosen:
        return (), False
    if not named:
        what = "by what is in them" if likely else 'since nothing else is called "label" or "seg"'
        clues.tell(f"{_names(chosen)}: taken for the labels {what}", chosen)
    chosen = _of_one_rater(clues, chosen)
    folders = {role.template[:-1] for role in chosen}
    beside = [
        r for r in likely if r not in chosen and r.template[:-1] in folders and clues.example(r).is_binary
    ]
    candidates = [role for role in chosen if role in usual] or chosen
    maps = [role for role in candidates if not clues.example(role).is_binary]
    generic = [role for role in candidates if is_generic_label(clues.own_text(role))]
    if len(chosen) + len(beside) > 1 and not maps and not generic:
        chosen = _files_of_classes(clues, chosen, beside)
        return tuple(chosen), len(chosen) > 1
    candidates = [role for role in generic if role in maps] or maps or generic or candidates
    first = max(candidates, key=lambda role: (len(role.files), -len(role.text)))
    if others := [role for role in chosen if role is not first]:
        clues.tell(f"{first.text} is taken for the labels; there are {_names(others)} too", others)
    return (first,), False


def _is_labels_by_name(clues: Clues, role: Role) -> bool:
    if clues.kind(role) != "labels":
        return False
    found = clues.example(role)
    if found.geometry is None or found.is_label_like or found.is_constant:
        return True
    if any(is_channel_word(word) for word in words_of(role.text)):
        return False
    return found.values is not None or found.volumes > 1 or role in clues.reading.usual


def _may_be_a_class(clues: Clues, role: Role) -> bool:
    """Whether a file is like labels, and its name says of what or nothing at all; not so a bare "mask"."""
    kind, name = clues.kind(role), clues.own_text(role)
    if kind not in (None, "mask or labels") or any(is_channel_word(word) for word in words_of(name)):
        return False
    of_something = kind is None or not is_generic_label(name)
    return of_something and _like_labels(clues, role) and not clues.example(role).is_constant


def _like_labels(clues: Clues, role: Role) -> bool:
    return clues.example(role).is_label_like and clues.example(role).volumes == 1


def _of_one_rater(clues: Clues, roles: Sequence[Role]) -> list[Role]:
    """Of files of several people who drew the same, those of one."""

    def what(role: Role) -> str:
        words = WORD.findall(role.text)
        return " ".join(word for word in words if not is_rater(word) and not word.isdecimal())

    kept: list[Role] = []
    for same in _grouped(roles, what):
        raters = [role for role in same if any(is_rater(word) for word in WORD.findall(role.text))]
        if len(same) > 1 and len(raters) >= len(same) - 1:
            first = next((role for role in same if "consensus" in role.text.lower()), same[0])
            others = [role for role in same if role is not first]
            clues.tell(f"{first.text} is taken for the labels; {_names(others)} seem to be of others", others)
            kept.append(first)
        else:
            kept += same
    return kept


def _files_of_classes(clues: Clues, chosen: Sequence[Role], beside: Sequence[Role]) -> list[Role]:
    """Files of one class each, those with other names beside them too."""
    if beside:
        clues.tell(f"{_names(beside)}: taken for classes, as files of 0 and 1 beside the others")
    needed = min(PATIENTS_NEEDED, len(clues.reading.patients))

    def is_class(role: Role) -> bool:
        found = clues.example(role)
        image = found.geometry is not None and not found.is_label_like and not found.is_constant
        own = unnumbered(clues.own_text(role))
        same = [other for other in (*chosen, *beside) if unnumbered(clues.own_text(other)) == own]
        return not image and len({patient for other in same for patient, _ in other.files}) >= needed

    classes = [role for role in (*chosen, *beside) if is_class(role)]
    if rare := [role for role in (*chosen, *beside) if role not in classes]:
        shown = ", ".join(f"{role.text} ({counted(len(role.files), 'exam')})" for role in rare)
        clues.tell(
            f"{shown}: no classes here, since hardly any patient has them; if they are other spellings of a class, "
            'give it a text that fits all: "gtv*"',
            rare,
        )
    return classes or rare


# --- mask


def _masks(clues: Clues, labels: Sequence[Role]) -> tuple[Role, ...]:
    """What may be the mask: of a body or brain by name, then a bare "mask"."""
    found = [role for role in clues.reading.usual if role not in labels]
    found = [role for role in found if clues.example(role).is_binary and not clues.example(role).is_constant]
    kinds = ("mask", "mask or labels")
    found = [role for kind in kinds for role in found if clues.kind(role) == kind]
    return tuple(sorted(found, key=lambda role: -len(role.files)))


# --- channels


def _channels(clues: Clues, taken: Sequence[Role]) -> tuple[tuple[Role, ...], Role | None]:
    """The channels' files; or the 4-D file that holds them."""
    left = [role for role in clues.reading.usual if role not in taken and role.template not in clues.told]
    left = [role for role in left if clues.kind(role) != "prediction"]
    series = [role for role in left if clues.example(role).volumes > 1]
    images = [role for role in left if role not in series and _is_image(clues, role)]
    images = _of_one_version(clues, _of_one_run(clues, images))
    small = [role for role in series if clues.example(role).volumes <= MOST_VOLUMES]
    if len(images) < 2 and len(small) == 1:
        if images:
            clues.tell(f"{_names(images)}: not used, since {_names(small)} holds several volumes", images)
        return (), small[0]
    for role in series:
        clues.tell(
            f"{role.text}: {clues.example(role).volumes} volumes in one file, not used; a volume becomes a channel "
            'with { name = "...", files = "...", index = 0 }',
            [role],
        )
    return tuple(images), None


def _is_image(clues: Clues, role: Role) -> bool:
    found, kind = clues.example(role), clues.kind(role)
    if found.geometry is None or found.is_constant:
        return kind == "channel" or (kind is None and found.geometry is None)
    if kind == "channel" or any(is_channel_word(word) for word in words_of(role.text)):
        if found.is_binary:
            clues.tell(f"{role.text}: a channel by its name, but holds two values only")
        return True
    return not found.is_label_like and kind not in ("labels", "mask or labels")


def _of_one_run(clues: Clues, roles: Sequence[Role]) -> list[Role]:
    """Of images that were taken several times (`run-1`, `run-2`), the first."""
    groups = _grouped(roles, lambda role: _RUN.sub("", role.text))
    kept = [min(same, key=lambda role: role.text) for same in groups]
    if others := [role for role in roles if role not in kept]:
        clues.tell(f"images were taken several times; {_names(others)} are not used", others)
    return kept


def _of_one_version(clues: Clues, roles: Sequence[Role]) -> list[Role]:
    """Of images that are there raw and processed, the ones that are the furthest along."""
    versions: dict[str, dict[int, Role]] = defaultdict(dict)
    for role in roles:
        words = WORD.findall(role.text)
        ranked = [(rank, word) for word in [*words, ""] if (rank := version_rank(word)) is not None]
        rank, own_word = ranked[0]
        versions[" ".join(word for word in words if word != own_word)].setdefault(rank, role)
    several = [own for own in versions.values() if len(own) > 1]
    if not several or 2 * len(several) < len(versions):
        return list(roles)
    ranks = sorted({rank for own in several for rank in own})
    best = max(ranks, key=lambda rank: (sum(rank in own for own in several), -rank))
    kept = [own.get(best, own[min(own)]) for own in versions.values()]
    others = [role for role in roles if role not in kept]
    clues.tell(f"images are there in several versions; {_names(kept)} are used, not {_names(others)}", others)
    return [role for role in roles if role in kept]


# --- the rest


def _tell_unused(clues: Clues, used: Sequence[Role]) -> None:
    """Says which files of the exams have no part."""
    left = [role for role in clues.reading.roles if role not in used and role.template not in clues.told]
    exams = counted(len(clues.reading.units), "exam")
    shown = ", ".join(f"{role.text} ({len(role.files)} of {exams})" for role in left[:6])
    if left:
        clues.tell(f"not used: {shown}{f' and {len(left) - 6} others' if len(left) > 6 else ''}")


def _grouped(roles: Sequence[Role], key: Callable[[Role], str]) -> list[list[Role]]:
    groups: dict[str, list[Role]] = defaultdict(list)
    for role in roles:
        groups[key(role)].append(role)
    return list(groups.values())


def _names(roles: Sequence[Role], most: int = 6) -> str:
    shown = ", ".join(role.text for role in roles[:most])
    return shown + (f" and {len(roles) - most} more" if len(roles) > most else "")


def _require_parts(parts: Parts, clues: Clues, listing: Listing) -> None:
    reading = clues.reading
    exams = f"{counted(len(reading.units), 'exam')} of {counted(len(reading.patients), 'patient')}"
    if not parts.labels:
        raise DataError.of(
            file=some([role.text for role in reading.usual], 8),
            found=f"{exams}, and no labels among their files",
            expected="a label map for each exam, or a file for each class, called label, seg, gtv or the like",
            remedy="add or rename them; if they lie elsewhere, name the folder that holds both images and labels",
        )
    for role in parts.labels:
        if (volumes := clues.example(role).volumes) > 1:
            raise DataError.of(
                file=clues.examples[role.template].key,
                found=f"{volumes} volumes in a file of labels",
                expected="one volume with a value for each class",
                remedy="write one label map, or a file for each class (`fslsplit`), which {class} in cohort.labels "
                "finds",
            )
    channels = len(parts.channels) if parts.series is None else clues.example(parts.series).volumes
    if channels < 2:
        raise _too_few(exams, channels, parts, reading, listing)


def _too_few(exams: str, channels: int, parts: Parts, reading: Reading, listing: Listing) -> DataError:
    images = [*parts.channels, *([parts.series] if parts.series else [])]
    there = f"{counted(channels, 'channel')} ({_names(images)})" if channels else "no image"
    others = [role.text for role in reading.roles if role not in (*images, *parts.labels)]
    beside = f"; besides {some(others, 4)}" if others else ""
    labels = some([role.text for role in parts.labels], 4)
    first = reading.units[0]
    add = f"add the {'other ' if channels else ''}images of every exam beside its labels"
    return DataError.of(
        file=some([role.files[first].key for role in reading.roles if first in role.files], 4),
        found=f"{exams} with labels ({labels}) and {there}{beside}",
        expected="at least two channels: leaving one out must leave another",
        remedy=conversion(listing) or f"{add}, or name the folder that holds all of them",
    )
