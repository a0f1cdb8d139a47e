"""What every storage does, run against each of them; then what is special about one."""

import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import boto3
import pytest
import tensorstore as ts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from job.contract import layout
from job.contract.errors import StudyError
from job.storage import Storage, open_storage
from job.storage.local import LocalStorage
from job.storage.s3 import S3Storage

WRITERS = 16


@pytest.fixture
def storage(location: str) -> Storage:
    """An empty storage."""
    return open_storage(location)


def keys(storage: Storage, prefix: str = "") -> list[str]:
    return [item.key for item in storage.list(prefix)]


def test_what_was_written_is_read(storage: Storage) -> None:
    data = bytes(range(256)) * 1000
    storage.write("a/b/c.bin", data)
    storage.write("empty", b"")
    assert storage.read("a/b/c.bin") == data
    assert storage.read("empty") == b""


def test_a_write_replaces_what_was_there(storage: Storage) -> None:
    storage.write("a", b"a long first version")
    storage.write("a", b"second")
    assert storage.read("a") == b"second"
    assert keys(storage) == ["a"]


def test_its_url_opens_the_same_place_again(storage: Storage) -> None:
    storage.write("a/b", b"1")
    assert open_storage(storage.url).read("a/b") == b"1"


@pytest.mark.parametrize("key", ["nothing", "a/nothing", "a/b/nothing", "a"])
def test_a_key_that_is_not_there_is_not_found(storage: Storage, key: str) -> None:
    storage.write("a/b", b"1")
    assert not storage.exists(key)
    with pytest.raises(FileNotFoundError):
        storage.read(key)


def test_a_file_exists_once_it_is_written(storage: Storage) -> None:
    assert not storage.exists("a/b")
    storage.write("a/b", b"1")
    assert storage.exists("a/b")


def test_a_file_is_created_once(storage: Storage) -> None:
    assert storage.create("a/b", b"first")
    assert not storage.create("a/b", b"second")
    assert storage.read("a/b") == b"first"


def test_what_was_written_or_deleted_counts_for_create(storage: Storage) -> None:
    storage.write("a", b"written")
    assert not storage.create("a", b"created")
    storage.delete("a")
    assert storage.create("a", b"created")
    assert storage.read("a") == b"created"


def test_of_racing_creators_one_wins_and_its_contents_are_whole(storage: Storage) -> None:
    start = threading.Barrier(WRITERS)

    def create(writer: int, key: str) -> bool:
        start.wait()
        return storage.create(key, bytes([writer]) * 100_000)

    rounds = 20 if isinstance(storage, LocalStorage) else 5  # the server lets a loser wait for a second
    for attempt in range(rounds):
        key = f"race/{attempt}"
        with ThreadPoolExecutor(WRITERS) as pool:
            won = list(pool.map(create, range(WRITERS), [key] * WRITERS))
        assert won.count(True) == 1
        assert storage.read(key) == bytes([won.index(True)]) * 100_000
    assert len(keys(storage)) == rounds


def test_a_write_is_seen_whole_or_not_at_all(storage: Storage) -> None:
    versions = [bytes([n]) * (100_000 + n) for n in range(8)]
    storage.write("a", versions[0])
    stop = threading.Event()

    def read() -> set[bytes]:
        seen = set()
        while not stop.is_set():
            seen.add(storage.read("a"))
            assert keys(storage) == ["a"]
        return seen

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for n in range(100):
            storage.write("a", versions[n % 8])
        stop.set()
        seen = readers[0].result() | readers[1].result()
    assert seen
    assert seen <= set(versions)


def test_a_listing_is_in_the_order_of_the_keys(storage: Storage) -> None:
    written = ["b", "a/10", "a/9", "a.b", "a-b", "A", "a/ä", "a/z/1", "folds/2/x", "folds/10/x"]
    for key in written:
        storage.write(key, b"1")
    assert keys(storage) == sorted(written)


def test_a_prefix_is_a_beginning_of_the_key_and_no_folder(storage: Storage) -> None:
    for key in ("a/b/1", "a/b/2", "a/bc/1", "a/b.json", "ab", "b/a/b/1"):
        storage.write(key, b"1")
    assert keys(storage, "a/b") == ["a/b.json", "a/b/1", "a/b/2", "a/bc/1"]
    assert keys(storage, "a/b/") == ["a/b/1", "a/b/2"]
    assert keys(storage, "a") == ["a/b.json", "a/b/1", "a/b/2", "a/bc/1", "ab"]
    assert keys(storage, "a/b/1") == ["a/b/1"]
    assert keys(storage, "a/b/1/") == []
    assert keys(storage, "nothing/at/all") == []


