"""Which patches a step sees, and how they are varied: drawn apart from any image.

Every number is a function of (seed, repeat, unit, step), never of the arm, of what was drawn before, or of how
the exams are read. Z Y X are voxels of the canonical grid.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from job.contract.errors import StudyError
from job.contract.randomness import Stream
from job.contract.shapes import ShapeZYX
from job.contract.study import Training
from job.data.exam_record import ExamRecord, Region

OUTSIDE = 255
"""Label of voxels outside the mask: no patch is centred on them."""

LabelsOf = Callable[[int, Region], NDArray[np.uint8]]
"""The labels of a region of the n-th training exam, `OUTSIDE` where the mask is 0."""

Proportions = Literal["foreground", "equal"] | Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class PatchDraw:
    """One patch of a batch."""

    exam: int
    """Position among the training exams."""
    centre_zyx: ShapeZYX
    """The middle voxel of what is predicted; for an even number, the one after the middle."""
    flips_zyx: tuple[bool, bool, bool]
    scale: NDArray[np.float32]
    """Factor of each of the study's channels, those that the arm leaves out included."""
    shift: NDArray[np.float32]
    """Number added to each channel after scaling: a draw times the channel's SD over the training exams, so that
    channels with a fixed range are disturbed as much as z-scored ones."""


def generator(stream: Stream, purpose: str, step: int) -> np.random.Generator:
    """Random numbers for one purpose at one step."""
    # The step is in the counter's upper half: each step has 2**128 blocks of its own.
    return np.random.Generator(np.random.Philox(key=stream.key(purpose), counter=step << 128))


def class_groups(proportions: Proportions, classes: Sequence[str]) -> list[tuple[float, tuple[int, ...]]]:
    """Groups of labels with the share of patches that are centred on one of the group's voxels.

    Args:
        proportions: As in the study file (`Training.class_proportions`).
        classes: Names of labels 1, 2, …
    """
    labels = range(len(classes) + 1)
    if proportions == "foreground":
        return [(0.5, (0,)), (0.5, tuple(labels[1:]))]
    if proportions == "equal":
        return [(1 / len(labels), (label,)) for label in labels]
    assert isinstance(proportions, Mapping)
    names = ("background", *classes)
    total = sum(proportions.values())
    return [(share / total, (names.index(name),)) for name, share in sorted(proportions.items()) if share > 0]


class PatchSampler:
    """Draws the patches of a step, centred on voxels of each class in the proportions that were asked for.

    A patch's exam is any training exam that has the class, all alike; its centre is any of that exam's voxels
    of the class, all alike: first a block, by the label counts of the store, then a voxel of the block.
    Classes without a voxel in any training exam leave their share to the others.
    """

    def __init__(
        self,
        records: Sequence[ExamRecord],
        labels_of: LabelsOf,
        training: Training,
        stream: Stream,
    ) -> None:
        self._records = records
        self._labels_of = labels_of
        self._training = training
        self._stream = stream
        self._spread = np.mean([[c.normalised_sd for c in record.statistics] for record in records], axis=0)
        classes = records[0].classes
        groups = []
        for share, labels in class_groups(training.class_proportions, classes):
            ends = [_block_ends(record, labels) for record in records]
            exams = [n for n, end in enumerate(ends) if end[-1] > 0]
            if exams:
                groups.append((share, labels, exams, ends))
        if not groups:
            raise StudyError(
                f"unit {stream.unit}: no training exam has any of the classes that training.class_proportions ask for"
            )
        self._groups = groups
        shares = np.array([group[0] for group in groups])
        self._shares = np.cumsum(shares / shares.sum())

    def draw(self, step: int) -> list[PatchDraw]:
        """The batch of a step."""
        training = self._training
        where = generator(self._stream, "patches", step)
        how = generator(self._stream, "augmentation", step)
        shape = (training.batch_size, len(self._records[0].channels))
        flips = (how.random((training.batch_size, 3)) < 0.5) & [a in training.flip_axes for a in "zyx"]
        scale = 1 + training.intensity_scale_sd * how.standard_normal(shape, np.float32)
        shift = training.intensity_shift_sd * self._spread * how.standard_normal(shape, np.float32)
        draws = []
        for n in range(training.batch_size):
            exam, centre_zyx = self._centre(where)
            z, y, x = flips[n].tolist()
            draws.append(
                PatchDraw(
                    exam=exam,
                    centre_zyx=centre_zyx,
                    flips_zyx=(z, y, x),
                    scale=scale[n].astype(np.float32),
                    shift=shift[n].astype(np.float32),
                )
            )
        return draws

    def _centre(self, where: np.random.Generator) -> tuple[int, ShapeZYX]:
        share, which, voxel = where.random(), where.random(), where.random()
        position = min(int(np.searchsorted(self._shares, share, side="right")), len(self._groups) - 1)
        _, labels, exams, ends = self._groups[position]
        exam = exams[int(which * len(exams))]
        number = int(voxel * ends[exam][-1])
        block = int(np.searchsorted(ends[exam], number, side="right"))
        number -= int(ends[exam][block - 1]) if block else 0
        region = self._records[exam].block_region(block)
        block_ZYX = self._labels_of(exam, region)
        hits = np.logical_or.reduce([block_ZYX == label for label in labels])
        inside = np.unravel_index(np.flatnonzero(hits)[number], hits.shape)
        z, y, x = (int(i) + axis.start for i, axis in zip(inside, region, strict=True))
        return exam, ShapeZYX((z, y, x))


def _block_ends(record: ExamRecord, labels: Sequence[int]) -> NDArray[np.int64]:
    """Running number of voxels of these labels at the end of each block."""
    return np.cumsum(np.sum([record.label_counts[label] for label in labels], axis=0, dtype=np.int64))
