"""The block store: what is written comes back, from the blocks needed only, or is an error."""

import json
import re
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel
from ome_zarr_models.v05.labels import Labels

from job.contract import layout
from job.contract.errors import DataError
from job.contract.study import Study
from job.data.exam import Exam
from job.data.exam_record import ExamRecord, Region, Source, read_record, recipe_of
from job.data.nifti import read_labels, write_labels
from job.data.store import ExamReader, write_exam
from job.storage.local import LocalStorage
from tests.job.data.conftest import CHANNELS, SHAPE_ZYX

MakeStudy = Callable[..., Study]
MakeExam = Callable[..., Exam]
Stored = tuple[LocalStorage, Exam, ExamReader]
BLOCK_ZYX = (4, 7, 8)
SOURCES = (Source(role="channel t1", key="p1/t1.nii.gz", fingerprint="1-2", sha256="ab"),)
FIXTURES_STAY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write(store: LocalStorage, study: Study, exam: Exam, name: str = "p1") -> ExamRecord:
    return write_exam(store, study, exam, name=name, patient="p1", sources=SOURCES)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, make_study: MakeStudy, make_exam: MakeExam) -> Stored:
    """An exam of 3 x 3 x 3 blocks, in a store that no test changes."""
    store, exam = LocalStorage(tmp_path_factory.mktemp("store")), make_exam()
    return store, exam, ExamReader(store, write(store, make_study(), exam))


def arrays_of(store: LocalStorage, record: ExamRecord) -> Path:
    return store.root / layout.exam_arrays(record.recipe, record.exam, record.digest)


def test_a_record_tells_what_is_stored(stored: Stored, make_study: MakeStudy) -> None:
    store, _, reader = stored
    record = reader.record
    assert (record.shape_zyx, record.block_zyx, record.blocks_zyx) == (SHAPE_ZYX, BLOCK_ZYX, (3, 3, 3))
    assert record.channels == ("t1", "t2", "adc")
    assert record.classes == ("GTV-T", "GTV-Ln")
    assert record.spacing_zyx_mm == pytest.approx((2.5, 0.8, 0.9))
    assert (record.original_shape_xyz, record.original_orientation) == (SHAPE_ZYX[::-1], "LPS")
    assert record.statistics[2].mean == 1.5
    assert record.sources == SOURCES
    assert record.recipe == recipe_of(make_study())
    assert read_record(store, record.recipe, "p1", record.digest) == record


def test_a_prediction_goes_back_onto_the_original_grid(stored: Stored, tmp_path: Path) -> None:
    _, exam, reader = stored
    geometry = ExamRecord.model_validate_json(reader.record.model_dump_json()).geometry
    data = write_labels(exam.label_ZYX, geometry)
    np.testing.assert_array_equal(geometry.affine, exam.geometry.affine)
    np.testing.assert_array_equal(read_labels(data, "prediction"), exam.label_ZYX)
    assert data == write_labels(exam.label_ZYX, exam.geometry)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("shape", [SHAPE_ZYX, (1, 18, 20), (3, 5, 6), (4, 7, 8), (8, 14, 9)])
@pytest.mark.parametrize("mask", [True, False])
def test_zarr_python_reads_the_arrays_as_they_were_written(
    tmp_path: Path,
    make_study: MakeStudy,
    make_exam: MakeExam,
    shape: tuple[int, int, int],
    dtype: str,
    mask: bool,
) -> None:
    store, exam = LocalStorage(tmp_path), make_exam(shape, dtype, mask=mask)
    study = make_study(store={"dtype": dtype}, cohort={"mask": "{patient}/mask.nii.gz" if mask else None})
    record = write(store, study, exam)
    reader = ExamReader(store, record)
    group = zarr.open_group(arrays_of(store, record), mode="r")
    for path, expected in (("image", exam.image_CZYX), ("labels/classes/0", exam.label_ZYX)):
        array = group[path]
        assert isinstance(array, zarr.Array)
        assert array.dtype == expected.dtype
        assert array.chunks[-3:] == BLOCK_ZYX
        np.testing.assert_array_equal(np.asarray(array[...]), expected)
    np.testing.assert_array_equal(reader.image([0, 1, 2]), exam.image_CZYX)
    np.testing.assert_array_equal(reader.label(), exam.label_ZYX)
    if exam.mask_ZYX is None:
        assert reader.mask() is None
        assert "labels/mask" not in group
    else:
        np.testing.assert_array_equal(np.asarray(group["labels/mask/0"][...]), exam.mask_ZYX)
        np.testing.assert_array_equal(reader.mask(), exam.mask_ZYX > 0)


