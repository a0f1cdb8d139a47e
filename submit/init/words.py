"""What the words in the names of files and folders say."""

import re
from functools import lru_cache
from typing import Literal

from job.data.visits import VISIT

Kind = Literal["channel", "labels", "mask", "mask or labels", "prediction"]
"""What a name says that a file is; `mask or labels`: a bare "mask", which groups use for both."""

LABELS: tuple[Kind, ...] = ("labels", "mask or labels")
"""Kinds of files that may be labels."""
WORD = re.compile(r"[^_\-. /]+")
"""A word of a name, between underscores, dashes, dots and spaces."""
WORD_OR_DATE = re.compile(r"(?<![^_\-. ])(?:19|20)\d\d[-._][01]\d[-._][0-3]\d(?![^_\-. ])|[^_\-. /]+")
"""A word, or a date with separators of its own."""
ENTITY = re.compile(r"(?<![^_])(?:run|acq|ce|desc|dir|echo|hemi|label|mod|rec|res|space)-[^_]+")
"""A part of a BIDS name that says what a file is, not whose."""
_CAMEL = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")

_CHANNEL = re.compile(
    r"t[12](?:[a-z]\w{0,7})?|flair\w{0,3}|pdw?|adc\w{0,3}|dwi\w{0,3}|b\d{1,4}|swi|swan|qsm|mprage|mp2rage|vibe|stir|tirm"
    r"|tse|fse|dce|dsc|asl|ktrans|kep|r?cb[vf]|mtt|ttp|tmax|[tr][12]star|[tr][12]map|ct|cect|ncct|cta|pet|suv|mra|tof"
    r"|fa|md|ve|vp|mri?|imagest[rs]|images?|img|scan|anat|cbct|(?:rt)?dose\w{0,4}|rtd"
)
_GENERIC_LABEL = re.compile(
    r"labels?(?:t[rs]|map|maps)?|lbls?|segs?|segm|d?seg|gt|truths?|ground|groundtruths?|annot(?:ation)?s?|rois?|contours?"
    r"|delineations?|manual|consensus|segmentations?|rtstruct|structures?"
)
_NAMED_LABEL = re.compile(
    r"\w*lesions?\w*|\w*tumou?rs?\w*|o?edema|necrosis|infarct\w*|metastas[ie]s|wmh|\w*segmentations?"
    r"|(?:gtv|ctv|ptv|itv)\w*|\w*seg|\w*labels?"
)
_REGION = re.compile(
    r"(?:brain|body|head|skull|skin|foreground|fov)(?:_?mask)?|external|bet|brainextraction|bodycontour|outline"
)
_MASK = re.compile(r"masks?(?:t[rs])?")
_PREDICTION = re.compile(
    r"pred(?:s|ict(?:ed|ions?))?|prob(?:s|seg|abilit(?:y|ies))?|softmax|logits|uncertainty"
)
_RATER = re.compile(
    r"(?:raters?|readers?|observers?|experts?|annotators?|manual|consensus|obs)\d*", re.IGNORECASE
)
_COPY = re.compile(
    r"^(?:copy|kopie|copie)(?: ?\(\d+\))? (?:of|von|de) |[-_ ](?:copy|kopie|copie)(?: ?\(?\d+\)?)?$| \(\d+\)$|~$|^~",
    re.IGNORECASE,
)
_DOSE = re.compile(r"(?:rt)?dose\w{0,4}|rtd")
_COMPUTED = re.compile(r"ct|cect|ncct|cbct|cta|pet|pt|suv\w*")
"""Words of tomography without magnets."""
_REGIONS = frozenset({"WT", "TC", "ET", "ED", "CE", "NE", "NET", "NCR", "NEC", "LN"})
"""Capitals that name a part of a tumour, and nobody."""
_MAP = re.compile(
    r"adc\w*|ktrans|kep|ve|vp|[tr][12](?:star)?_?map|[tr][12]star|r?cb[vf]|mtt|ttp|tmax|fa|md|suv\w*|ct|cect|ncct|qsm"
)

NUMBERED = frozenset({"", "class", "compartment", "organ", "region", "structure", "tissue", "value", "zone"})
"""Words behind which classes are numbered."""
VERSIONS: tuple[frozenset[str], ...] = (
    frozenset({"normalised", "normalized", "norm", "normalisation", "normalization", "normali[sz]ation"}),
    frozenset({"preproc", "preprocessed", "processed"}),
    frozenset({"registered", "reg", "coreg", "coregistered", "aligned", "resampled", "resample", "warped"}),
    frozenset({"n4", "biascorr", "bfc", "corrected", "denoised"}),
    frozenset({"bet", "brain", "stripped", "skullstripped", "ss"}),
    frozenset({""}),
    frozenset({"raw", "orig", "original", "native", "unprocessed", "source"}),
)
"""Words for what was done to an image, the version that is the furthest along first; empty: no such word."""


