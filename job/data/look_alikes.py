"""Files whose names differ from an expected one by case, blanks, a number or the ending only."""

import re
from collections import defaultdict
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from job.data.patterns import folded

_ENDING = re.compile(r"\.nii(?:\.gz)?$")
_BETWEEN = re.compile(r"(\[[^\]]*\])|[\s_\-.]+")
"""Brackets of a pattern, which stay, or what sets words apart."""
_NUMBER = re.compile(r"(?:(?<=[^\W\d_]{2})|(?<=.)[\s_\-.]*[\s_\-.(])\d+\)?$")
"""A number at the end that is set apart, or behind a word: `adc_2`, `ADC (1)`, `adc2`; not that of `t1`."""


class LookAlikes:
    """Files that no pattern found, by the folder that they lie in."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._by_folder: dict[str, list[str]] = defaultdict(list)
        for key in keys:
            self._by_folder[str(PurePosixPath(folded(key)).parent)].append(key)

    def of(self, path: str) -> str | None:
        """The file that may be meant by a path in which `*`, `?` and `[..]` stand for other letters."""
        expected = PurePosixPath(folded(path))
        if expected.name.strip("*.nigz") == "":  # anything at all
            return None
        folder = str(expected.parent)
        folders = [own for own in self._by_folder if fnmatchcase(own, folder)] if "*" in folder else [folder]
        found = [
            key
            for own in folders
            for key in self._by_folder.get(own, ())
            if _alike(PurePosixPath(folded(key)).name, expected.name)
        ]
        return min(found, default=None)


def without_ending(name: str) -> str:
    """A name, as it is compared, without `.nii` or `.nii.gz`."""
    return _ENDING.sub("", name)


def _alike(name: str, expected: str) -> bool:
    plain = without_ending(name)
    forms = (_joined(plain), _joined(_NUMBER.sub("", plain)))
    return any(fnmatchcase(form, _joined(without_ending(expected))) for form in forms)


def _joined(name: str) -> str:
    """A name, or a pattern of one, without blanks and the like."""
    return _BETWEEN.sub(lambda match: match[1] or "", name)