def test_metadata_are_those_of_ome_zarr(stored: Stored) -> None:
    store, _, reader = stored
    folder = arrays_of(store, reader.record)
    group = zarr.open_group(folder, mode="r")
    image = Image.from_zarr(group)
    (multiscale,) = image.ome_attributes.multiscales
    assert [(axis.name, axis.type, axis.unit) for axis in multiscale.axes] == [
        ("c", "channel", None),
        *((name, "space", "millimeter") for name in "zyx"),
    ]
    (transform,) = multiscale.datasets[0].coordinateTransformations
    assert transform.scale == pytest.approx([1, 2.5, 0.8, 0.9])
    labels = Labels.from_zarr(zarr.open_group(folder / "labels", mode="r"))
    assert labels.ome_attributes.labels == ["classes", "mask"]
    for name in ("classes", "mask"):
        label = ImageLabel.from_zarr(zarr.open_group(folder / "labels" / name, mode="r"))
        assert label.ome_attributes.image_label.source.image == "../../"
    for path in ("image", "labels/classes/0", "labels/mask/0"):
        metadata = json.loads((folder / path / "zarr.json").read_bytes())
        assert metadata["dimension_names"] == ["c", "z", "y", "x"][-len(metadata["shape"]) :]


@st.composite
def regions(draw: st.DrawFn) -> Region:
    ends = [sorted(draw(st.tuples(st.integers(0, size), st.integers(0, size)))) for size in SHAPE_ZYX]
    z, y, x = (slice(low, high) for low, high in ends)
    return (z, y, x)


@FIXTURES_STAY
@given(region=regions(), channels=st.lists(st.integers(0, CHANNELS - 1), min_size=1, max_size=4))
def test_a_region_of_chosen_channels_reads_as_numpy_slices(
    stored: Stored, region: Region, channels: list[int]
) -> None:
    _, exam, reader = stored
    np.testing.assert_array_equal(reader.image(channels, region), exam.image_CZYX[channels][:, *region])
    np.testing.assert_array_equal(reader.label(region), exam.label_ZYX[region])
    assert exam.mask_ZYX is not None
    np.testing.assert_array_equal(reader.mask(region), exam.mask_ZYX[region] > 0)


def test_a_region_outside_the_volume_is_the_caller_s_error(stored: Stored) -> None:
    _, _, reader = stored
    for beyond in (slice(0, 11), slice(-1, 4), slice(11, 12)):
        with pytest.raises(IndexError, match="OUT_OF_RANGE"):
            reader.label((beyond, slice(0, 1), slice(0, 1)))


def shard_index(shard: bytes, blocks: int) -> NDArray[np.uint64]:
    """(blocks, 2): first byte and number of bytes of each block; a CRC-32C ends the file."""
    return np.frombuffer(shard[-4 - 16 * blocks : -4], "<u8").reshape(blocks, 2)


@settings(FIXTURES_STAY, max_examples=15)
@given(region=regions().filter(lambda region: all(s.start < s.stop for s in region)))
def test_a_region_is_read_from_its_own_blocks(
    tmp_path: Path, make_study: MakeStudy, make_exam: MakeExam, region: Region
) -> None:
    """One byte of every other block is flipped: the region still reads right, any other block is an error."""
    store, exam = LocalStorage(tmp_path), make_exam()
    record = write(store, make_study(), exam)
    path = arrays_of(store, record) / "image" / "c" / "0" / "0" / "0" / "0"
    sound = path.read_bytes()
    needed = {
        block
        for block in range(27)
        if all(
            a.start < b.stop and b.start < a.stop
            for a, b in zip(region, record.block_region(block), strict=True)
        )
    }
    damaged = bytearray(sound)
    for block, (start, length) in enumerate(shard_index(sound, 27).tolist()):
        if block not in needed:
            damaged[start + length // 2] ^= 1
    path.write_bytes(damaged)
    reader = ExamReader(store, record)
    np.testing.assert_array_equal(reader.image([0, 2], region), exam.image_CZYX[[0, 2]][:, *region])
    for block in set(range(27)) - needed:
        with pytest.raises(DataError, match="missing or damaged data"):
            reader.image([1], record.block_region(block))
    path.write_bytes(sound)


@settings(FIXTURES_STAY, max_examples=150)
@given(data=st.data(), name=st.sampled_from(["image", "labels/classes/0", "labels/mask/0"]))
def test_a_flipped_bit_anywhere_in_an_array_changes_no_number(
    tmp_path: Path, make_study: MakeStudy, make_exam: MakeExam, data: st.DataObject, name: str
) -> None:
    store, exam = LocalStorage(tmp_path), make_exam()
    record = write(store, make_study(), exam)
    files = sorted(p for p in (arrays_of(store, record) / name).rglob("*") if p.is_file())
    path = data.draw(st.sampled_from(files))
    sound = path.read_bytes()
    position, bit = data.draw(st.integers(0, len(sound) - 1)), data.draw(st.integers(0, 7))
    path.write_bytes(sound[:position] + bytes([sound[position] ^ 1 << bit]) + sound[position + 1 :])
    reader = ExamReader(store, record)
    try:
        np.testing.assert_array_equal(reader.image([0, 1, 2]), exam.image_CZYX)
        np.testing.assert_array_equal(reader.label(), exam.label_ZYX)
        np.testing.assert_array_equal(reader.mask(), exam.mask_ZYX)
    except DataError as error:
        message = str(error)
    else:
        message = ""
    finally:
        path.write_bytes(sound)
    assert not message or f"{name}: found missing or damaged data" in message


@pytest.mark.parametrize("name", ["image", "labels/classes/0", "labels/mask/0"])
@pytest.mark.parametrize("damage", ["no shard", "no metadata", "cut shard", "empty shard"])
def test_what_is_missing_is_an_error_and_not_zeros(
    tmp_path: Path, make_study: MakeStudy, make_exam: MakeExam, name: str, damage: str
) -> None:
    store, exam = LocalStorage(tmp_path), make_exam()
    record = write(store, make_study(), exam)
    folder = arrays_of(store, record) / name
    (shard,) = (path for path in (folder / "c").rglob("*") if path.is_file())
    if damage == "no metadata":
        (folder / "zarr.json").unlink()
    elif damage == "no shard":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:100] if damage == "cut shard" else b"")
    reader = ExamReader(store, record)
    with pytest.raises(DataError, match=r"found missing or damaged data .*submit prepare") as error:
        _ = reader.image([0, 1, 2]), reader.label(), reader.mask()
    assert error.value.problems[0].file == str(folder)


