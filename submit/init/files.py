"""The files of a folder, as far as their names tell."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from job.data.patterns import composed, is_utf8, printable
from job.storage import StoredObject
from submit.wording import counted

_NIFTI = re.compile(r"(?P<stem>.+?)(?P<ending>\.nii(?:\.gz)?)", re.IGNORECASE)
_WITH_3D_SLICER = "read them with 3D Slicer or SimpleITK and save them as .nii.gz"
CONVERSIONS: Mapping[str, str] = {
    ".dcm": "convert each series with dcm2niix",
    ".ima": "convert each series with dcm2niix",
    ".hdr": "join .hdr and .img, e.g. with `fslchfiletype NIFTI_GZ` or nibabel's load and save",
    ".img": "join .hdr and .img, e.g. with `fslchfiletype NIFTI_GZ` or nibabel's load and save",
    **dict.fromkeys((".mha", ".mhd", ".nrrd", ".nhdr", ".seg.nrrd"), _WITH_3D_SLICER),
    **dict.fromkeys((".mgz", ".mgh"), "convert them with `mri_convert` or nibabel's `nib-convert`"),
    ".mnc": "convert them with `mnc2nii`",
    ".npy": "save the arrays with nibabel, with the affine of their image",
    ".zip": "unpack them",
    ".tar": "unpack them",
    ".tgz": "unpack them",
    ".bz2": "unpack them, and compress with gzip instead",
}
"""How images become NIfTI files, by the ending that they have."""
EXAMPLES = 3
"""Paths that a message names."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """A NIfTI file by its name."""

    key: str
    """As the storage has it."""
    components: tuple[str, ...]
    """Folders, then the file's name without its ending; in Unicode's form NFC."""
    ending: str
    """`.nii` or `.nii.gz`, in the case in which it is written."""
    size_bytes: int

    @property
    def stem(self) -> str:
        """The file's name without its ending."""
        return self.components[-1]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What lies below a folder."""

    images: tuple[Image, ...]
    """In the order of their keys."""
    others: tuple[str, ...]
    """Keys of other files."""
    dead: tuple[str, ...]
    """Links that lead to nothing."""
    not_utf8: tuple[str, ...]
    """Files whose names are no text."""
    twice: tuple[str, ...] = ()
    """Files that are there packed too (.nii beside .nii.gz), which are not looked at."""

    def endings(self) -> Mapping[str, list[str]]:
        """Files that are no NIfTI, by their ending in lower case; the most frequent first."""
        found: dict[str, list[str]] = {}
        for key in self.others:
            found.setdefault(ending_of(key), []).append(key)
        return dict(sorted(found.items(), key=lambda each: (-len(each[1]), each[0])))

    def convertible(self) -> Mapping[str, list[str]]:
        """Images of other kinds, by ending."""
        return {ending: keys for ending, keys in self.endings().items() if ending in CONVERSIONS}


def listing_of(objects: Iterable[StoredObject], dead: Sequence[str] = ()) -> Listing:
    """The files of a folder by kind; hidden ones, and what macOS leaves in archives, are not looked at."""
    images: list[Image] = []
    others, not_utf8 = [], []
    for item in objects:
        parts = PurePosixPath(item.key).parts
        if any(part.startswith((".", "__MACOSX")) for part in parts):
            continue
        if not is_utf8(item.key):
            not_utf8.append(item.key)
        elif match := _NIFTI.fullmatch(parts[-1]):
            components = tuple(composed(part) for part in (*parts[:-1], match["stem"]))
            images.append(
                Image(key=item.key, components=components, ending=match["ending"], size_bytes=item.size_bytes)
            )
        else:
            others.append(item.key)
    shown = [key for key in dead if not any(part.startswith(".") for part in PurePosixPath(key).parts)]
    packed = {image.components for image in images if image.ending.lower() == ".nii.gz"}
    twice = [image for image in images if image.ending.lower() == ".nii" and image.components in packed]
    return Listing(
        images=tuple(image for image in images if image not in twice),
        others=tuple(others),
        dead=tuple(shown),
        not_utf8=tuple(not_utf8),
        twice=tuple(image.key for image in twice),
    )


def ending_of(key: str) -> str:
    """The ending of a file in lower case; empty if it has none."""
    name = PurePosixPath(key).name.lower()
    if name.endswith(".seg.nrrd"):
        return ".seg.nrrd"
    return PurePosixPath(name).suffix


def in_words(listing: Listing) -> str:
    """What lies in a folder, for a message: counts by ending, and the first paths."""
    counts = [f"{len(listing.images)} .nii/.nii.gz"] if listing.images else []
    counts += [f"{len(keys)} {ending or 'without ending'}" for ending, keys in listing.endings().items()]
    files = len(listing.images) + len(listing.others)
    if not files:
        links = (
            f", and {counted(len(listing.dead), 'link')} to files that are not there" if listing.dead else ""
        )
        return f"no file{links}"
    shown = [image.key for image in listing.images[:EXAMPLES]] or list(listing.others[:EXAMPLES])
    more = " ..." if files > len(shown) else ""
    return f"{counted(files, 'file')} ({', '.join(counts[:5])}), e.g. {some(shown)}{more}"


def some(keys: Sequence[str], most: int = EXAMPLES) -> str:
    """The first few names, and how many there are beside them."""
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(printable(key) for key in keys[:most]) + more


def conversion(listing: Listing) -> str:
    """How files of other kinds become NIfTI; empty if there are none."""
    by_remedy: dict[str, list[str]] = {}
    for ending in listing.convertible():
        by_remedy.setdefault(CONVERSIONS[ending], []).append(ending)
    return "; ".join(f"{', '.join(endings)}: {remedy}" for remedy, endings in by_remedy.items())
