"""Errors of folders that make no study: what was found, what is missing, and what to do."""

from collections.abc import Mapping

from job.contract.errors import DataError, Problem
from submit.init.files import CONVERSIONS, Listing, in_words, some
from submit.init.layout import Layout
from submit.init.parts import Example, Parts
from submit.init.reading import Reading
from submit.init.templates import Template
from submit.wording import counted

PATTERNS = "{patient}/{channel}.nii.gz with {patient}/label.nii.gz, say, or {patient}/{exam}/{channel}.nii.gz"
BY_HAND = "write the study file by hand (docs/study.md)"


def nothing_recognised(folder: str, listing: Listing, opened: Problem | None) -> DataError:
    """No patients, or no two files of one exam.

    Args:
        folder: Its name.
        listing: What lies in it.
        opened: What is wrong with a file whose name does not say what it is.
    """
    found = in_words(listing)
    remedy = _conversion(listing) or f"give each patient a folder, or {BY_HAND}"
    if not listing.images and not listing.others:
        remedy = "name the folder that has the images"
    elif opened is not None and not listing.images and not listing.convertible():
        found, remedy = f"{found}; one is {opened.found}", opened.remedy
    return DataError.of(
        file=folder,
        found=found,
        expected=f"NIfTI files whose names tell patient, channel and labels, {PATTERNS}",
        remedy=remedy,
    )


def require_parts(
    parts: Parts, reading: Reading, examples: Mapping[Template, Example], listing: Listing
) -> None:
    """Refuses cohorts without labels, or with fewer than two channels.

    Raises:
        DataError: Says what the files were taken for.
    """
    exams = f"{counted(len(reading.units), 'exam')} of {counted(len(reading.patients), 'patient')}"
    if not parts.labels:
        raise DataError.of(
            file=some([role.text for role in reading.usual], 8),
            found=f"{exams}, and no labels among their files",
            expected="a label map for each exam, or a file for each class, called label, seg, gtv or the like",
            remedy="add or rename them; if they lie elsewhere, name the folder that holds both images and labels",
        )
    for role in parts.labels:
        _require_volume(examples.get(role.template))
    channels = len(parts.channels)
    if parts.series is not None:
        contents = examples[parts.series.template].contents
        channels = contents.volumes if contents is not None else 0
    if channels < 2:
        raise _too_few(exams, channels, parts, reading, listing)


def not_told_apart(layout: Layout) -> DataError:
    """Patterns that do not give the exams which they were made of."""
    return DataError.of(
        file=layout.pattern,
        found="names of patients and exams that no pattern tells apart",
        expected="names whose parts are set apart in one way",
        remedy="give each patient a folder, and each exam one below it",
    )


def _require_volume(example: Example | None) -> None:
    if example is not None and example.contents is not None and example.contents.volumes > 1:
        raise DataError.of(
            file=example.key,
            found=f"{example.contents.volumes} volumes in a file of labels",
            expected="one volume with a value for each class",
            remedy="write one label map, or a file for each class (`fslsplit`), which {class} in cohort.labels finds",
        )


def _too_few(exams: str, channels: int, parts: Parts, reading: Reading, listing: Listing) -> DataError:
    names = some([role.text for role in (*parts.channels, *([parts.series] if parts.series else []))])
    there = f"{counted(channels, 'channel')} ({names})" if channels else "no image"
    used = (*parts.channels, *parts.labels, parts.series)
    others = [role.text for role in reading.roles if role not in used]
    beside = f"; besides {some(others, 4)}" if others else ""
    labels = some([role.text for role in parts.labels], 4)
    first = reading.units[0]
    add = f"add the {'other ' if channels else ''}images of every exam beside its labels"
    return DataError.of(
        file=some([role.files[first].key for role in reading.roles if first in role.files], 4),
        found=f"{exams} with labels ({labels}) and {there}{beside}",
        expected="at least two channels: leaving one out must leave another",
        remedy=_conversion(listing) or f"{add}, or name the folder that holds all of them",
    )


def _conversion(listing: Listing) -> str:
    """How files of other kinds become NIfTI; empty if there are none."""
    by_remedy: dict[str, list[str]] = {}
    for ending in listing.convertible():
        by_remedy.setdefault(CONVERSIONS[ending], []).append(ending)
    return "; ".join(f"{', '.join(endings)}: {remedy}" for remedy, endings in by_remedy.items())
