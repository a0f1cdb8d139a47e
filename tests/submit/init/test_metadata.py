import json
from typing import Any

import pytest

from submit.init.metadata import NOTHING, dataset_jsons, from_dataset_json, of_challenge


def described(**table: Any) -> Any:
    return from_dataset_json(json.dumps(table).encode(), "dataset.json")


def test_nnunets_second_version_has_values_by_name() -> None:
    found = described(channel_names={"0": "T2", "1": "ADC"}, labels={"background": 0, "PZ": 1, "TZ": 2})
    assert found.channels == {0: "T2", 1: "ADC"}
    assert found.classes == {1: "PZ", 2: "TZ"}
    assert found.structures == {}
    assert found.source == "dataset.json"


def test_its_first_version_and_the_decathlon_have_names_by_value() -> None:
    found = described(
        modality={"0": "FLAIR", "1": "T1w"}, labels={"0": "background", "1": "edema", "10": "core"}
    )
    assert found.channels == {0: "FLAIR", 1: "T1w"}
    assert found.classes == {1: "edema", 10: "core"}


def test_regions_become_unions_of_what_is_left_of_each() -> None:
    """As in nnU-Net's region-based training: 1 is oedema, 2 the core that does not enhance, 3 what enhances."""
    found = described(
        channel_names={"0": "T1"},
        labels={"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing": 3},
        regions_class_order=[1, 2, 3],
    )
    assert found.classes == {1: "rest of whole tumor", 2: "rest of tumor core", 3: "enhancing"}
    assert found.structures == {"whole tumor": (1, 2, 3), "tumor core": (2, 3)}


def test_a_label_to_be_ignored_is_named_as_a_doubt() -> None:
    found = described(channel_names={"0": "T1"}, labels={"background": 0, "tumour": 1, "ignore": 2})
    assert found.classes == {1: "tumour"}
    assert found.ignored == (2,)
    assert "label 2 to be ignored" in found.unsure[0]


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"name": "x"},
        {"labels": "no"},
        {"labels": {"a": "b"}},
        {"channel_names": 3},
        {"labels": {"x": True}},
    ],
)
def test_a_table_that_says_nothing_of_it_says_nothing(table: dict[str, Any]) -> None:
    assert described(**table) == NOTHING


def test_a_table_that_is_no_json_is_a_doubt() -> None:
    assert "no valid JSON" in from_dataset_json(b"{", "dataset.json").unsure[0]
    assert from_dataset_json(b"[1]", "dataset.json") == NOTHING


def test_the_table_nearest_to_the_top_comes_first() -> None:
    assert dataset_jsons(["b/c/dataset.json", "x.json", "b/dataset.json"]) == [
        "b/dataset.json",
        "b/c/dataset.json",
    ]


@pytest.mark.parametrize(
    ("names", "values", "classes", "core"),
    [
        (["BraTS20_Training_001"], [1, 2, 4], {1: "necrotic core", 2: "oedema", 4: "enhancing"}, (1, 4)),
        (["BraTS_135"], [1, 2, 4], {1: "necrotic core", 2: "oedema", 4: "enhancing"}, (1, 4)),
        (["BraTS-GLI-00000-000"], [1, 2, 3], {1: "necrotic core", 2: "oedema", 3: "enhancing"}, (1, 3)),
        (
            ["brats2015", "pat0003"],
            [1, 2, 3, 4],
            {1: "necrosis", 2: "oedema", 3: "non-enhancing", 4: "enhancing"},
            (1, 3, 4),
        ),
    ],
)
def test_codings_of_brats_are_known(
    names: list[str], values: list[int], classes: dict[int, str], core: tuple[int, ...]
) -> None:
    found = of_challenge(names, values)
    assert found.classes == classes
    assert found.structures == {"whole tumour": tuple(values), "tumour core": core}
    assert found.unsure


@pytest.mark.parametrize(
    ("names", "values"),
    [(["glioma"], [1, 2, 4]), (["BraTS20_1"], [1, 7]), (["BraTS-PED-00001-000"], [1, 2, 3]), (["brats"], [])],
)
def test_other_cohorts_and_other_values_are_not_named(names: list[str], values: list[int]) -> None:
    assert of_challenge(names, values) == NOTHING


def test_a_region_without_its_values_is_no_union() -> None:
    assert of_challenge(["BraTS20_1"], [2, 4]).structures == {"whole tumour": (2, 4)}
