"""Reads a study file: presets, then pydantic, then the network's sizes, with errors in the words of the file."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from job.contract.cohort import NAME
from job.contract.errors import StudyError
from job.contract.networks import settings_named_in
from job.contract.presets import PRESETS
from job.contract.study import STUDY_NAME, Study
from job.contract.suggestions import keys_of, nearest, suggestion
from job.networks.design import design_of

Place = tuple[str | int, ...]
"""Keys, and positions in lists, from the top of the file."""


def load_study(path: Path) -> Study:
    """The study of a TOML file.

    Raises:
        StudyError: The file is missing, is not TOML, or says something impossible; all problems are named.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Windows editors add a byte order mark
    except FileNotFoundError:
        raise StudyError(
            f"{path}: no such file; name the study file, or run in the folder that has it"
        ) from None
    except IsADirectoryError:
        raise StudyError(f"{path}: is a folder; name the study file in it") from None
    except UnicodeDecodeError as error:
        raise StudyError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{path}: not valid TOML: {error}") from None
    except RecursionError:
        raise StudyError(f"{path}: not valid TOML: brackets within brackets without an end") from None
    return parse_study(table, source=str(path))


def parse_study(table: Mapping[str, Any], *, source: str) -> Study:
    """The study of a parsed TOML table; `source` names the file in errors.

    Every study comes through here before it is frozen, so that none is whose network is impossible.

    Raises:
        StudyError: As for `load_study`.
    """
    table = dict(table)
    preset = table.pop("preset", None)
    if preset is not None:
        if not isinstance(preset, str) or preset not in PRESETS:
            raise StudyError(
                f"{source}: preset {preset!r} is unknown{nearest(str(preset), PRESETS)}; "
                f"presets: {', '.join(PRESETS)}"
            )
        table = _merge(PRESETS[preset](), table)
    try:
        study = Study.model_validate(table)
        design_of(study)  # which refuses sizes that its network cannot have
    except ValidationError as error:
        lines = _in_words(error.errors(), table)
        raise StudyError("\n".join(f"{source}: {line}" for line in lines)) from None
    except StudyError as error:
        raise StudyError(f"{source}: {error}") from None
    return study


def _merge(preset: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """The file's keys over the preset's, section by section.

    A file that gives a size its own way (segment or patch) replaces the preset's way; a file with channels of
    its own drops the preset's acquisitions, one with another kind of network what the preset says of its own.
    """
    merged = dict(table)
    for section, values in preset.items():
        own = table.get(section, {})
        if not isinstance(own, Mapping):
            continue  # the model says what is wrong with it
        if section == "network" and settings_named_in(own) is not settings_named_in(values):
            continue
        replaced = {other for either, other in _ONE_OF if either in own}
        kept = {key: value for key, value in values.items() if key not in replaced}
        merged[section] = kept | dict(own)
    return merged


_ONE_OF = (
    ("patch_shape", "segment_shape"),
    ("segment_shape", "patch_shape"),
    ("tile_shape", "segment_shape"),
    ("segment_shape", "tile_shape"),
    ("channels", "acquisitions"),
    ("schedule", "halve_at"),
)


_EXPECTED = {
    "dict_type": "a table with keys and values",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number of at most {le:g}",
    "model_type": "a table with keys and values",
    "string_type": "text in quotes",
    "too_long": "at most {max_length} value(s)",
    "too_short": "at least {min_length} value(s)",
    "tuple_type": "a list in square brackets",
}
"""What pydantic expects, by the type of its error, where its own words are not those of a TOML file."""

_PATTERNS = {
    NAME: r"a name that does not begin with a space and has none of / \ { }",
    STUDY_NAME: "at most 40 letters, digits, - and _, the first a letter or a digit",
}


def _in_words(problems: Sequence[ErrorDetails], table: Mapping[str, Any]) -> list[str]:
    """One line for each place of the file that is wrong.

    A value that may have one of several forms gives a problem for each form. The form that was meant is the
    one that got further, so a problem of a part counts and one of the whole does not.
    """
    by_place: dict[Place, list[ErrorDetails]] = {}
    for problem in problems:
        by_place.setdefault(_place(problem, table), []).append(problem)
    innermost = [place for place in by_place if not any(p[: len(place)] == place != p for p in by_place)]
    return [_line(place, by_place[place], table) for place in innermost]


def _place(problem: ErrorDetails, table: Mapping[str, Any]) -> Place:
    """Where a problem is in the file: pydantic's location without the parts that only it knows."""
    place: list[str | int] = []
    value: Any = table
    for part in problem["loc"]:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):  # a form of a value, or what is missing
            if problem["type"] != "missing" or isinstance(part, int):
                continue
        place.append(part)
    return tuple(place)


def _line(place: Place, problems: Sequence[ErrorDetails], table: Mapping[str, Any]) -> str:
    problem = problems[0]
    where = "".join(f"[entry {part + 1}]" if isinstance(part, int) else f".{part}" for part in place)
    where = f"{where.removeprefix('.')}: " if where else ""
    if problem["type"] == "extra_forbidden":
        known = _keys_at(place[:-1], table)
        return f"{where}unknown key{suggestion(place, known)}; known keys: {', '.join(known)}"
    if problem["type"] == "value_error":
        return where + problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        last = problems[-1]["loc"][-1]
        if isinstance(last, str):
            return f"{where}missing; this key is required"
        return f"{where}expected {last + 1} values, got {problem['input']!r}"
    expected = dict.fromkeys(_expected(problem) for problem in problems)
    share = _as_share(problem) if place[:1] == ("sweep",) else ""  # other shares may be relative to their sum
    return f"{where}expected {' or '.join(expected)}, got {problem['input']!r}{share}"


def _as_share(problem: ErrorDetails) -> str:
    """What a number above 1 is as a share, where a percentage was given for one."""
    context, value = problem.get("ctx", {}), problem["input"]
    if (
        1.0 not in (context.get("le"), context.get("lt"))
        or not isinstance(value, int | float)
        or not 1 < value <= 100
    ):
        return ""
    return f"; {value:g} % is {value / 100:g}"


def _expected(problem: ErrorDetails) -> str:
    context = problem.get("ctx", {})
    if problem["type"] == "string_pattern_mismatch":
        return _PATTERNS[context["pattern"]]
    if problem["type"] in _EXPECTED:
        return _EXPECTED[problem["type"]].format_map(context)
    return problem["msg"].removeprefix("Input should be ")


def _keys_at(place: Place, table: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys that a table of the study may have; of the network, those of its kind."""
    if place == ("network",) and (network := settings_named_in(table["network"])) is not None:
        return keys_of(network)
    model: type[BaseModel] = Study
    for part in place:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return keys_of(model)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation such as `tuple[Channel, ...] | None` speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, tuple):
        return next((m for arg in get_args(annotation) if (m := _model_in(arg))), None)
    return None
