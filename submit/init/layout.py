"""What `submit init` found in a folder, as the `[cohort]` table of a study file with all that is to be said of it."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from job.contract.cohort import Cohort
from job.data.patterns import composed, expression_of
from job.data.visits import VISIT
from submit.init.channels import channels_of
from submit.init.classes import classes_of
from submit.init.counting import Counts
from submit.init.files import CONVERSIONS, Listing, some
from submit.init.groups import doubts_about_groups
from submit.init.identities import Unit
from submit.init.joining import ending_of
from submit.init.metadata import Described
from submit.init.parts import Parts
from submit.init.pieces import Piece, Use
from submit.init.reading import Reading, Role
from submit.init.strays import ignored, narrowed
from submit.init.templates import EXAM, PATIENT
from submit.wording import counted

LARGE_SHARE = 0.1
"""Of a volume; labels that take more of it may be the outline of a body."""
SHOWN = 5
"""Of files with one fault."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A cohort's layout."""

    table: Mapping[str, Any]
    """`[cohort]` without its root, as the file has it."""
    notes: Mapping[str, str]
    """Comments, by what they are about: a key, `channel t1`, `class tumour`."""
    units: tuple[Unit, ...]
    """All exams, as the patterns name them."""
    counted_exams: int
    """Whose labels were counted."""
    lacking: tuple[Unit, ...] = ()
    """Exams that cannot be used as they are."""
    faults: tuple[str, ...] = ()
    """What is wrong with them."""
    known_from: str = ""
    """What the names of channels and classes are from."""
    unsure: tuple[str, ...] = ()

    @property
    def patients(self) -> int:
        """How many there are."""
        return len({patient for patient, _ in self.units})

    @property
    def has_visits(self) -> bool:
        """Whether patients have several exams, or may."""
        return EXAM in self.table["pattern"]

    def cohort(self, root: str = ".") -> Cohort:
        """The cohort of the study file."""
        return Cohort.model_validate({**self.table, "root": root})


def layout_of(
    listing: Listing, reading: Reading, parts: Parts, counts: Counts, described: Described
) -> Layout:
    """The layout.

    Args:
        listing: All files.
        reading: Them as exams and roles.
        parts: What the roles are.
        counts: Voxels of their labels.
        described: What is known of channels and classes beside the files.

    Raises:
        DataError: No pattern of a study file tells its files apart.
    """
    channels = channels_of(parts, described)
    classes = classes_of(parts, counts, described, len(reading.patients))
    pieces = narrowed([channels, classes, _mask(parts)])
    stray, hardly = ignored([use for piece in pieces for use in piece.uses], listing, reading)
    pieces.append(stray)
    layout = Layout(
        table={key: value for piece in pieces for key, value in piece.table.items()},
        notes=_resample_to(channels, parts) | {key: text for p in pieces for key, text in p.notes.items()},
        units=(*reading.units, *sorted({*hardly.values()} - {*reading.units})),
        counted_exams=len(counts.by_exam),
        known_from=described.source,
        unsure=(
            *parts.unsure,
            *(doubt for piece in pieces for doubt in piece.unsure),
            *described.unsure,
            *_doubts_about_names(_without(reading, hardly), listing),
            *_doubts_about_contents(channels, parts, counts),
        ),
    )
    return _with_example(_with_bids_prefixes(layout), channels.uses[0].role, parts, reading)


def _without(reading: Reading, keys: Collection[str]) -> Reading:
    """The same with fewer files that belong to no exam."""
    return replace(reading, unplaced=tuple(image for image in reading.unplaced if image.key not in keys))


def _with_example(layout: Layout, role: Role, parts: Parts, reading: Reading) -> Layout:
    """The same with a note of a file, whose it is."""
    key = parts.examples[role.template].key
    unit = next(unit for unit, image in role.files.items() if image.key == key)
    patient, exam = layout.units[reading.units.index(unit)]
    whose = f', exam "{exam}"' if exam else "; every patient has one exam"
    return replace(layout, notes={**layout.notes, "pattern": f'{key} is of patient "{patient}"{whose}.'})


def _mask(parts: Parts) -> Piece:
    if not parts.masks:
        return Piece(table={})
    pattern, example = (
        f"{parts.masks[0].text}{ending_of(parts.masks[:1])}",
        parts.examples[parts.masks[0].template],
    )
    return Piece(
        table={"mask": pattern},
        notes={"mask": f"{example.inside:.0%} of the volume of {example.key}"},
        uses=(Use(pattern=pattern, role=parts.masks[0]),),
    )