@lru_cache(maxsize=2**16)
def words_of(text: str) -> frozenset[str]:
    """The words of a name in lower case, also those that only capitals set apart."""
    plain = WORD.findall(text)
    camel = [
        part for word in plain for part in _CAMEL.findall(word) if not part.isdecimal() and len(part) > 1
    ]
    return frozenset(word.lower() for word in (*plain, *camel))


@lru_cache(maxsize=2**16)
def kind_of(words: frozenset[str]) -> Kind | None:
    """What a file is by the words of its name; None if they do not say."""

    def has(expression: re.Pattern[str]) -> bool:
        return any(expression.fullmatch(word) for word in words)

    if has(_PREDICTION):
        return "prediction"
    if has(_REGION) and (has(_MASK) or not (has(_CHANNEL) or has(_GENERIC_LABEL) or has(_NAMED_LABEL))):
        return "labels" if has(_NAMED_LABEL) else "mask"
    if has(_NAMED_LABEL) or has(_GENERIC_LABEL):
        return "labels"
    if has(_MASK):
        return "mask or labels"
    return "channel" if has(_CHANNEL) else None


def is_region(name: str) -> bool:
    """Whether a name is that of a body or brain and of nothing else: `BODY`, `External`, `brain_mask`."""
    words = [word.lower() for word in WORD.findall(name)]
    outlines = [word for word in words if _REGION.fullmatch(word)]
    return bool(outlines) and all(word in outlines or _MASK.fullmatch(word) for word in words)


@lru_cache(maxsize=2**16)
def standing(name: str) -> re.Pattern[str]:
    """A name where it stands between separators."""
    return re.compile(rf"(?<![^_\-. ]){re.escape(name)}(?![^_\-. ])")


def is_kind_word(word: str) -> bool:
    """Whether a word says what a file is, or what was done to it, and not whose it is."""
    if VISIT.fullmatch(word):
        return False
    return kind_of(words_of(word)) is not None or is_rater(word) or version_rank(word) is not None


def is_channel_word(word: str) -> bool:
    """Whether a word names an MRI contrast or a parameter map."""
    return _CHANNEL.fullmatch(word.lower()) is not None


def is_generic_label(text: str) -> bool:
    """Whether a name says that there are labels, and not of what."""
    words = WORD.findall(text.lower())
    return all(_GENERIC_LABEL.fullmatch(w) or _MASK.fullmatch(w) or w.isdecimal() for w in words)


def is_telling(word: str) -> bool:
    """Whether a word says what an image shows, so that it belongs to a channel's or class's name."""
    word = word.lower()
    if _GENERIC_LABEL.fullmatch(word):
        return False
    kinds = (_CHANNEL, _NAMED_LABEL, _REGION)
    return any(kind.fullmatch(word) for kind in kinds) and word not in ("mr", "mri", "image", "img", "scan")


def is_rater(word: str) -> bool:
    """Whether a word names one of several people who drew the same structures, or all of them."""
    return _RATER.fullmatch(word) is not None


def is_copy(name: str) -> bool:
    """Whether a file's name says that it is a copy, a backup, or a program's own."""
    return _COPY.search(name) is not None


def unnumbered(text: str) -> str:
    """The name of a structure without the number of its part, `GTVn` of `GTVn2`; `label_2` is another class."""
    stem = re.sub(r"[_\-. ]?\d+$", "", text)
    return text if is_generic_label(stem) or stem.lower() in NUMBERED else stem


def unlettered(text: str) -> str:
    """The name of a structure without the letter, initials or number of who drew it: `lesion` of `lesion_A`."""
    initials = re.search(r"[_\-. ]([A-Z]{2,3})$", text)
    if initials is not None and initials[1] not in _REGIONS:
        return text[: initials.start()] or text
    return re.sub(r"[_\-. ][A-Za-z]$|[_\-. ]?\d+$", "", text) or text


def is_parameter_map(name: str) -> bool:
    """Whether a channel's name is that of a map in a unit of its own."""
    return any(_MAP.fullmatch(word) for word in (name.lower(), *words_of(name)))


def modality(name: str) -> Literal["dose", "CT or PET", "MRI"] | None:
    """What a channel is by its name; None if that does not say."""
    words = words_of(name)
    if any(_DOSE.fullmatch(word) for word in words):
        return "dose"
    if any(_COMPUTED.fullmatch(word) for word in words):
        return "CT or PET"
    return "MRI" if any(is_telling(word) and is_channel_word(word) for word in words) else None


def version_rank(word: str) -> int | None:
    """Place of a word among `VERSIONS`; None: it says nothing of what was done to an image."""
    return next((rank for rank, words in enumerate(VERSIONS) if word.lower() in words), None)