def test_what_another_attempt_may_not_meet_is_no_damage(
    tmp_path: Path, make_study: MakeStudy, make_exam: MakeExam
) -> None:
    """Here too many open files: a fold that meets them is tried again, one with damaged data is not."""
    reader = ExamReader(LocalStorage(tmp_path), write(LocalStorage(tmp_path), make_study(), make_exam()))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # standard input, output and error
    try:
        with pytest.raises(OSError, match="labels/classes/0"):
            reader.label()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert reader.label().any()


def test_arrays_of_zeros_are_stored_like_any_other(
    tmp_path: Path, make_study: MakeStudy, make_exam: MakeExam
) -> None:
    """Else an exam without tumour would look like one whose labels were lost."""
    store, exam = LocalStorage(tmp_path), make_exam()
    empty = replace(exam, image_CZYX=np.zeros_like(exam.image_CZYX), label_ZYX=np.zeros_like(exam.label_ZYX))
    reader = ExamReader(store, write(store, make_study(), empty))
    assert not reader.image([0, 1, 2]).any()
    assert not reader.label().any()


@pytest.mark.parametrize("mask", [True, False])
def test_label_counts_are_those_of_the_blocks_inside_the_mask(
    tmp_path: Path, make_study: MakeStudy, make_exam: MakeExam, mask: bool
) -> None:
    exam = make_exam(mask=mask)
    record = write(LocalStorage(tmp_path), make_study(), exam)
    inside = np.ones(SHAPE_ZYX, bool) if exam.mask_ZYX is None else exam.mask_ZYX > 0
    for block in range(27):
        region = record.block_region(block)
        expected = np.bincount(exam.label_ZYX[region][inside[region]], minlength=3)
        assert [counts[block] for counts in record.label_counts] == expected.tolist()
    assert sum(map(sum, record.label_counts)) == inside.sum()


@pytest.mark.parametrize("shape", [SHAPE_ZYX, (1, 1, 1), (4, 7, 8), (9, 30, 1)])
def test_blocks_cover_the_volume_once(
    tmp_path: Path, make_study: MakeStudy, make_exam: MakeExam, shape: tuple[int, int, int]
) -> None:
    record = write(LocalStorage(tmp_path), make_study(), make_exam(shape))
    hits = np.zeros(shape, int)
    for block in range(len(record.label_counts[0])):
        hits[record.block_region(block)] += 1
    assert (hits == 1).all()


