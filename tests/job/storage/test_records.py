"""Records in files: there, not there, damaged, or not to be read, and never one taken for another."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from job.contract.errors import Damaged, StudyError
from job.request import RequestedRun
from job.storage import LocalStorage
from job.storage.records import read_record_file
from tests.unreadable import CAUSES, Unreadable


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


def test_a_record_is_read_back(storage: LocalStorage) -> None:
    storage.write("folder/run.json", RequestedRun(run="small-1").to_json())
    assert read_record_file(storage, "folder/run.json", RequestedRun) == RequestedRun(run="small-1")


def test_only_a_file_that_is_not_there_is_none(storage: LocalStorage) -> None:
    storage.write("folder/file", b"")
    for absent in ("run.json", "folder", "folder/file/run.json"):
        assert read_record_file(storage, absent, RequestedRun) is None


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"", "Invalid JSON: EOF while parsing a value at line 1 column 0"),
        (b"\xff", "Invalid JSON: expected value at line 1 column 1"),
        (b"{}", "run: Field required"),
        (b'{"run": 3}', "run: Input should be a valid string"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(
    storage: LocalStorage, contents: bytes, reason: str
) -> None:
    storage.write("run.json", contents)
    message = f"{storage.url}/run.json is damaged; delete it and run the sweep again, which writes it anew ({reason})"
    with pytest.raises(Damaged, match=f"^{re.escape(message)}$"):
        read_record_file(storage, "run.json", RequestedRun)


@pytest.mark.parametrize("cause", CAUSES)
def test_a_file_that_cannot_be_read_is_neither_absent_nor_damaged(
    storage: LocalStorage, cause: Callable[[], Exception]
) -> None:
    storage.write("run.json", RequestedRun(run="small-1").to_json())
    with pytest.raises((StudyError, OSError)) as raised:
        read_record_file(Unreadable(storage, cause), "run.json", RequestedRun)
    assert (type(raised.value), str(raised.value)) == (type(cause()), str(cause()))


def test_a_place_that_may_not_be_looked_at_is_not_an_absent_file(storage: LocalStorage) -> None:
    """The tests may run as root, who may look into every folder: a name that is too long is refused alike."""
    with pytest.raises(OSError, match="File name too long"):
        storage.exists("x" * 5000)
    with pytest.raises(OSError, match="File name too long"):
        storage.create("x" * 5000, b"")
