"""A second kind of settings, to see what the study makes of a name."""

import re
from typing import Literal

import pytest
from pydantic import ValidationError

from job.contract.cohort import Section
from job.contract.deepmedic import DeepMedicNetwork
from job.contract.errors import StudyError
from job.contract.networks import NETWORKS, of_its_name
from tests.job.toml_studies import make_study


def add_plain(monkeypatch: pytest.MonkeyPatch) -> type[Section]:
    class Plain(Section):
        """Settings of another network."""

        name: Literal["plain"]
        depth: int = 2

    monkeypatch.setitem(NETWORKS, "plain", Plain)  # type: ignore[arg-type]
    return Plain


def test_the_settings_are_those_of_the_kind_that_is_named_deepmedic_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = add_plain(monkeypatch)
    assert of_its_name({"name": "plain", "depth": 3}) == plain(name="plain", depth=3)
    assert of_its_name({"name": "deepmedic"}) == of_its_name({}) == DeepMedicNetwork()
    assert of_its_name("plain") == "plain"  # no table: pydantic says so


def test_an_unknown_kind_is_refused_with_the_names_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    add_plain(monkeypatch)
    with pytest.raises(ValidationError, match=re.escape("Input should be 'deepmedic' or 'plain'")):
        of_its_name({"name": "unet"})
    refusal = "study.toml: network.name: expected 'deepmedic' or 'plain', got 'unet'"
    with pytest.raises(StudyError, match=f"^{refusal}$"):
        make_study('network.name = "unet"')


def test_an_unknown_key_is_refused_with_the_keys_of_its_own_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the preset's network are none of the file's."""
    add_plain(monkeypatch)
    refusal = "study.toml: network.width: unknown key; did you mean 'depth'?; known keys: name, depth"
    with pytest.raises(StudyError, match=f"^{re.escape(refusal)}$"):
        make_study('network = { name = "plain", width = 3 }')


def test_a_value_that_is_wrong_is_refused_in_the_words_of_its_place() -> None:
    refusal = "study.toml: network.dropout[entry 1]: expected a number below 1, got 2"
    with pytest.raises(StudyError, match=f"^{re.escape(refusal)}$"):
        make_study("network.dropout = [2, 0.5]")
