"""`submit init`: from a folder of images to a study file that finds them."""

import os
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from glob import escape
from pathlib import Path, PurePosixPath

from rich.console import Console

from job.contract.cohort import Cohort
from job.contract.errors import DataError, Problem, StudyError
from job.contract.study_file import parse_study
from job.data.cohort_files import ExamFiles, find_exams
from job.data.doubtful_names import MAYBE_ONE, MAYBE_VISITS, doubtful_names
from job.data.file_kinds import unpacked
from job.data.patterns import folded, is_utf8, printable
from job.machine import available_cores
from job.storage import LocalStorage, Storage, StoredObject, open_storage
from submit.init.assembly import Evidence, layout_of
from submit.init.confirm import objects_by_unit
from submit.init.examining import Counts, by_completeness, count_labels, read_examples, share_inside_mask
from submit.init.files import Listing, ending_of, listing_of
from submit.init.identities import Unit
from submit.init.layout import Layout
from submit.init.metadata import NOTHING, Described, dataset_jsons, from_dataset_json, of_challenge
from submit.init.naming import study_name
from submit.init.parts import Parts, parts_of, with_doubt
from submit.init.reading import Reading, Role, best_reading
from submit.init.refusals import not_told_apart, nothing_recognised, require_parts
from submit.init.text import study_text, summary
from submit.progress import ExamProgress

INSIDE_MASK = 0.99
"""Share of the labels that a mask must hold, as `submit check` asks it."""
FARTHEST = 2
"""Folders up from the study file at which its root is still written relative to it."""


def init_study(folder: str, output: Path, console: Console) -> str:
    """Writes a study file of a folder's images; what was found, and what to do next.

    Raises:
        StudyError: There is no such folder, or there is such a study file already.
        DataError: The folder's files make no study.
    """
    _require_new(output)
    source, name = _opened(folder), _own_name(folder)
    objects = list(source.list())
    layout = recognised(source, listing_of(objects, source.dead_links()), name=name, console=console)
    layout, exams = finished(layout, objects)
    layout = replace(layout, unsure=(*layout.unsure, *_visits(layout, source, exams)))
    root = root_of(folder, output)
    text = study_text(layout, name=study_name(name), folder=name, root=root)
    study = parse_study(tomllib.loads(text), source=str(output))
    assert study.cohort == cohort_of(layout, root)  # what was tried is what is written
    if not LocalStorage(output.parent).create(output.name, text.encode()):
        _require_new(output)  # another process wrote it meanwhile
    return "\n".join([*summary(layout), f"wrote {output}; read it, then: submit check {output}"])


def recognised(source: Storage, listing: Listing, *, name: str, console: Console) -> Layout:
    """The layout of a folder's files.

    Raises:
        DataError: None was recognised, or something that a study needs is missing.
    """
    reading = best_reading(listing.images)
    if reading is None or not reading.usual:
        raise nothing_recognised(name, listing, _opened_file(source, listing))
    workers = available_cores()
    with ExamProgress(console, "kinds of files") as progress:
        examples = read_examples(source, reading, workers=workers, progress=progress)
    parts = parts_of(reading, examples)
    require_parts(parts, reading, examples, listing)
    mask, parts = _mask(source, parts)
    with ExamProgress(console, "exams' labels") as progress:
        units = by_completeness(reading)
        counts = count_labels(source, parts, units, workers=workers, progress=progress)
    return layout_of(
        Evidence(
            listing=listing,
            reading=reading,
            examples=examples,
            parts=parts,
            mask=mask,
            counts=counts,
            described=_described(source, listing, reading, counts, name),
        )
    )


def finished(layout: Layout, objects: Sequence[StoredObject]) -> tuple[Layout, tuple[ExamFiles, ...]]:
    """The layout after its patterns were tried, and the exams that they give.

    Exams with problems are then among those that lack files.

    Raises:
        DataError: The patterns find other exams, or none.
    """
    readable = [item for item in objects if is_utf8(item.key)]
    try:
        exams = find_exams(readable, cohort_of(layout))
    except DataError:
        layout = replace(layout, lacking=_lacking(layout, readable))
        if len(layout.lacking) == len(layout.units):
            raise
        exams = find_exams(readable, _whole(layout))
    if {(exam.patient, exam.visit) for exam in exams} != set(layout.units) - layout.lacking.keys():
        raise not_told_apart(layout)
    return layout, exams


def cohort_of(layout: Layout, root: str = ".") -> Cohort:
    """The cohort of the study file."""
    return Cohort.model_validate(
        {
            "root": root,
            "pattern": layout.pattern,
            "labels": layout.labels,
            "mask": layout.mask,
            "channels": [
                {"name": each.name, "files": each.files, "index": each.index} for each in layout.channels
            ],
            "classes": {each.name: each.value for each in layout.classes},
            "structures": layout.structures,
            "background": layout.background,
            "ignore": layout.ignore,
        }
    )


