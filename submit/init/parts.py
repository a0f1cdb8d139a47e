"""Which roles of a reading are the channels, the labels and the mask: by their names, then by what is in them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from submit.init.contents import Contents
from submit.init.reading import Reading, Role
from submit.init.templates import Template, readable, without_placeholders
from submit.init.words import (
    WORD,
    is_channel_word,
    is_generic_label,
    is_rater,
    version_rank,
    words_of,
)
from submit.wording import counted

MOST_VOLUMES = 16
"""Of a 4-D file whose volumes may be channels; more are directions or time points."""
PATIENTS_NEEDED = 2
"""That have a class, or no fold can both learn and test it."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A file of a role that was read."""

    key: str
    contents: Contents | None
    """None: no file of the role that was tried could be read."""
    values: frozenset[int] = frozenset()
    """In the files that were opened, if they look like labels."""
    faults: tuple[str, ...] = ()
    """What is wrong with the files that were opened."""

    @property
    def is_binary(self) -> bool:
        """Whether there is 0 and at most one more value in all files that were opened."""
        return self.contents is not None and self.contents.is_binary and len(self.values - {0}) <= 1


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
    unsure: tuple[str, ...] = ()


def parts_of(reading: Reading, examples: Mapping[Template, Example]) -> Parts:
    """The parts of a cohort.

    Args:
        reading: Its roles.
        examples: By role, a file that was read.
    """
    sorter = _Sorter(reading, examples)
    labels, per_class = sorter.labels()
    masks = sorter.masks(labels)
    channels, series = sorter.channels((*labels, *masks))
    sorter.note_unused((*labels, *masks, *channels, *([series] if series else [])))
    return Parts(
        channels=channels,
        series=series,
        labels=labels,
        label_name=_telling_name(labels[0], reading) if labels and not per_class else "",
        per_class=per_class,
        masks=masks,
        unsure=tuple(sorter.unsure),
    )


