"""From a file's bytes to those of a single-file NIfTI; whatever else they are is called by its name."""

import zlib
from dataclasses import dataclass

from job.contract.errors import DataError, Problem

NIFTI1_BYTES = 348
NIFTI2_BYTES = 540
GZIP = b"\x1f\x8b"
SMALLEST_MEMBER = 20
"""Bytes of a gzip file of nothing."""
WINDOW = 2**16
"""Bytes that are decompressed at a time after the first member, which is nearly always the only one: what a member
leaves of them is copied, and files of thousands exist."""

_SAVE_AS = "save it as .nii.gz"
_PICTURE = "use the volume that it was made from"
_DECODE = "; a file's name does not change what it holds"


@dataclass(frozen=True, kw_only=True)
class _Kind:
    name: str
    remedy: str
    start: bytes
    offset: int = 0


_KINDS = (
    _Kind(
        name="a pointer of git LFS, not the file itself",
        remedy="fetch the contents with `git lfs pull`",
        start=b"version https://git-lfs",
    ),
    _Kind(
        name="a zip archive",
        remedy="unpack it (`unzip`) and use the .nii or .nii.gz inside",
        start=b"PK\x03\x04",
    ),
    _Kind(
        name="a 7z archive",
        remedy="unpack it and use the .nii or .nii.gz inside",
        start=b"7z\xbc\xaf\x27\x1c",
    ),
    _Kind(name="a rar archive", remedy="unpack it and use the .nii or .nii.gz inside", start=b"Rar!"),
    _Kind(name="a .gz file inside another", remedy="unpack it once (`gunzip`)", start=GZIP),
    _Kind(name="a bzip2 file", remedy="unpack it (`bunzip2`) and compress it with gzip", start=b"BZh"),
    _Kind(name="an xz file", remedy="unpack it (`unxz`) and compress it with gzip", start=b"\xfd7zXZ\x00"),
    _Kind(
        name="a zstd file", remedy="unpack it (`unzstd`) and compress it with gzip", start=b"\x28\xb5\x2f\xfd"
    ),
    _Kind(
        name="a tar archive",
        remedy="unpack it and use the .nii or .nii.gz inside",
        start=b"ustar",
        offset=257,
    ),
    _Kind(
        name="an NRRD file",
        remedy=f"read it with 3D Slicer or SimpleITK and {_SAVE_AS}{_DECODE}",
        start=b"NRRD",
    ),
    _Kind(
        name="a DICOM file",
        remedy=f"convert the series with dcm2niix{_DECODE}",
        start=b"DICM",
        offset=128,
    ),
    _Kind(
        name="an MGH file of FreeSurfer",
        remedy=f"convert it with `mri_convert` or nibabel's `nib-convert`{_DECODE}",
        start=b"\x00\x00\x00\x01\x00",
    ),
    _Kind(
        name="a MetaImage header (.mha or .mhd)",
        remedy=f"read it with 3D Slicer or SimpleITK and {_SAVE_AS}{_DECODE}",
        start=b"ObjectType",
    ),
    _Kind(
        name="an HDF5 or MINC file",
        remedy=f"convert it with `mnc2nii` or its own reader and {_SAVE_AS}{_DECODE}",
        start=b"\x89HDF",
    ),
    _Kind(name="a MINC file", remedy=f"convert it with `mnc2nii`{_DECODE}", start=b"CDF"),
    _Kind(name="a MATLAB file", remedy="write the array with `niftiwrite`", start=b"MATLAB"),
    _Kind(
        name="a numpy array", remedy="save it with nibabel, with the affine of its image", start=b"\x93NUMPY"
    ),
    _Kind(name="a TIFF file", remedy=_PICTURE, start=b"II*\x00"),
    _Kind(name="a TIFF file", remedy=_PICTURE, start=b"MM\x00*"),
    _Kind(name="a TIFF file", remedy=_PICTURE, start=b"II+\x00"),
    _Kind(name="a GIF picture", remedy=_PICTURE, start=b"GIF8"),
    _Kind(name="a PNG picture", remedy=_PICTURE, start=b"\x89PNG"),
    _Kind(name="a JPEG picture", remedy=_PICTURE, start=b"\xff\xd8\xff"),
    _Kind(name="a PDF file", remedy="use the volume itself", start=b"%PDF"),
)
_ANNEX = (b"annex/objects/", b"git/annex/objects/")
"""What a pointer or a link of git-annex says, after the dots and slashes of its path."""
_PAGE = (b"<!doctype", b"<html")
_IN_TEXT = bytes({*b"\t\n\r", *range(32, 127), *range(128, 256)})
"""Bytes of texts, also of those with accents."""


