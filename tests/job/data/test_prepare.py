"""From a cohort to its store: once, in parallel, and whole after whatever stopped it."""

import logging
import os
import random
import re
import signal
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from job.contract import layout
from job.contract.errors import Damaged, DataError
from job.contract.study import Study
from job.data.cohort_files import find_exams
from job.data.exam import load_exam
from job.data.exam_record import STORE_FORMAT, read_record, recipe_of
from job.data.prepare import StoreIndex, check_cohort, prepare_cohort, read_index
from job.data.store import ExamReader
from job.storage.local import LocalStorage
from tests.job.data.odd_cohorts import NAMES, SHAPE, OddCohort, nifti, patched, sound_cohort
from tests.job.data.odd_cohorts import study as odd_study
from tests.job.data.preparing import preparing

MakeStudy = Callable[..., Study]
MakeCohort = Callable[..., LocalStorage]
PATIENTS = ("p1", "p2", "p3")


@pytest.fixture
def store(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "store")


def prepare(
    source: LocalStorage, store: LocalStorage, study: Study, workers: int = 2, *, verify: bool = False
) -> tuple[StoreIndex, int]:
    """The index, and how many exams were made."""
    prepared = prepare_cohort(
        source, store, study, workers=workers, progress=lambda done, total: None, verify=verify
    )
    return prepared.index, prepared.made


def check(source: LocalStorage, study: Study) -> list[str]:
    """The exams of a cohort without problems."""
    found = check_cohort(source, study, workers=2, progress=lambda done, total: None)
    if found.problems:
        raise DataError(found.problems)
    return [exam.exam for exam in found.exams]


def files_of(store: LocalStorage) -> dict[str, bytes]:
    return {item.key: store.read(item.key) for item in store.list()}


def untouched(store: LocalStorage) -> dict[str, tuple[int, int]]:
    """Changes when a file is written again, though with the same contents."""
    return {
        str(path.relative_to(store.root)): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in store.root.rglob("*")
    }


def test_a_store_holds_each_exam_as_it_is_loaded(
    make_cohort: MakeCohort, make_study: MakeStudy, store: LocalStorage
) -> None:
    source, study = make_cohort(PATIENTS), make_study()
    index, made = prepare(source, store, study)
    assert made == 3
    assert index.recipe == recipe_of(study)
    assert StoreIndex.model_validate_json(store.read(layout.store_index(index.recipe))) == index
    assert [(entry.exam, entry.patient) for entry in index.exams] == [(p, p) for p in PATIENTS]
    for entry, files in zip(index.exams, find_exams(source.list(), study.cohort), strict=True):
        exam = load_exam(source, files, study.cohort, "float16")
        record = read_record(store, index.recipe, entry.exam, entry.digest)
        np.testing.assert_array_equal(ExamReader(store, record).image([0, 1, 2]), exam.image_CZYX)
        np.testing.assert_array_equal(ExamReader(store, record).label(), exam.label_ZYX)
        assert {known.key: known.sha256 for known in record.sources} == exam.sha256
        assert [known.key for known in record.sources] == [item.key for item in files.all]


def test_the_number_of_workers_changes_no_byte(
    make_cohort: MakeCohort, make_study: MakeStudy, tmp_path: Path
) -> None:
    source, study = make_cohort(PATIENTS), make_study()
    stores = [LocalStorage(tmp_path / name) for name in ("one", "four")]
    for workers, store in zip((1, 4), stores, strict=True):
        prepare(source, store, study, workers)
    assert files_of(stores[0]) == files_of(stores[1])


