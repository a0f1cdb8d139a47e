"""`submit init`: from a folder of images to a study file that finds them."""

import os
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from rich.console import Console

from job.contract.errors import DataError, Problem, StudyError
from job.data.cohort_files import sound_exams
from job.data.doubtful_names import doubtful_people
from job.data.file_kinds import unpacked
from job.data.name_forms import odd_forms
from job.data.patterns import is_utf8, printable
from job.machine import available_cores
from job.storage import LocalStorage, Storage, StoredObject, open_storage
from job.study_file import parse_study
from submit.init.counting import Counts, count_labels, share_inside_mask
from submit.init.examples import by_completeness, read_examples
from submit.init.files import Listing, conversion, ending_of, in_words, listing_of
from submit.init.groups import require_apart
from submit.init.layout import Layout, layout_of
from submit.init.metadata import NOTHING, Described, dataset_jsons, from_dataset_json, of_challenge
from submit.init.parts import Parts, parts_of
from submit.init.pieces import study_name
from submit.init.reading import Reading, best_reading
from submit.init.text import study_text, summary
from submit.progress import ExamProgress

INSIDE_MASK = 0.99
"""Share of the labels that a mask must hold, as `submit check` asks it."""
FARTHEST = 2
"""Folders up from the study file at which its root is still written relative to it."""
PATTERNS = "{patient}/{channel}.nii.gz with {patient}/label.nii.gz, say, or {patient}/{exam}/{channel}.nii.gz"


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
    layout, root = tried(layout, objects), root_of(folder, output)
    text = study_text(layout, name=study_name(name), folder=name, root=root)
    study = parse_study(tomllib.loads(text), source=str(output))
    assert study.cohort == layout.cohort(root)  # what was tried is what is written
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
        raise _nothing_recognised(source, name, listing)
    require_apart(reading)
    workers = available_cores()
    with ExamProgress(console, "kinds of files") as progress:
        examples = read_examples(source, reading, workers=workers, progress=progress)
    parts = parts_of(reading, examples, listing)
    parts, order = _with_mask(source, parts), by_completeness(reading)
    with ExamProgress(console, "exams' labels") as progress:
        counts = count_labels(
            source, parts.labels, order, per_class=parts.per_class, workers=workers, progress=progress
        )
    described = _described(source, listing, reading, counts, name)
    return layout_of(listing, reading, parts, counts, described)


def tried(layout: Layout, objects: Sequence[StoredObject]) -> Layout:
    """The layout with the exams that its patterns do not give, and what names leave in doubt.

    Raises:
        DataError: The patterns find other exams, or none.
    """
    cohort = layout.cohort()
    objects = [item for item in objects if is_utf8(item.key)]
    exams, problems = sound_exams(objects, cohort)
    found = {(exam.patient, exam.visit) for exam in exams}
    if not found:
        raise DataError(problems)
    if not found <= set(layout.units):
        raise DataError.of(
            file=layout.table["pattern"],
            found="names of patients and exams that no pattern tells apart",
            expected="names whose parts are set apart in one way",
            remedy="give each patient a folder, and each exam one below it",
        )
    doubts = [] if layout.has_visits else doubtful_people(exams, objects, cohort)
    doubts += odd_forms(exams, cohort)
    return replace(
        layout,
        lacking=tuple(unit for unit in layout.units if unit not in found),
        faults=tuple(dict.fromkeys(problem.cause or problem.found for problem in problems)),
        unsure=(*layout.unsure, *(f"{each.file}: {each.found}; {each.remedy}" for each in doubts)),
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


def _nothing_recognised(source: Storage, folder: str, listing: Listing) -> DataError:
    """No patients, or no two files of one exam."""
    found, opened = in_words(listing), _opened_file(source, listing)
    remedy = (
        conversion(listing) or "give each patient a folder, or write the study file by hand (docs/study.md)"
    )
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


def _opened_file(source: Storage, listing: Listing) -> Problem | None:
    """What is wrong with a file that has no ending: DICOM files often have none."""
    for key in [key for key in listing.others if not ending_of(key)][:1]:
        try:
            unpacked(source.read(key), key)
        except DataError as error:
            return error.problems[0]
    return None


def _with_mask(source: Storage, parts: Parts) -> Parts:
    """The parts with the first mask that holds the labels, if there is one, and what is said of the others."""
    unsure = list(parts.unsure)
    for role in parts.masks:
        share = share_inside_mask(source, parts.labels, role)
        if share is not None and share >= INSIDE_MASK:
            others = ", ".join(other.text for other in parts.masks if other is not role)
            unsure += [f"{role.text} is taken for the mask; there is {others} too"] if others else []
            return replace(parts, masks=(role,), unsure=tuple(unsure))
        found = "no exam tells" if share is None else f"{1 - share:.0%} of an exam's labels lie outside"
        unsure.append(f"{role.text}: not used as the mask, since {found}")
    return replace(parts, masks=(), unsure=tuple(unsure))


def _described(source: Storage, listing: Listing, reading: Reading, counts: Counts, name: str) -> Described:
    """What is known of channels and classes from elsewhere."""
    for key in dataset_jsons(listing.others):
        described = from_dataset_json(source.read(key), key)
        if described.source or described.unsure:
            return described
    names = {name, *("-".join(filter(None, unit)) for unit in reading.units)}
    return of_challenge(names, [value for value in counts.total if value > 0]) or NOTHING
