"""The truth of an exam: a label map, or binary files for each class; and the mask."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.contract.cohort import Cohort
from job.contract.errors import DataError, Problem, collecting
from job.contract.wording import counted
from job.data.nifti import Volume, integral

OUTSIDE_MASK_SHARE = 0.01
"""Of a class's voxels in an exam; a rim that a mask cuts off is usual, a structure outside is a mistake."""
FEW_OUTSIDE = 10
"""Voxels; so few are a rim of a small structure too, unless they are much of it."""
MOST_OUTSIDE = 0.25
"""Of a class's voxels."""
LIES_ELSEWHERE = 0.1
"""Of one class's voxels; where more are outside, labels and mask do not lie in one place. A tight mask cuts off less;
a whole label map that is flipped along z has 15 to 23 % outside of a brain."""
WORTH_A_WORD = 0.001
"""Of a class's voxels; masks of sound cohorts cut off less."""
COUNTED_VALUES = 2**16
"""Range of label values, 0 among them, up to which each has a counter."""
STRAY_SHARE = 0.01
"""Of the voxels of all classes; unknown values that have no more are a slip of the pen."""
SHOWN_VALUES = 5
"""Unknown label values that an error names."""

ReadPart = Callable[[str, str], NDArray[np.bool_]]
"""Told a class and the key of one of its files, says where that has it, on the exam's grid."""


@dataclass(frozen=True, kw_only=True)
class LabelMap:
    """Labels of the store: 0 background, k the k-th class of the study."""

    label_ZYX: NDArray[np.uint8]
    values: Mapping[int, int] = field(default_factory=dict)
    """Voxels by value of the label map, also of those that count as background; empty for files of classes."""
    warnings: tuple[Problem, ...] = ()


def classes_of(stored_ZYX: NDArray[Any], volume: Volume, cohort: Cohort) -> LabelMap:
    """The labels of a label map.

    Args:
        stored_ZYX: The file's stored numbers on the exam's canonical grid.
        volume: The file.
        cohort: Names the values of classes and background.

    Raises:
        DataError: Values that are not integral, or in no class and not background.
    """
    values_ZYX = integral(stored_ZYX, volume)
    known = dict.fromkeys(cohort.background, 0)
    known |= {value: label for label, values in enumerate(cohort.class_values, start=1) for value in values}
    found = _counts(values_ZYX)
    unknown = {value: count for value, count in found.items() if value not in known}
    if unknown:
        labelled = sum(count for value, count in found.items() if known.get(value))
        raise _unknown_values(unknown, volume, cohort, few=sum(unknown.values()) <= STRAY_SHARE * labelled)
    label_ZYX = np.zeros(values_ZYX.shape, np.uint8)
    for value in found:
        if known[value]:
            label_ZYX[values_ZYX == np.array(value, values_ZYX.dtype)] = known[value]
    odd = () if not volume.is_scaled else _scaled_classes(stored_ZYX, set(found), known, volume)
    return LabelMap(label_ZYX=label_ZYX, values=found, warnings=odd)


def _scaled_classes(
    stored_ZYX: NDArray[Any], found: set[int], known: Collection[int], volume: Volume
) -> tuple[Problem, ...]:
    """A word where the stored numbers, which the header scales, would be other classes as well."""
    stored = set(np.unique(stored_ZYX).tolist())
    if stored == found or not stored <= set(known):
        return ()
    without, taken = (", ".join(f"{value:g}" for value in sorted(values)) for values in (stored, found))
    return (
        Problem(
            file=volume.name,
            found=f"labels that are stored as {without}, where the header multiplies by {volume.slope:g} (scl_slope) "
            f"and adds {volume.intercept:g} (scl_inter)",
            expected="labels that are not scaled",
            remedy=f"taken as {taken}, as the standard means it; write scl_slope = 1 and scl_inter = 0 into the "
            "header if what is stored are the labels",
            cause="a scaled label map that could be meant without",
        ),
    )


def _counts(values: NDArray[np.integer]) -> dict[int, int]:
    """Voxels of each value that occurs, in ascending order; Python's integers, of which none is rounded."""
    low, high = min(int(values.min()), 0), int(values.max())
    if high - low < COUNTED_VALUES:  # sorting takes six times as long
        labelled = values[values != 0].astype(np.intp)  # few: most voxels are 0
        counts = np.bincount(labelled - low, minlength=1 - low)
        counts[-low] += values.size - labelled.size
        return {low + int(place): int(counts[place]) for place in np.flatnonzero(counts)}
    present, counts = np.unique(values, return_counts=True)
    return dict(zip(present.tolist(), counts.tolist(), strict=True))