def test_progress_counts_up_to_all_exams(
    make_cohort: MakeCohort, make_study: MakeStudy, store: LocalStorage
) -> None:
    seen: list[tuple[int, int]] = []
    prepare_cohort(
        make_cohort(PATIENTS),
        store,
        make_study(),
        workers=2,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_second_run_changes_nothing(
    make_cohort: MakeCohort, make_study: MakeStudy, store: LocalStorage
) -> None:
    source, study = make_cohort(PATIENTS), make_study()
    index, _ = prepare(source, store, study)
    before = untouched(store)
    assert prepare(source, store, study) == (index, 0)
    assert untouched(store) == before


def test_files_that_were_only_touched_are_the_same_files(
    make_cohort: MakeCohort, make_study: MakeStudy, store: LocalStorage
) -> None:
    source, study = make_cohort(PATIENTS), make_study()
    index, _ = prepare(source, store, study)
    before = untouched(store)
    for path in source.root.rglob("*.nii.gz"):
        os.utime(path, (1, 1))
    assert prepare(source, store, study) == (index, 0)
    assert untouched(store) == before


def test_a_changed_file_makes_its_exam_anew_and_leaves_the_old_one_for_runs_that_need_it(
    make_cohort: MakeCohort, make_study: MakeStudy, store: LocalStorage
) -> None:
    source, study = make_cohort(PATIENTS), make_study()
    old, _ = prepare(source, store, study)
    before = untouched(store)
    make_cohort((), {"p2/t1.nii.gz": np.arange(3600, dtype=np.int16).reshape(20, 18, 10)})
    new, made = prepare(source, store, study)
    assert made == 1
    assert [a.digest == b.digest for a, b in zip(old.exams, new.exams, strict=True)] == [True, False, True]
    after = untouched(store)
    changed = {key for key in before if before[key] != after[key] and (store.root / key).is_file()}
    assert changed == {layout.store_index(old.recipe)}
    for index in (old, new):
        record = read_record(store, index.recipe, "p2", index.exams[1].digest)
        assert ExamReader(store, record).image([0]).any()


def test_exams_come_and_go_without_making_the_others_again(
    make_cohort: MakeCohort, make_study: MakeStudy, store: LocalStorage
) -> None:
    source = make_cohort(PATIENTS)
    without, _ = prepare(source, store, make_study(cohort={"exclude": ["p2"]}))
    assert [entry.exam for entry in without.exams] == ["p1", "p3"]
    all_exams, made = prepare(source, store, make_study())
    assert made == 1
    assert (all_exams.exams[0], all_exams.exams[2]) == without.exams
    assert prepare(source, store, make_study(cohort={"exclude": ["p2"]})) == (without, 0)


def test_files_regrouped_into_patients_change_the_record_but_not_the_arrays(
    make_cohort: MakeCohort, make_study: MakeStudy, store: LocalStorage
) -> None:
    source = make_cohort(["a_1", "a_2", "b_1"])
    before, _ = prepare(source, store, make_study())
    arrays = {key: seen for key, seen in untouched(store).items() if ".zarr/" in key}
    grouped = {
        "pattern": "{patient}_{exam}/{channel}.nii.gz",
        "labels": "{patient}_{exam}/label.nii.gz",
        "mask": "{patient}_{exam}/mask.nii.gz",
    }
    after, _ = prepare(source, store, make_study(cohort=grouped))
    assert [(e.exam, e.patient) for e in after.exams] == [("a_1", "a"), ("a_2", "a"), ("b_1", "b")]
    assert [e.digest for e in after.exams] == [e.digest for e in before.exams]
    assert {key: seen for key, seen in untouched(store).items() if ".zarr/" in key} == arrays
    record = read_record(store, after.recipe, "a_1", after.exams[0].digest)
    assert record.patient == "a"


def test_another_recipe_lies_beside_the_first(
    make_cohort: MakeCohort, make_study: MakeStudy, store: LocalStorage
) -> None:
    source = make_cohort(PATIENTS)
    half, _ = prepare(source, store, make_study())
    before = files_of(store)
    single, made = prepare(source, store, make_study(store={"dtype": "float32"}))
    assert made == 3
    assert single.recipe != half.recipe
    assert files_of(store).items() >= before.items()


def test_problems_of_all_exams_are_told_at_once_and_good_exams_stay(
    make_cohort: MakeCohort, make_study: MakeStudy, store: LocalStorage
) -> None:
    study = make_study()
    sound = make_cohort(PATIENTS).read("p1/t1.nii.gz")
    changes = {"p1/t1.nii.gz": sound[:-20], "p1/t2.nii.gz": b"", "p3/label.nii.gz": b"no"}
    source = make_cohort(PATIENTS, changes)
    expected = ["p1/t1.nii.gz", "p1/t2.nii.gz", "p3/label.nii.gz"]
    for attempt in (lambda: prepare(source, store, study), lambda: check(source, study)):
        with pytest.raises(DataError) as error:
            attempt()
        assert [problem.file for problem in error.value.problems] == expected
    assert not store.exists(layout.store_index(recipe_of(study)))
    _, made = prepare(make_cohort(PATIENTS), store, study)
    assert made == 2


def test_an_index_stays_as_it_was_when_a_new_exam_has_problems(
    make_cohort: MakeCohort, make_study: MakeStudy, store: LocalStorage
) -> None:
    study = make_study()
    prepare(make_cohort(PATIENTS), store, study)
    before = files_of(store)
    with pytest.raises(DataError, match=r"p4/adc\.nii\.gz"):
        prepare(make_cohort([*PATIENTS, "p4"], {"p4/adc.nii.gz": b""}), store, study)
    assert files_of(store) == before


@pytest.mark.parametrize("patients_with_it", [0, 1])
def test_a_class_that_fewer_than_two_patients_have_is_a_problem(
    make_cohort: MakeCohort, make_study: MakeStudy, store: LocalStorage, patients_with_it: int
) -> None:
    """The fold that tests the only patient who has it could not learn it."""
    without = np.ones((20, 18, 10), np.uint8)
    source = make_cohort(PATIENTS, {f"{p}/label.nii.gz": without for p in PATIENTS[patients_with_it:]})
    study = make_study(cohort={"mask": None})
    found = rf"found class 'GTV-Ln' \(\[2\]\) in {patients_with_it} patients? \(3 exams\); expected"
    for attempt in (lambda: prepare(source, store, study), lambda: check(source, study)):
        with pytest.raises(DataError, match=found):
            attempt()
    assert not store.exists(layout.store_index(recipe_of(study)))


def test_two_visits_of_one_patient_do_not_make_a_class_learnable(
    make_cohort: MakeCohort, make_study: MakeStudy, store: LocalStorage
) -> None:
    """A fold trains on no visit of the patient that it tests."""
    without = np.ones((20, 18, 10), np.uint8)
    source = make_cohort(["p1/a", "p1/b", "p2/a"], {"p2/a/label.nii.gz": without})
    patterns = {
        "pattern": "{patient}/{exam}/{channel}.nii.gz",
        "labels": "{patient}/{exam}/label.nii.gz",
        "mask": None,
    }
    study = make_study(cohort=patterns)
    for attempt in (lambda: prepare(source, store, study), lambda: check(source, study)):
        with pytest.raises(DataError, match=r"'GTV-Ln' \(\[2\]\) in 1 patient \(3 exams\)"):
            attempt()


def test_preparing_with_a_look_makes_a_damaged_exam_anew(
    make_cohort: MakeCohort, make_study: MakeStudy, store: LocalStorage
) -> None:
    source, study = make_cohort(PATIENTS), make_study()
    first, _ = prepare(source, store, study)
    whole = files_of(store)
    shard = next(path for path in store.root.rglob("*") if "image/c/0" in str(path) and path.is_file())
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 1
    for damage in (lambda: shard.write_bytes(data), shard.unlink):
        damage()
        assert prepare(source, store, study)[1] == 0
        again, made = prepare(source, store, study, verify=True)
        assert (again, made) == (first, 1)
        assert files_of(store).keys() == whole.keys()
        assert shard.is_file()
    assert prepare(source, store, study, verify=True)[1] == 0


def test_a_class_that_validation_could_take_from_training_is_a_problem(
    make_cohort: MakeCohort, make_study: MakeStudy, store: LocalStorage
) -> None:
    """Of 2 patients who have it, one is tested and the other may be drawn for validation."""
    without = np.ones((20, 18, 10), np.uint8)
    source = make_cohort(PATIENTS, {f"{PATIENTS[0]}/label.nii.gz": without})
    study = make_study(cohort={"mask": None}, training={"validation_patients": 1})
    with pytest.raises(DataError, match=r"in at least 3 patients: .* and 1 may be drawn for validation"):
        prepare(source, store, study)
    assert check(source, make_study(cohort={"mask": None})) == list(PATIENTS)


def test_too_many_validation_patients_are_one_problem_with_its_cure(
    make_cohort: MakeCohort, make_study: MakeStudy, store: LocalStorage
) -> None:
    """Three patients have each class: with two held out and one tested, none may be left to learn from."""
    with pytest.raises(DataError) as error:
        prepare(make_cohort(PATIENTS), store, make_study(training={"validation_patients": 2}))
    (problem,) = error.value.problems
    assert problem.file == "training.validation_patients"
    assert (
        "2 patients held out for validation, and class 'GTV-T' in 3, class 'GTV-Ln' in 3 patients"
        in problem.found
    )
    assert problem.remedy.startswith("set training.validation_patients to 1 or fewer")


def test_no_more_exams_are_prepared_at_a_time_than_memory_suffices_for(
    make_cohort: MakeCohort, make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, study, at_once = make_cohort(PATIENTS), make_study(), []
    voxels, stored = 20 * 18 * 10, 2 * len(study.cohort.channels)
    exam_gib = voxels * (3 * stored + 40) / 2**30

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers: int) -> None:
            at_once.append(workers)
            super().__init__(workers)

    monkeypatch.setattr("job.storage.concurrency.ThreadPoolExecutor", Pool)
    for available in (10, 2.5, 0.1):
        monkeypatch.setattr("job.data.prepare.available_memory_gib", lambda gib=available * exam_gib: gib)
        check_cohort(source, study, workers=4, progress=lambda *_: None)
    assert at_once == [4, 2, 1]


def test_memory_is_reckoned_with_where_headers_need_the_study_to_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files without any orientation, which `geometry = "voxels"` takes as they are stored."""
    odd = sound_cohort(tmp_path / "cohort")
    for patient in PATIENTS:
        for name in NAMES:
            odd.change(patient, name, lambda data: nib.Nifti1Image(data, None))
    own, at_once = odd_study(geometry="voxels"), []
    exam_gib = np.prod(SHAPE) * (3 * 4 * 3 + 40) / 2**30  # three channels of float32

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers: int) -> None:
            at_once.append(workers)
            super().__init__(workers)

    monkeypatch.setattr("job.storage.concurrency.ThreadPoolExecutor", Pool)
    monkeypatch.setattr("job.data.prepare.available_memory_gib", lambda: 2.5 * exam_gib)
    found = check_cohort(LocalStorage(odd.root), own, workers=4, progress=lambda *_: None)
    assert (found.problems, at_once) == ((), [2])


def test_a_damaged_index_is_an_error_until_preparing_writes_it_anew(
    make_cohort: MakeCohort, make_study: MakeStudy, store: LocalStorage
) -> None:
    """Taken for absent, it would let a sweep begin as if nothing had been prepared."""
    source, study = make_cohort(PATIENTS), make_study()
    assert read_index(store, study) is None
    index, _ = prepare(source, store, study)
    key = layout.store_index(index.recipe)
    for damage in (b"", b"{}", store.read(key)[:-20]):
        store.write(key, damage)
        with pytest.raises(
            Damaged, match=re.escape(f"{store.url}/{key} is damaged; delete it and run the sweep")
        ):
            read_index(store, study)
        assert prepare(source, store, study) == (index, 0)
        assert read_index(store, study) == index


@pytest.mark.parametrize("cohort", [{"exclude": ["p2"]}, {"channels": ["t2", "t1"]}])
def test_the_index_of_another_study_of_one_recipe_is_not_taken_for_ones_own(
    make_cohort: MakeCohort, make_study: MakeStudy, store: LocalStorage, cohort: dict[str, Any]
) -> None:
    """Its exams may be others, as may the files of their channels; a sweep over them would be another one."""
    source = make_cohort(PATIENTS)
    named = [{"name": name, "files": file} for name, file in (("t2", "t1"), ("t1", "t2"))]
    other = {"channels": named} if "channels" in cohort else {}
    first, second = make_study(cohort=cohort), make_study(cohort=other)
    assert recipe_of(first) == recipe_of(second)
    index, _ = prepare(source, store, first)
    assert (read_index(store, first), read_index(store, second)) == (index, None)
    after, _ = prepare(source, store, second)
    assert (read_index(store, first), read_index(store, second)) == (None, after)
    named_anew = make_study(cohort=other | {"structures": {"both": ["GTV-T", "GTV-Ln"]}})
    assert read_index(store, named_anew) == after


def test_a_store_of_an_earlier_version_is_made_anew_with_a_word_once(
    make_cohort: MakeCohort, make_study: MakeStudy, store: LocalStorage
) -> None:
    source, study = make_cohort(PATIENTS), make_study()
    old = recipe_of(study, STORE_FORMAT - 1)
    assert old != recipe_of(study)
    store.write(layout.store_index(old), b"as the earlier version wrote it")
    told = [
        [
            str(warning)
            for warning in prepare_cohort(source, store, study, workers=2, progress=lambda *_: None).warnings
        ]
        for _ in range(2)
    ]
    assert told == [
        [
            f"{store.url}/{old}: found exams of an earlier version of the store (format {STORE_FORMAT - 1}); "
            f"expected format {STORE_FORMAT}; all exams were made anew beside them; delete this folder once no run "
            "needs it"
        ],
        [],
    ]
    assert store.read(layout.store_index(old)) == b"as the earlier version wrote it"


@pytest.mark.parametrize("kind", ["plain", "scaled doubles", "4-D", "resampled", "float32, no mask"])
def test_an_exam_needs_no_more_memory_than_is_reckoned_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Beside what Python itself takes for the modules and the file's compressed bytes."""
    shape, affine = (90, 80, 60), np.diag([-1.0, -1, 2, 1])
    draws, odd, names = np.random.default_rng(0), OddCohort(tmp_path / "cohort"), [f"c{n}" for n in range(4)]
    images = np.abs(draws.normal(300, 50, (*shape, 4))).astype(np.int16)
    images[:20] = 0
    own = affine if kind != "resampled" else affine @ np.diag([1.02, 0.97, 1.01, 1])
    if kind == "4-D":
        odd.write("p1", "all", nifti(images.astype(np.float32), affine))
    for number, name in enumerate(names if kind != "4-D" else ()):
        image = images[..., number].astype(np.float64 if kind == "scaled doubles" else np.int16)
        odd.write(
            "p1",
            name,
            patched(nifti(image, own), 112, np.float32([2, 1] if kind == "scaled doubles" else [0, 0])),
        )
    label = np.zeros(shape, np.uint8)
    label[40:50, 40:50, 20:30] = 1
    odd.write("p1", "label", nifti(label, affine))
    odd.write("p1", "mask", nifti(np.ones(shape, np.uint8), affine))
    settings: dict[str, Any] = {"channels": names}
    if kind == "4-D":
        settings = {
            "channels": [{"name": name, "index": n} for n, name in enumerate(names)],
            "pattern": "{patient}/all.nii.gz",
        }
    if kind == "resampled":
        settings["resample_to"] = "c0"
    if kind == "float32, no mask":
        settings["mask"] = None
    cohort = odd_study(**settings)
    cohort = cohort.model_copy(
        update={
            "store": cohort.store.model_copy(update={"dtype": "float32" if "float32" in kind else "float16"})
        }
    )
    source = LocalStorage(odd.root)
    (files,) = find_exams(source.list(), cohort.cohort)
    tracemalloc.start()
    load_exam(source, files, cohort.cohort, cohort.store.dtype)
    peak_gib = tracemalloc.get_traced_memory()[1] / 2**30
    tracemalloc.stop()
    reckoned: list[int] = []
    monkeypatch.setattr("job.data.prepare.available_memory_gib", lambda: 100 * peak_gib)
    monkeypatch.setattr(
        "job.storage.concurrency.ThreadPoolExecutor",
        lambda workers: reckoned.append(workers) or ThreadPoolExecutor(1),
    )
    check_cohort(source, cohort, workers=1000, progress=lambda *_: None)
    assert 40 <= reckoned[0] <= 100


def test_checking_writes_nothing_and_finds_the_exams(
    make_cohort: MakeCohort, make_study: MakeStudy, tmp_path: Path
) -> None:
    source = make_cohort(PATIENTS)
    before = untouched(LocalStorage(tmp_path))
    assert check(source, make_study()) == list(PATIENTS)
    assert untouched(LocalStorage(tmp_path)) == before


def test_what_was_left_half_written_is_made_again(
    make_cohort: MakeCohort,
    make_study: MakeStudy,
    store: LocalStorage,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """p1 has arrays but no record, p2 a damaged record."""
    source, study = make_cohort(PATIENTS), make_study()
    index, _ = prepare(source, store, study)
    whole = files_of(store)
    first, second = (layout.exam_record(index.recipe, e.exam, e.digest) for e in index.exams[:2])
    store.delete(first)
    store.delete(layout.store_index(index.recipe))
    shard = store.root / first.replace(".json", ".zarr") / "labels/classes/0/c/0/0/0"
    shard.write_bytes(shard.read_bytes()[:50])
    store.write(second, b'{"exam": "p2"')
    with caplog.at_level(logging.WARNING):
        assert prepare(source, store, study) == (index, 2)
    assert f"{second} cannot be read; the exam is prepared again" in caplog.text
    assert files_of(store) == whole


@pytest.mark.slow
def test_a_store_is_whole_after_any_number_of_kills(
    make_cohort: MakeCohort, make_study: MakeStudy, tmp_path: Path
) -> None:
    """Killed at random moments, then finished: file for file as if made in one go."""
    patients = [f"p{n}" for n in range(8)]
    source, study = make_cohort(patients, shape_xyz=(60, 60, 40)), make_study()
    in_one_go, killed = LocalStorage(tmp_path / "one"), LocalStorage(tmp_path / "killed")
    started = time.monotonic()
    index, _ = prepare(source, in_one_go, study)
    whole_s = time.monotonic() - started
    delays = random.Random(0)
    for _ in range(6):
        process = preparing(source, killed, study)
        time.sleep(delays.uniform(0, whole_s / 2))
        process.kill()
        process.communicate(timeout=60)
    made_by_the_killed = len(list(killed.root.glob("*/exams/*.json")))
    assert prepare(source, killed, study) == (index, len(patients) - made_by_the_killed)
    assert files_of(killed) == files_of(in_one_go)


@pytest.mark.slow
def test_processes_that_prepare_the_same_cohort_at_once_do_not_harm_each_other(
    make_cohort: MakeCohort, make_study: MakeStudy, tmp_path: Path
) -> None:
    source, study = make_cohort([f"p{n}" for n in range(6)], shape_xyz=(60, 60, 40)), make_study()
    in_one_go, together = LocalStorage(tmp_path / "one"), LocalStorage(tmp_path / "together")
    prepare(source, in_one_go, study)
    processes = [preparing(source, together, study, wait=False) for _ in range(3)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert files_of(together) == files_of(in_one_go)


@pytest.mark.slow
def test_ctrl_c_ends_preparing_and_leaves_whole_exams_only(
    make_cohort: MakeCohort, make_study: MakeStudy, store: LocalStorage
) -> None:
    patients = [f"p{n}" for n in range(48)]  # seconds of work, so that a busy machine is in time
    source, study = make_cohort(patients, shape_xyz=(60, 60, 40)), make_study()
    process = preparing(source, store, study)
    assert process.stdout is not None
    process.stdout.readline()  # the first exam is there
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    records = list(store.root.glob("*/exams/*.json"))
    assert {path.with_suffix(".zarr") for path in records} == set(store.root.glob("*/exams/*.zarr"))
    assert 0 < len(records) < len(patients)
    assert not store.exists(layout.store_index(recipe_of(study)))
