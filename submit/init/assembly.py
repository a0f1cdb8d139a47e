"""From the parts of a cohort, its numbers and what is known of their names to its layout."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from job.contract.errors import DataError
from job.data.patterns import folded
from submit.init.channels import Channels, channels_of
from submit.init.classes import Classes, classes_of
from submit.init.confirm import Use, strays_of
from submit.init.doubts import doubts_about_contents, doubts_about_names
from submit.init.examining import Counts, by_completeness
from submit.init.files import Listing, some
from submit.init.identities import Unit
from submit.init.joining import ending_of
from submit.init.layout import Layout
from submit.init.metadata import Described
from submit.init.parts import Example, Parts
from submit.init.reading import Reading, Role
from submit.init.templates import EXAM, PATIENT, Template


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that a layout is made from."""

    listing: Listing
    reading: Reading
    examples: Mapping[Template, Example]
    parts: Parts
    mask: Role | None
    """Of `parts.masks`, the one that holds the labels."""
    counts: Counts
    described: Described


def layout_of(evidence: Evidence) -> Layout:
    """The layout.

    Raises:
        DataError: No exam is whole, or no pattern of a study file tells its files apart.
    """
    parts, reading, described = evidence.parts, evidence.reading, evidence.described
    channels = channels_of(parts, evidence.examples, described.channels, described.source)
    classes = classes_of(parts, evidence.counts, described)
    mask = None if evidence.mask is None else f"{evidence.mask.text}{ending_of([evidence.mask])}"
    strays = strays_of(_uses(evidence, channels, classes, mask), evidence.listing, reading)
    if strays.clashes:
        raise _not_told_apart(channels.pattern, classes.pattern, strays.clashes)
    lacking = _lacking(evidence, channels)
    layout = Layout(
        pattern=channels.pattern,
        labels=classes.pattern,
        mask=mask,
        channels=channels.found,
        classes=classes.found,
        structures=classes.structures,
        background=classes.background,
        ignore=strays.ignore,
        resample_to=_resample_to(evidence, channels),
        units=reading.units,
        lacking=lacking,
        counted_exams=evidence.counts.counted,
        example=next(unit for unit in by_completeness(reading) if unit not in lacking),
        known_from=described.source,
        mask_example=_mask_example(evidence),
        unsure=(
            *parts.unsure,
            *channels.unsure,
            *classes.unsure,
            *described.unsure,
            *doubts_about_names(reading, evidence.listing),
            *doubts_about_contents(channels.roles, parts, evidence.examples, evidence.counts),
        ),
    )
    return _with_bids_prefixes(layout)


def _uses(evidence: Evidence, channels: Channels, classes: Classes, mask: str | None) -> list[Use]:
    """What each pattern is to find."""

    def uses(pattern: str, roles: Sequence[Role], texts: Sequence[str]) -> list[Use]:
        return [
            Use(pattern=pattern, text=text, role=role)
            for role, text in zip(roles, texts or [""] * len(roles), strict=True)
        ]

    found = uses(channels.pattern, channels.roles, channels.texts)
    found += uses(classes.pattern, evidence.parts.labels, classes.texts)
    return found + (uses(mask, [evidence.mask], []) if mask and evidence.mask else [])


def _lacking(evidence: Evidence, channels: Channels) -> dict[Unit, tuple[str, ...]]:
    """Exams that lack files or have too many, and which.

    Raises:
        DataError: All do.
    """
    names = [f"channel {channel.name}" for channel in channels.found]
    needed = list(zip(names if channels.texts else ["channels"], channels.roles, strict=True))
    needed += [("mask", evidence.mask)] if evidence.mask is not None else []
    labels = evidence.parts.labels
    spellings: dict[tuple[str, str], list[Unit]] = {}
    for unit in evidence.reading.units:
        spellings.setdefault((folded(unit[0]), folded(unit[1])), []).append(unit)
    lacking: dict[Unit, tuple[str, ...]] = {}
    for unit in evidence.reading.units:
        missing = [f"no {name}" for name, role in needed if unit not in role.files]
        missing += ["no labels"] if not any(unit in role.files for role in labels) else []
        doubled = [role for role in (*channels.roles, *labels) if unit in role.doubled]
        missing += [f"several files {role.text}" for role in doubled]
        if len(spellings[folded(unit[0]), folded(unit[1])]) > 1:
            missing.append("a name that differs from another by case only")
        if missing:
            lacking[unit] = tuple(missing)
    if len(lacking) == len(evidence.reading.units):
        raise _none_whole(evidence.reading, [role.text for _, role in needed], lacking)
    return lacking


def _none_whole(reading: Reading, roles: Sequence[str], lacking: Mapping[Unit, tuple[str, ...]]) -> DataError:
    reasons = dict.fromkeys(reason for own in lacking.values() for reason in own)
    return DataError.of(
        file=some(roles, 6),
        found=f"{len(reading.units)} exams, none of them whole: {some(list(reasons), 6)}",
        expected="all channels and the labels of an exam under names that belong together",
        remedy="rename the files, or write the study file by hand (docs/study.md)",
    )


def _not_told_apart(pattern: str, labels: str, clashes: Sequence[str]) -> DataError:
    return DataError.of(
        file=some(clashes),
        found=f"files that two patterns find ({pattern} and {labels})",
        expected="names that tell channels and labels apart",
        remedy="give the label files a word of their own (`_seg`), or a folder",
    )


def _resample_to(evidence: Evidence, channels: Channels) -> str | None:
    """A channel on the labels' grid, or the first, where the example's files are on several grids."""
    label = evidence.examples[evidence.parts.labels[0].template].contents
    if label is None or not channels.texts:
        return None
    examples = [evidence.examples[role.template].contents for role in channels.roles]
    known = [
        (channel.name, own) for channel, own in zip(channels.found, examples, strict=True) if own is not None
    ]
    alike = [name for name, own in known if own.geometry.axes_onto(label.geometry) is not None]
    if len(alike) == len(known):
        return None
    return alike[0] if alike else known[0][0]


def _mask_example(evidence: Evidence) -> str:
    if evidence.mask is None:
        return ""
    example = evidence.examples[evidence.mask.template]
    return "" if example.contents is None else f"{example.contents.inside:.0%} of the volume of {example.key}"


def _with_bids_prefixes(layout: Layout) -> Layout:
    """Patients `01` of `sub-{patient}`, as BIDS means it, and exams alike."""
    if not all(name.startswith("sub-") and len(name) > 4 for name, _ in layout.units):
        return layout
    exam = all(name.startswith("ses-") and len(name) > 4 for _, name in layout.units)

    def spelled(pattern: str) -> str:
        pattern = pattern.replace(PATIENT, f"sub-{PATIENT}")
        return pattern.replace(EXAM, f"ses-{EXAM}") if exam else pattern

    def renamed(unit: Unit) -> Unit:
        return unit[0][4:], unit[1][4:] if exam else unit[1]

    return replace(
        layout,
        pattern=spelled(layout.pattern),
        labels=spelled(layout.labels),
        mask=None if layout.mask is None else spelled(layout.mask),
        units=tuple(renamed(unit) for unit in layout.units),
        lacking={renamed(unit): missing for unit, missing in layout.lacking.items()},
        example=renamed(layout.example),
    )