def _unknown_values(unknown: dict[int, int], volume: Volume, cohort: Cohort, *, few: bool) -> DataError:
    """The error of values in no class, which are `few` beside those of the classes or may be a class of their own."""
    shown = ", ".join(
        f"{value} ({counted(count, 'voxel')})" for value, count in list(unknown.items())[:SHOWN_VALUES]
    )
    more = f" and {len(unknown) - SHOWN_VALUES} further values" if len(unknown) > SHOWN_VALUES else ""
    classes = ", ".join(f"{c} = {list(v)}" for c, v in zip(cohort.classes, cohort.class_values, strict=True))
    scaled = volume.is_scaled
    return DataError.of(
        file=volume.name,
        found=f"unknown label values {shown}{more}"
        + (f", after the header multiplied what is stored by {volume.slope:g} (scl_slope)" if scaled else ""),
        expected=f"{classes}, background = {list(cohort.background)}",
        remedy="write scl_slope = 1 and scl_inter = 0 into the header if what is stored are the labels"
        if scaled
        else "correct this file first, in which they are few beside the classes; if they mean something, add them to "
        "cohort.classes or cohort.background"
        if few
        else "add the values to cohort.classes or cohort.background",
        cause=f"unknown label values {sorted(unknown)[:SHOWN_VALUES]}",
    )


def classes_of_files(
    files: Sequence[Sequence[str]], read: ReadPart, shape_zyx: tuple[int, ...], cohort: Cohort
) -> LabelMap:
    """The labels of binary files for each class; where classes overlap, the one that comes first has the voxel.

    Args:
        files: By class, the keys of its files, each with a part of it; none: absent.
        read: Reads one of them.
        shape_zyx: Of the grid.
        cohort: Names the classes.

    Raises:
        DataError: All that is wrong with the files.
    """
    label_ZYX = np.zeros(shape_zyx, np.uint8)
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for label, (name, keys) in enumerate(zip(cohort.class_names, files, strict=True), start=1):
        inside_ZYX = _union(name, keys, read, problems, warnings)
        if inside_ZYX is not None:
            taken = np.bincount(label_ZYX[inside_ZYX], minlength=label)
            if taken[1:].any():
                earlier = [cohort.class_names[k - 1] for k in np.flatnonzero(taken[1:]) + 1]
                overlap = int(taken[1:].sum())
                warnings.append(_overlapping(keys[0], name, earlier, overlap, int(taken.sum())))
            label_ZYX[inside_ZYX & (label_ZYX == 0)] = label
    if problems:
        raise DataError(problems)
    return LabelMap(label_ZYX=label_ZYX, warnings=tuple(warnings))


def _union(
    name: str, keys: Sequence[str], read: ReadPart, problems: list[Problem], warnings: list[Problem]
) -> NDArray[np.bool_] | None:
    """Where a class is: in any of its files, of which one is in memory at a time; None: it is absent."""
    inside_ZYX: NDArray[np.bool_] | None = None
    for key in keys:
        with collecting(problems):
            own_ZYX = read(name, key)
            if inside_ZYX is None:
                inside_ZYX = own_ZYX
                continue
            if shared := int(np.count_nonzero(inside_ZYX & own_ZYX)):
                warnings.append(_shared_parts(key, name, shared, int(np.count_nonzero(own_ZYX))))
            inside_ZYX |= own_ZYX
    return inside_ZYX


def _overlapping(file: str, name: str, earlier: Sequence[str], overlap: int, voxels: int) -> Problem:
    first = ", ".join(earlier)
    return Problem(
        file=file,
        found=f"{overlap} of {voxels} voxels of {name} that are {first} too",
        expected="classes that do not overlap",
        remedy=f"they count as {first}, which comes first in cohort.classes; change the order there if the other is "
        "meant, and use cohort.structures for a region that holds others",
        cause=f"files of classes that overlap: {name} and {first}",
    )


def _shared_parts(file: str, name: str, shared: int, voxels: int) -> Problem:
    return Problem(
        file=file,
        found=f"{shared} of its {voxels} voxels in another file of class {name} too",
        expected="files that are parts of the class, such as one lesion each",
        remedy="what any of them holds is the class; if one is another version or another reader's, name it in "
        "cohort.ignore or make the class's text more specific",
        cause=f"files of one class that overlap: {name}",
    )


