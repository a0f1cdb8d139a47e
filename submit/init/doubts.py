"""What is in doubt about a cohort's files, in sentences for the study file."""

from collections.abc import Mapping, Sequence

from job.data.visits import VISIT
from submit.init.examining import Counts
from submit.init.files import CONVERSIONS, Listing, some
from submit.init.parts import Example, Parts
from submit.init.reading import Reading, Role
from submit.init.templates import Template
from submit.wording import counted

LARGE_SHARE = 0.1
"""Of a volume; labels that take more of it may be the outline of a body."""
SHOWN = 5
"""Of files with one fault."""


def doubts_about_names(reading: Reading, listing: Listing) -> list[str]:
    """What the reading of names leaves in doubt, and files that belong to no exam."""
    doubts = []
    if reading.exams and not all(VISIT.fullmatch(exam) for exam in reading.exams) and not reading.says_visits:
        patient, exam = reading.units[0]
        doubts.append(
            f'"{patient}" is taken for a patient and "{exam}" for an exam; if they are a group and a patient, write '
            "* instead of {patient}, and {patient} instead of {exam}"
        )
    if any("*" in folder for role in reading.roles for folder in role.template[:-1]):
        doubts.append("folders above the patients' are taken for parts of the cohort (* in the patterns)")
    if reading.unplaced:
        keys = [image.key for image in reading.unplaced]
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


def doubts_about_contents(
    channels: Sequence[Role], parts: Parts, examples: Mapping[Template, Example], counts: Counts
) -> list[str]:
    """What the files that were read leave in doubt."""
    faults = [fault for role in (*channels, *parts.labels) for fault in examples[role.template].faults]
    faults += [fault for fault in (*counts.unreadable, *counts.odd) if fault not in faults]
    doubts = faults[:SHOWN]
    if len(faults) > SHOWN:
        doubts.append(f"{len(faults) - SHOWN} further files have faults; submit check names them")
    label = examples[parts.labels[0].template]
    found = label.contents
    if found is not None and found.is_binary and not parts.masks and found.inside > LARGE_SHARE:
        doubts.append(
            f"the labels take {found.inside:.0%} of the volume of {label.key}; they may be a body's outline"
        )
    return doubts