def test_folders_are_those_directly_below(storage: Storage) -> None:
    for key in ("a/b/1", "a/c/d/2", "a/1", "ab/1", "top"):
        storage.write(key, b"1")
    assert storage.folders() == ("a", "ab")
    assert storage.folders("a") == ("b", "c")
    assert storage.folders("a/b") == storage.folders("nothing") == storage.folders("top") == ()


def test_arrays_lie_where_files_do(storage: Storage) -> None:
    storage.write("exam/image/zarr.json", b"{}")
    found = ts.KvStore.open(storage.array_location("exam/image")).result()
    assert found.list().result() == [b"zarr.json"]
    assert found.read("zarr.json").result().value == b"{}"


def test_an_empty_storage_lists_nothing(storage: Storage) -> None:
    assert keys(storage) == []


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sets(
        st.lists(st.sampled_from(["a", "b", "ab", "a.b"]), min_size=1, max_size=3).map("/".join), max_size=8
    ),
    st.sampled_from(["", "a", "a/", "a/b", "a/b/", "ab", "a.", "c"]),
)
def test_a_listing_holds_what_was_written_under_the_prefix(
    storage: Storage, written: set[str], prefix: str
) -> None:
    for top in ("a", "b", "ab", "a.b"):
        storage.delete(top)
    # A local folder cannot hold a file and a folder of one name.
    files = {key for key in written if not any(other.startswith(f"{key}/") for other in written)}
    for key in files:
        storage.write(key, key.encode())
    assert keys(storage, prefix) == sorted(key for key in files if key.startswith(prefix))


def test_a_listing_gives_sizes(storage: Storage) -> None:
    storage.write("a", b"12345")
    assert [item.size_bytes for item in storage.list()] == [5]


@pytest.mark.parametrize("contents", [b"2", b"22"])
def test_a_fingerprint_changes_with_the_contents(storage: Storage, contents: bytes) -> None:
    storage.write("a", b"1")
    storage.write("b", b"1")
    before = {item.key: item.fingerprint for item in storage.list()}
    assert {item.key: item.fingerprint for item in storage.list()} == before
    threading.Event().wait(0.05)  # file systems keep times in ticks of some milliseconds
    storage.write("a", contents)
    after = {item.key: item.fingerprint for item in storage.list()}
    assert after["a"] != before["a"]
    assert after["b"] == before["b"]


def test_a_file_is_deleted_alone(storage: Storage) -> None:
    for key in ("a/b", "a/bc", "a/c"):
        storage.write(key, b"1")
    storage.delete("a/b")
    assert keys(storage) == ["a/bc", "a/c"]


def test_a_folder_is_deleted_with_all_below_it_and_nothing_beside_it(storage: Storage) -> None:
    for key in ("a/b/1", "a/b/c/2", "a/bc", "a/c"):
        storage.write(key, b"1")
    storage.delete("a/b")
    assert keys(storage) == ["a/bc", "a/c"]


@pytest.mark.parametrize("key", ["nothing", "a/nothing", "a/b/nothing"])
def test_deleting_nothing_is_no_error(storage: Storage, key: str) -> None:
    storage.write("a/b", b"1")
    storage.delete(key)
    assert keys(storage) == ["a/b"]


@pytest.mark.parametrize("key", ["", ".", "..", "../beside/a", "a/../../beside/a", "/etc/hostname"])
def test_a_key_outside_the_root_is_refused(storage: Storage, key: str) -> None:
    uses: list[Callable[[], object]] = [
        lambda: storage.read(key),
        lambda: storage.write(key, b"1"),
        lambda: storage.create(key, b"1"),
        lambda: storage.exists(key),
        lambda: storage.delete(key),
        lambda: storage.array_location(key),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="does not name a file below"):
            use()


def test_only_the_files_of_a_folder_lie_on_this_machine(storage: Storage, location: str) -> None:
    """What locks, logs and moved projects go by: nobody asks for the class of a storage."""
    storage.write("folds/0/log.txt", b"begun")
    path = storage.local_path("folds/0/log.txt")
    if location.startswith("s3://"):
        assert (path, storage.local_path()) == (None, None)
    else:
        assert path is not None
        assert (path.read_bytes(), storage.local_path()) == (b"begun", Path(location))
        with pytest.raises(ValueError, match="does not name a file below"):
            storage.local_path("../beside")


@pytest.mark.parametrize("prefix", ["../", "../beside", "a/../../beside/", "/etc/"])
def test_a_listing_does_not_leave_the_root(storage: Storage, location: str, prefix: str) -> None:
    open_storage(f"{location.removesuffix('/root')}/beside").write("a", b"1")
    storage.write("a/b", b"1")
    with pytest.raises(ValueError, match="does not name a file below"):
        list(storage.list(prefix))