class _Sorter:
    """Decides role by role and remembers what was in doubt."""

    def __init__(self, reading: Reading, examples: Mapping[Template, Example]) -> None:
        self.reading = reading
        self.examples = examples
        self.named = reading.kinds()
        self.unsure: list[str] = []
        self.told: set[Template] = set()

    def contents(self, role: Role) -> Contents | None:
        """What is in a file of the role."""
        example = self.examples.get(role.template)
        return example.contents if example is not None else None

    def is_binary(self, role: Role) -> bool:
        """Whether the role's file has one value beside 0."""
        example = self.examples.get(role.template)
        return example is not None and example.is_binary

    def looks_like_labels(self, role: Role) -> bool:
        """Whether the contents may be labels."""
        found = self.contents(role)
        return found is not None and found.is_label_like and found.volumes == 1

    def tell(self, roles: Sequence[Role], words: str) -> None:
        """Remembers a doubt about roles."""
        self.told |= {role.template for role in roles}
        self.unsure.append(words)

    # --- labels

    def labels(self) -> tuple[tuple[Role, ...], bool]:
        """The label map, or the files of classes."""
        named = [role for role in self.reading.roles if self._is_labels_by_name(role)]
        likely = [role for role in self.reading.roles if self._may_be_a_class(role)]
        bare = [role for role in self.reading.roles if self.named[role.template] == "mask or labels"]
        chosen = named or likely or [role for role in bare if self.looks_like_labels(role)]
        if not chosen:
            return (), False
        if not named:
            what = "by what is in them" if likely else 'since nothing else is called "label" or "seg"'
            self.tell(chosen, f"{_names(chosen)}: taken for the labels {what}")
        chosen = self._of_one_rater(chosen)
        folders = {role.template[:-1] for role in chosen}
        beside = [r for r in likely if r not in chosen and r.template[:-1] in folders and self.is_binary(r)]
        usual = [role for role in chosen if role in self.reading.usual] or chosen
        maps = [role for role in usual if not self.is_binary(role)]
        generic = [role for role in usual if is_generic_label(_own_text(role, self.reading))]
        if len(chosen) + len(beside) == 1 or maps or generic:
            return self._one_map(maps, generic, usual, chosen), False
        return self._files_of_classes(chosen, beside), True

    def _may_be_a_class(self, role: Role) -> bool:
        """Whether a file is like labels, and its name says of what or nothing at all; not so a bare "mask"."""
        kind, words = self.named[role.template], words_of(_own_text(role, self.reading))
        if kind not in (None, "mask or labels") or any(is_channel_word(word) for word in words):
            return False
        of_something = kind is None or not is_generic_label(_own_text(role, self.reading))
        return of_something and self.looks_like_labels(role) and not self._is_constant(role)

    def _is_labels_by_name(self, role: Role) -> bool:
        if self.named[role.template] != "labels":
            return False
        found = self.contents(role)
        if found is None or found.is_label_like or found.is_constant:
            return True
        if any(is_channel_word(word) for word in words_of(role.text)):
            return False
        return found.values is not None or found.volumes > 1 or role in self.reading.usual

    def _is_constant(self, role: Role) -> bool:
        found = self.contents(role)
        return found is not None and found.is_constant

    def _one_map(
        self, maps: Sequence[Role], generic: Sequence[Role], usual: Sequence[Role], chosen: Sequence[Role]
    ) -> tuple[Role, ...]:
        both = [role for role in generic if role in maps]
        candidates = both or maps or generic or usual
        first = max(candidates, key=lambda role: (len(role.files), -len(role.text)))
        others = [role for role in chosen if role is not first]
        if others:
            self.tell(others, f"{_names([first])} is taken for the labels; there are {_names(others)} too")
        return (first,)

    def _files_of_classes(self, chosen: Sequence[Role], beside: Sequence[Role]) -> tuple[Role, ...]:
        """Files of one class each, those with other names beside them too."""
        if beside:
            self.tell([], f"{_names(beside)}: taken for classes, as files of 0 and 1 beside the others")
        classes: list[Role] = []
        rare: list[Role] = []
        for role in (*chosen, *beside):
            patients = {patient for patient, _ in role.files}
            enough = len(patients) >= min(PATIENTS_NEEDED, len(self.reading.patients))
            (classes if enough and not self._is_scalar(role) else rare).append(role)
        if rare:
            shown = ", ".join(f"{role.text} ({counted(len(role.files), 'exam')})" for role in rare)
            self.tell(
                rare,
                f"{shown}: no classes here, since hardly any patient has them; if they are other spellings of a "
                'class, give it a text that fits all: "gtv*"',
            )
        return tuple(classes or rare)

    def _is_scalar(self, role: Role) -> bool:
        found = self.contents(role)
        return found is not None and not found.is_label_like and not found.is_constant

    def _of_one_rater(self, roles: Sequence[Role]) -> list[Role]:
        """Of files of several people who drew the same, those of one."""
        by_rest: dict[str, list[Role]] = defaultdict(list)
        for role in roles:
            words = [word for word in WORD.findall(role.text) if not is_rater(word) and not word.isdecimal()]
            by_rest[" ".join(words)].append(role)
        kept = []
        for same in by_rest.values():
            raters = [role for role in same if any(is_rater(word) for word in WORD.findall(role.text))]
            if len(same) < 2 or len(raters) < len(same) - 1:
                kept += same
                continue
            first = next((role for role in same if "consensus" in role.text.lower()), same[0])
            others = [role for role in same if role is not first]
            self.tell(
                others, f"{_names([first])} is taken for the labels; {_names(others)} seem to be of others"
            )
            kept.append(first)
        return kept

    # --- mask

    def masks(self, labels: Sequence[Role]) -> tuple[Role, ...]:
        """What may be the mask: of a body or brain by name, then a bare "mask"."""
        found = []
        for kind in ("mask", "mask or labels"):
            found += [
                role
                for role in self.reading.usual
                if self.named[role.template] == kind
                and role not in labels
                and self.is_binary(role)
                and not self._is_constant(role)
            ]
        return tuple(sorted(found, key=lambda role: -len(role.files)))

    # --- channels

    def channels(self, taken: Sequence[Role]) -> tuple[tuple[Role, ...], Role | None]:
        """The channels' files; or the 4-D file that holds them."""
        images, series = [], []
        for role in self.reading.usual:
            if role in taken or self.named[role.template] == "prediction" or role.template in self.told:
                continue
            found = self.contents(role)
            if found is not None and found.volumes > 1:
                series.append(role)
            elif self._is_image(role, found):
                images.append(role)
        images = self._of_one_version(images)
        small = [role for role in series if self._volumes(role) <= MOST_VOLUMES]
        if len(images) < 2 and len(small) == 1:
            if images:
                self.tell(images, f"{_names(images)}: not used, since {_names(small)} holds several volumes")
            return (), small[0]
        for role in series:
            self.tell(
                [role],
                f"{role.text}: {self._volumes(role)} volumes in one file, not used; a volume becomes a channel with "
                f'{{ name = "...", files = "...", index = 0 }}',
            )
        return tuple(images), None

    def _volumes(self, role: Role) -> int:
        found = self.contents(role)
        return found.volumes if found is not None else 1

    def _is_image(self, role: Role, found: Contents | None) -> bool:
        named = self.named[role.template]
        if found is None or found.is_constant:
            return named == "channel" or (named is None and found is None)
        if named == "channel" or any(is_channel_word(word) for word in words_of(role.text)):
            if found.is_binary:
                self.unsure.append(f"{role.text}: a channel by its name, but holds two values only")
            return True
        return not found.is_label_like and named not in ("labels", "mask or labels")

    def _of_one_version(self, roles: Sequence[Role]) -> list[Role]:
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
        self.tell(
            others, f"images are there in several versions; {_names(kept)} are used, not {_names(others)}"
        )
        return [role for role in roles if role in kept]

    # --- the rest

    def note_unused(self, used: Sequence[Role]) -> None:
        """Says which files of the exams have no part."""
        left = [role for role in self.reading.roles if role not in used and role.template not in self.told]
        exams = len(self.reading.units)
        if left:
            shown = ", ".join(
                f"{role.text} ({len(role.files)} of {counted(exams, 'exam')})" for role in left[:6]
            )
            more = f" and {len(left) - 6} others" if len(left) > 6 else ""
            self.unsure.append(f"not used: {shown}{more}")


def with_doubt(parts: Parts, words: str) -> Parts:
    """The same parts with one more doubt."""
    return replace(parts, unsure=(*parts.unsure, words))


def _telling_name(role: Role, reading: Reading) -> str:
    """What a role's name says of what it shows; empty if it only says that it is labels."""
    words = readable(_own_text(role, reading)).split(" ")
    return " ".join(word for word in words if not is_generic_label(word))


def _own_text(role: Role, reading: Reading) -> str:
    """A role's name without the words that all roles have."""
    words = [frozenset(WORD.findall(other.text)) for other in reading.roles]
    common = frozenset.intersection(*words) if len(words) > 1 else frozenset()
    name = without_placeholders(role.template[-1:])
    own = " ".join(word for word in WORD.findall(name) if word not in common)
    return own or " ".join(word for word in WORD.findall("/".join(role.template[:-1])) if "{" not in word)


def _names(roles: Sequence[Role], most: int = 6) -> str:
    shown = ", ".join(role.text for role in roles[:most])
    return shown + (f" and {len(roles) - most} more" if len(roles) > most else "")
