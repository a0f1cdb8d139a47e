"""Scans, labels and whole exams of a cohort that are there twice, by what is kept of them beside their voxels."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from job.contract.cohort import Cohort
from job.contract.errors import Problem
from job.data.channel_statistics import ChannelStatistics
from job.data.fingerprint import alike, distance
from job.data.likeness import pair_names

if TYPE_CHECKING:  # which asks this module
    from job.data.cohort_summary import ExamSummary

BUT_FOR_ROUNDING = 0.9998
"""Correlation of two channels' voxels, from which they differ by rounding alone. Rounding to 8 bits leaves 0.9997 or
more, noise of 3 % of the SD 0.9995; fingerprints average both out."""
ENOUGH_VOXELS = 50
"""Of all classes; fewer are as many in two exams by chance."""
NEARLY_ALIKE = 0.01
"""Distance of two exams' fingerprints, in every channel, up to which they may be one head: moved by a voxel and with
another bias field it has 0.007. Two patients have 0.005 or more in a channel, and as many voxels by chance only."""


def copies(exams: Sequence["ExamSummary"], cohort: Cohort) -> tuple[list[Problem], list[Problem]]:
    """Problems and warnings about what is there twice."""
    problems, warnings = _copied_images(exams, cohort)
    labels, of_one_patient = _copied_labels(exams)
    return problems + labels, warnings + of_one_patient + _alike_under_two_names(exams)


@dataclass(frozen=True)
class _Image:
    """A channel of an exam."""

    exam: str
    patient: str
    channel: str
    file: str
    found: ChannelStatistics


def _copied_images(exams: Sequence["ExamSummary"], cohort: Cohort) -> tuple[list[Problem], list[Problem]]:
    """Images that are there twice.

    As another patient's exam one would leak into training, as another channel it would make leaving one out
    meaningless. Equal voxels are an error; voxels that are equal up to rounding, scaling, data type and the direction
    of axes are one between patients, and a warning within one.
    """
    images = [
        _Image(exam.exam, exam.patient, name, item.key, exam.channels[name])
        for exam in exams
        for name, item in zip(exam.channels, exam.files.channels, strict=True)
    ]
    by_voxels: dict[str, list[_Image]] = defaultdict(list)
    for image in images:
        by_voxels[image.found.sha256].append(image)
    same = [group for group in by_voxels.values() if len(group) > 1]
    prints = [image for image in images if image.found.fingerprint is not None]
    near = [
        [prints[one], prints[other]]
        for one, other in alike([image.found.fingerprint or "" for image in prints])
        if prints[one].found.sha256 != prints[other].found.sha256
    ]
    problems = _as_problems(same, "the same image as {}", "a copied image")
    between = [pair for pair in near if pair[0].patient != pair[1].patient]
    within = [pair for pair in near if pair[0].patient == pair[1].patient]
    problems += _as_problems(
        between,
        "the same image as {}, but for rounding, scaling or the direction of axes",
        "a copied image, rescaled",
    )
    noisy = [pair for pair in within if _differ(pair, exams, cohort)]
    words = "the same image as {}, but for rounding, scaling or the direction of axes (one patient)"
    warnings = _as_problems(
        [p for p in within if p not in noisy], words, "a copied image of one patient, rescaled"
    )
    words = "nearly the same image as {}, but for noise or scaling (one patient)"
    return problems, warnings + _as_problems(
        noisy,
        words,
        "nearly a copied image of one patient",
        "look at both: another echo, a map made of it, or a copy? "
        "Of two such channels none is missed where it is left out",
    )


def _differ(pair: Sequence[_Image], exams: Sequence["ExamSummary"], cohort: Cohort) -> bool:
    """Whether two channels of one exam differ by more than rounding, voxel by voxel."""
    one, other = pair
    if one.exam != other.exam:
        return False
    exam = next(exam for exam in exams if exam.exam == one.exam)
    between = dict(zip(pair_names(cohort.channel_names), exam.likeness.correlations, strict=False))
    correlation = between.get((one.channel, other.channel))
    return correlation is not None and abs(correlation) < BUT_FOR_ROUNDING


def _alike_under_two_names(exams: Sequence["ExamSummary"]) -> list[Problem]:
    """Exams of two patients with as many voxels of each class, and images that a registration may have moved."""
    by_voxels: dict[tuple[int, ...], list[ExamSummary]] = defaultdict(list)
    for exam in exams:
        if sum(exam.voxels[1:]) >= ENOUGH_VOXELS:
            by_voxels[exam.voxels[1:]].append(exam)
    pairs = [pair for same in by_voxels.values() for pair in combinations(same, 2)]
    return [
        Problem(
            file=one.label_file,
            found=f"as many voxels of each class as in {other.label_file}, and images that are nearly the same: one "
            f"patient's, {one.patient} and {other.patient}, registered anew?",
            expected="patients of one name each: what is trained on and tested may not be one patient's",
            remedy="look at both on the page of `submit check --output`; if they are one patient's, leave one out "
            "with cohort.exclude, or give them one name",
            cause="one patient under two names, perhaps",
        )
        for one, other in pairs
        if one.patient != other.patient
        and one.label_sha256 != other.label_sha256
        and _nearly_alike(one, other)
    ]


def _nearly_alike(one: "ExamSummary", other: "ExamSummary") -> bool:
    prints = [(one.channels[name].fingerprint, other.channels[name].fingerprint) for name in one.channels]
    return all(a is not None and b is not None and distance(a, b) <= NEARLY_ALIKE for a, b in prints)


def _as_problems(
    groups: Iterable[Sequence[_Image]],
    words: str,
    cause: str,
    remedy: str = "replace the copies by the right files, or leave exams out with cohort.exclude",
) -> list[Problem]:
    """A copied exam is one problem, and not one for each of its channels."""
    by_exams: dict[tuple[str, ...], list[Sequence[_Image]]] = defaultdict(list)
    for group in groups:
        by_exams[tuple(image.exam for image in group)].append(group)
    return [
        Problem(
            file=copies[0][0].file,
            found=words.format(", ".join(image.file for image in copies[0][1:]))
            + (f"; so are {len(copies) - 1} other channels of these exams" if len(copies) > 1 else ""),
            expected="a scan of its own for each channel of each exam",
            remedy=remedy,
            cause=cause,
        )
        for copies in by_exams.values()
    ]


def _copied_labels(exams: Sequence["ExamSummary"]) -> tuple[list[Problem], list[Problem]]:
    by_digest: dict[str, list[ExamSummary]] = defaultdict(list)
    for exam in exams:
        if any(exam.voxels[1:]):
            by_digest[exam.label_sha256].append(exam)
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for same in by_digest.values():
        if len(same) > 1:
            patients = len({exam.patient for exam in same})
            problem = Problem(
                file=same[0].label_file,
                found=f"the same labels as {', '.join(exam.label_file for exam in same[1:])}, in some "
                "direction of axes",
                expected="a truth of its own for each exam",
                remedy="replace the copies by the right files, or leave exams out with cohort.exclude",
                cause="copied labels" if patients > 1 else "copied labels of one patient",
            )
            (problems if patients > 1 else warnings).append(problem)
    return problems, warnings