def root_of(folder: str, output: Path) -> str:
    """A cohort's root as the study file names it: relative where it is below the file or near."""
    if "://" in folder:
        return folder
    where = output.absolute().parent.resolve()
    for target in (Path(folder).absolute(), Path(folder).resolve()):
        relative = Path(os.path.relpath(target, where))
        there = Path(os.path.normpath(where / relative))  # the study file's folder may not be there yet
        if relative.parts.count("..") <= FARTHEST and there.is_dir() and there.samefile(target):
            return relative.as_posix()
    return str(Path(folder).resolve())


def _require_new(output: Path) -> None:
    if output.is_dir():
        raise StudyError(f"{output}: is a folder; name the file to be written, e.g. {output / 'study.toml'}")
    if output.exists() or output.is_symlink():
        raise StudyError(
            f"{output}: is there already and stays as it is; name another file with --output, or remove it"
        )


def _opened(folder: str) -> Storage:
    if "://" not in folder and not Path(folder).is_dir():
        what = "is a file" if Path(folder).exists() else "no such folder"
        raise StudyError(f"{folder}: {what}; name the folder that holds the images of all patients")
    if not is_utf8(str(Path(folder).resolve())):
        raise StudyError(
            f"{printable(folder)}: is no name in UTF-8, which a study file is written in; rename it"
        )
    return open_storage(folder)


def _own_name(folder: str) -> str:
    """The folder's own name."""
    return PurePosixPath(folder).name if "://" in folder else Path(folder).resolve().name


def _opened_file(source: Storage, listing: Listing) -> Problem | None:
    """What is wrong with a file that has no ending: DICOM files often have none."""
    for key in [key for key in listing.others if not ending_of(key)][:1]:
        try:
            unpacked(source.read(key), key)
        except DataError as error:
            return error.problems[0]
    return None


def _mask(source: Storage, parts: Parts) -> tuple[Role | None, Parts]:
    """The first mask that holds the labels, if there is one."""
    for role in parts.masks:
        share = share_inside_mask(source, parts, role)
        if share is not None and share >= INSIDE_MASK:
            others = ", ".join(other.text for other in parts.masks if other is not role)
            words = f"{role.text} is taken for the mask; there is {others} too"
            return role, with_doubt(parts, words) if others else parts
        found = "no exam tells" if share is None else f"{1 - share:.0%} of an exam's labels lie outside"
        parts = with_doubt(parts, f"{role.text}: not used as the mask, since {found}")
    return None, parts


def _described(source: Storage, listing: Listing, reading: Reading, counts: Counts, name: str) -> Described:
    """What is known of channels and classes from elsewhere."""
    for key in dataset_jsons(listing.others):
        described = from_dataset_json(source.read(key), key)
        if described.source or described.unsure:
            return described
    names = {name, *("-".join(filter(None, unit)) for unit in reading.units)}
    return of_challenge(names, [value for value in counts.voxels if value > 0]) or NOTHING


def _lacking(layout: Layout, objects: Sequence[StoredObject]) -> dict[Unit, tuple[str, ...]]:
    """Exams that the patterns do not give, each tried by itself, and why."""
    cohort, lacking = cohort_of(layout), dict(layout.lacking)
    patterns = [(cohort.pattern, c.files or escape(c.name)) for c in cohort.channels]
    patterns += [(cohort.labels, text) for text in cohort.class_files or ("",)]
    patterns += [(cohort.mask, "")] if cohort.mask is not None else []
    files = objects_by_unit(objects, patterns)
    for unit in layout.units:
        try:
            if unit not in lacking:
                find_exams(files.get((folded(unit[0]), folded(unit[1])), []), cohort)
        except DataError as error:
            lacking[unit] = tuple(problem.found for problem in error.problems)
    return lacking


def _whole(layout: Layout) -> Cohort:
    """The cohort without the exams that lack something."""
    exclude = tuple("/".join(filter(None, unit)) for unit in layout.lacking)
    return cohort_of(layout).model_copy(update={"exclude": exclude})


def _visits(layout: Layout, source: Storage, exams: Sequence[ExamFiles]) -> list[str]:
    """Doubts about patients whose names look like exams of one person."""
    if layout.has_visits:
        return []
    warnings = doubtful_names(source, _whole(layout), exams)
    causes = (MAYBE_VISITS, MAYBE_ONE)
    return [f"{each.file}: {each.found}; {each.remedy}" for each in warnings if each.cause in causes]