def unpacked(data: bytes, name: str) -> tuple[bytes, tuple[Problem, ...]]:
    """The bytes of a NIfTI file, decompressed if it is a .nii.gz; and what was odd about the compression.

    Args:
        data: The file's contents.
        name: The file's key, for errors.

    Raises:
        DataError: It is empty, damaged or of another kind, which is named.
    """
    warnings: tuple[Problem, ...] = ()
    if data[:2] == GZIP:
        data, trailing = _decompressed(data, name)
        if trailing:
            warnings = (
                Problem(
                    file=name,
                    found=f"{trailing} bytes after the end of the compressed data",
                    expected="nothing after it",
                    remedy="nothing needs to be done if the file was padded in a transfer: the volume is whole, and "
                    "its checksum fits",
                    cause="bytes after the end of a .gz file",
                ),
            )
    if data[:1] in (b"", b"\x00") and data.count(0) == len(data):
        what = "an empty file" if not data else "a file of nothing but zeros"
        raise _of_kind(name, what, "copy or export it again")
    require_nifti(data, name)
    return data, warnings


def require_nifti(data: bytes, name: str) -> None:
    """Refuses what is no single-file NIfTI by the name of what it is.

    Raises:
        DataError: Says which kind of file was found.
    """
    for kind in _KINDS:
        if data[kind.offset : kind.offset + len(kind.start)] == kind.start:
            raise _of_kind(name, kind.name, kind.remedy)
    if data[:200].lstrip(b"./").startswith(_ANNEX):
        pointer = "a pointer of git-annex, not the file itself"
        raise _of_kind(name, pointer, "fetch the contents with `git annex get` or `datalad get`")
    if not data[:200].translate(None, _IN_TEXT):
        page = data[:200].lstrip().lower().startswith(_PAGE)
        raise _of_kind(
            name,
            "a web page or other text" if page else "a text file",
            "download or export it again: a server may have sent a message instead of the file",
        )
    _require_header(data, name)


def _require_header(data: bytes, name: str) -> None:
    """Refuses what does not begin as a single-file NIfTI."""
    size = {data[:4], data[:4][::-1]}
    one, two = (number.to_bytes(4, "little") in size for number in (NIFTI1_BYTES, NIFTI2_BYTES))
    magic = data[344:348] if one else data[4:8]
    if (one or two) and magic in (b"ni1\x00", b"ni2\x00"):
        raise _of_kind(
            name,
            "the header of a .hdr/.img pair",
            "join the pair into one file, e.g. `fslchfiletype NIFTI_GZ`, or nibabel's load and save",
        )
    if two and magic and magic != b"n+2\x00":
        raise damaged(name, f"a NIfTI-2 header whose magic is {magic!r}")
    if one and len(data) >= NIFTI1_BYTES and magic != b"n+1\x00":
        raise _of_kind(
            name,
            "an ANALYZE 7.5 header, which has no orientation",
            "convert the .hdr/.img pair to .nii.gz with the tool that wrote it, and check left and right",
        )
    if one or two:
        return
    start = " ".join(f"{byte:02x}" for byte in data[:4])
    if data[344:348] == b"n+1\x00" or data[4:8] == b"n+2\x00":
        raise damaged(name, f"a header that begins with {start}")
    raise DataError.of(
        file=name,
        found=f"no NIfTI file: it begins with {start}",
        expected="a NIfTI file (.nii or .nii.gz)",
        remedy=f"convert it with the tool that wrote it{_DECODE}",
        cause="kind: unknown",
    )


def _of_kind(name: str, kind: str, remedy: str) -> DataError:
    return DataError.of(
        file=name, found=kind, expected="a NIfTI file (.nii or .nii.gz)", remedy=remedy, cause=f"kind: {kind}"
    )


def _decompressed(data: bytes, name: str) -> tuple[bytes, int]:
    """The contents of a gzip file of one or several members, and the bytes after the last, zeros not counted.

    As `gzip -d`, which warns of trailing bytes and ignores them. Each member's checksum is held against it.
    """
    parts, start, window = [], 0, len(data)
    compressed = memoryview(data)
    try:
        while compressed[start : start + 2] == GZIP and len(data) - start >= SMALLEST_MEMBER:
            stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            while not stream.eof:
                some = compressed[start : start + window]
                if not some:
                    raise EOFError("the compressed data end too early")
                parts.append(stream.decompress(some))
                start += len(some) - len(stream.unused_data)
            window = WINDOW
    except (EOFError, zlib.error) as error:
        raise damaged(name, error) from None
    if not parts:
        raise damaged(name, f"{len(data)} bytes are no whole gzip file")
    return b"".join(parts), len(data[start:].rstrip(b"\x00"))


def damaged(name: str, error: object) -> DataError:
    """The error of a file that was a NIfTI file once."""
    return DataError.of(
        file=name,
        found=f"a damaged file ({error})",
        expected="a complete NIfTI file",
        remedy="copy or export it again",
    )
