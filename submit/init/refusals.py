"""Errors of folders that make no study: what was found, what is missing, and what to do."""

from collections.abc import Mapping

from job.contract.errors import DataError
from submit.init.files import CONVERSIONS, Listing, in_words, some
from submit.init.layout import Layout
from submit.init.parts import Example, Parts
from submit.init.reading import Reading, Role
from submit.init.templates import Template
from submit.wording import counted

PATTERNS = (
    "e.g. {patient}/{channel}.nii.gz with labels {patient}/label.nii.gz, or {patient}/{exam}/{channel}.nii.gz"
)


def nothing_recognised(folder: str, listing: Listing) -> DataError:
    """No patients, or no two files of one exam."""
    return DataError.of(
        file=folder,
        found=in_words(listing),
        expected=f"NIfTI files whose names tell patient, channel and labels, {PATTERNS}",
        remedy=_remedy(listing),
    )


def require_parts(
    parts: Parts, reading: Reading, examples: Mapping[Template, Example], listing: Listing
) -> None:
    """Refuses cohorts without labels, or with fewer than two channels.

    Raises:
        DataError: Says what the files were taken for.
    """
    exams = f"{counted(len(reading.units), 'exam')} of {counted(len(reading.patients), 'patient')}"
    roles = [role.text for role in reading.usual]
    if not parts.labels:
        raise DataError.of(
            file=some(roles, 8),
            found=f"{exams}, and no labels among their files",
            expected="a label map for each exam, or a file for each class, called label, seg, gtv or the like",
            remedy="add or rename them; if they lie elsewhere, name the folder that holds both images and labels",
        )
    for role in parts.labels:
        _require_volume(role, examples)
    channels = len(parts.channels)
    if parts.series is not None:
        found = examples[parts.series.template].contents
        channels = found.volumes if found is not None else 0
    if channels < 2:
        raise _too_few(exams, channels, parts, reading, listing)


def _require_volume(role: Role, examples: Mapping[Template, Example]) -> None:
    found = examples[role.template].contents if role.template in examples else None
    if found is not None and found.volumes > 1:
        raise DataError.of(
            file=examples[role.template].key,
            found=f"{found.volumes} volumes in a file of labels",
            expected="one volume with a value for each class",
            remedy="write one label map, or a file for each class (`fslsplit`), which {class} in cohort.labels finds",
        )


def _too_few(exams: str, channels: int, parts: Parts, reading: Reading, listing: Listing) -> DataError:
    there = (
        f"{counted(channels, 'channel')} ({some([r.text for r in parts.channels])})"
        if channels
        else "no image"
    )
    others = [role.text for role in reading.roles if role not in (*parts.channels, *parts.labels)]
    beside = f"; besides {some(others, 4)}" if others else ""
    labels = some([role.text for role in parts.labels], 4)
    first = next(iter(reading.units))
    return DataError.of(
        file=some([role.files[first].key for role in reading.roles if first in role.files], 4),
        found=f"{exams} with labels ({labels}) and {there}{beside}",
        expected="at least two channels: leaving one out must leave another",
        remedy=_convert(listing)
        or f"add the images of every exam beside its labels ({first[0]}/t1.nii.gz, say), or name the folder that "
        "holds both",
    )


def not_told_apart(layout: Layout) -> DataError:
    """Patterns that do not give the exams which they were made of."""
    return DataError.of(
        file=layout.pattern,
        found="names of patients and exams that no pattern tells apart",
        expected="names whose parts are set apart in one way",
        remedy="give each patient a folder, and each exam one below it",
    )


def _remedy(listing: Listing) -> str:
    return _convert(listing) or "give each patient a folder, or write the study file by hand (docs/study.md)"


def _convert(listing: Listing) -> str:
    """How files of other kinds become NIfTI; empty if there are none."""
    kinds = listing.convertible()
    advice = dict.fromkeys(
        f"{', '.join(e for e in kinds if CONVERSIONS[e] == CONVERSIONS[ending])}: {CONVERSIONS[ending]}"
        for ending in kinds
    )
    return "; ".join(advice)