def binary(stored_ZYX: NDArray[Any], volume: Volume, what: str) -> NDArray[np.bool_]:
    """Where a mask is not 0.

    Raises:
        DataError: It has other values than 0 and one more.
    """
    values_ZYX = integral(stored_ZYX, volume)
    inside_ZYX: NDArray[np.bool_] = values_ZYX != 0
    present = np.unique(values_ZYX[inside_ZYX])
    if present.size > 1:
        raise DataError.of(
            file=volume.name,
            found=f"{present.size + 1} values: 0, {', '.join(map(str, present[:SHOWN_VALUES].tolist()))}"
            + (" ..." if present.size > SHOWN_VALUES else ""),
            expected=f"a file of {what} alone: 0 outside, one other value inside",
            remedy="leave {class} out of cohort.labels and give the values to cohort.classes, if this is a label map",
            cause="a file of a class that is not binary",
        )
    return inside_ZYX


def mask_of(stored_ZYX: NDArray[Any], volume: Volume) -> NDArray[np.uint8]:
    """The mask: 1 where the file is not 0.

    Raises:
        DataError: Values that are not integral, or all 0.
    """
    mask_ZYX: NDArray[np.uint8] = (integral(stored_ZYX, volume) != 0).astype(np.uint8, order="C")
    if not mask_ZYX.any():
        raise DataError.of(
            file=volume.name,
            found="an empty mask",
            expected="voxels that are not 0",
            remedy="correct the mask",
            cause="an empty mask",
        )
    return mask_ZYX


def clear_outside(
    mask_ZYX: NDArray[np.uint8], label_ZYX: NDArray[np.uint8], classes: Sequence[tuple[str, str]]
) -> tuple[int, list[Problem]]:
    """Makes labels outside the mask background, in place; how many voxels that were, with a word for each class.

    Args:
        mask_ZYX: The mask.
        label_ZYX: The labels.
        classes: Of each label from 1, the name and a file that it is in.

    Raises:
        DataError: More than a rim of a class lies outside; other classes do not make up for it.
    """
    outside_ZYX = (mask_ZYX == 0) & (label_ZYX > 0)
    lost = np.bincount(label_ZYX[outside_ZYX], minlength=len(classes) + 1).tolist()
    if not any(lost):
        return 0, []
    voxels = np.bincount(label_ZYX.ravel(), minlength=len(classes) + 1).tolist()
    cut = {label: lost[label] / voxels[label] for label in range(1, len(lost)) if lost[label]}
    elsewhere = any(share > LIES_ELSEWHERE and lost[label] > FEW_OUTSIDE for label, share in cut.items())
    problems, warnings = [], []
    for label, share in cut.items():
        name, file = classes[label - 1]
        found = f"{lost[label]} of {voxels[label]} voxels of class {name} outside the mask ({share:.2%})"
        if is_lost(lost[label], voxels[label]):
            problems.append(_lost_outside(file, found, name, elsewhere=elsewhere))
        elif share > WORTH_A_WORD:  # the summary of the cohort counts them all
            warnings.append(_cut_off(file, found, name))
    if problems:
        raise DataError(problems)
    label_ZYX[outside_ZYX] = 0
    return sum(lost), warnings


def is_lost(outside: int, voxels: int) -> bool:
    """Whether more than a rim of a class lies outside of what counts."""
    return outside > OUTSIDE_MASK_SHARE * voxels and (
        outside > FEW_OUTSIDE or outside > MOST_OUTSIDE * voxels
    )


def _lost_outside(file: str, found: str, name: str, *, elsewhere: bool) -> Problem:
    return Problem(
        file=file,
        found=found,
        expected=f"at most {OUTSIDE_MASK_SHARE:.0%} of each class, since what lies outside counts as background",
        remedy="the labels or the mask may be flipped, or another exam's: look at the page of `submit check --output`"
        if elsewhere
        else "correct the mask or the labels, or leave cohort.mask out",
        cause=f"labels outside the mask: {name}",
    )


def _cut_off(file: str, found: str, name: str) -> Problem:
    return Problem(
        file=file,
        found=found,
        expected="labels inside it",
        remedy="they count as background; look whether the mask cuts off what belongs to the class",
        cause=f"a rim of labels outside the mask: {name}",
    )
