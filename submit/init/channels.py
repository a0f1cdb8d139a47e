"""The channels of a cohort: their pattern, their names and their order."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from job.contract.errors import DataError
from job.data.visits import VISIT
from submit.init.examples import Example
from submit.init.files import some
from submit.init.joining import ending_of, largest_joined
from submit.init.metadata import Described
from submit.init.parts import Parts
from submit.init.pieces import Piece, Use, names_of
from submit.init.reading import Role
from submit.init.templates import in_order, readable
from submit.init.words import WORD, is_parameter_map, modality
from submit.wording import counted

CHANNEL = "{channel}"
OF_CONTRAST = frozenset(
    {
        "pre",
        "mid",
        "post",
        "early",
        "late",
        "first",
        "second",
        "third",
        "initial",
        "init",
        "final",
        "last",
        "before",
    }
    | {"after"}
)
"""Words of visits that may be said of an image's time after the contrast agent."""
ROUND = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 15)
"""First digits of round numbers."""
MAPS = (
    "A parameter map has one unit in all exams, which z-scores lose: for those below that are maps, take "
    'normalisation = "fixed" with a range that holds all that occurs; the round one that is given holds 99 % of the '
    "files that were opened, three at most."
)


def channels_of(parts: Parts, described: Described) -> Piece:
    """The channels in the order of their volumes or numbers, else of their names.

    Raises:
        DataError: No two channels have one pattern.
    """
    known, series, texts = described.channels, parts.series, list[str]()
    if series is not None:
        pattern, roles = f"{series.text}{ending_of([series])}", [series]
        names = names_of(known.get(n, f"channel_{n}") for n in range(parts.examples[series.template].volumes))
    else:
        pattern, roles, texts = _joined(parts.channels)
        names = _names(texts, known)
    left = ", ".join(role.text for role in parts.channels if role not in roles)
    unsure = [f"no channels, since one pattern cannot name them with the others: {left}"] if left else []
    if numbers := [name for name in names if name.removeprefix("channel_").isdecimal()]:
        unsure.append(f"channels are numbers ({', '.join(numbers)}); give them the names of what they show")
    if known and len(known) != len(names):
        unsure.append(
            f"{described.source} names {counted(len(known), 'channel')}, and the files have {len(names)}"
        )
    unsure += [*_odd_modalities(names, texts), *_several_visits(texts)]
    notes: dict[str, str] = {}
    for name, role in zip(names, roles if texts else roles * len(names), strict=True):
        notes |= _notes(name, parts.examples[role.template], has_range=series is None)
    return Piece(
        table={"pattern": pattern, "channels": _entries(names, texts)},
        notes=notes | ({"channels": MAPS} if any(map(is_parameter_map, names)) else {}),
        uses=tuple(
            Use(pattern=pattern, text=text, role=role)
            for role, text in zip(roles, texts or [""] * len(roles), strict=True)
        ),
        unsure=tuple(unsure),
    )


def _joined(channels: Sequence[Role]) -> tuple[str, list[Role], list[str]]:
    """The pattern of as many channels as one can have, with these and their texts, in order."""
    joint = largest_joined(channels, CHANNEL)
    if joint is None:
        raise DataError.of(
            file=some([role.text for role in channels], 6),
            found="channels of which no two have one pattern",
            expected="names or folders that differ in one place, which {channel} stands for",
            remedy="rename the files, or write the study file by hand (docs/study.md)",
        )
    pattern, roles = joint
    order = in_order(readable(text) for text in pattern.texts)
    pairs = sorted(zip(pattern.texts, roles, strict=True), key=lambda pair: order.index(readable(pair[0])))
    return f"{pattern.pattern}{ending_of(roles)}", [role for _, role in pairs], [text for text, _ in pairs]


def _names(texts: Sequence[str], known: Mapping[int, str]) -> list[str]:
    """Names of channels: of `dwi/adc` the last part, of `0001` what is known of it."""
    plain = [readable(text) for text in texts]
    short = [text.rpartition("/")[2] for text in plain]
    given = short if len(set(short)) == len(short) else plain
    return names_of(
        known.get(int(text), text) if text.isdecimal() and len(text) == 4 else text for text in given
    )


def _entries(names: Sequence[str], texts: Sequence[str]) -> list[str | dict[str, Any]]:
    """The channels as the table has them: a bare name where it is the text for `{channel}` too."""
    if not texts:
        return [{"name": name, "index": n} for n, name in enumerate(names)]
    pairs = zip(names, texts, strict=True)
    return [name if name == text else {"name": name, "files": text} for name, text in pairs]


def _notes(name: str, example: Example, *, has_range: bool) -> dict[str, str]:
    """A file of the channel, and the range of its values where it is a map."""
    notes = {f"channel {name}": example.key}
    if has_range and is_parameter_map(name) and example.low < example.high:
        low = 0.0 if example.low >= 0 else -_round_above(-example.low)
        high = _round_above(example.high) if example.high > 0 else 0.0
        notes[f"range of {name}"] = f"[{low:g}, {high:g}]"
    return notes


def _round_above(number: float) -> float:
    """The next larger number of few digits: 1.5 of 1.06."""
    power = 10.0 ** math.floor(math.log10(number))
    return next(float(f"{digits * power:.6g}") for digits in ROUND if digits * power > number)


def _several_visits(texts: Sequence[str]) -> list[str]:
    """What is to be said of channels that are called after different visits: `preRT_T1`, `midRT_T1`.

    A bare `pre`, `post` or `late` may be said of the contrast agent.
    """
    words = dict.fromkeys(word for text in texts for word in WORD.findall(text))
    visits = [word for word in words if VISIT.fullmatch(word) and word.lower() not in OF_CONTRAST]
    if len(visits) < 2:
        return []
    return [
        f"channels are called after several visits ({', '.join(visits)}), as if these were one exam; if each visit "
        "is an exam with labels of its own, write {exam} for it in the patterns, and leave out copies that were "
        "registered to another visit"
    ]


def _odd_modalities(names: Sequence[str], texts: Sequence[str]) -> list[str]:
    """What is to be said of images that are no MRI, beside MRI."""
    by_kind: dict[str | None, list[str]] = defaultdict(list)
    for name, text in zip(names, texts or names, strict=True):
        by_kind[modality(text) or modality(name)].append(name)
    doubts = (
        [
            f"{', '.join(by_kind['dose'])}: a dose by its name; it is planned on the target, so that it gives the "
            "truth away as a channel: take it out"
        ]
        if by_kind["dose"]
        else []
    )
    if by_kind["CT or PET"] and by_kind["MRI"]:
        doubts.append(
            f"{', '.join(by_kind['CT or PET'])}: CT or PET by its name, among channels of MRI; take it out if the "
            "study is about MRI"
        )
    return doubts