@pytest.mark.parametrize(
    ("failing", "key", "data"),
    [
        (LocalStorage.write, "folder", b"1"),
        (LocalStorage.write, "file", "no bytes"),
        (LocalStorage.create, "file", "no bytes"),
    ],
)
def test_local_a_failed_write_leaves_no_file_behind(
    tmp_path: Path, failing: Callable[..., object], key: str, data: object
) -> None:
    storage = LocalStorage(tmp_path)
    storage.write("folder/a", b"1")
    with pytest.raises((OSError, TypeError)):
        failing(storage, key, data)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "folder"]


def test_local_what_a_killed_writer_left_is_not_listed(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.write("a/b", b"1")
    (tmp_path / "a" / ".partial-x7").write_bytes(b"half")
    assert keys(storage) == ["a/b"]


def test_local_files_get_the_permissions_of_any_other_file(tmp_path: Path) -> None:
    LocalStorage(tmp_path).write("a", b"1")
    (tmp_path / "b").write_bytes(b"1")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_local_arrays_are_found_below_a_root_with_dots(tmp_path: Path) -> None:
    """As a study file may say; TensorStore refuses such a path."""
    (tmp_path / "study").mkdir()
    location = LocalStorage(tmp_path / "study/../store").array_location("image")
    ts.KvStore.open(location).result().write("a", b"1").result()
    assert (tmp_path / "store/image/a").read_bytes() == b"1"


def test_local_linked_folders_are_listed_and_dangling_links_are_not(tmp_path: Path) -> None:
    LocalStorage(tmp_path / "elsewhere").write("exam/t1.nii", b"1")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "dangling").symlink_to(tmp_path / "gone")
    assert keys(LocalStorage(tmp_path / "root")) == ["linked/exam/t1.nii"]


def test_local_links_back_to_where_they_lie_are_not_followed(tmp_path: Path) -> None:
    for folder, other in (("a", "b"), ("b", "a")):
        LocalStorage(tmp_path).write(f"root/{folder}/file", b"1")
        (tmp_path / "root" / folder / "other").symlink_to(tmp_path / "root" / other)
    (tmp_path / "root" / "itself").symlink_to("itself")
    assert keys(LocalStorage(tmp_path / "root")) == [
        "a/file",
        "a/other/file",
        "b/file",
        "b/other/file",
    ]
    LocalStorage(tmp_path).write("up/a/file", b"1")
    (tmp_path / "up" / "a" / "back").symlink_to(tmp_path / "up")
    assert keys(LocalStorage(tmp_path / "up")) == ["a/file"]


def test_local_a_file_that_is_replaced_by_a_copy_with_its_size_and_time_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    status = (tmp_path / "a").stat()
    before = [item.fingerprint for item in LocalStorage(tmp_path).list()]
    threading.Event().wait(0.05)  # file systems keep times in ticks of some milliseconds
    (tmp_path / "a").write_bytes(b"2")
    os.utime(tmp_path / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (tmp_path / "a").stat().st_mtime_ns == status.st_mtime_ns
    assert [item.fingerprint for item in LocalStorage(tmp_path).list()] != before


def test_local_a_full_disk_is_an_error_with_the_name_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        LocalStorage(tmp_path).write("a", b"1")
    assert error.value.filename == str(tmp_path / "a")


def test_local_a_folder_that_cannot_be_read_is_an_error_and_no_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStorage(tmp_path)
    storage.write("open/a", b"1")
    storage.write("closed/b", b"1")
    scandir = os.scandir

    def refuse(path: str) -> object:  # as the system does, but also for root
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="closed"):
        keys(storage)
    assert keys(storage, "open/") == ["open/a"]


def test_a_location_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(
        StudyError, match="ftp:// locations cannot be opened; use a local folder or s3://bucket"
    ):
        open_storage("ftp://host/folder")


def test_checkpoints_are_tagged_so_that_the_bucket_can_forget_them(s3_bucket: str) -> None:
    storage = S3Storage(f"{s3_bucket}/{uuid4().hex}")
    storage.write(f"{layout.checkpoints(3)}/7-abc.pt", b"state")
    storage.write(layout.result(3), b"{}")
    client, prefix = boto3.client("s3"), storage.url.removeprefix(f"s3://{storage.bucket}/")

    def tags(key: str) -> list[object]:
        return list(client.get_object_tagging(Bucket=storage.bucket, Key=f"{prefix}/{key}")["TagSet"])

    assert tags(f"{layout.checkpoints(3)}/7-abc.pt") == [{"Key": "kind", "Value": "checkpoint"}]
    assert tags(layout.result(3)) == []
