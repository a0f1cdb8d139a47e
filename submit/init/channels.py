"""The channels of a cohort: their pattern, their names and their order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from job.contract.errors import DataError
from submit.init.files import some
from submit.init.joining import ending_of, largest_joined
from submit.init.layout import FoundChannel
from submit.init.naming import names_of
from submit.init.parts import Example, Parts
from submit.init.reading import Role
from submit.init.templates import Template, in_order, readable
from submit.init.words import is_parameter_map
from submit.wording import counted

CHANNEL = "{channel}"


@dataclass(frozen=True, kw_only=True)
class Channels:
    """Channels and their files."""

    pattern: str
    roles: tuple[Role, ...]
    """By channel; or the one 4-D file."""
    texts: tuple[str, ...]
    """By role, what stands for `{channel}`; empty for a 4-D file."""
    found: tuple[FoundChannel, ...]
    unsure: tuple[str, ...]


def channels_of(
    parts: Parts, examples: Mapping[Template, Example], known: Mapping[int, str], source: str
) -> Channels:
    """The channels in the order of their volumes or numbers, else of their names.

    Args:
        parts: The roles.
        examples: Files of the roles.
        known: Names by number.
        source: Where these are from.

    Raises:
        DataError: No two channels have one pattern.
    """
    channels = (
        _of_files(parts, examples, known)
        if parts.series is None
        else _of_volumes(parts.series, examples[parts.series.template], known)
    )
    unsure = list(channels.unsure)
    names = [channel.name for channel in channels.found]
    if numbers := [name for name in names if name.removeprefix("channel_").isdecimal()]:
        unsure.append(f"channels are numbers ({', '.join(numbers)}); give them the names of what they show")
    if known and len(known) != len(names):
        unsure.append(f"{source} names {counted(len(known), 'channel')}, and the files have {len(names)}")
    return Channels(
        pattern=channels.pattern,
        roles=channels.roles,
        texts=channels.texts,
        found=channels.found,
        unsure=tuple(unsure),
    )


def _of_volumes(role: Role, example: Example, known: Mapping[int, str]) -> Channels:
    volumes = example.contents.volumes if example.contents is not None else 1
    names = names_of(known.get(n, f"channel_{n}") for n in range(volumes))
    return Channels(
        pattern=f"{role.text}{ending_of([role])}",
        roles=(role,),
        texts=(),
        found=tuple(
            FoundChannel(name=name, files=None, index=n, example=example.key, is_map=is_parameter_map(name))
            for n, name in enumerate(names)
        ),
        unsure=(),
    )


def _of_files(parts: Parts, examples: Mapping[Template, Example], known: Mapping[int, str]) -> Channels:
    joint = largest_joined(parts.channels, CHANNEL)
    if joint is None:
        raise DataError.of(
            file=some([role.text for role in parts.channels], 6),
            found="channels of which no two have one pattern",
            expected="names or folders that differ in one place, which {channel} stands for",
            remedy="rename the files, or write the study file by hand (docs/study.md)",
        )
    pattern, roles = joint
    order = in_order(readable(text) for text in pattern.texts)
    pairs = sorted(zip(pattern.texts, roles, strict=True), key=lambda pair: order.index(readable(pair[0])))
    texts, roles = tuple(text for text, _ in pairs), tuple(role for _, role in pairs)
    left = [role.text for role in parts.channels if role not in roles]
    unsure = (
        [f"no channels, since one pattern cannot name them with the others: {', '.join(left)}"]
        if left
        else []
    )
    found = [
        _channel(name, text, examples[role.template])
        for name, text, role in zip(_names(texts, known), texts, roles, strict=True)
    ]
    ending = ending_of(roles)
    return Channels(
        pattern=f"{pattern.pattern}{ending}",
        roles=roles,
        texts=texts,
        found=tuple(found),
        unsure=tuple(unsure),
    )


def _names(texts: Sequence[str], known: Mapping[int, str]) -> list[str]:
    """Names of channels: of `dwi/adc` the last part, of `0001` what is known of it."""
    plain = [readable(text) for text in texts]
    short = [text.rpartition("/")[2] for text in plain]
    given = short if len(set(short)) == len(short) else plain
    return names_of(
        known.get(int(text), text) if text.isdecimal() and len(text) == 4 else text for text in given
    )


def _channel(name: str, text: str, example: Example) -> FoundChannel:
    contents = example.contents
    return FoundChannel(
        name=name,
        files=None if text == name else text,
        example=example.key,
        low=0.0 if contents is None else contents.low,
        high=0.0 if contents is None else contents.high,
        is_map=is_parameter_map(name),
    )
