"""Files as values, in a folder and in a bucket."""

import tempfile
from pathlib import Path

import pytest

from job.contract.errors import Damaged
from job.contract.results import Failure
from job.storage import Storage, open_storage
from job.storage.files import BytesFile, RecordFile

KEY = "folds/3/failure.json"
FAILURE = Failure(fold=3, attempts=1, exit_code=70, message="odd", time="2026-01-01T00:00:00+00:00")


@pytest.fixture
def storage(location: str) -> Storage:
    """An empty storage of each kind."""
    return open_storage(location)


def test_bytes_are_there_from_a_write_until_they_are_deleted(storage: Storage) -> None:
    file = BytesFile(storage, "folds/3/log.txt")
    assert not file.exists()
    with pytest.raises(FileNotFoundError):
        file.read()
    file.write(b"one")
    file.write(b"two")
    assert (file.exists(), file.read(), storage.read("folds/3/log.txt")) == (True, b"two", b"two")
    assert file.url == f"{storage.url}/folds/3/log.txt"
    file.delete()
    file.delete()
    assert not file.exists()


def test_a_record_is_written_as_the_bytes_of_its_kind_and_read_back(storage: Storage) -> None:
    file = RecordFile(storage, KEY, Failure)
    assert file.read() is None
    file.write(FAILURE)
    assert storage.read(KEY) == FAILURE.to_json()
    assert file.read() == FAILURE
    storage.write(KEY, b"{")
    with pytest.raises(Damaged, match=r"failure\.json is damaged; delete it"):
        file.read()


def test_a_record_is_created_once(storage: Storage) -> None:
    file = RecordFile(storage, KEY, Failure)
    assert file.create(FAILURE)
    assert not file.create(FAILURE.model_copy(update={"attempts": 2}))
    assert file.read() == FAILURE


def test_processes_work_on_a_file_in_its_place_or_of_a_bucket_in_a_folder_that_they_share(
    storage: Storage, location: str
) -> None:
    path = BytesFile(storage, "folds/3/log.txt").working_path
    assert path == BytesFile(open_storage(location), "folds/3/log.txt").working_path
    assert path != BytesFile(open_storage(f"{location}-2"), "folds/3/log.txt").working_path
    if location.startswith("s3://"):
        assert path.is_relative_to(Path(tempfile.gettempdir(), "loosweep"))
    else:
        assert path == Path(location, "folds/3/log.txt")
