"""What is no NIfTI file is called by its name, and what is compressed is whole or damaged."""

import gzip
import time
import zlib

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.contract.errors import DataError
from job.data.file_kinds import unpacked
from tests.fuzzing import fuzzed

DATA = np.random.default_rng(0).integers(0, 9, (9, 8, 7)).astype(np.int16)
SOUND: bytes = nib.Nifti1Image(DATA, np.eye(4)).to_bytes()


def refused(data: bytes) -> str:
    with pytest.raises(DataError) as error:
        unpacked(data, "p1/t1.nii.gz")
    (problem,) = error.value.problems
    assert problem.file == "p1/t1.nii.gz"
    assert problem.remedy
    return problem.found


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of git LFS, not the file itself"),
        (b"/annex/objects/SHA256E-s1--x.nii.gz\n", "a pointer of git-annex, not the file itself"),
        (b"../.git/annex/objects/x", "a pointer of git-annex, not the file itself"),
        (b"../../../.git/annex/objects/x", "a pointer of git-annex, not the file itself"),
        (b"PK\x03\x04", "a zip archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"BZh91AY", "a bzip2 file"),
        (b"\xfd7zXZ\x00", "an xz file"),
        (b"\x28\xb5\x2f\xfd", "a zstd file"),
        (bytes(257) + b"ustar", "a tar archive"),
        (b"NRRD0004\n", "an NRRD file"),
        (bytes(128) + b"DICM", "a DICOM file"),
        (b"\x00\x00\x00\x01\x00\x00\x01\x00", "an MGH file of FreeSurfer"),
        (b"ObjectType = Image\nNDims = 3\n", "a MetaImage header (.mha or .mhd)"),
        (b"\x89HDF\r\n", "an HDF5 or MINC file"),
        (b"CDF\x01", "a MINC file"),
        (b"MATLAB 5.0 MAT-file", "a MATLAB file"),
        (b"\x93NUMPY\x01\x00", "a numpy array"),
        (b"\x89PNG\r\n", "a PNG picture"),
        (b"\xff\xd8\xff\xe0", "a JPEG picture"),
        (b"GIF89a", "a GIF picture"),
        (b"II*\x00\x08\x00\x00\x00", "a TIFF file"),
        (b"MM\x00*\x00\x00\x00\x08", "a TIFF file"),
        (b"II+\x00\x08\x00\x00\x00", "a TIFF file"),
        (b"%PDF-1.4", "a PDF file"),
        (b"  <!DOCTYPE html>", "a web page or other text"),
        (b"<html>", "a web page or other text"),
        (b'<?xml version="1.0"?>', "a text file"),
        (b'{"error": "not found"}', "a text file"),
        ("Zugriff verweigert für Frau Müller\r\n".encode("latin-1"), "a text file"),
        (b"\x07\x00\x00\x00\x5c\x01", "no NIfTI file: it begins with 07 00 00 00"),
    ],
)
def test_other_files_are_called_by_their_names(start: bytes, kind: str) -> None:
    data = start + b"x" * 400
    assert refused(data) == kind
    assert refused(gzip.compress(data)) == kind


def test_nothing_is_called_nothing() -> None:
    assert refused(b"") == refused(gzip.compress(b"")) == "an empty file"
    assert refused(bytes(9)) == refused(gzip.compress(bytes(10**6))) == "a file of nothing but zeros"


def test_a_pair_and_an_analyze_header_are_told_apart() -> None:
    pair = SOUND[:344] + b"ni1\x00"
    assert refused(pair) == "the header of a .hdr/.img pair"
    assert refused(SOUND[:344] + bytes(4)) == "an ANALYZE 7.5 header, which has no orientation"
    two = nib.Nifti2Image(DATA, np.eye(4)).to_bytes()
    assert refused(two[:4] + b"ni2\x00" + two[8:]) == "the header of a .hdr/.img pair"
    assert refused(two[:4] + b"x\x00\x00\x00" + two[8:]).startswith(
        "a damaged file (a NIfTI-2 header whose magic is"
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_a_header_is_damaged_only_where_its_magic_is_one(kind: type[nib.Nifti1Image], order: str) -> None:
    """Of which the size, 348 or 540, is the first number."""
    sound = kind(DATA, np.eye(4), kind.header_class(endianness=order)).to_bytes()
    assert unpacked(sound, "f") == (sound, ())
    assert (
        refused(b"\x00\x01\x02\x03" + sound[4:]) == "a damaged file (a header that begins with 00 01 02 03)"
    )
    other = sound[4:].replace(b"n+", b"..", 1)
    assert refused(b"\x00\x01\x02\x03" + other) == "no NIfTI file: it begins with 00 01 02 03"


def test_what_was_compressed_twice_is_said_to_be() -> None:
    assert refused(gzip.compress(gzip.compress(SOUND))) == "a .gz file inside another"


def test_a_file_of_several_members_is_one() -> None:
    members = b"".join(gzip.compress(SOUND[start : start + 100]) for start in range(0, len(SOUND), 100))
    assert unpacked(members, "f") == (SOUND, ())
    assert refused(members[:-1]).startswith("a damaged file (the compressed data end too early")


def test_a_file_of_thousands_of_members_takes_no_more_than_seconds() -> None:
    """As bgzip writes; a member that copied all that follows would take minutes."""
    noise = np.random.default_rng(0).bytes(2**14)
    members = gzip.compress(SOUND) + gzip.compress(noise, 1) * 5000
    started = time.monotonic()
    contents, warnings = unpacked(members, "f")
    assert time.monotonic() - started < 20
    assert (len(contents), warnings) == (len(SOUND) + 5000 * len(noise), ())


@pytest.mark.parametrize(
    ("tail", "counted"), [(b"\r\n", 2), (b"more" + bytes(9), 4), (b"\x1f\x8b", 2), (b"x" * 10**5, 10**5)]
)
def test_bytes_after_the_end_are_counted_and_zeros_are_padding(tail: bytes, counted: int) -> None:
    contents, (warning,) = unpacked(gzip.compress(SOUND) + tail, "f")
    assert contents == SOUND
    assert warning.found == f"{counted} bytes after the end of the compressed data"
    assert unpacked(gzip.compress(SOUND) + bytes(512), "f") == (SOUND, ())


@fuzzed(300)
@given(
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 255)), max_size=3),
    kept=st.just(1.0) | st.floats(0, 1),
)
def test_a_changed_gzip_file_is_the_same_or_damaged(changes: list[tuple[int, int]], kept: float) -> None:
    """Its checksum is held against it: nothing else is ever read from it."""
    whole = gzip.compress(SOUND, mtime=0)
    data = bytearray(whole)
    for position, difference in changes:
        data[position % len(data)] ^= difference
    data = data[: round(kept * len(data))]
    try:
        contents, _ = unpacked(bytes(data), "f")
    except DataError:
        return
    assert contents == SOUND or data[:2] != whole[:2]  # not taken for a gzip file then


def test_zlib_itself_checks_what_it_reads() -> None:
    """What the reading of members relies on."""
    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    data = bytearray(gzip.compress(SOUND))
    data[-8] ^= 1
    with pytest.raises(zlib.error, match="incorrect data check"):
        stream.decompress(bytes(data))
