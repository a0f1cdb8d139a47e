"""Reads a study file: presets, then pydantic, with errors in the words of the file."""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from job.contract.errors import StudyError
from job.contract.presets import PRESETS
from job.contract.study import Study


def load_study(path: Path) -> Study:
    """The study of a TOML file.

    Raises:
        StudyError: The file is missing, is not TOML, or says something impossible; all problems are named.
    """
    try:
        table = tomllib.loads(path.read_text())
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
    return parse_study(table, source=str(path))


def parse_study(table: Mapping[str, Any], *, source: str) -> Study:
    """The study of a parsed TOML table; `source` names the file in errors."""
    table = dict(table)
    preset = table.pop("preset", None)
    if preset is not None:
        if preset not in PRESETS:
            raise StudyError(
                f"{source}: preset {preset!r} is unknown{_nearest(str(preset), PRESETS)}; "
                f"presets: {', '.join(PRESETS)}"
            )
        table = _merge(PRESETS[preset](), table)
    try:
        return Study.model_validate(table)
    except ValidationError as error:
        lines = [_in_words(dict(problem)) for problem in error.errors()]
        raise StudyError("\n".join(f"{source}: {line}" for line in dict.fromkeys(lines))) from None


def _merge(preset: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """The file's keys over the preset's, section by section.

    A file that gives a size its own way (segment or patch) replaces the preset's way; a file with channels of
    its own drops the preset's acquisitions.
    """
    merged = dict(table)
    for section, values in preset.items():
        own = table.get(section, {})
        if not isinstance(own, Mapping):
            continue  # the model says what is wrong with it
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


def _in_words(problem: dict[str, Any]) -> str:
    location = tuple(problem["loc"])
    where = ".".join(str(part) for part in location) or "study"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        known = _keys_at(location[:-1])
        return f"{where}: unknown key{_nearest(str(location[-1]), known)}; known keys: {', '.join(known)}"
    if problem["type"] == "missing":
        return f"{where}: missing; this key is required"
    if problem["type"] == "value_error":
        return f"{where}: {message}"
    return f"{where}: {message[:1].lower()}{message[1:]}, got {problem['input']!r}"


def _keys_at(location: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys that a table of the study may have."""
    model: type[BaseModel] = Study
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    keys = tuple(field.alias or name for name, field in model.model_fields.items())
    return (*keys, "preset") if model is Study else keys


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation such as `tuple[Channel, ...] | None` speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, tuple):
        return next((m for arg in get_args(annotation) if (m := _model_in(arg))), None)
    return None


def _nearest(word: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else ""
