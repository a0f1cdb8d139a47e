"""What is known of a cohort's exams without their voxels, and what is wrong or odd about them side by side."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from job.contract.cohort import Cohort
from job.contract.errors import Problem
from job.contract.study import Study
from job.contract.wording import counted, dimensions
from job.data.channel_statistics import ChannelStatistics
from job.data.cohort_files import ExamFiles
from job.data.copies import copies
from job.data.exam import CheckedExam
from job.data.exam_grids import Resampled, from_other_exams, grid_name
from job.data.exam_record import ExamRecord
from job.data.fingerprint import label_digest
from job.data.geometry import Geometry
from job.data.likeness import Likeness
from job.data.patterns import spelled
from job.data.plausibility import beside_others, says_nothing
from job.data.unlike_exams import suspects

SPACING_ODD = 1.5
"""Times by which an edge of a voxel may differ from the cohort's median before it is worth a word."""


@dataclass(frozen=True, kw_only=True)
class ExamSummary:
    """An exam as far as the cohort's checks and tables need it."""

    files: ExamFiles
    geometry: Geometry
    voxels: tuple[int, ...]
    """By label, 0 background, all of the volume."""
    label_sha256: str
    mask_share: float | None
    """Of the volume."""
    channels: Mapping[str, ChannelStatistics]
    """By name."""
    outside_mask: int
    warnings: tuple[Problem, ...]
    likeness: Likeness = field(default_factory=Likeness)
    values: Mapping[int, int] = field(default_factory=dict)
    """Voxels by value of the label map, also outside the mask; empty for files of classes and exams of a store."""

    @property
    def exam(self) -> str:
        """`<patient>_<exam>`."""
        return self.files.exam

    @property
    def patient(self) -> str:
        """The exam's patient."""
        return self.files.patient

    @property
    def label_file(self) -> str:
        """The label map, or the first of the classes' files."""
        return self.files.first_label.key

    def volume_ml(self, label: int) -> float:
        """Volume of a class."""
        return self.voxels[label] * self.geometry.voxel_ml


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a cohort's exams are like, and what is wrong or odd about them."""

    files: tuple[ExamFiles, ...]
    """All exams whose names are in order, in the order of the grid."""
    exams: tuple[ExamSummary, ...]
    """Those of them that could be read."""
    problems: tuple[Problem, ...]
    """What stops a run."""
    warnings: tuple[Problem, ...]
    """What is odd and may be right."""


def summary_of(files: ExamFiles, exam: CheckedExam, cohort: Cohort) -> ExamSummary:
    """The summary of an exam that was just read."""
    return ExamSummary(
        files=files,
        geometry=exam.geometry,
        voxels=tuple(int(np.count_nonzero(exam.label_ZYX == k)) for k in range(len(cohort.classes) + 1)),
        label_sha256=label_digest(exam.label_ZYX),
        mask_share=None
        if exam.mask_ZYX is None
        else float(np.count_nonzero(exam.mask_ZYX)) / exam.mask_ZYX.size,
        channels=dict(zip(cohort.channel_names, exam.statistics, strict=True)),
        outside_mask=exam.outside_mask,
        warnings=exam.warnings,
        likeness=exam.likeness,
        values=exam.values,
    )


def summary_of_record(files: ExamFiles, record: ExamRecord) -> ExamSummary:
    """The summary of an exam that is in the store."""
    return ExamSummary(
        files=files,
        geometry=record.geometry,
        voxels=tuple(sum(blocks) for blocks in record.label_counts),
        label_sha256=record.label_sha256,
        mask_share=record.mask_share,
        channels=dict(zip(record.channels, record.statistics, strict=True)),
        outside_mask=record.outside_mask,
        warnings=record.warnings,
        likeness=record.likeness,
    )


def beside_each_other(exams: Sequence[ExamSummary], study: Study) -> tuple[list[Problem], list[Problem]]:
    """Problems and warnings about a cohort's exams that none of them shows by itself."""
    problems = without_class(exams, study)
    warnings = [warning for exam in exams for warning in exam.warnings]
    copied, perhaps = copies(exams, study.cohort)
    problems += copied
    warnings += perhaps + _from_other_grids(exams)
    for channel in study.cohort.channels:
        files = dict(zip(study.cohort.channel_names, range(len(study.cohort.channels)), strict=True))
        own = {
            exam.exam: (exam.files.channels[files[channel.name]].key, exam.channels[channel.name])
            for exam in exams
        }
        wrong, odd = beside_others(channel, own)
        problems += wrong
        warnings += odd
    masks = says_nothing([exam.mask_share for exam in exams], study.cohort.mask or "")
    warnings += [
        *masks,
        *_unlike(exams, study.cohort),
        *_grids(exams),
        *_without_labels(exams),
        *_absent_files(exams, study.cohort),
    ]
    return problems, warnings


def without_class(exams: Sequence[ExamSummary], study: Study) -> list[Problem]:
    """Classes that a fold might not learn, because only its test and validation patients have them."""
    problems, held = [], dict[str, int]()
    cohort, held_out = study.cohort, study.training.validation_patients
    for label, name in enumerate(cohort.class_names, start=1):
        patients = {exam.patient for exam in exams if exam.voxels[label]}
        if 2 <= len(patients) < 2 + held_out:
            held[name] = len(patients)
        elif len(patients) < 2:
            values = f" ({list(cohort.class_values[label - 1])})" if cohort.class_files is None else ""
            where = " inside the mask" if cohort.mask is not None else ""
            there = f"in {counted(len(patients), 'patient')} ({counted(len(exams), 'exam')})"
            problems.append(
                Problem(
                    file=cohort.labels,
                    found=f"class {name!r}{values}{where} {there}",
                    expected=f"each class in at least {2 + held_out} patients: one to learn it from when another "
                    "is tested" + (f" and {held_out} may be drawn for validation" if held_out else ""),
                    remedy="correct cohort.classes, remove the class, or add exams",
                )
            )
    return [*problems, *([_too_many_held_out(held, held_out)] if held else [])]


