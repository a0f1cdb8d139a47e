"""Names of channels and classes where they are known: from a dataset.json, or from the coding of a challenge."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

DATASET_JSON = "dataset.json"
_BRATS_2023 = re.compile(r"BraTS-(?P<task>[A-Za-z]+)-\d{5}-\d{3}", re.IGNORECASE)
_BRATS_2015 = re.compile(r"brats[-_ ]?(?:20)?1[2-6](?!\d)|VSD\.Brain", re.IGNORECASE)
_WHOLE, _CORE = "whole tumour", "tumour core"


@dataclass(frozen=True, kw_only=True)
class Described:
    """What is known of channels and classes beside the files."""

    source: str = ""
    """Where it is from, for the study's comments; empty: nothing is known."""
    channels: Mapping[int, str] = field(default_factory=dict)
    """By number: `0000`, or the volume of a 4-D file."""
    classes: Mapping[int, str] = field(default_factory=dict)
    """By value."""
    structures: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Values of regions that hold several."""
    ignored: tuple[int, ...] = ()
    """Values that count as no class and are not to be counted at all."""
    unsure: tuple[str, ...] = ()


NOTHING = Described()


def dataset_jsons(keys: Iterable[str]) -> list[str]:
    """Files called dataset.json, those further up first."""
    found = [key for key in keys if PurePosixPath(key).name.lower() == DATASET_JSON]
    return sorted(found, key=lambda key: (key.count("/"), key))


def from_dataset_json(data: bytes, key: str) -> Described:
    """What a dataset.json says: nnU-Net's (v1 and v2), or the Medical Segmentation Decathlon's.

    v1 and the Decathlon have `modality` by number and `labels` as name by value; v2 has `channel_names` by number and
    `labels` as value by name, where a region has a list of values. A file that says none of this says nothing.
    """
    try:
        table = json.loads(data)
    except ValueError as error:
        return Described(unsure=(f"{key} is no valid JSON ({error}), and is not looked at",))
    if not isinstance(table, dict):
        return NOTHING
    names = table.get("channel_names", table.get("modality", table.get("modalities")))
    channels = _by_number(names)
    labels = table.get("labels")
    classes, regions, ignored = _labels(labels if isinstance(labels, dict) else {})
    if not channels and not classes and not regions:
        return NOTHING
    if any(len(values) > 1 for values in regions.values()):  # then single values are regions too
        order = table.get("regions_class_order")
        classes = _of_regions(regions, order if isinstance(order, list) else [])
    unsure = (
        (f"{key} has the label {ignored[0]} to be ignored in training; here it counts as background",)
        if ignored
        else ()
    )
    return Described(
        source=key,
        channels=channels,
        classes=classes,
        structures={name: values for name, values in regions.items() if len(values) > 1},
        ignored=ignored,
        unsure=unsure,
    )


def _by_number(names: Any) -> dict[int, str]:
    if isinstance(names, list):
        return {n: str(name) for n, name in enumerate(names)}
    if not isinstance(names, dict):
        return {}
    return {int(number): str(name) for number, name in names.items() if str(number).isdecimal()}


def _labels(
    labels: Mapping[str, Any],
) -> tuple[dict[int, str], dict[str, tuple[int, ...]], tuple[int, ...]]:
    """Names of classes by value, values by name of all of them as regions, and values to be ignored."""
    classes: dict[int, str] = {}
    regions: dict[str, tuple[int, ...]] = {}
    ignored: list[int] = []
    for key, entry in labels.items():
        name, value = (entry, int(key)) if str(key).lstrip("-").isdecimal() else (key, entry)
        if isinstance(value, list):
            regions[str(name)] = tuple(int(v) for v in value if isinstance(v, int) and v)
        elif not isinstance(value, int) or isinstance(value, bool):
            continue
        elif str(name).lower() == "ignore":
            ignored.append(value)
        elif value and str(name).lower() != "background":
            classes[value] = str(name)
            regions[str(name)] = (value,)
    return classes, {name: values for name, values in regions.items() if values}, tuple(ignored)


def _of_regions(regions: Mapping[str, tuple[int, ...]], order: list[Any]) -> dict[int, str]:
    """Names of single values that only regions are given for: the region itself, or what is left of the smallest.

    `regions_class_order` says with which value a region's own part is written.
    """
    names = {values[0]: name for name, values in regions.items() if len(values) == 1}
    for value in sorted({v for values in regions.values() for v in values} - names.keys()):
        holding = [name for name, values in regions.items() if value in values]
        smallest = min(holding, key=lambda name: len(regions[name]))
        ordered = dict(zip(order, regions, strict=False)).get(value)
        names[value] = f"rest of {ordered if ordered in holding else smallest}"
    doubled = {name for name in names.values() if list(names.values()).count(name) > 1}
    return {value: f"{name} ({value})" if name in doubled else name for value, name in sorted(names.items())}


def of_challenge(names: Collection[str], values: Collection[int]) -> Described:
    """What BraTS' codings make of label values.

    Args:
        names: The folder, and patients or files in it.
        values: Found in the label maps, without 0.
    """
    task = next((match["task"].upper() for name in names if (match := _BRATS_2023.search(name))), None)
    if not any("brats" in name.lower() for name in names) or not values:
        return NOTHING
    if task in ("GLI", "MET", "MEN", "SSA") and set(values) <= {1, 2, 3, 4}:
        year, parts = "since 2023", {1: "necrotic core", 2: "oedema", 3: "enhancing", 4: "resection cavity"}
        structures = {_WHOLE: (1, 2, 3), _CORE: (1, 3)}
    elif task is None and any(_BRATS_2015.search(name) for name in names) and set(values) <= {1, 2, 3, 4}:
        year, parts = "of 2012 to 2016", {1: "necrosis", 2: "oedema", 3: "non-enhancing", 4: "enhancing"}
        structures = {_WHOLE: (1, 2, 3, 4), _CORE: (1, 3, 4)}
    elif task is None and set(values) <= {1, 2, 4}:
        year, parts = "of 2017 to 2021", {1: "necrotic core", 2: "oedema", 4: "enhancing"}
        structures = {_WHOLE: (1, 2, 4), _CORE: (1, 4)}
    else:
        return NOTHING
    coding = ", ".join(f"{value} {name}" for value, name in parts.items())
    return Described(
        source=f"BraTS' coding {year}",
        classes={value: name for value, name in parts.items() if value in values},
        structures={
            name: own
            for name, all_ in structures.items()
            if len(own := tuple(v for v in all_ if v in values)) > 1
        },
        unsure=(
            f'the names of the classes are those of BraTS {year} ({coding}), since names have "brats" in them',
        ),
    )
