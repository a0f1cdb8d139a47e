"""What the store knows of an exam without opening its arrays: the record, and the recipe that it was made by."""

import json
from hashlib import sha256
from typing import cast

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from job.contract import layout
from job.contract.errors import DataError, Problem
from job.contract.shapes import ShapeZYX, zyx_of
from job.contract.study import Study
from job.data.channel_statistics import ChannelStatistics
from job.data.exam import Exam
from job.data.fingerprint import label_digest
from job.data.geometry import AxisMap, Geometry
from job.data.likeness import Likeness
from job.storage import Storage

STORE_FORMAT = 5
"""Of records and arrays, and of all that makes and checks an exam: raised where any of it changes, so that stores are
made anew and none is misread. 4: records say what each file was for. 5: how channels and labels go together."""
Region = tuple[slice, slice, slice]
"""Half-open ranges of voxels along (Z, Y, X), inside the volume."""


class Source(BaseModel):
    """A file that an exam was made from, and what it was for: another use of the same files is another exam."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str
    """As `FileUse.role`."""
    key: str
    index: int | None = None
    """Volume of a 4-D file."""
    fingerprint: str
    sha256: str


class ExamRecord(BaseModel):
    """What the store knows of an exam without opening its arrays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    exam: str
    patient: str
    digest: str
    """SHA-256 over recipe, geometry and the contents of the arrays."""
    recipe: str
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    dtype: str
    shape_zyx: ShapeZYX
    spacing_zyx_mm: tuple[float, float, float]
    block_zyx: ShapeZYX
    has_mask: bool
    label_sha256: str
    """Of the labels and their shape, the same however the axes lie."""
    mask_share: float | None
    """Of the volume; None if the cohort has no masks."""
    label_counts: tuple[tuple[int, ...], ...]
    """Voxels inside the mask by label (0 background) and block; blocks in (Z, Y, X) order, X fastest."""
    statistics: tuple[ChannelStatistics, ...]
    """By channel."""
    outside_mask: int
    """Labelled voxels outside the mask, which count as background."""
    likeness: Likeness
    """How its channels and labels go together."""
    original_shape_xyz: tuple[int, int, int]
    original_affine: tuple[tuple[float, ...], ...]
    original_orientation: str
    original_axes: AxisMap
    """How the axes of the file became those of the arrays; a prediction goes back by it."""
    original_header: str
    """NIfTI header of the file whose grid the exam has (the label map's), base64."""
    sources: tuple[Source, ...]
    warnings: tuple[Problem, ...]
    """What was odd about the files, and may be right."""

    @property
    def geometry(self) -> Geometry:
        """The grid that a prediction goes back onto."""
        return Geometry(
            shape_xyz=self.original_shape_xyz,
            affine=np.array(self.original_affine),
            header=self.original_header,
            to_canonical=self.original_axes,
        )

    @property
    def blocks_zyx(self) -> ShapeZYX:
        """Number of blocks along each axis."""
        z, y, x = (-(-size // block) for size, block in zip(self.shape_zyx, self.block_zyx, strict=True))
        return ShapeZYX((z, y, x))

    def block_region(self, block: int) -> Region:
        """Where the block of this number lies."""
        position = np.unravel_index(block, self.blocks_zyx)
        z, y, x = (
            slice(int(p) * b, min(int(p) * b + b, size))
            for p, b, size in zip(position, self.block_zyx, self.shape_zyx, strict=True)
        )
        return (z, y, x)


def recipe_of(study: Study, store_format: int = STORE_FORMAT) -> str:
    """Name of the way in which a study's cohort is prepared; exams of one recipe can be compared.

    It covers all of the study that decides what is stored, but for which files are read: those, with what each is
    for, are in the exams' records.
    """
    cohort = study.cohort
    content = {
        "format": store_format,
        "channels": [
            channel.model_dump(mode="json", exclude={"files", "index"}) for channel in cohort.channels
        ],
        "classes": dict(zip(cohort.classes, cohort.class_values, strict=True)),
        "background": cohort.background,
        "mask": cohort.mask is not None,
        **cohort.model_dump(mode="json", exclude=_NOT_IN_RECIPE),
        **study.store.model_dump(mode="json", exclude={"folder"}),
    }
    return sha256(json.dumps(content).encode()).hexdigest()[:12]


_NOT_IN_RECIPE = {
    *("channels", "classes", "background", "mask"),  # which the recipe has in its own words
    *("root", "pattern", "labels", "exclude", "ignore"),  # which files are read
    *("acquisitions", "structures"),  # nothing that is stored
}
"""Keys of the cohort; one that is new is in the recipe until somebody decides otherwise."""


def record_of(
    study: Study, exam: Exam, *, name: str, patient: str, sources: tuple[Source, ...]
) -> ExamRecord:
    """The record of an exam that is to be stored; arguments as for `write_exam`."""
    recipe = recipe_of(study)
    block_zyx = zyx_of(study.store.block_shape)
    geometry = exam.geometry
    return ExamRecord(
        exam=name,
        patient=patient,
        digest=_digest(recipe, exam),
        recipe=recipe,
        channels=study.cohort.channel_names,
        classes=study.cohort.class_names,
        dtype=study.store.dtype,
        shape_zyx=cast(ShapeZYX, exam.label_ZYX.shape),
        spacing_zyx_mm=geometry.spacing_zyx_mm,
        block_zyx=block_zyx,
        has_mask=exam.mask_ZYX is not None,
        label_sha256=label_digest(exam.label_ZYX),
        mask_share=None
        if exam.mask_ZYX is None
        else float(np.count_nonzero(exam.mask_ZYX)) / exam.mask_ZYX.size,
        label_counts=_label_counts(exam, len(study.cohort.classes), block_zyx),
        statistics=exam.statistics,
        outside_mask=exam.outside_mask,
        likeness=exam.likeness,
        original_shape_xyz=geometry.shape_xyz,
        original_affine=tuple(map(tuple, geometry.affine.tolist())),
        original_orientation=geometry.orientation,
        original_axes=geometry.to_canonical,
        original_header=geometry.header,
        sources=sources,
        warnings=exam.warnings,
    )


def _digest(recipe: str, exam: Exam) -> str:
    content = sha256(recipe.encode())
    content.update(
        repr((exam.geometry.shape_xyz, exam.geometry.affine.tolist(), exam.geometry.to_canonical)).encode()
    )
    for array in (exam.image_CZYX, exam.label_ZYX, exam.mask_ZYX):
        content.update(b"-" if array is None else np.ascontiguousarray(array).data)
    return content.hexdigest()


def _label_counts(exam: Exam, classes: int, block_zyx: ShapeZYX) -> tuple[tuple[int, ...], ...]:
    padding = [(0, -size % edge) for size, edge in zip(exam.label_ZYX.shape, block_zyx, strict=True)]
    inside = exam.mask_ZYX > 0 if exam.mask_ZYX is not None else np.ones(exam.label_ZYX.shape, bool)
    counts = []
    for label in range(classes + 1):
        hits = np.pad((exam.label_ZYX == label) & inside, padding)
        z, y, x = (size // edge for size, edge in zip(hits.shape, block_zyx, strict=True))
        blocks = hits.reshape(z, block_zyx[0], y, block_zyx[1], x, block_zyx[2])
        counts.append(tuple(blocks.sum(axis=(1, 3, 5)).ravel().tolist()))
    return tuple(counts)


def read_record(store: Storage, recipe: str, exam: str, digest: str) -> ExamRecord:
    """The record of an exam.

    Raises:
        DataError: The store has no such exam, or another one under its name.
    """
    key = layout.exam_record(recipe, exam, digest)
    try:
        record = ExamRecord.model_validate_json(store.read(key))
    except FileNotFoundError:
        found = "no such exam"
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        found = f"a damaged record, or one of another version of the code ({where}: {first['msg']})"
    else:
        if record.digest == digest:
            return record
        found = f"digest {record.digest[:12]}"
    raise DataError.of(
        file=key,
        found=found,
        expected=f"the exam with digest {digest[:12]}",
        remedy="name the run's store, or prepare it again with `submit prepare`",
    )
