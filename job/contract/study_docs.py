"""The reference of the study file as Markdown, made from the models and the presets.

python -m job.contract.study_docs > docs/study.md
"""

import inspect
import json
import re
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from job.contract.cohort import Channel, Cohort
from job.contract.networks import NETWORKS
from job.contract.presets import PRESETS
from job.contract.study import Compute, Endpoint, Evaluation, Store, Study, Sweep, Training

EXAMPLE = """\
name = "head-neck"
preset = "smoke"

[cohort]
root = "exams"
pattern = "{patient}/{exam}/*{channel}*.nii.gz"
labels = "{patient}/{exam}/*label*.nii.gz"
channels = ["t1", "t2", { name = "adc", normalisation = "fixed", range = [0.0, 3.0] }]
classes = { tumour = 1, node = [2, 3] }

[sweep]
leave_out = "channels"
endpoint = { class = "tumour", metric = "dice" }
"""

_INTRODUCTION = f"""\
# The study file

A study file (TOML, `study.toml` by default) says everything about one experiment:

```toml
{EXAMPLE}```

Keys that are not listed here are errors. Paths are relative to the file; `~` at the beginning of `cohort.root`,
`store.folder` and `compute.runs` is the home folder. Shapes are voxels along (x, y, z) of
the canonical (RAS) grid. `preset`, at the top, names one of the [presets](#presets) to start from: what the file
says itself goes before the preset.

This page is made from the code by `python -m job.contract.study_docs > docs/study.md`.
"""

_SECTIONS: dict[str, type[BaseModel]] = {
    "Top level": Study,
    "`[cohort]`": Cohort,
    "An entry of `cohort.channels`": Channel,
    "`[sweep]`": Sweep,
    "`sweep.endpoint`": Endpoint,
    "`[store]`": Store,
    **{f'`[network]` with `name = "{name}"`': settings for name, settings in NETWORKS.items()},
    "`[training]`": Training,
    "`[evaluation]`": Evaluation,
    "`[compute]`": Compute,
}

_BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most", "min_length": "length at least"}
_NOUNS = {str: "text", int: "whole number", float: "number"}


def study_reference() -> str:
    """Every key of the study file, section by section, then the presets."""
    sections = [_section(title, model) for title, model in _SECTIONS.items()]
    presets = [
        f"### `{name}`\n\n{inspect.getdoc(preset)}\n\n```toml\n{preset_toml(preset())}```\n"
        for name, preset in PRESETS.items()
    ]
    return "\n".join([_INTRODUCTION, *sections, "## Presets\n", *presets])


def preset_toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """The tables of a preset as TOML."""
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    )


def _section(title: str, model: type[BaseModel]) -> str:
    rows = [
        f"| `{field.alias or name}` | {_in_cell(_type_in_words(field.annotation, field.metadata))} "
        f"| {_default(field)} | {_in_cell(field.description or '')} |\n"
        for name, field in model.model_fields.items()
    ]
    head = "| key | type | default | meaning |\n|---|---|---|---|\n"
    return f"## {title}\n\n{inspect.getdoc(model)}\n\n{head}{''.join(rows)}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is None or isinstance(field.default, BaseModel):
        return ""
    return f"`{_toml(field.default)}`"


def _type_in_words(annotation: Any, constraints: Iterable[Any] = (), plural: str = "") -> str:
    arguments, of = get_args(annotation), ""
    match get_origin(annotation):
        case origin if origin is Annotated:
            return _type_in_words(arguments[0], arguments[1:], plural)
        case origin if origin is Literal:
            return ", ".join(f"`{_toml(choice)}`" for choice in arguments)
        case origin if origin in (Union, UnionType):
            forms = [_type_in_words(form, (), plural) for form in arguments if form is not NoneType]
            return " or ".join(forms)
        case origin if origin is tuple:
            count = "" if arguments[-1] is ... else f"{len(arguments)} "
            noun, of = "list", f" of {count}{_type_in_words(arguments[0], (), 's')}"
        case origin if origin is dict:
            noun, of = "table", f" of {_type_in_words(arguments[1], (), 's')} by name"
        case None if isinstance(annotation, NewType):
            return _type_in_words(annotation.__supertype__, constraints, plural)
        case _:
            noun = _NOUNS.get(annotation, "table")
    bounds = ", ".join(_bounds(constraints))
    return f"{noun}{plural}{f' ({bounds})' if bounds else ''}{of}"


def _bounds(constraints: Iterable[Any]) -> Iterable[str]:
    for constraint in constraints:
        if isinstance(constraint, FieldInfo):
            yield from _bounds(constraint.metadata)
        for name, words in _BOUNDS.items():
            if not isinstance(constraint, FieldInfo) and hasattr(constraint, name):
                yield f"{words} {getattr(constraint, name)}"


def _toml(value: Any) -> str:
    if value == {}:
        return "{}"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_toml_key(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        return "[\n" + "".join(f"    {_toml(item)},\n" for item in value) + "]"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


def _in_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


if __name__ == "__main__":
    print(study_reference(), end="")
