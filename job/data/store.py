"""The block store: a prepared cohort as Zarr v3 arrays, one OME-Zarr 0.5 group per exam.

Arrays are (C, Z, Y, X) and (Z, Y, X) on the canonical grid: `image` (normalised), `labels/classes/0` and, if
the cohort has masks, `labels/mask/0`. An array is one shard; its blocks hold all channels, are compressed by
LZ4 after shuffling, and carry a CRC-32C checksum, so that a damaged block is an error and not a number.
An exam is there when its record is: the record is written after the arrays, and nothing changes later.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from job.contract import layout
from job.contract.errors import DataError
from job.contract.manifest import Manifest
from job.contract.shapes import ShapeZYX
from job.contract.study import Study
from job.data.exam import Exam
from job.data.exam_record import ExamRecord, Region, Source, read_record, record_of
from job.storage import Storage


def write_exam(
    store: Storage, study: Study, exam: Exam, *, name: str, patient: str, sources: Sequence[Source]
) -> ExamRecord:
    """Writes an exam's arrays, then its record.

    Args:
        store: Root of the store.
        study: Gives recipe, names and block shape.
        exam: The contents.
        name: The exam's name.
        patient: The exam's patient.
        sources: The files it was made from.
    """
    record = record_of(study, exam, name=name, patient=patient, sources=tuple(sources))
    key = layout.exam_record(record.recipe, name, record.digest)
    # What is whole is not touched: other files gave the same contents, which folds may be reading.
    if not (store.exists(key) and is_whole(store, record)):
        _write_arrays(store, record, exam)
    store.write(key, record.model_dump_json(indent=1).encode())
    return record


class ExamReader:
    """Reads regions of one exam; only the blocks that a region touches are fetched."""

    def __init__(self, store: Storage, record: ExamRecord) -> None:
        self.record = record
        self._folder = layout.exam_arrays(record.recipe, record.exam, record.digest)
        self._store = store
        self._arrays: dict[str, Any] = {}

    def image(self, channels: Sequence[int], region: Region | None = None) -> NDArray[np.floating]:
        """The (C, Z, Y, X) image of chosen channels, of the whole exam or a region.

        Raises:
            DataError: A block is missing or damaged.
        """
        chosen = list(channels)
        if chosen == list(range(len(self.record.channels))):
            return self._read("image", (slice(None), *(region or ())))
        return self._read("image", (chosen, *(region or ())))

    def label(self, region: Region | None = None) -> NDArray[np.uint8]:
        """The (Z, Y, X) labels: 0 background, k the k-th class."""
        return self._read("labels/classes/0", region or ())

    def mask(self, region: Region | None = None) -> NDArray[np.bool_] | None:
        """The (Z, Y, X) mask, or None if the cohort has none."""
        if not self.record.has_mask:
            return None
        return self._read("labels/mask/0", region or ()).astype(bool)

    def _read(self, name: str, index: tuple[Any, ...]) -> NDArray[Any]:
        key = f"{self._folder}/{name}"
        for _ in range(READS - 1):
            with suppress(DataError):
                return self._read_once(key, name, index)
            self._arrays.pop(name, None)  # what was read of it may be what is wrong
        return self._read_once(key, name, index)

    def _read_once(self, key: str, name: str, index: tuple[Any, ...]) -> NDArray[Any]:
        with _whole(f"{self._store.url}/{key}"):
            if name not in self._arrays:
                self._arrays[name] = self._open(key, image=name == "image")
            array = self._arrays[name]
            return cast(NDArray[Any], (array[index] if index else array).read().result())

    def _open(self, key: str, *, image: bool) -> Any:
        record = self.record
        leading = (len(record.channels),) if image else ()
        array = ts.open(
            {
                "driver": "zarr3",
                "kvstore": self._store.array_location(key),
                "metadata": {
                    "shape": [*leading, *record.shape_zyx],
                    "data_type": record.dtype if image else "uint8",
                },
                "fill_missing_data_reads": False,  # else a missing block reads as zeros
            },
            open=True,
        ).result()
        return array[ts.d[:].mark_bounds_implicit[False]]  # a region outside is an error before reading


READS = 3
"""Times that a block is asked for: a connection may have damaged it on the way."""

_PASSING = ("RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED", "INTERNAL")
"""TensorStore's codes for what another attempt may not meet, such as throttling or too many open files."""
_REFUSED = ("PERMISSION_DENIED", "UNAUTHENTICATED", "ExpiredToken", "InvalidToken", "RequestExpired")
"""In its messages, where credentials are at fault and not the data."""