def _resample_to(channels: Piece, parts: Parts) -> dict[str, str]:
    """A channel on the labels' grid, or the first, where the example's files are on several grids."""
    label = parts.examples[parts.labels[0].template].geometry
    if label is None or parts.series is not None:
        return {}
    names = [entry if isinstance(entry, str) else entry["name"] for entry in channels.table["channels"]]
    grids = [parts.examples[use.role.template].geometry for use in channels.uses]
    known = [(name, own) for name, own in zip(names, grids, strict=True) if own is not None]
    alike = [name for name, own in known if own.axes_onto(label) is not None]
    return {} if len(alike) == len(known) else {"resample_to": [*alike, known[0][0]][0]}


def _with_bids_prefixes(layout: Layout) -> Layout:
    """Patients `01` of `sub-{patient}`, as BIDS means it, and exams alike."""
    if not all(name.startswith("sub-") and len(name) > 4 for name, _ in layout.units):
        return layout
    exam = all(name.startswith("ses-") and len(name) > 4 for _, name in layout.units)
    patterns = {key: layout.table[key] for key in ("pattern", "labels", "mask") if key in layout.table}
    patterns = {key: text.replace(PATIENT, f"sub-{PATIENT}") for key, text in patterns.items()}
    if exam:
        patterns = {key: text.replace(EXAM, f"ses-{EXAM}") for key, text in patterns.items()}
    units = tuple((patient[4:], name[4:] if exam else name) for patient, name in layout.units)
    return replace(layout, table={**layout.table, **patterns}, units=units)


# --- doubts


def _doubts_about_names(reading: Reading, listing: Listing) -> list[str]:
    """What the reading of names leaves in doubt, and files that belong to no exam."""
    doubts = []
    if reading.exams and not all(VISIT.fullmatch(exam) for exam in reading.exams) and not reading.says_visits:
        doubts.append(_maybe_groups(reading))
    doubts += doubts_about_groups(reading)
    if reading.unplaced:
        keys = [image.key for image in reading.unplaced]
        if apart := _without_visit(reading):
            doubts.append(
                f"{counted(len(apart), 'patient')} without a folder for the exam, as others have it ({some(apart)}): "
                "not in the study, since no pattern finds both; move their files into a folder of one exam"
            )
        doubts.append(f"{counted(len(keys), 'image')} in no exam: {some(keys)}")
    for ending, keys in listing.convertible().items():
        doubts.append(
            f"{counted(len(keys), 'file')} {ending} cannot be used ({some(keys, 1)}): {CONVERSIONS[ending]}"
        )
    if listing.twice:
        doubts.append(
            f"{counted(len(listing.twice), 'file')} not used, since .nii.gz is beside: {some(listing.twice)}"
        )
    if listing.dead:
        doubts.append(
            f"{counted(len(listing.dead), 'link')} to files that are not there: {some(listing.dead)}"
        )
    if listing.not_utf8:
        doubts.append(f"names that are not UTF-8, which no pattern finds: {some(listing.not_utf8)}")
    return doubts


def _without_visit(reading: Reading) -> list[str]:
    """Patients whose files lie as those of others, but for the exam's name."""
    patients: set[str] = set()
    for role in reading.usual:
        *folders, name = role.template
        name = name.replace(f"_{EXAM}", "").replace(f"{EXAM}_", "")
        plain = "/".join([*(folder for folder in folders if folder != EXAM), name])
        if EXAM in folders and PATIENT in plain and EXAM not in plain:
            matches = [
                expression_of(f"{plain}.nii*").fullmatch(composed(image.key)) for image in reading.unplaced
            ]
            patients |= {match["patient"] for match in matches if match is not None}
    return sorted(patients - reading.patients)


def _maybe_groups(reading: Reading) -> str:
    """Folders that may be a patient and an exam, or a group and a patient."""
    patient, exam = reading.units[0]
    doubt = (
        f'"{patient}" is taken for a patient and "{exam}" for an exam; if they are a group and a patient, '
    )
    times = Counter(exam for _, exam in reading.units)
    twice = next((name for name, count in times.items() if count > 1), None)
    if twice is not None:
        return f'{doubt}rename the patients: "{twice}" is in several groups, and no pattern tells them apart'
    return f"{doubt}write * instead of {{patient}}, and {{patient}} instead of {{exam}}"


def _doubts_about_contents(channels: Piece, parts: Parts, counts: Counts) -> list[str]:
    """What the files that were read leave in doubt."""
    roles = [*(use.role for use in channels.uses), *parts.labels]
    faults = [fault for role in roles for fault in parts.examples[role.template].faults]
    faults += [fault for fault in (*counts.unreadable, *counts.odd) if fault not in faults]
    doubts = faults[:SHOWN]
    if len(faults) > SHOWN:
        doubts.append(f"{len(faults) - SHOWN} further files have faults; submit check names them")
    label = parts.examples[parts.labels[0].template]
    if label.is_binary and not parts.masks and label.inside > LARGE_SHARE:
        doubts.append(
            f"the labels take {label.inside:.0%} of the volume of {label.key}; they may be a body's outline"
        )
    return doubts
