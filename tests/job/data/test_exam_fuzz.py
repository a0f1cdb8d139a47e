"""An exam of which one file was changed at random: it is loaded, or told what is wrong with files of it."""

import gzip
import math
import tempfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.contract.cohort import Cohort
from job.contract.errors import DataError
from job.data.cohort_files import find_exams
from job.data.cohort_summary import beside_each_other, summary_of
from job.data.exam import load_exam
from job.storage.local import LocalStorage
from tests.fuzzing import fuzzed
from tests.job.data.odd_cohorts import AFFINE, COHORT, exam_of, nifti, study
from tests.job.data.odd_files import CHOICES, changed_files

SMALL = (9, 8, 6)
STUDY = study()
EXAM = {name: nifti(data, AFFINE) for name, data in exam_of(0, SMALL).items()}


@st.composite
def spoiled_exams(draw: st.DrawFn) -> dict[str, bytes]:
    """The files of a small exam, one of them changed."""
    name = draw(st.sampled_from(sorted(EXAM)))
    data = np.asarray(EXAM[name].dataobj)
    if draw(st.booleans()):
        data = data.astype(draw(st.sampled_from(["<i2", ">f8", "<u8", ">i8", "<f4"])))
    files = {own: image.to_bytes() for own, image in EXAM.items()}
    image = nib.Nifti1Image(data, AFFINE, dtype=data.dtype)
    files[name] = draw(changed_files(st.just(image.to_bytes())))
    return {key: gzip.compress(contents, 1, mtime=0) for key, contents in files.items()}


@st.composite
def cohorts(draw: st.DrawFn) -> Cohort:
    """Ways to read such an exam."""
    normalisations: list[dict[str, Any]] = [
        {"normalisation": "zscore"},
        {"normalisation": "percentile"},
        {"normalisation": "none"},
        {"normalisation": "fixed", "range": [0.0, 500.0]},
    ]
    channels: list[Any] = [{"name": name, **draw(st.sampled_from(normalisations))} for name in ("t1", "t2")]
    channels.append({"name": "adc", "normalisation": "fixed", "range": [0.0, 3.0]})
    changes = {"channels": channels, "geometry": draw(CHOICES), "classes": {"tumour": 1}}
    changes["mask"] = draw(st.sampled_from([None, "{patient}/mask.nii.gz"]))
    changes["resample_to"] = draw(st.sampled_from([None, None, "t1", "adc"]))
    return Cohort.model_validate(COHORT | changes)


@pytest.mark.slow
@fuzzed(150)
@given(contents=spoiled_exams(), cohort=cohorts(), dtype=st.sampled_from(["float16", "float32"]))
def test_an_exam_with_a_changed_file_is_loaded_or_told_what_is_wrong(
    contents: dict[str, bytes], cohort: Cohort, dtype: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = LocalStorage(Path(folder))
        for key, data in contents.items():
            source.write(f"p1/{key}.nii.gz", data)
        (files,) = find_exams(source.list(), cohort)
        try:
            loaded = load_exam(source, files, cohort, dtype)
        except DataError as error:
            told = {problem.file for problem in error.problems}
        else:
            told = {warning.file for warning in loaded.warnings}
            assert loaded.image_CZYX.shape == (3, *loaded.label_ZYX.shape)
            assert np.isfinite(loaded.image_CZYX).all()
            assert loaded.image_CZYX.dtype == np.dtype(dtype)
            assert set(np.unique(loaded.label_ZYX)) <= {0, 1}
            assert loaded.geometry.voxel_ml > 0
            assert all(math.isfinite(edge) and edge > 0 for edge in loaded.geometry.spacing_zyx_mm)
            summary = summary_of(files, loaded, cohort)
            beside_each_other([summary] * 3, STUDY.model_copy(update={"cohort": cohort}))
    assert told <= {item.key for item in files.all}