@contextmanager
def _whole(key: str) -> Iterator[None]:
    """Turns TensorStore's error about an array into a DataError, or an OSError if it may pass."""
    try:
        yield
    except ValueError as error:
        if str(error).startswith(_PASSING) or any(word in str(error) for word in _REFUSED):
            raise OSError(f"{key}: {error}") from None
        raise DataError.of(
            file=key,
            found=f"missing or damaged data ({error})",
            expected="the exam as it was prepared",
            remedy="run `submit prepare`, which makes damaged exams anew",
        ) from None


def is_whole(store: Storage, record: ExamRecord) -> bool:
    """Whether every block of an exam can be read, and is what was written."""
    reader = ExamReader(store, record)
    try:
        reader.image(range(len(record.channels)))
        reader.label()
        reader.mask()
    except DataError:
        return False
    return True


def delete_exam(store: Storage, record: ExamRecord) -> None:
    """Deletes an exam: first its record, without which its arrays are nothing."""
    store.delete(layout.exam_record(record.recipe, record.exam, record.digest))
    store.delete(layout.exam_arrays(record.recipe, record.exam, record.digest))


def open_exams(store: Storage, manifest: Manifest, exams: Sequence[int]) -> list[ExamReader]:
    """Readers of exams of a run, by their positions.

    Raises:
        DataError: The store lacks one, or holds another.
    """
    entries = [manifest.exams[exam] for exam in exams]
    return [ExamReader(store, read_record(store, manifest.recipe, e.exam, e.digest)) for e in entries]


def _write_arrays(store: Storage, record: ExamRecord, exam: Exam) -> None:
    """Writes what is there from a killed or simultaneous attempt once more: equal files, each replaced at once."""
    folder = layout.exam_arrays(record.recipe, record.exam, record.digest)
    for key, attributes in _groups(record).items():
        group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        store.write(f"{folder}/{key}zarr.json", json.dumps(group, indent=1).encode())
    _write_array(store, f"{folder}/image", exam.image_CZYX, record.block_zyx)
    _write_array(store, f"{folder}/labels/classes/0", exam.label_ZYX, record.block_zyx)
    if exam.mask_ZYX is not None:
        _write_array(store, f"{folder}/labels/mask/0", exam.mask_ZYX, record.block_zyx)


def _write_array(store: Storage, key: str, data: NDArray[Any], block_zyx: ShapeZYX) -> None:
    leading = data.shape[:-3]
    block = (*leading, *block_zyx)
    shard = [-(-size // edge) * edge for size, edge in zip(data.shape, block, strict=True)]
    checksummed = [{"name": "bytes", "configuration": {"endian": "little"}}]
    blosc = {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": data.itemsize}
    codecs = [*checksummed, {"name": "blosc", "configuration": blosc}, {"name": "crc32c"}]
    sharding = {
        "chunk_shape": list(block),
        "codecs": codecs,
        "index_codecs": [*checksummed, {"name": "crc32c"}],
    }
    # Encoded in memory: the storage then writes whole files, with its own checks and errors.
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "memory"},
        "metadata": {
            "shape": list(data.shape),
            "data_type": data.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard}},
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
            "dimension_names": ["c", "z", "y", "x"][-data.ndim :],
        },
        "store_data_equal_to_fill_value": True,  # so that a block that is not there is missing
    }
    array = ts.open(spec, create=True, context=ts.Context()).result()
    array.write(data).result()
    encoded = array.kvstore
    assert encoded is not None
    for name in encoded.list().result():
        store.write(f"{key}/{name.decode()}", encoded.read(name).result().value)


def _groups(record: ExamRecord) -> dict[str, Any]:
    """OME-Zarr 0.5 metadata by group: the exam, its label images."""
    axes = [{"name": axis, "type": "space", "unit": "millimeter"} for axis in "zyx"]
    spacing = list(record.spacing_zyx_mm)

    def multiscale(name: str, path: str, *, channels: bool) -> dict[str, Any]:
        scale = [*([1.0] if channels else []), *spacing]
        return {
            "name": name,
            "axes": [*([{"name": "c", "type": "channel"}] if channels else []), *axes],
            "datasets": [
                {"path": path, "coordinateTransformations": [{"type": "scale", "scale": scale}]},
            ],
        }

    labels = ["classes", *(["mask"] if record.has_mask else [])]
    groups: dict[str, Any] = {
        "": {"ome": {"version": "0.5", "multiscales": [multiscale("image", "image", channels=True)]}},
        "labels/": {"ome": {"version": "0.5", "labels": labels}},
    }
    for name in labels:
        groups[f"labels/{name}/"] = {
            "ome": {
                "version": "0.5",
                "multiscales": [multiscale(name, "0", channels=False)],
                "image-label": {"source": {"image": "../../"}},
            }
        }
    return groups