def _too_many_held_out(patients: Mapping[str, int], held_out: int) -> Problem:
    """Classes, with the patients that have them, that would do without validation patients, or with fewer."""
    shown = ", ".join(f"class {name!r} in {count}" for name, count in patients.items())
    enough = min(patients.values()) - 2
    return Problem(
        file="training.validation_patients",
        found=f"{counted(held_out, 'patient')} held out for validation, and {shown} patients",
        expected=f"each class in at least {2 + held_out} patients: one to learn it from when another is tested and "
        f"{held_out} may be drawn for validation",
        remedy=f"set training.validation_patients to {enough}"
        + (" or fewer" if enough else "")
        + "; or remove the class, or add exams",
    )


def _from_other_grids(exams: Sequence[ExamSummary]) -> list[Problem]:
    """Channels that were resampled from the grid of another exam."""
    own = [
        Resampled(exam=exam.exam, channel=name, file=item.key, grid=grid)
        for exam in exams
        for item, (name, found) in zip(exam.files.channels, exam.channels.items(), strict=True)
        if (grid := found.own_grid) is not None
    ]
    return from_other_exams(own, {exam.exam: grid_name(exam.geometry) for exam in exams} if own else {})


def _grids(exams: Sequence[ExamSummary]) -> list[Problem]:
    """Exams whose voxels or slices are unlike those of the others: nothing is resampled."""
    if len(exams) < 2:
        return []
    warnings = []
    planes = Counter(exam.geometry.plane for exam in exams if exam.geometry.plane != "isotropic")
    usual = planes.most_common(1)[0][0] if planes else "isotropic"
    if len(planes) > 1:
        warnings += [
            Problem(
                file=exam.label_file,
                found=f"{exam.geometry.plane} slices ({_spacing(exam.geometry)} mm)",
                expected=f"{usual}, as in {planes[usual]} of {len(exams)} exams",
                remedy="nothing is resampled: a patch has another shape in this exam. Resample the cohort "
                "to one spacing, "
                "or leave the exam out with cohort.exclude",
                cause="slices of another direction",
            )
            for exam in exams
            if exam.geometry.plane not in (usual, "isotropic")
        ]
    typical = [median(exam.geometry.spacing_zyx_mm[axis] for exam in exams) for axis in range(3)]
    for exam in exams:
        ratios = [own / usual_mm for own, usual_mm in zip(exam.geometry.spacing_zyx_mm, typical, strict=True)]
        if (
            exam.geometry.plane in (usual, "isotropic")
            and max(max(ratio, 1 / ratio) for ratio in ratios) > SPACING_ODD
        ):
            warnings.append(
                Problem(
                    file=exam.label_file,
                    found=f"voxels of {_spacing(exam.geometry)} mm",
                    expected=f"about {dimensions(f'{mm:.3g}' for mm in reversed(typical))} mm, the cohort's median",
                    remedy="nothing is resampled: structures have another size in voxels in this exam. Resample the "
                    "cohort to one spacing, or leave the exam out with cohort.exclude",
                    cause="voxels of another size",
                )
            )
    return warnings


def _spacing(geometry: Geometry) -> str:
    return dimensions(f"{mm:.3g}" for mm in reversed(geometry.spacing_zyx_mm))


def _unlike(exams: Sequence[ExamSummary], cohort: Cohort) -> list[Problem]:
    """Exams whose channels and labels do not go together as in the others."""
    found = suspects([exam.likeness for exam in exams], cohort.channel_names, cohort.class_names)
    return [
        Problem(
            file=exam.files.channels[own.channels[0]].key if own.channels else exam.label_file,
            found=own.found,
            expected=own.expected,
            remedy=f"{own.guess} Look at exam {exam.exam} on the page of `submit check --output`; it may be right",
            cause=f"unlike the other exams: {exam.exam}",
        )
        for exam, own in zip(exams, found, strict=True)
        if own is not None
    ]


def _without_labels(exams: Sequence[ExamSummary]) -> list[Problem]:
    """Exams without a voxel of any class."""
    return [
        Problem(
            file=exam.label_file,
            found=f"no voxel of any class in exam {exam.exam}: all of it is background",
            expected="labels of what the exam shows",
            remedy="nothing needs to be done if it has none of the structures; else put the right labels in "
            "place, or leave the exam out with cohort.exclude",
            cause="exams without any labelled voxel",
        )
        for exam in exams
        if not any(exam.voxels[1:])
    ]


def _absent_files(exams: Sequence[ExamSummary], cohort: Cohort) -> list[Problem]:
    """Classes without a file in some exams, where each has one of its own."""
    if cohort.class_files is None:
        return []
    return [
        Problem(
            file=spelled(cohort.labels, texts[0], exam.patient, exam.files.visit),
            found=f"no file for class {name} in exam {exam.exam}",
            expected="a file for each class that the exam has",
            remedy="nothing needs to be done if the structure is absent; else add the file, or correct the "
            "class's text",
            cause=f"no file for class {name}",
        )
        for exam in exams
        for name, texts, own in zip(cohort.class_names, cohort.class_files, exam.files.labels, strict=True)
        if not own
    ]