def test_the_digest_depends_on_contents_and_recipe_only(
    tmp_path: Path, make_study: MakeStudy, make_exam: MakeExam
) -> None:
    store, study, exam = LocalStorage(tmp_path), make_study(), make_exam()

    def changed(array: NDArray[Any] | None) -> NDArray[Any]:
        assert array is not None
        copy = array.copy()
        copy.flat[-1] = 1 - copy.flat[-1]
        return copy

    moved = replace(exam.geometry, affine=exam.geometry.affine + np.eye(4))
    different = [
        exam,
        replace(exam, image_CZYX=changed(exam.image_CZYX)),
        replace(exam, label_ZYX=changed(exam.label_ZYX)),
        replace(exam, mask_ZYX=changed(exam.mask_ZYX)),
        replace(exam, geometry=moved),
    ]
    digests = [write(store, study, e).digest for e in different]
    recipes = [
        make_study(cohort={"channels": ["t1", "t2", "adc"]}),
        make_study(cohort={"classes": {"GTV-T": 1, "GTV-Ln": 2, "other": 3}}),
        make_study(cohort={"background": [0, 5]}),
        make_study(store={"block_shape": [8, 8, 4]}),
    ]
    digests += [write(store, other, exam).digest for other in recipes]
    assert len(set(digests)) == len(digests)
    elsewhere = make_study(cohort={"root": "other", "exclude": ["p9"]}, compute={"runs": "other"})
    assert write(store, elsewhere, exam, "another name").digest == digests[0]


def test_what_a_killed_attempt_left_is_replaced_and_what_is_whole_is_not_touched(
    tmp_path: Path, make_study: MakeStudy, make_exam: MakeExam
) -> None:
    store, exam = LocalStorage(tmp_path), make_exam()
    record = write(store, make_study(), exam)
    folder, key = arrays_of(store, record), layout.exam_record(record.recipe, "p1", record.digest)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.rglob("*")}
    write(store, make_study(), exam)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.rglob("*")} == before
    store.delete(key)
    (folder / "image" / "c" / "0" / "0" / "0" / "0").write_bytes(b"half")
    write(store, make_study(), exam)
    assert set(folder.rglob("*")) == set(before)
    np.testing.assert_array_equal(ExamReader(store, record).image([0, 1, 2]), exam.image_CZYX)


def test_arrays_that_are_damaged_are_replaced_though_their_record_is_there(
    tmp_path: Path, make_study: MakeStudy, make_exam: MakeExam
) -> None:
    """Files that were renamed give the same contents again; their exam must not be called made."""
    store, exam = LocalStorage(tmp_path), make_exam()
    record = write(store, make_study(), exam)
    (arrays_of(store, record) / "image" / "c" / "0" / "0" / "0" / "0").write_bytes(b"half")
    renamed = (SOURCES[0].model_copy(update={"key": "p1/T1.nii.gz"}),)
    again = write_exam(store, make_study(), exam, name="p1", patient="p1", sources=renamed)
    assert (again.digest, again.sources) == (record.digest, renamed)
    np.testing.assert_array_equal(ExamReader(store, again).image([0, 1, 2]), exam.image_CZYX)


@pytest.mark.parametrize("name", ["Jürgen Ö 1", "a#b?c%20&d", "x.zarr", "日本", "p'1\""])
def test_exams_may_have_any_name(
    tmp_path: Path, make_study: MakeStudy, make_exam: MakeExam, name: str
) -> None:
    store, exam = LocalStorage(tmp_path), make_exam()
    digest = write(store, make_study(), exam, name).digest
    record = read_record(store, recipe_of(make_study()), name, digest)
    np.testing.assert_array_equal(ExamReader(store, record).label(), exam.label_ZYX)


def test_a_full_disk_is_an_error_of_the_storage_and_leaves_no_record(
    make_exam: MakeExam, make_study: MakeStudy, tmp_path: Path
) -> None:
    """A limit on the size of files stands for the disk: TensorStore meets it as it would a full one."""
    store, earlier = LocalStorage(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    exam = make_exam((20, 40, 40), "float32")
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, earlier[1]))
    try:
        with pytest.raises(OSError, match=re.escape(str(tmp_path))):
            write_exam(store, make_study(), exam, name="p1", patient="p1", sources=SOURCES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, earlier)
    assert not [item.key for item in store.list() if item.key.endswith(".json") and ".zarr/" not in item.key]
    assert write_exam(store, make_study(), exam, name="p1", patient="p1", sources=SOURCES).exam == "p1"


def test_a_record_that_is_missing_damaged_or_of_other_contents_is_an_error(
    stored: Stored, tmp_path: Path
) -> None:
    record = stored[2].record
    store, key = LocalStorage(tmp_path), layout.exam_record(record.recipe, "p1", record.digest)
    for contents, found in (
        (None, "no such exam"),
        (b"{}", "a damaged record, or one of another version of the code"),
        (b"\xff", "a damaged record, or one of another version of the code"),
        (record.model_copy(update={"digest": "f" * 64}).model_dump_json().encode(), "digest ffffffffffff"),
    ):
        if contents is not None:
            store.write(key, contents)
        with pytest.raises(DataError, match=f"{key}: found {found}.*prepare it again with `submit prepare`"):
            read_record(store, record.recipe, "p1", record.digest)
