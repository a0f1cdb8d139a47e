"""Exams as a check sums them up, made of numbers; no file is read."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from job.contract.errors import Problem
from job.contract.study import Study
from job.data.channel_statistics import ChannelStatistics
from job.data.cohort_files import ExamFiles
from job.data.cohort_summary import ExamSummary, Findings
from job.data.geometry import Geometry, canonical_axes
from job.storage import StoredObject
from job.study_file import parse_study

LPS = (-1.0, -1.0, 1.0)
RAS = (1.0, 1.0, 1.0)


@pytest.fixture(scope="session")
def make_checked_study() -> Callable[..., Study]:
    """A study of t1 and a map of a fixed range, with two classes and a mask; keywords change `cohort`."""

    def make(**changes: Any) -> Study:
        cohort = {
            "root": "cohort",
            "pattern": "{patient}/{exam}/{channel}.nii.gz",
            "labels": "{patient}/{exam}/label.nii.gz",
            "mask": "{patient}/{exam}/mask.nii.gz",
            "channels": ["t1", {"name": "adc", "normalisation": "fixed", "range": [0.0, 3.0]}],
            "classes": {"core": [1, 3], "oedema": 2},
        }
        table = {"name": "small", "preset": "smoke", "cohort": cohort | changes}
        return parse_study(table, source="study.toml")

    return make


@pytest.fixture(scope="session")
def make_exam() -> Callable[..., ExamSummary]:
    """An exam of 10 x 20 x 30 voxels of 1 x 1 x 3 mm: 2000 of the first class, 1000 of the second, t1 300 ± 100."""

    def make(
        patient: str = "p1",
        visit: str = "v1",
        *,
        spacing: Sequence[float] = (1.0, 1.0, 3.0),
        directions: Sequence[float] = LPS,
        voxels: tuple[int, int, int] = (3000, 2000, 1000),
        t1: tuple[float, float] = (300.0, 200.0),
        adc: tuple[float, float] = (1.2, 1.5),
        region: float = 0.5,
        outside_mask: int = 0,
        values: Mapping[int, int] | None = None,
    ) -> ExamSummary:
        affine = np.diag([*(np.array(spacing) * directions), 1.0])

        def item(name: str) -> StoredObject:
            return StoredObject(key=f"{patient}/{visit}/{name}.nii.gz", size_bytes=1, fingerprint="")

        def channel(median: float, spread: float) -> ChannelStatistics:
            low = median - spread / 2
            return ChannelStatistics(
                voxels=3000,
                mean=median,
                sd=spread / 3,
                minimum=low,
                maximum=low + spread,
                normalised_sd=1,
                region_share=region,
                percentiles=(low, median, median, median, low + spread),
                at_low_end=0.02,
                at_high_end=0.004,
                sha256="",
            )

        return ExamSummary(
            files=ExamFiles(
                exam=f"{patient}_{visit}" if visit else patient,
                patient=patient,
                visit=visit,
                channels=(item("t1"), item("adc")),
                labels=((item("label"),),),
                mask=item("mask"),
            ),
            geometry=Geometry(
                shape_xyz=(10, 20, 30), affine=affine, header="", to_canonical=canonical_axes(affine)
            ),
            voxels=voxels,
            label_sha256="",
            mask_share=0.25,
            channels={"t1": channel(*t1), "adc": channel(*adc)},
            outside_mask=outside_mask,
            warnings=(),
            values=values or {},
        )

    return make


@pytest.fixture(scope="session")
def findings_of() -> Callable[..., Findings]:
    """What a check found: exams, and problems and warnings by file."""

    def make(
        exams: Sequence[ExamSummary],
        *,
        unread: Sequence[ExamSummary] = (),
        problems: Mapping[str, str] | None = None,
        warnings: Mapping[str, str] | None = None,
    ) -> Findings:
        def listed(found: Mapping[str, str] | None) -> tuple[Problem, ...]:
            return tuple(
                Problem(file=file, found=text, expected="another", remedy="look")
                for file, text in (found or {}).items()
            )

        return Findings(
            files=tuple(exam.files for exam in (*exams, *unread)),
            exams=tuple(exams),
            problems=listed(problems),
            warnings=listed(warnings),
        )

    return make
